"""Vector columns: lists of a fixed size and tensors of a fixed shape, whose elements are numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def element_type(kind: pa.DataType) -> pa.DataType | None:
    """The type of a vector's elements, None where the type is not one of vectors."""
    storage = _storage(kind)
    if not pa.types.is_fixed_size_list(storage) or storage.list_size < 1:
        return None
    value = storage.value_type
    return value if pa.types.is_integer(value) or pa.types.is_floating(value) else None


def vector_shape(kind: pa.DataType) -> tuple[int, ...]:
    """Sizes of a vector or tensor, the slowest first as it lies in memory."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return tuple(kind.shape)
    return (kind.list_size,)


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.FixedShapeTensorType) else kind


def elements_of(array: pa.Array) -> tuple[npt.NDArray[np.bool_] | None, pa.Array]:
    """(True where a slot is no null, None where none is; the elements of those slots, one after the other)."""
    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    valid = None
    if storage.null_count:
        valid = np.asarray(pc.is_valid(storage).to_numpy(zero_copy_only=False), np.bool_)
    return valid, storage.flatten()


def elements_of_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The elements of all slots that are no nulls."""
    kind = element_type(column.type)
    return pa.chunked_array([elements_of(chunk)[1] for chunk in column.chunks], kind)


def vectors_from(kind: pa.DataType, valid: npt.NDArray[np.bool_] | None, elements: pa.Array) -> pa.Array:
    """The array of a vector type behind `elements_of`."""
    storage = _storage(kind)
    if valid is not None and not valid.any():
        return pa.nulls(len(valid), kind)
    mask: Any = None
    if valid is not None:
        row = np.maximum(np.cumsum(valid) - 1, 0)  # what lies under a null is of no account
        size = storage.list_size
        elements = elements.take(pa.array((row[:, None] * size + np.arange(size)).ravel()))
        mask = pa.array(~valid)
    array = pa.FixedSizeListArray.from_arrays(elements, type=storage, mask=mask)
    return pa.ExtensionArray.from_storage(kind, array) if isinstance(kind, pa.FixedShapeTensorType) else array
