"""How far a rebuilt table is from its original, measured without any of the project's own code."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Bounds = Mapping[str, Fraction]  # largest |x - y| by column; a column that is not named has to come back exactly


def finite_extremes(table: pa.Table) -> dict[str, tuple[Any, Any] | None]:
    """Least and greatest finite value of every integer, float and decimal column, None where there is none."""
    found = {name: _extremes(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return {name: None if low is None else (low, high) for name, (low, high) in found.items()}


class Violation(AssertionError):
    """A rebuilt table breaks a promise; the message says which."""


def range_bounds(table: pa.Table, share: str | float) -> dict[str, Fraction]:
    """Bounds of ``share`` times max - min for every integer, float and decimal column that has a finite range."""
    bounds = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        low, high = _extremes(column)
        if low is not None and high > low and Fraction(str(share)) > 0:
            bounds[name] = Fraction(str(share)) * (Fraction(high) - Fraction(low))
    return bounds


def worst_ratio(original: pa.Table, rebuilt: pa.Table, bounds: Bounds) -> float:
    """Largest error over bound of all bounded columns (0.0 where all is exact); at most 1.

    Raises
    ------
    Violation
        Rows, columns, types, nulls or NaNs differ, an exact column differs, or an error exceeds its bound.
    """
    if original.schema != rebuilt.schema or original.num_rows != rebuilt.num_rows:
        raise Violation("rows or schema differ")
    ratios = [0.0]
    for name in original.column_names:
        one, other = (_plain(table[name]) for table in (original, rebuilt))
        if not one.is_null().equals(other.is_null()):
            raise Violation(f"{name}: nulls differ")
        if bounds.get(name):
            ratios.append(_ratio(name, one.drop_null(), other.drop_null(), bounds[name]))
        elif not _identical(one, other):
            raise Violation(f"{name}: an exact column differs")
    return max(ratios)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _extremes(column: pa.ChunkedArray) -> tuple[Any, Any]:
    kind = column.type
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        column = column.filter(pc.is_finite(column))
    elif not (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return None, None
    extremes = pc.min_max(column).as_py()
    return extremes["min"], extremes["max"]


def _identical(one: pa.Array, other: pa.Array) -> bool:
    if pa.types.is_floating(one.type):  # equal bits, so that NaN equals NaN and -0.0 is not 0.0
        bits = [np.ascontiguousarray(a.drop_null().to_numpy(zero_copy_only=False)) for a in (one, other)]
        return bits[0].tobytes() == bits[1].tobytes()
    return bool(one.equals(other))


def _ratio(name: str, one: pa.Array, other: pa.Array, bound: Fraction) -> float:
    if pa.types.is_decimal(one.type):
        errors = [abs(Fraction(x) - Fraction(y)) for x, y in zip(one.to_pylist(), other.to_pylist(), strict=True)]
        return _within(name, max(errors, default=Fraction(0)), bound)
    x, y = one.to_numpy(zero_copy_only=False), other.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(one.type):
        distance = np.where(x > y, x.astype(np.uint64) - y.astype(np.uint64), y.astype(np.uint64) - x.astype(np.uint64))
        return _within(name, Fraction(int(distance.max(initial=0))), bound)
    finite = np.isfinite(x)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True) or not np.isfinite(y[finite]).all():
        raise Violation(f"{name}: a NaN or infinity differs")
    x, y = x[finite].astype(np.float64), y[finite].astype(np.float64)
    # Float subtraction rounds: the largest few differences are taken again as fractions.
    largest = np.argsort(np.abs(x - y))[-100:]
    errors = [abs(Fraction(float(x[i])) - Fraction(float(y[i]))) for i in largest]
    return _within(name, max(errors, default=Fraction(0)), bound)


def _within(name: str, error: Fraction, bound: Fraction) -> float:
    if error > bound:
        raise Violation(f"{name}: error {float(error)} is above the bound {float(bound)}")
    return float(error / bound)
