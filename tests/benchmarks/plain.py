"""The strongest simple peer: quantise every column, then keep the best of pcodec, zstd, xz and brotli for it.

Everything that decoding needs is in the bytes. Per column these are tried: the values as integers or floats, and as
indices into a sorted dictionary; nulls, NaN and infinities beside them or as codes among them; each by every coder at
its highest level.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.coders import SIMPLE, Array, Coder, quick_size
from tests.benchmarks.fidelity import Bounds

_INT64_DIGITS = 18
_SPECIALS = 4  # null, NaN, +inf, -inf


@dataclass(frozen=True)
class Coded:
    """One column: what is needed to read its parts, and the parts."""

    header: dict[str, Any]
    parts: list[bytes]

    @property
    def size(self) -> int:
        """Bytes of the parts."""
        return sum(map(len, self.parts))


@dataclass(frozen=True)
class Variant:
    """One way to write a column, not coded yet."""

    header: dict[str, Any]
    specials: Array | None
    values: Array
    dictionary: Array | bytes | None

    def coded(self, coder: Coder) -> Coded:
        """The variant with each part written by the coder."""
        aside = b"" if self.specials is None else coder.put(self.specials)
        words = self.dictionary
        dictionary = b"" if words is None else coder.put_bytes(words) if isinstance(words, bytes) else coder.put(words)
        return Coded(self.header, [aside, coder.put(self.values), dictionary])


def encode(table: pa.Table, bounds: Bounds, coder: Coder = SIMPLE) -> bytes:
    """The table, bounded columns quantised, as the smallest bytes of the coder."""

    def column_of(name: str) -> Coded:
        return _encode_column(one_array(table[name]), bounds.get(name), coder)

    with ThreadPoolExecutor() as pool:
        columns = list(pool.map(column_of, table.column_names))
    layout = json.dumps([table.num_rows, *([column.header, *map(len, column.parts)] for column in columns)])
    front = [coder.put_bytes(layout.encode()), coder.put_bytes(table.schema.serialize().to_pybytes())]
    return struct.pack("<II", *map(len, front)) + b"".join(front + [part for c in columns for part in c.parts])


def decode(data: bytes, coder: Coder = SIMPLE) -> pa.Table:
    """The rebuilt table."""
    lengths = struct.unpack_from("<II", data)
    layout, packed_schema = _cut(data, 8, lengths)
    rows, *columns = json.loads(coder.get_bytes(layout))
    schema = pa.ipc.read_schema(pa.py_buffer(coder.get_bytes(packed_schema)))
    at, arrays = 8 + sum(lengths), []
    for (header, *sizes), field in zip(columns, schema, strict=True):
        arrays.append(_decode_column(Coded(header, _cut(data, at, sizes)), field.type, rows, coder))
        at += sum(sizes)
    return pa.Table.from_arrays(arrays, schema=schema)


def quantised(table: pa.Table, bounds: Bounds) -> pa.Table:
    """The table with every bounded column moved to its quantised values, types and nulls kept."""
    columns = [_quantised(one_array(table[name]), bounds.get(name)) for name in table.column_names]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _quantised(column: pa.Array, bound: Fraction | None) -> pa.Array:
    numbers = numbers_of(column)
    if not bound or numbers is None:
        return column
    specials, values = numbers
    return array_of(specials, rebuild(*quantise(values, scaled(bound, column.type))), column.type)


def scaled(bound: Fraction | None, kind: pa.DataType) -> Fraction | None:
    return bound * 10**kind.scale if bound and pa.types.is_decimal(kind) else bound


def _cut(data: bytes, at: int, sizes: Sequence[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return parts


def one_array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


# --- one column: specials, values, dictionary ---------------------------------------------------------


def _encode_column(column: pa.Array, bound: Fraction | None, coder: Coder) -> Coded:
    if (numbers := numbers_of(column)) is not None:
        specials, values = numbers
        return _smallest(_representations(specials, *quantise(values, scaled(bound, column.type))), coder)
    sink = io.BytesIO()
    pq.write_table(pa.table({"c": column}), sink, compression="zstd", compression_level=19)
    options = [Coded({"as": "parquet"}, [sink.getvalue()])]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        options += [_smallest(found, coder) for found in [_encode_strings(column)] if found]
    return min(options, key=lambda coded: coded.size)


def _decode_column(coded: Coded, kind: pa.DataType, rows: int, coder: Coder) -> pa.Array:
    header, parts = coded.header, coded.parts
    if header["as"] == "parquet":
        return one_array(pq.read_table(pa.BufferReader(parts[0]))["c"])
    specials, levels = _read_representation(header, parts, rows, coder)
    if header["as"] == "text":
        words = np.array(coder.get_bytes(parts[2]).decode().split("\0"), dtype=object)
        texts = np.full(rows, None, dtype=object)
        texts[specials == 0] = words[levels]
        return pa.array(texts, kind)
    return array_of(specials, rebuild(header, levels), kind)


def _encode_strings(column: pa.Array) -> list[Variant]:
    """Indices into the sorted distinct strings, where there are some and none holds a NUL."""
    valid = column.drop_null()
    distinct = sorted(valid.unique().to_pylist())
    if not 0 < len(distinct) <= 1 << 16 or any("\0" in word for word in distinct):
        return []
    codes = pc.index_in(valid, pa.array(distinct, column.type)).to_numpy()
    specials = column.is_null().to_numpy(zero_copy_only=False).astype(np.uint8)
    return _variants({"as": "text"}, specials, codes, "\0".join(distinct).encode())


def numbers_of(column: pa.Array) -> tuple[Array, Array] | None:
    """(special code of every row, values of the ordinary rows), or None for what is not a number."""
    kind = column.type
    specials = column.is_null().to_numpy(zero_copy_only=False).astype(np.uint8)
    valid = column.drop_null()
    if pa.types.is_boolean(kind):
        return specials, valid.cast(pa.uint8()).to_numpy()
    if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        return specials, valid.view(pa.int64() if kind.bit_width == 64 else pa.int32()).to_numpy()
    if pa.types.is_decimal128(kind) and kind.precision <= _INT64_DIGITS:
        words = np.frombuffer(valid.buffers()[1] or b"", np.int64)[2 * valid.offset :]
        return specials, np.ascontiguousarray(words[: 2 * len(valid) : 2])
    if pa.types.is_integer(kind):
        return specials, valid.to_numpy()
    if pa.types.is_floating(kind):
        values = valid.to_numpy(zero_copy_only=False)
        odd = np.select([np.isnan(values), values == np.inf, values == -np.inf], [2, 3, 4], 0)
        specials[specials == 0] = odd
        return specials, values[odd == 0]
    return None


def array_of(specials: Array, values: Array, kind: pa.DataType) -> pa.Array:
    full = np.zeros(len(specials), values.dtype)
    full[specials == 0] = values
    null = specials == 1
    if pa.types.is_decimal128(kind):
        low = full.astype(np.int64)
        words = np.stack([low, low >> 63], axis=1)
        validity = pa.array(~null).buffers()[1]
        return pa.Array.from_buffers(kind, len(full), [validity, pa.py_buffer(words.tobytes())])
    if pa.types.is_floating(kind):
        for code, value in ((2, np.nan), (3, np.inf), (4, -np.inf)):
            full[specials == code] = value
    whole = pa.array(full, mask=null)
    if pa.types.is_temporal(kind):
        return whole.cast(pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
    return whole.cast(kind)


# --- quantiser ----------------------------------------------------------------------------------------


def quantise(values: Array, bound: Fraction | None) -> tuple[dict[str, Any], Array]:
    """Header and levels; the values themselves where cells as wide as the bound would not merge any of them."""
    header, levels = _grid(values, bound)
    merges = header["as"] == "exact" or len(np.unique(levels)) < len(np.unique(values))
    return (header, levels) if merges else _grid(values, None)


def _grid(values: Array, bound: Fraction | None) -> tuple[dict[str, Any], Array]:
    """Header and levels: integers in cells of 2 floor(e) + 1, floats in steps of 2 e, unchanged where that fails."""
    exact = {"as": "exact", "dtype": values.dtype.str}
    if not bound or not len(values):
        return exact, values
    if values.dtype.kind in "iu":
        half = int(bound)
        low, high = int(values.min()), int(values.max())
        offset = values.astype(np.uint64) - np.uint64(low % 2**64)
        header = {"as": "cells", "dtype": values.dtype.str, "low": low, "high": high, "half": half}
        return header, offset // np.uint64(2 * half + 1)
    low_float = float(values.min())
    for shrink in (0.0, 1e-14, 1e-12, 1e-9, 1e-6, 1e-3, 0.1):
        step = 2 * float(bound) * (1 - shrink)
        levels = np.rint((values.astype(np.float64) - low_float) / step)
        header = {"as": "steps", "dtype": values.dtype.str, "low": low_float, "step": step}
        if np.abs(levels).max() >= 2**53:
            break
        levels = levels.astype(np.int64)
        error = np.abs(rebuild(header, levels).astype(np.float64) - values.astype(np.float64))
        if error.max() <= float(bound) * (1 - 1e-15):
            return header, levels
    return exact, values


def rebuild(header: Mapping[str, Any], levels: Array) -> Array:
    if header["as"] == "exact":
        return levels.astype(header["dtype"])
    if header["as"] == "cells":
        width, half = header["high"] - header["low"], header["half"]
        base = levels.astype(np.uint64) * np.uint64(2 * half + 1)
        offset = base + np.minimum(np.uint64(width) - base, np.uint64(half))
        return np.asarray(offset + np.uint64(header["low"] % 2**64)).astype(header["dtype"])
    return np.asarray(header["low"] + levels * header["step"]).astype(header["dtype"])


# --- representations and coders -----------------------------------------------------------------------


def _representations(specials: Array, header: dict[str, Any], levels: Array) -> list[Variant]:
    found = _variants(header, specials, levels, None)
    words = np.unique(levels)
    if 1 < len(words) <= 1 << 16:
        found += _variants({**header, "dictionary": True}, specials, np.searchsorted(words, levels), words)
    return found


def _variants(
    header: dict[str, Any], specials: Array, values: Array, dictionary: Array | bytes | None
) -> list[Variant]:
    """Specials beside the values and, for integers, as the lowest codes among them."""
    found = [Variant(header, specials if specials.any() else None, values, dictionary)]
    if specials.any() and values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        if low > -(2**61) and high < 2**61:
            merged = specials.astype(np.int64)
            merged[specials == 0] = values.astype(np.int64) - low + _SPECIALS + 1
            found.append(Variant({**header, "inline": low}, None, merged, dictionary))
    return found


def _smallest(variants: Sequence[Variant], coder: Coder) -> Coded:
    """The smallest of the variants that a quick look does not rule out: the best coders take seconds each."""
    quick = [quick_size(variant.values) for variant in variants]
    tried = [variant for variant, size in zip(variants, quick, strict=True) if size <= 1.1 * min(quick)]
    return min((variant.coded(coder) for variant in tried), key=lambda coded: coded.size)


def _read_representation(header: Mapping[str, Any], parts: list[bytes], rows: int, coder: Coder) -> tuple[Array, Array]:
    values = coder.get(parts[1])
    if "inline" in header:
        ordinary = values > _SPECIALS
        specials = np.where(ordinary, 0, values).astype(np.uint8)
        values = values[ordinary].astype(np.int64) - (_SPECIALS + 1) + header["inline"]
    else:
        specials = coder.get(parts[0]) if parts[0] else np.zeros(rows, np.uint8)
    return specials, coder.get(parts[2])[values] if header.get("dictionary") else values
