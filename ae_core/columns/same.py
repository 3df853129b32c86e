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
    if types.is_floating(kind):
        width = float_dtype(kind).itemsize
        return np.asarray(read_floats(a, None).view(f"u{width}") == read_floats(b, None).view(f"u{width}"), np.bool_)
    if types.is_struct(kind):
        same = np.ones(len(a), np.bool_)
        for index in range(kind.num_fields):
            same &= equal_cells(_child(a, index), _child(b, index))
        return same
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or types.is_map(kind):
        return _equal_lists(a, b, both)
    try:
        result = one_array(pc.fill_null(pc.equal(a, b), True))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # unions, run ends, list views and intervals are rare: compare what Python sees of them
        pairs = zip(a.to_pylist(), b.to_pylist(), strict=True)
        return np.fromiter((repr(x) == repr(y) for x, y in pairs), np.bool_, len(a))
    return np.asarray(result.to_numpy(zero_copy_only=False), np.bool_)


def _child(array: pa.Array, index: int) -> pa.Array:
    return array.field(index).slice(0, len(array)) if array.offset == 0 else array.flatten()[index]


def _equal_lists(a: pa.Array, b: pa.Array, both: Mask) -> Mask:
    fixed = pa.types.is_fixed_size_list(a.type)
    rows = pa.array(np.flatnonzero(both))
    ka, kb = a.take(rows), b.take(rows)
    la = np.full(len(rows), a.type.list_size) if fixed else np.diff(_offsets(ka))
    lb = np.full(len(rows), b.type.list_size) if fixed else np.diff(_offsets(kb))
    kept = np.array(la == lb)
    where = pa.array(np.flatnonzero(kept))
    equal = equal_cells(_values(ka.take(where)), _values(kb.take(where)))
    bounds = np.concatenate([[0], np.cumsum(la[kept])])
    wrong = np.concatenate([[0], np.cumsum(~equal)])
    kept[kept] = wrong[bounds[1:]] == wrong[bounds[:-1]]
    same = np.ones(len(a), np.bool_)
    same[both] = kept
    return same


def _offsets(array: pa.Array) -> np.ndarray:
    return np.asarray(array.offsets)


def _values(array: pa.Array) -> pa.Array:
    if pa.types.is_map(array.type):
        entries = array.offsets
        start, stop = entries[0].as_py(), entries[-1].as_py()
        keys, items = array.keys, array.items
        if len(keys) != stop - start:
            keys, items = keys.slice(start, stop - start), items.slice(start, stop - start)
        return pa.StructArray.from_arrays([keys, items], names=["key", "value"])
    return array.flatten()
