"""Is |x - y| within a bound? Decided without a rounding error that could say yes where it is no.

Almost every cell is decided by one float or integer subtraction, whose rounding is monotone; the few cells that land on
the bound itself are decided by the exact rounding error (TwoSum, Knuth 1969) or by fractions.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ae_core.columns.storage import Ints, Mask


def float_below(value: Fraction) -> float:
    """The largest double that is not above `value` (value >= 0)."""
    try:
        nearest = float(value)
    except OverflowError:
        return float(np.finfo(np.float64).max)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def widened(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The floats as doubles, which loses nothing."""
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return x.astype(np.float64, copy=False)


def floats_within(x: npt.NDArray[Any], y: npt.NDArray[Any], limit: Fraction) -> Mask:
    """True where |x - y| <= limit in exact arithmetic; False where either is not finite.

    float16 and float32 widen to float64 without loss.
    """
    a, b = widened(x), widened(y)
    low = float_below(limit)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = a - b
        distance = np.abs(difference)
        within = distance < low
        near = (distance >= low) & (distance <= math.nextafter(low, math.inf))
    if near.any():
        spots = np.flatnonzero(near)
        within[spots] = _near(a[spots], b[spots], difference[spots], low, limit)
    return within


def _near(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], d: npt.NDArray[np.float64], low: float, limit: Fraction
) -> Mask:
    with np.errstate(invalid="ignore", over="ignore"):
        back = a - d
        rest = (a - (d + back)) + (back - b)
    within = (np.abs(d) == low) & (rest == 0)
    open_cells = np.flatnonzero((rest != 0) | (np.abs(d) != low))
    for spot in open_cells:
        if math.isfinite(a[spot]) and math.isfinite(b[spot]):
            within[spot] = abs(Fraction(float(a[spot])) - Fraction(float(b[spot]))) <= limit
        else:
            within[spot] = False
    return within


def ints_within(x: Ints, y: Ints, limit: int) -> Mask:
    """True where |x - y| <= limit, for any int64 values."""
    distance = np.where(x >= y, x.view(np.uint64) - y.view(np.uint64), y.view(np.uint64) - x.view(np.uint64))
    return distance <= np.uint64(min(max(limit, 0), 2**64 - 1))


def floats_pointwise(x: npt.NDArray[Any], y: npt.NDArray[Any], ratio: Fraction) -> Mask:
    """True where |x - y| <= ratio |x| in exact arithmetic; False where either is not finite."""
    a, b = widened(x), widened(y)
    with np.errstate(invalid="ignore", over="ignore"):
        distance, allowed = np.abs(a - b), np.abs(a) * float_below(min(ratio, Fraction(2**52)))
        # two roundings of at most 2^-53 each cannot bridge this margin; subnormals are left to the fractions
        within = (a == b) | ((distance < allowed * (1 - 2.0**-48)) & (allowed > 1e-290))
        outside = (distance > allowed * (1 + 2.0**-48)) & (allowed > 1e-290) & (ratio <= 2**52)
    finite = np.isfinite(a) & np.isfinite(b)
    within &= finite
    for spot in np.flatnonzero(finite & ~within & ~outside):
        original = Fraction(float(a[spot]))
        within[spot] = abs(original - Fraction(float(b[spot]))) <= ratio * abs(original)
    return within


def ints_pointwise(x: Ints, y: Ints, ratio: Fraction, origin: int = 0) -> Mask:
    """True where |x - y| <= ratio |x - origin|, for any int64 values; origin is the storage of the value zero."""
    within = x == y
    size = np.where(x >= y, x.view(np.uint64) - y.view(np.uint64), y.view(np.uint64) - x.view(np.uint64))
    zero = np.int64(origin)
    whole = np.where(x >= zero, x.view(np.uint64) - zero.view(np.uint64), zero.view(np.uint64) - x.view(np.uint64))
    allowed = whole.astype(np.float64) * float_below(min(ratio, Fraction(2**52)))
    with np.errstate(over="ignore"):
        within |= size.astype(np.float64) < allowed * (1 - 2.0**-48)
        outside = (size.astype(np.float64) > allowed * (1 + 2.0**-48)) & (ratio <= 2**52)
    for spot in np.flatnonzero(~within & ~outside):
        within[spot] = int(size[spot]) <= ratio * int(whole[spot])
    return within
