"""The strongest simple peer: quantise every column, then keep the best of pcodec, zstd, xz and brotli for it.

Everything that decoding needs is in the bytes. Per column these are tried: the values as integers or floats, and as
indices into a sorted dictionary; nulls, NaN and infinities beside them or as codes among them; each by every coder at
its highest level.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import brotli
import numpy as np
import pcodec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from tests.benchmarks.fidelity import Bounds

Array = np.ndarray[Any, Any]
BYTE_CODERS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "zstd": (
        lambda data: zstandard.ZstdCompressor(19).compress(data),
        lambda data: zstandard.ZstdDecompressor().decompress(data),
    ),
    "xz": (
        lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=_xz(len(data))),
        lambda data: lzma.decompress(data, lzma.FORMAT_RAW, filters=_xz(1 << 26)),
    ),
    "brotli": (lambda data: brotli.compress(data, quality=11, lgwin=24), brotli.decompress),
}
_INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64)
_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
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

    def coded(self) -> Coded:
        """The variant under the best coder of each part."""
        aside = b"" if self.specials is None else _put(self.specials)
        words = self.dictionary
        dictionary = b"" if words is None else _put_bytes(words) if isinstance(words, bytes) else _put(words)
        return Coded(self.header, [aside, _put(self.values), dictionary])


def encode(table: pa.Table, bounds: Bounds) -> bytes:
    """The table, bounded columns quantised, as the smallest bytes of these coders."""
    with ThreadPoolExecutor() as pool:
        columns = list(pool.map(lambda name: _encode_column(_one(table[name]), bounds.get(name)), table.column_names))
    layout = json.dumps([table.num_rows, *([column.header, *map(len, column.parts)] for column in columns)])
    front = [_put_bytes(layout.encode()), _put_bytes(table.schema.serialize().to_pybytes())]
    return struct.pack("<II", *map(len, front)) + b"".join(front + [part for c in columns for part in c.parts])


def decode(data: bytes) -> pa.Table:
    """The rebuilt table."""
    lengths = struct.unpack_from("<II", data)
    layout, packed_schema = _cut(data, 8, lengths)
    rows, *columns = json.loads(_get_bytes(layout))
    schema = pa.ipc.read_schema(pa.py_buffer(_get_bytes(packed_schema)))
    at, arrays = 8 + sum(lengths), []
    for (header, *sizes), field in zip(columns, schema, strict=True):
        arrays.append(_decode_column(Coded(header, _cut(data, at, sizes)), field.type, rows))
        at += sum(sizes)
    return pa.Table.from_arrays(arrays, schema=schema)


def _xz(window: int) -> list[dict[str, int]]:
    """xz -9e, with a dictionary no larger than the data: setting up 64 MB takes longer than a small column does."""
    size = min(max(window, 4096), 1 << 26)
    return [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}]


def quantised(table: pa.Table, bounds: Bounds) -> pa.Table:
    """The table with every bounded column moved to its quantised values, types and nulls kept."""
    columns = [_quantised(_one(table[name]), bounds.get(name)) for name in table.column_names]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _quantised(column: pa.Array, bound: Fraction | None) -> pa.Array:
    numbers = _numbers(column)
    if not bound or numbers is None:
        return column
    specials, values = numbers
    return _array(specials, _rebuild(*_quantise(values, _scaled(bound, column.type))), column.type)


def _scaled(bound: Fraction | None, kind: pa.DataType) -> Fraction | None:
    return bound * 10**kind.scale if bound and pa.types.is_decimal(kind) else bound


def _cut(data: bytes, at: int, sizes: Sequence[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return parts


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


# --- one column: specials, values, dictionary ---------------------------------------------------------


def _encode_column(column: pa.Array, bound: Fraction | None) -> Coded:
    if (numbers := _numbers(column)) is not None:
        specials, values = numbers
        return _smallest(_representations(specials, *_quantise(values, _scaled(bound, column.type))))
    sink = io.BytesIO()
    pq.write_table(pa.table({"c": column}), sink, compression="zstd", compression_level=19)
    options = [Coded({"as": "parquet"}, [sink.getvalue()])]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        options += [_smallest(found) for found in [_encode_strings(column)] if found]
    return min(options, key=lambda coded: coded.size)


def _decode_column(coded: Coded, kind: pa.DataType, rows: int) -> pa.Array:
    header, parts = coded.header, coded.parts
    if header["as"] == "parquet":
        return _one(pq.read_table(pa.BufferReader(parts[0]))["c"])
    specials, levels = _read_representation(header, parts, rows)
    if header["as"] == "text":
        words = np.array(_get_bytes(parts[2]).decode().split("\0"), dtype=object)
        texts = np.full(rows, None, dtype=object)
        texts[specials == 0] = words[levels]
        return pa.array(texts, kind)
    return _array(specials, _rebuild(header, levels), kind)


def _encode_strings(column: pa.Array) -> list[Variant]:
    """Indices into the sorted distinct strings, where there are some and none holds a NUL."""
    valid = column.drop_null()
    distinct = sorted(valid.unique().to_pylist())
    if not 0 < len(distinct) <= 1 << 16 or any("\0" in word for word in distinct):
        return []
    codes = pc.index_in(valid, pa.array(distinct, column.type)).to_numpy()
    specials = column.is_null().to_numpy(zero_copy_only=False).astype(np.uint8)
    return _variants({"as": "text"}, specials, codes, "\0".join(distinct).encode())


def _numbers(column: pa.Array) -> tuple[Array, Array] | None:
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


def _array(specials: Array, values: Array, kind: pa.DataType) -> pa.Array:
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


def _quantise(values: Array, bound: Fraction | None) -> tuple[dict[str, Any], Array]:
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
        error = np.abs(_rebuild(header, levels).astype(np.float64) - values.astype(np.float64))
        if error.max() <= float(bound) * (1 - 1e-15):
            return header, levels
    return exact, values


def _rebuild(header: Mapping[str, Any], levels: Array) -> Array:
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


def _smallest(variants: Sequence[Variant]) -> Coded:
    """The smallest of the variants that a quick look does not rule out: the best coders take seconds each."""
    quick = [_quick_size(variant.values) for variant in variants]
    tried = [variant for variant, size in zip(variants, quick, strict=True) if size <= 1.1 * min(quick)]
    return min((variant.coded() for variant in tried), key=lambda coded: coded.size)


def _quick_size(values: Array) -> int:
    narrow, wide = _narrow(values)
    packed = pcodec.standalone.simple_compress(wide, pcodec.ChunkConfig(compression_level=4))
    return min(len(packed), len(zstandard.ZstdCompressor(9).compress(narrow.tobytes())))


def _read_representation(header: Mapping[str, Any], parts: list[bytes], rows: int) -> tuple[Array, Array]:
    values = _get(parts[1])
    if "inline" in header:
        ordinary = values > _SPECIALS
        specials = np.where(ordinary, 0, values).astype(np.uint8)
        values = values[ordinary].astype(np.int64) - (_SPECIALS + 1) + header["inline"]
    else:
        specials = _get(parts[0]) if parts[0] else np.zeros(rows, np.uint8)
    return specials, _get(parts[2])[values] if header.get("dictionary") else values


def _narrow(values: Array) -> tuple[Array, Array]:
    """Integers in the narrowest type that holds them; and in two bytes or more, since pcodec has no type of one."""
    if values.dtype.kind in "iu":
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        fits = (dtype for dtype in _INTEGERS if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max)
        values = values.astype(next(fits))
    values = np.ascontiguousarray(values)
    return values, values.astype(np.int16) if values.itemsize == 1 else values


def _put(values: Array) -> bytes:
    """Smallest bytes of an array."""
    narrow, wide = _narrow(values)
    tag = bytes([_TYPES.index(narrow.dtype.str[1:])])
    packed: bytes = pcodec.standalone.simple_compress(wide, pcodec.ChunkConfig(compression_level=12))
    return min(b"r" + tag + _put_bytes(narrow.tobytes()), b"p" + tag + packed, key=len)


def _get(data: bytes) -> Array:
    dtype = np.dtype("<" + _TYPES[data[1]])
    if data[:1] == b"p":
        return np.asarray(pcodec.standalone.simple_decompress(data[2:])).astype(dtype)
    return np.frombuffer(_get_bytes(data[2:]), dtype)


def _put_bytes(data: bytes) -> bytes:
    coded = [b"-" + data, *(name[:1].encode() + coder[0](data) for name, coder in BYTE_CODERS.items())]
    return min(coded, key=len)


def _get_bytes(data: bytes) -> bytes:
    decoders = {name[:1].encode(): decompress for name, (_, decompress) in BYTE_CODERS.items()}
    return data[1:] if data[:1] == b"-" else decoders[data[:1]](data[1:])
