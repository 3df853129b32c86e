"""Are two Arrow arrays the same cells, bit for bit? Chunks, offsets, dictionary layout and null slots do not count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.columns.storage import Mask, float_dtype, one_array, read_floats, valid_mask


def same_cells(a: pa.Array, b: pa.Array) -> bool:
    """True where both have the same type and every cell is equal, floats by their bits."""
    return a.type == b.type and len(a) == len(b) and bool(equal_cells(a, b).all())


def equal_cells(a: pa.Array, b: pa.Array) -> Mask:
    """Row by row, True where the cells are the same; types and lengths must agree."""
    if pa.types.is_dictionary(a.type):
        return equal_cells(a.cast(a.type.value_type), b.cast(b.type.value_type))
    va, vb = _valid(a), _valid(b)
    both = va & vb
    same = va == vb
    if both.any():
        same &= ~both | _equal_values(a, b, both)
    return np.asarray(same, np.bool_)


def _valid(array: pa.Array) -> Mask:
    if pa.types.is_union(array.type) or pa.types.is_run_end_encoded(array.type):
        return np.ones(len(array), np.bool_)
    mask = valid_mask(array)
    return np.ones(len(array), np.bool_) if mask is None else mask


def _equal_values(a: pa.Array, b: pa.Array, both: Mask) -> Mask:
    types, kind = pa.types, a.type
    if isinstance(kind, pa.BaseExtensionType):
        return equal_cells(a.storage, b.storage)
    if types.is_run_end_encoded(kind):
        return equal_cells(pc.run_end_decode(a), pc.run_end_decode(b))
    if types.is_floating(kind):
        width = float_dtype(kind).itemsize
        return np.asarray(read_floats(a, None).view(f"u{width}") == read_floats(b, None).view(f"u{width}"), np.bool_)
    if types.is_struct(kind):
        same = np.ones(len(a), np.bool_)
        for index in range(kind.num_fields):
            same &= equal_cells(_child(a, index), _child(b, index))
        return same
    if _is_list(kind):
        return _equal_lists(_as_list(a), _as_list(b), both)
    try:
        result = one_array(pc.fill_null(pc.equal(a, b), True))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # unions and intervals are rare: compare what Python sees of them
        pairs = zip(a.to_pylist(), b.to_pylist(), strict=True)
        return np.fromiter((repr(x) == repr(y) for x, y in pairs), np.bool_, len(a))
    return np.asarray(result.to_numpy(zero_copy_only=False), np.bool_)


def _child(array: pa.Array, index: int) -> pa.Array:
    return array.field(index).slice(0, len(array)) if array.offset == 0 else array.flatten()[index]


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    plain = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or types.is_map(kind)
    return bool(plain or types.is_list_view(kind) or types.is_large_list_view(kind))


def _as_list(array: pa.Array) -> pa.Array:
    """A map as the list of its entries, any other list as it is."""
    if not pa.types.is_map(array.type):
        return array
    bounds = np.array(array.offsets)
    entries = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
    return pa.ListArray.from_arrays(
        pa.array(bounds - bounds[0], pa.int32()),
        entries.slice(bounds[0], bounds[-1] - bounds[0]) if len(entries) != bounds[-1] - bounds[0] else entries,
        mask=None if array.null_count == 0 else pa.array(~_valid(array)),
    )


def _equal_lists(a: pa.Array, b: pa.Array, both: Mask) -> Mask:
    """Lists by their items one beside the other, which no kernel has to move: views have none that does."""
    la, lb = _lengths(a), _lengths(b)
    kept = both & (la == lb)
    if kept.sum() == _valid(a).sum() == _valid(b).sum():
        wrong = np.concatenate([[0], np.cumsum(~equal_cells(a.flatten(), b.flatten()))])
        ends = np.cumsum(np.where(kept, la, 0))
        return kept & (wrong[ends] == wrong[ends - np.where(kept, la, 0)])
    for row in np.flatnonzero(kept):
        kept[row] = equal_cells(a[row].values, b[row].values).all()
    return kept


def _lengths(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.list_value_length(array).fill_null(0), np.int64)
