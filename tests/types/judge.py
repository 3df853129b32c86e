"""Is a rebuilt table what its policy promised? By integers and fractions alone, with no code of the package.

Cells become Python values that compare exactly: integers for whole numbers, decimals and times (their storage), bit
patterns for floats, bytes for text, lists of cells for nested types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

Cell = Any
_FLOAT = {2: "<e", 4: "<f", 8: "<d"}


class Loss(AssertionError):
    """A rebuilt table that breaks a promise."""


def cells(column: pa.Array | pa.ChunkedArray) -> list[Cell]:
    """Every cell as a value that compares exactly; None for null."""
    if isinstance(column, pa.ChunkedArray):
        return [cell for chunk in column.chunks for cell in cells(chunk)]
    kind, types = column.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return cells(column.storage)
    if types.is_null(kind):
        return [None] * len(column)
    if types.is_dictionary(kind):
        words, places = cells(column.dictionary), column.indices.to_pylist()
        return [None if place is None else words[place] for place in places]
    if types.is_run_end_encoded(kind) or types.is_union(kind):
        return [repr(cell.as_py()) for cell in column]
    there = column.is_valid().to_pylist()
    return [cell if ok else None for ok, cell in zip(there, _there(column), strict=True)]


def _there(array: pa.Array) -> Iterable[Cell]:
    """The cells of an array; whatever lies under a null."""
    kind, types = array.type, pa.types
    if types.is_boolean(kind):
        return array.to_pylist()
    if types.is_primitive(kind) or types.is_decimal(kind):
        return _fixed(array)
    if types.is_struct(kind):
        fields = [cells(array.field(place)) for place in range(kind.num_fields)]
        return list(zip(*fields, strict=True)) if fields else [()] * len(array)
    if types.is_map(kind):
        return [_pairs(array, row) for row in range(len(array))]
    if kind.num_fields:
        return [None if not array[row].is_valid else cells(array[row].values) for row in range(len(array))]
    return [None if cell is None else cell if isinstance(cell, bytes) else cell.encode() for cell in array.to_pylist()]


def _pairs(array: pa.MapArray, row: int) -> Cell:
    if not array[row].is_valid:
        return None
    entries = array[row].values
    return list(zip(cells(entries.field(0)), cells(entries.field(1)), strict=True))


def _fixed(array: pa.Array) -> list[int]:
    """Storage of numbers and times; floats as their bits."""
    kind = array.type
    width = kind.bit_width // 8
    raw = array.buffers()[1]
    data = memoryview(b"" if raw is None else raw)[array.offset * width : (array.offset + len(array)) * width]
    signed = not (pa.types.is_unsigned_integer(kind) or pa.types.is_floating(kind))
    return [int.from_bytes(data[at : at + width], "little", signed=signed) for at in range(0, len(data), width)]


def as_float(bits: int, width: int) -> float:
    """The float behind its bits."""
    return struct.unpack(_FLOAT[width], bits.to_bytes(width, "little"))[0]


def error(kind: pa.DataType, original: int, rebuilt: int) -> Fraction | None:
    """The exact distance of two cells in the column's unit; None where a NaN or an infinity is not itself."""
    if pa.types.is_floating(kind):
        x, y = as_float(original, kind.bit_width // 8), as_float(rebuilt, kind.bit_width // 8)
        if not (np.isfinite(x) and np.isfinite(y)):
            return Fraction(0) if x == y or (x != x and y != y) else None
        return abs(Fraction(x) - Fraction(y))
    unit = Fraction(10) ** -kind.scale if pa.types.is_decimal(kind) else Fraction(1)
    return abs(original - rebuilt) * unit


def size(kind: pa.DataType, cell: int) -> Fraction:
    """The magnitude of a cell, in the column's unit."""
    if pa.types.is_floating(kind):
        value = as_float(cell, kind.bit_width // 8)
        return abs(Fraction(value)) if np.isfinite(value) else Fraction(0)
    return abs(cell) * (Fraction(10) ** -kind.scale if pa.types.is_decimal(kind) else Fraction(1))


def element_kind(kind: pa.DataType) -> pa.DataType:
    """The type of a vector's elements."""
    return kind.storage_type.value_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type


Allowed = tuple[str, Fraction | None]
"""("exact", None), ("abs", e) or ("pointwise", r)."""


def judge_cell(kind: pa.DataType, allowed: Allowed, original: Cell, rebuilt: Cell) -> bool:
    """True where the rebuilt cell keeps its promise."""
    form, value = allowed
    if original is None or rebuilt is None or value is None:
        return bool(original == rebuilt)
    if isinstance(original, list):  # a vector: each of its elements by itself
        inner = element_kind(kind)
        return len(original) == len(rebuilt) and all(
            x == y or judge_cell(inner, allowed, x, y) for x, y in zip(original, rebuilt, strict=True)
        )
    away = error(kind, original, rebuilt)
    return away is not None and away <= (value if form == "abs" else value * size(kind, original))


def judge(original: pa.Table, rebuilt: pa.Table, bounds: Mapping[str, Allowed]) -> None:
    """Pass where schema, metadata, rows, nulls and every cell are as promised; columns without a bound are exact.

    Raises
    ------
    Loss
        Naming the column and the row.
    """
    rebuilt.validate(full=True)
    if not original.schema.equals(rebuilt.schema, check_metadata=True):
        raise Loss(f"schema: {original.schema.to_string()} became {rebuilt.schema.to_string()}")
    if original.num_rows != rebuilt.num_rows:
        raise Loss(f"{original.num_rows} rows became {rebuilt.num_rows}")
    for place, field in enumerate(original.schema):
        allowed = bounds.get(field.name, ("exact", None))
        pairs = zip(cells(original.column(place)), cells(rebuilt.column(place)), strict=True)
        for row, (x, y) in enumerate(pairs):
            if x != y and not judge_cell(field.type, allowed, x, y):
                raise Loss(f"column {field.name!r} ({field.type}, {allowed}): row {row}: {x!r} became {y!r}")


def worst(original: pa.ChunkedArray, rebuilt: pa.ChunkedArray) -> Fraction:
    """The largest exact distance of two columns that keep their nulls."""
    found = Fraction(0)
    for x, y in zip(cells(original), cells(rebuilt), strict=True):
        if x != y and x is not None and y is not None:
            away = error(original.type, x, y)
            found = max(found, Fraction(10) ** 400 if away is None else away)
    return found
