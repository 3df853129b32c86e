"""A peer after DeepSqueeze (Ilkhechi et al., SIGMOD 2020): an autoencoder's codes plus what corrects its predictions.

    cells → encoder → code, truncated ──▶ decoder ──▶ predicted cells, and per cell what puts the prediction right

Bounded numbers are quantised and their buckets scaled to [0, 1]; exact columns of at most 256 different values and
short lists of words are categories. Stored are the truncated codes, the decoder's weights (float16), for every number
the distance from the predicted bucket to the right one, and for every category the rank of the right one in the
predicted order, each as the smallest of pcodec, zstd, xz and brotli. As in the paper, columns with too many different
values are left to plain coders, the sizes of code and network are searched on a sample, and the number of bits of a
code is chosen after training. Its experts are left out: one network. Floats predict, so bytes written on one machine
are only sure to be read there; the archive does not have this weakness, the peer is not charged for it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.benchmarks import plain
from tests.benchmarks.coders import SIMPLE, Array
from tests.benchmarks.deepsqueeze_net import Layout, Trained, code_levels, predict, search
from tests.benchmarks.fidelity import Bounds

CATEGORIES = 256  # most values of a category
BUCKETS = 1 << 16  # most buckets of a number


@dataclass(frozen=True)
class Field:
    """What is predicted: symbols of the rows that are present, 0 elsewhere."""

    size: int  # symbols are below it
    category: bool
    symbols: Array  # (rows,) int64
    present: Array  # (rows,) bool
    gated: bool = False  # present where the field before it has symbol 0, everywhere otherwise


def encode(table: pa.Table, bounds: Bounds) -> bytes:
    """The table as plain columns, codes, weights and corrections."""
    fields: list[Field] = []
    headers: dict[str, dict[str, Any]] = {}
    for name in table.column_names:
        found = _modelled(plain.one_array(table[name]), bounds, name)
        if found is not None:
            headers[name], made = found
            fields += made
    rest = plain.encode(table.drop_columns(list(headers)), bounds)
    if not fields:
        return _packed([b"", b"", rest])
    layout = Layout(tuple(field.size for field in fields if not field.category), _categories(fields))
    numbers, classes = _split(fields)
    present = np.stack([field.present for field in fields if not field.category], 1) if numbers.size else numbers > 0
    trained = search(layout, numbers, present, classes)
    kinds = [[field.category, field.gated] for field in fields]
    about = [layout.numbers, layout.classes, kinds, trained.width, trained.bits, headers, table.num_rows]
    front = [SIMPLE.put_bytes(data) for data in (json.dumps(about).encode(), table.schema.serialize().to_pybytes())]
    return _packed([*front, rest, *_streams(layout, fields, trained)])


def decode(data: bytes) -> pa.Table:
    """The rebuilt table."""
    about, schema_bytes, rest, *streams = _unpacked(data)
    others = plain.decode(rest)
    if not streams:
        return others
    numbers, classes, kinds, width, bits, headers, rows = json.loads(SIMPLE.get_bytes(about))
    schema = pa.ipc.read_schema(pa.py_buffer(SIMPLE.get_bytes(schema_bytes)))
    layout = Layout(tuple(numbers), tuple(classes))
    symbols = iter(_symbols(layout, kinds, width, bits, rows, streams))
    arrays = []
    for field in schema:
        made = others[field.name] if field.name not in headers else _rebuilt(headers[field.name], field.type, symbols)
        arrays.append(made)
    return pa.Table.from_arrays(arrays, schema=schema)


# --- columns and fields -------------------------------------------------------------------------------


def _modelled(column: pa.Array, bounds: Bounds, name: str) -> tuple[dict[str, Any], list[Field]] | None:
    """What rebuilds a column from its fields, and these; None where it is left to plain coders."""
    if (numbers := plain.numbers_of(column)) is None:
        return _words(column)
    specials, values = numbers
    header, levels = plain.quantise(values, plain.scaled(bounds.get(name), column.type))
    words = np.unique(levels)
    if not 1 < len(words) <= BUCKETS or (levels.dtype.kind == "f" and np.signbit(levels[levels == 0]).any()):
        return None
    category = header["as"] == "exact" and len(words) <= CATEGORIES
    low, high = words[0].item(), words[-1].item()
    if levels.dtype.kind in "iub" and high - low < BUCKETS and not category:
        header["low symbol"], size = int(low), int(high) - int(low) + 1
        symbols = (levels.astype(np.uint64) - np.uint64(int(low) % 2**64)).astype(np.int64)
    else:
        header["words"], size = [word.item() for word in words], len(words)
        header["words dtype"] = words.dtype.str
        symbols = np.searchsorted(words, levels)
    header["category"] = category
    value = _field(specials == 0, symbols, size, category=category)
    if not specials.any():
        return header, [value]
    codes, found = np.unique(specials, return_inverse=True)  # 0, an ordinary value, comes first
    header["specials"] = codes.tolist()
    return header, [_field(np.ones(len(specials), bool), found, len(codes), category=True), replace(value, gated=True)]


def _words(column: pa.Array) -> tuple[dict[str, Any], list[Field]] | None:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    words = sorted(column.drop_null().unique().to_pylist())
    if not 1 < len(words) + (column.null_count > 0) <= CATEGORIES:
        return None
    symbols = pc.index_in(column, pa.array(words, column.type)).fill_null(len(words)).to_numpy(zero_copy_only=False)
    size = len(words) + (column.null_count > 0)
    present = np.ones(len(column), bool)
    return {"as": "text", "words": words}, [_field(present, symbols.astype(np.int64), size, category=True)]


def _field(present: Array, symbols: Array, size: int, *, category: bool) -> Field:
    full = np.zeros(len(present), np.int64)
    full[present] = symbols
    return Field(size, category, full, present)


def _rebuilt(header: Mapping[str, Any], kind: pa.DataType, symbols: Any) -> pa.Array:
    if header["as"] == "text":
        found = next(symbols)
        words = pa.array([*header["words"], None], kind)
        return words.take(pa.array(found))
    specials = np.array(header["specials"], np.uint8)[next(symbols)] if "specials" in header else None
    found = next(symbols)
    if "words" in header:
        levels = np.array(header["words"], np.dtype(header["words dtype"]))[found]
    else:
        levels = found.astype(np.uint64) + np.uint64(header["low symbol"] % 2**64)
    if specials is None:
        specials = np.zeros(len(levels), np.uint8)
    return plain.array_of(specials, plain.rebuild(header, levels[specials == 0]), kind)


def _categories(fields: Sequence[Field]) -> tuple[int, ...]:
    return tuple(field.size for field in fields if field.category)


def _split(fields: Sequence[Field]) -> tuple[Array, Array]:
    """Symbols of the numbers and of the categories: (rows, numbers) and (rows, categories), int32."""
    rows = len(fields[0].symbols)
    groups: list[Array] = []
    for category in (False, True):
        chosen = [field.symbols.astype(np.int32) for field in fields if field.category == category]
        groups.append(np.stack(chosen, 1) if chosen else np.empty((rows, 0), np.int32))
    return groups[0], groups[1]


# --- streams ------------------------------------------------------------------------------------------


def _streams(layout: Layout, fields: Sequence[Field], trained: Trained) -> list[bytes]:
    """Weights, each dimension of the codes, and the corrections of each field where it is present."""
    levels = code_levels(trained.codes, trained.bits)
    corrections: list[list[Array]] = [[] for _ in fields]
    places = _places([field.category for field in fields])
    for start, numbers, ranks in predict(layout, trained.width, trained.weights, levels, trained.bits):
        rows = slice(start, start + len(numbers))
        for field, column, out in zip(fields, places, corrections, strict=True):
            right = field.symbols[rows]
            made = ranks.of(column, right) if field.category else right - numbers[:, column]
            out.append(made[field.present[rows]])
    arrays = [trained.weights, *levels.T, *map(np.concatenate, corrections)]
    return [SIMPLE.put(array) for array in arrays]


def _symbols(
    layout: Layout, kinds: Sequence[tuple[bool, bool]], width: int, bits: int, rows: int, streams: Sequence[bytes]
) -> list[Array]:
    """The symbols of every field (rows,), 0 where it is not present."""
    weights, *codes = (SIMPLE.get(data) for data in streams[: -len(kinds)])
    corrections = [SIMPLE.get(data).astype(np.int64) for data in streams[-len(kinds) :]]
    symbols = [np.zeros(rows, np.int64) for _ in kinds]
    places, taken = _places([category for category, _ in kinds]), [0] * len(kinds)
    for start, numbers, ranks in predict(layout, width, weights, np.stack(codes, 1), bits):
        run = slice(start, start + len(numbers))
        for i, (category, gated) in enumerate(kinds):
            present = symbols[i - 1][run] == 0 if gated else np.ones(len(numbers), bool)
            stored = np.zeros(len(numbers), np.int64)
            count = int(present.sum())
            stored[present] = corrections[i][taken[i] : taken[i] + count]
            taken[i] += count
            made = ranks.at(places[i], stored) if category else stored + numbers[:, places[i]]
            symbols[i][run] = np.where(present, made, 0)
    return symbols


def _places(categories: Sequence[bool]) -> list[int]:
    """Place of each field among those of its kind."""
    return [sum(other == category for other in categories[:i]) for i, category in enumerate(categories)]


def _packed(parts: Sequence[bytes]) -> bytes:
    return struct.pack(f"<H{len(parts)}I", len(parts), *map(len, parts)) + b"".join(parts)


def _unpacked(data: bytes) -> list[bytes]:
    (count,) = struct.unpack_from("<H", data)
    sizes, at, parts = struct.unpack_from(f"<{count}I", data, 2), 2 + 4 * count, []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return parts
