"""Arrow arrays <-> numpy storage: the integers, floats or bytes that the coders of this package work on.

Integer-like types (integers, booleans, dates, times, timestamps, durations, decimals) become int64; uint64 is shifted
by 2^63 so that order and differences stay. Slots under a null read as zero and are written as zero.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.policy import unit_nanoseconds

Kind = Literal["int", "float", "bytes", "other"]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_SHIFT = np.int64(-(2**63))
DAY_MS = 86_400_000


def is_text(kind: pa.DataType) -> bool:
    """True for strings and byte strings of either offset width or of fixed size."""
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or (types.is_fixed_size_binary(kind) and kind.byte_width > 0)
    )


def kind_of(kind: pa.DataType) -> Kind:
    """How cells of a type are held: int64, float, values of a dictionary, or only as Arrow pages."""
    types = pa.types
    if types.is_decimal(kind):
        return "other" if types.is_decimal256(kind) else "int"
    if types.is_floating(kind):
        return "float"
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_temporal(kind):
        return "other" if types.is_interval(kind) else "int"
    return "bytes" if is_text(kind) else "other"


def working_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column is coded as: unordered dictionaries of text as their values, all others as they are."""
    plain = pa.types.is_dictionary(kind) and is_text(kind.value_type) and not kind.ordered
    return kind.value_type if plain else kind


def to_dictionary(values: pa.Array, kind: pa.DataType) -> pa.ChunkedArray:
    """`values` as a dictionary column; as many chunks as the index type needs to number their values."""
    encoded = values.dictionary_encode()
    room = 2 ** (kind.index_type.bit_width - pa.types.is_signed_integer(kind.index_type))
    if len(encoded.dictionary) > room:
        half = len(values) // 2
        chunks = [chunk for part in (values[:half], values[half:]) for chunk in to_dictionary(part, kind).chunks]
    else:
        indices = encoded.indices.cast(kind.index_type)
        chunks = [pa.DictionaryArray.from_arrays(indices, encoded.dictionary)]
    return pa.chunked_array(chunks, kind)


def int_dtype(kind: pa.DataType) -> np.dtype[Any]:
    """The numpy dtype of the data buffer of an integer-like type (decimal128 and bool apart)."""
    if pa.types.is_integer(kind):
        return np.dtype(str(kind))  # Arrow names integers as numpy does
    return np.dtype(np.int32 if kind.bit_width == 32 else np.int64)


def float_dtype(kind: pa.DataType) -> np.dtype[Any]:
    """float16, float32 or float64."""
    return np.dtype(f"f{kind.bit_width // 8}")


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one contiguous array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.nulls(0, column.type)
    merged = column.combine_chunks()
    return merged if isinstance(merged, pa.Array) else pa.concat_arrays(merged.chunks)


def valid_mask(array: pa.Array) -> Mask | None:
    """True where a cell is not null; None where no cell is null."""
    if array.null_count == 0:
        return None
    return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _buffer(array: pa.Array, dtype: np.dtype[Any], per_cell: int = 1) -> npt.NDArray[Any]:
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array) * per_cell, dtype)
    flat = np.frombuffer(buffer, dtype, count=(array.offset + len(array)) * per_cell)
    return flat[array.offset * per_cell :]


def read_ints(array: pa.Array, valid: Mask | None) -> tuple[Ints, Mask | None]:
    """(int64 storage, True where the cell fits int64 or None when all do); nulls read as 0."""
    kind = array.type
    fits: Mask | None = None
    if pa.types.is_boolean(kind):
        cells = np.asarray(array.cast(pa.uint8()).fill_null(0), dtype=np.int64)
    elif pa.types.is_decimal128(kind):
        pairs = _buffer(array, np.dtype(np.int64), 2).reshape(-1, 2)
        cells = np.ascontiguousarray(pairs[:, 0])
        fits = pairs[:, 1] == (cells >> 63)
        if valid is not None:
            fits = fits | ~valid
        if fits.all():
            fits = None
    else:
        raw = _buffer(array, int_dtype(kind))
        cells = (raw.view(np.int64) ^ _SHIFT) if raw.dtype == np.uint64 else raw.astype(np.int64, copy=False)
    if valid is not None:
        cells = np.where(valid, cells, np.int64(0))
    return cells, fits


def read_floats(array: pa.Array, valid: Mask | None) -> npt.NDArray[Any]:
    """The cells in their own float width; nulls read as 0."""
    cells = _buffer(array, float_dtype(array.type))
    return cells if valid is None else np.where(valid, cells, cells.dtype.type(0))


def write_ints(kind: pa.DataType, cells: Ints, valid: Mask | None) -> pa.Array:
    """The array of an integer-like type whose storage is `cells`."""
    if valid is not None:
        cells = np.where(valid, cells, np.int64(0))
    if pa.types.is_boolean(kind):
        return _with_type(kind, np.packbits(cells.astype(np.bool_), bitorder="little"), len(cells), valid)
    if pa.types.is_decimal128(kind):
        pairs = np.empty((len(cells), 2), np.int64)
        pairs[:, 0] = cells
        pairs[:, 1] = cells >> 63
        return _with_type(kind, pairs, len(cells), valid)
    dtype = int_dtype(kind)
    raw = (cells ^ _SHIFT).view(np.uint64) if dtype == np.uint64 else cells.astype(dtype, copy=False)
    return _with_type(kind, raw, len(cells), valid)


def write_floats(kind: pa.DataType, cells: npt.NDArray[Any], valid: Mask | None) -> pa.Array:
    """The array of a float type whose cells are `cells`."""
    if valid is not None:
        cells = np.where(valid, cells, cells.dtype.type(0))
    return _with_type(kind, cells.astype(float_dtype(kind), copy=False), len(cells), valid)


def _with_type(kind: pa.DataType, data: npt.NDArray[Any], rows: int, valid: Mask | None) -> pa.Array:
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, rows, [mask, pa.py_buffer(np.ascontiguousarray(data))])


def legal_range(kind: pa.DataType) -> tuple[int, int]:
    """Smallest and largest storage value (as in `read_ints`) that the type may hold."""
    types = pa.types
    if types.is_boolean(kind):
        return 0, 1
    if types.is_decimal(kind):
        top = min(10**kind.precision - 1, 2**63 - 1)
        return -top, top
    if types.is_time(kind):
        return 0, 86400 * 10**9 // unit_nanoseconds(kind) - 1
    if types.is_date64(kind):
        edge = (2**63 - 1) // DAY_MS * DAY_MS
        return -edge, edge
    dtype = int_dtype(kind)
    if dtype == np.uint64:
        return -(2**63), 2**63 - 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def storage_per_unit(kind: pa.DataType) -> Fraction:
    """Storage integers in one column unit: 10^scale for decimals, else 1."""
    return Fraction(10) ** kind.scale if pa.types.is_decimal(kind) else Fraction(1)
