"""Cells of one column as arrays that can be compared exactly: original against rebuilt.

Numbers are compared without rounding: integers, decimals and times as integers, floats by the rounded difference
and its exact remainder (Knuth's TwoSum), so that "within the bound" never depends on floating-point luck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.policy import nearest_float
from ae_core.vector_types import element_type, elements_of_column

Family = Literal["number", "time", "category", "vector"]

# a float ratio this close to the threshold is decided with fractions
_NEAR = 1e-9
_LEAST, _MOST = 1e-290, 1e300
_TEXT = 60


def family_of(arrow_type: pa.DataType) -> Family:
    """What cells of a type are measured as: ``number``, ``time`` (an integer in its unit), ``category``, ``vector``."""
    if pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type):
        return "number"
    if (
        pa.types.is_date(arrow_type)
        or pa.types.is_time(arrow_type)
        or pa.types.is_timestamp(arrow_type)
        or pa.types.is_duration(arrow_type)
    ):
        return "time"
    return "category" if element_type(arrow_type) is None else "vector"


@dataclass(frozen=True)
class Numbers:
    """The cells of a number or time column.

    ``raw`` (rows,) holds integers (int64, uint64, or Python integers as objects) or floats of the column's own
    width; a cell's value is ``raw * unit``. Null slots hold zero.
    """

    raw: np.ndarray
    unit: Fraction
    valid: np.ndarray
    finite: np.ndarray

    @property
    def is_float(self) -> bool:
        """Whether cells are floats, so that NaN and infinities may occur."""
        return self.raw.dtype.kind == "f"

    def every(self, first: int, stride: int) -> Numbers:
        """Every stride-th cell from the first on."""
        rows = slice(first, None, stride)
        return Numbers(self.raw[rows], self.unit, self.valid[rows], self.finite[rows])

    def floats(self) -> np.ndarray:
        """Cells as float64 in column units, 0 where they are null or not finite."""
        values = np.where(self.finite, self.raw, self.raw.dtype.type(0)) if self.is_float else self.raw
        result = values.astype(np.float64)
        return result if self.unit == 1 else result / float(1 / self.unit)


def measured_cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column, of vectors their elements: what errors and distributions are of."""
    return column if element_type(column.type) is None else elements_of_column(column)


