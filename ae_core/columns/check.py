"""Does a rebuilt table keep its policy? Exact arithmetic, independent of how the cells were coded."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ae_core.columns.exact import floats_pointwise, floats_within, ints_pointwise, ints_within
from ae_core.columns.plan import TablePlan
from ae_core.columns.same import equal_cells
from ae_core.columns.storage import Mask, kind_of, one_array, read_floats, read_ints, storage_per_unit, valid_mask
from ae_core.errors import BoundViolated
from ae_core.policy import Bound, ResolvedPolicy
from ae_core.vector_types import element_type, elements_of, vector_shape


def check_block(plan: TablePlan | ResolvedPolicy, original: pa.Table, rebuilt: pa.Table) -> None:
    """Pass where `rebuilt` has the schema, rows and nulls of `original` and every cell is within its bound.

    Raises
    ------
    BoundViolated
        Naming the column and the first row that differs by more than it may (never a value).
    """
    bounds: Mapping[str, Bound] = (
        plan.bounds if isinstance(plan, ResolvedPolicy) else {column.name: column.bound for column in plan.columns}
    )
    if not original.schema.equals(rebuilt.schema, check_metadata=True):
        raise BoundViolated("rebuilt block: its schema or metadata differs from the original's")
    if original.num_rows != rebuilt.num_rows:
        raise BoundViolated(f"rebuilt block: {rebuilt.num_rows} rows where the original has {original.num_rows}")
    for name in original.column_names:
        fine = cells_within(bounds[name], original.column(name), rebuilt.column(name))
        if not fine.all():
            row = int(np.argmin(fine))
            count = len(fine) - int(fine.sum())
            raise BoundViolated(f"column {name!r}: row {row} of the block breaks its bound ({count} cells in all)")


def cells_within(bound: Bound, original: pa.Array | pa.ChunkedArray, rebuilt: pa.Array | pa.ChunkedArray) -> Mask:
    """Row by row, True where the rebuilt cell is within the bound of the original one.

    Exact means bit for bit; under a bound, null stays null, NaN stays NaN and infinities stay themselves.
    """
    a, b = one_array(_plainly(original)), one_array(_plainly(rebuilt))
    if bound.value is not None and element_type(a.type) is not None and a.type == b.type:
        return _vectors_within(bound, a, b)
    kind = kind_of(a.type)
    if bound.value is None or kind not in ("int", "float"):
        return equal_cells(a, b)
    va, vb = valid_mask(a), valid_mask(b)
    same_nulls = np.ones(len(a), np.bool_)
    if va is not None or vb is not None:
        same_nulls = np.equal(True if va is None else va, True if vb is None else vb)
    if kind == "float":
        return same_nulls & _floats(bound, read_floats(a, va), read_floats(b, vb))
    return same_nulls & _ints(bound, a, b, va, vb)


def _vectors_within(bound: Bound, a: pa.Array, b: pa.Array) -> Mask:
    """As `cells_within`: a vector is within its bound where all of its elements are."""
    (va, x), (vb, y) = elements_of(a), elements_of(b)
    va = np.ones(len(a), np.bool_) if va is None else va
    vb = np.ones(len(b), np.bool_) if vb is None else vb
    both, size = va & vb, math.prod(vector_shape(a.type))
    if not np.array_equal(va, vb):
        x, y = (part.filter(pa.array(np.repeat(both[own], size))) for part, own in ((x, va), (y, vb)))
    fine = va == vb
    fine[both] = cells_within(bound, x, y).reshape(-1, size).all(1)
    return fine


def _plainly(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Dictionaries as their values, so that chunks with different ones can be joined."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _floats(bound: Bound, x: np.ndarray, y: np.ndarray) -> Mask:
    assert bound.value is not None
    kept = (x == y) | (np.isnan(x) & np.isnan(y))
    if bound.kind == "pointwise":
        return kept | floats_pointwise(x, y, bound.value)
    return kept | floats_within(x, y, bound.value)


def _ints(bound: Bound, a: pa.Array, b: pa.Array, va: Mask | None, vb: Mask | None) -> Mask:
    assert bound.value is not None
    (x, fits_x), (y, fits_y) = read_ints(a, va), read_ints(b, vb)
    if bound.kind == "pointwise":
        within = ints_pointwise(x, y, bound.value, -(2**63) if pa.types.is_uint64(a.type) else 0)
    else:
        within = ints_within(x, y, int(bound.value * storage_per_unit(a.type)))
    if fits_x is None and fits_y is None:
        return within
    # decimals beyond 64 bits are stored exactly, so they must be equal
    wide = ~((True if fits_x is None else fits_x) & (True if fits_y is None else fits_y))
    return np.where(wide, equal_cells(a, b), within)