def numbers_of(column: pa.ChunkedArray) -> Numbers:
    """The cells of a number or time column, ready to be compared."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    arrow_type = array.type
    unit = Fraction(1)
    if pa.types.is_decimal(arrow_type):
        unit = Fraction(10) ** -arrow_type.scale
        raw = _decimal_integers(array)
        raw[~valid] = 0
    else:
        if family_of(arrow_type) == "time":
            array = array.view(pa.int32() if arrow_type.bit_width == 32 else pa.int64())
        zero = pa.scalar(np.float16(0), pa.float16()) if pa.types.is_float16(arrow_type) else 0
        raw = pc.fill_null(array, zero).to_numpy(zero_copy_only=False) if array.null_count else array.to_numpy()
        if raw.dtype.kind in "iu" and raw.dtype != np.uint64:
            raw = raw.astype(np.int64, copy=False)
    finite = valid & np.isfinite(raw) if raw.dtype.kind == "f" else valid
    return Numbers(raw=raw, unit=unit, valid=valid, finite=finite)


def _decimal_integers(array: pa.Array) -> np.ndarray:
    """Unscaled integers of a decimal array: int64 where all fit, else Python integers."""
    width = array.type.bit_width
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), np.int64)
    if width <= 64:
        words = np.frombuffer(data, f"<i{width // 8}")[array.offset : array.offset + len(array)]
        return words.astype(np.int64)
    limbs = np.frombuffer(data, "<u8").reshape(-1, width // 64)[array.offset : array.offset + len(array)]
    low = limbs[:, 0].view(np.int64) if limbs.flags.c_contiguous else np.ascontiguousarray(limbs[:, 0]).view(np.int64)
    sign = (low >> 63).view(np.uint64)
    if all(bool((limbs[:, limb] == sign).all()) for limb in range(1, limbs.shape[1])):
        return np.array(low, np.int64)
    result = np.ascontiguousarray(limbs[:, -1]).view(np.int64).astype(object)
    for limb in range(limbs.shape[1] - 2, -1, -1):
        result = result * 2**64 + limbs[:, limb].astype(object)
    return result


@dataclass(frozen=True)
class Comparison:
    """Original against rebuilt, for one column of one block.

    ``pairs`` marks cells that are finite numbers on both sides; ``difference`` is rebuilt minus original in column
    units (float64, 0 elsewhere); ``ratio`` is the same over the cell's bound (None without a bound). ``max_error``
    and ``max_ratio`` are exact; ``changed`` and ``outside`` are counts of cells.
    """

    pairs: np.ndarray
    difference: np.ndarray
    ratio: np.ndarray | None
    max_error: Fraction
    max_ratio: Fraction | float
    changed: int
    outside: int


def compare_numbers(
    original: Numbers, rebuilt: Numbers, *, kind: Literal["exact", "abs", "pointwise", "none"], value: Fraction | None
) -> Comparison:
    """Exact comparison of two arrays of numbers under a bound (``none``: measured, nothing can be outside)."""
    pairs = original.finite & rebuilt.finite
    strange = ~pairs & ~_same_special(original, rebuilt)
    magnitude, remainder, sign = _differences(original, rebuilt, pairs)
    differs = magnitude != 0
    if kind == "exact" and original.is_float:
        bits = f"u{original.raw.dtype.itemsize}"
        unlike = original.valid & rebuilt.valid & (original.raw.view(bits) != rebuilt.raw.view(bits))
        differs = differs | unlike
    changed = int(np.count_nonzero(differs | strange))
    difference = _signed_units(magnitude, sign, original.unit)
    max_error = _largest(magnitude, remainder) * original.unit
    ratio: np.ndarray | None = None
    max_ratio: Fraction | float = Fraction(0)
    outside = 0
    if kind == "exact":
        outside = changed
    elif kind == "abs" and value is not None:
        limit = value / original.unit
        ratio = difference / nearest_float(value) if value else np.where(differs, np.sign(difference) * np.inf, 0.0)
        max_ratio = max_error / value if value else (math.inf if max_error else Fraction(0))
        outside = int(np.count_nonzero(strange)) + _count_above(magnitude, remainder, limit)
    elif kind == "pointwise" and value is not None:
        ratio, max_ratio, beyond = _pointwise(original, rebuilt, difference, differs, value)
        outside = int(np.count_nonzero(strange)) + beyond
    return Comparison(pairs, difference, ratio, max_error, max_ratio, changed, outside)


def _same_special(original: Numbers, rebuilt: Numbers) -> np.ndarray:
    """Cells that are null on both sides, or the same NaN or infinity on both."""
    both_null = ~original.valid & ~rebuilt.valid
    if not original.is_float:
        return both_null
    x, y = original.raw, rebuilt.raw
    both_valid = original.valid & rebuilt.valid
    return both_null | (both_valid & ((np.isnan(x) & np.isnan(y)) | (np.isinf(x) & (x == y))))


def _differences(
    original: Numbers, rebuilt: Numbers, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """|y - x| in units of ``raw``, the exact remainder to add to it (floats only), and the sign of y - x."""
    x, y = original.raw, rebuilt.raw
    if original.is_float:
        a = np.where(pairs, y, 0).astype(np.float64)
        b = -np.where(pairs, x, 0).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            total = a + b
            part = total - a
            remainder = (a - (total - part)) + (b - part)
        if np.isinf(total).any():  # only float64 extremes: exact enough as Python fractions
            magnitude = np.array([abs(Fraction(p) + Fraction(q)) for p, q in zip(a, b, strict=True)], object)
            return magnitude, None, np.sign(total)
        sign = np.sign(total)
        return np.abs(total), remainder * sign, sign
    if x.dtype == object or y.dtype == object or x.dtype != y.dtype:
        delta = np.where(pairs, y.astype(object) - x.astype(object), 0)
        return np.abs(delta), None, np.sign(delta.astype(np.float64))
    above = y >= x
    wrapped = np.where(above, y.view(np.uint64) - x.view(np.uint64), x.view(np.uint64) - y.view(np.uint64))
    return np.where(pairs, wrapped, np.uint64(0)), None, np.where(above, 1.0, -1.0)


def _signed_units(magnitude: np.ndarray, sign: np.ndarray, unit: Fraction) -> np.ndarray:
    if magnitude.dtype == object:
        limit = Fraction(np.finfo(np.float64).max)
        plain = np.array([float(min(Fraction(cell), limit)) for cell in magnitude], np.float64)
    else:
        plain = magnitude.astype(np.float64)
    signed = plain * sign
    return signed if unit == 1 else signed / float(1 / unit)


def _largest(magnitude: np.ndarray, remainder: np.ndarray | None) -> Fraction:
    """The largest exact difference: rounding is monotone, so it is among the largest rounded ones."""
    if not len(magnitude):
        return Fraction(0)
    top = magnitude.max()
    exact = _fraction(top)
    if remainder is not None:
        exact += Fraction(float(remainder[magnitude == top].max()))
    return exact


def _count_above(magnitude: np.ndarray, remainder: np.ndarray | None, limit: Fraction) -> int:
    """How many exact differences exceed the limit."""
    if magnitude.dtype == object:
        return sum(1 for cell in magnitude if cell > limit)
    if remainder is None:
        whole = math.floor(limit)
        return 0 if whole >= 2**64 else int(np.count_nonzero(magnitude > np.uint64(whole)))
    nearest = nearest_float(limit)
    above = int(np.count_nonzero(magnitude > nearest))
    gap = limit - Fraction(nearest)
    tied = remainder[magnitude == nearest]
    return above + sum(
        int(count)
        for cell, count in zip(*np.unique(tied, return_counts=True), strict=True)
        if Fraction(float(cell)) > gap
    )


def _pointwise(
    original: Numbers, rebuilt: Numbers, difference: np.ndarray, differs: np.ndarray, value: Fraction
) -> tuple[np.ndarray, Fraction | float, int]:
    """Signed difference over value * |original|, its exact maximum, and how many cells exceed 1."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        allowed = np.abs(original.floats()) * nearest_float(value)
        ratio = np.where(differs, difference / allowed, 0.0)
    rough = differs & ~((allowed > _LEAST) & (allowed < _MOST))  # rounded by more than doubles round elsewhere
    for row in np.flatnonzero(rough):
        found = _exact_ratio(original, rebuilt, int(row), value)
        ratio[row] = math.inf if isinstance(found, float) else math.copysign(nearest_float(found), difference[row])
    size = np.abs(ratio)
    infinite = np.isinf(size)
    outside = int(np.count_nonzero(size > 1 + _NEAR))
    close = np.flatnonzero(np.abs(size - 1) <= _NEAR)
    outside += sum(_exact_ratio(original, rebuilt, int(row), value) > 1 for row in close)
    if infinite.any():
        return ratio, math.inf, outside
    if not differs.any():
        return ratio, Fraction(0), outside
    top = np.flatnonzero(differs & (size >= size.max() * (1 - _NEAR)))
    _, first = np.unique(np.stack([original.floats()[top], rebuilt.floats()[top]]), axis=1, return_index=True)
    return ratio, max(_exact_ratio(original, rebuilt, int(row), value) for row in top[first]), outside


def _exact_ratio(original: Numbers, rebuilt: Numbers, row: int, value: Fraction) -> Fraction | float:
    x, y = _fraction(original.raw[row]), _fraction(rebuilt.raw[row])
    if x == 0 or value == 0:
        return math.inf if x != y else Fraction(0)
    return abs(y - x) / (abs(x) * value)


def _fraction(cell: Any) -> Fraction:
    return cell if isinstance(cell, Fraction) else Fraction(cell.item() if isinstance(cell, np.generic) else cell)


def without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with its dictionary's values in place (take, since a cast does not know nested values)."""
    if not pa.types.is_dictionary(column.type):
        return column
    chunks = [chunk.dictionary.take(chunk.indices) for chunk in column.chunks]
    return pa.chunked_array(chunks, type=column.type.value_type)


def _float_bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats as their bits, so that NaN equals itself; other columns as they are."""
    if not pa.types.is_floating(column.type):
        return column
    bits = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[column.type.bit_width]
    return pa.chunked_array([chunk.view(bits) for chunk in column.chunks], bits)


def unequal_cells(original: pa.ChunkedArray, rebuilt: pa.ChunkedArray) -> int:
    """How many cells of any type differ (null equals null)."""
    if original.equals(rebuilt):
        return 0
    plain = [_float_bits(without_dictionary(column)) for column in (original, rebuilt)]
    try:
        same = pc.equal(plain[0], plain[1])
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return sum(
            1 for a, b in zip(original.to_pylist(), rebuilt.to_pylist(), strict=True) if a != b and repr(a) != repr(b)
        )
    both_null = pc.and_(pc.is_null(plain[0]), pc.is_null(plain[1]))
    equal = pc.or_(pc.fill_null(same, False), both_null)
    return len(original) - (pc.sum(equal).as_py() or 0)


def shown_cell(scalar: pa.Scalar) -> Any:
    """A cell as JSON holds it: numbers as they are, the rest as text of at most 60 characters."""
    if not scalar.is_valid:
        return None
    if family_of(scalar.type) == "time":
        try:
            return scalar.cast(pa.string()).as_py()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            return str(scalar.value)
    value = scalar.as_py()
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    text = str(value)
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
