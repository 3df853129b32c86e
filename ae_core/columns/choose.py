"""One column on its own: which quantiser its bound and its numbers allow, and whether its cells get codes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.columns.domain import MAX_LEVELS, MOST_SHIFT, NumberCode, TextCode, make_domain
from ae_core.columns.exact import float_below
from ae_core.columns.numeric import FloatBits, FloatDecimal, FloatGrid, IntBits, IntGrid, Quantiser, RawInts
from ae_core.columns.pattern import find_pattern
from ae_core.columns.plan import Coder, ColumnPlan
from ae_core.columns.storage import (
    DAY_MS,
    Ints,
    Mask,
    kind_of,
    legal_range,
    read_floats,
    read_ints,
    storage_per_unit,
    valid_mask,
)
from ae_core.policy import Bound
from ae_core.vector_types import element_type, elements_of

_MANTISSA = {2: 10, 4: 23, 8: 52}
_DIGITS = 6
_SENSITIVE_LEVELS = 2**45
_LISTED = 16  # a value that is listed in the model has to come as often as this in the sample
_WIDE_BITS = 43


def plan_column(field: pa.Field, array: pa.Array, bound: Bound) -> ColumnPlan:
    """The plan of a column by itself; `array` is its sample in its working type."""
    kind = kind_of(array.type)
    if (elements := element_type(array.type)) is not None:
        return _plan_vector(field, pa.field(field.name, elements), elements_of(array)[1], bound)
    if kind == "other":
        return ColumnPlan(field.name, field.type, bound, "plain", f"{field.type} has no domain")
    if kind == "bytes":
        return _plan_text(field, array, bound)
    valid = valid_mask(array)
    cells, usable = _sample_cells(array, valid)
    if bound.sensitive:
        quantiser = blind_quantiser(array.type, bound)
        return ColumnPlan(field.name, field.type, bound, "plain", "sensitive: no value may enter the plan",
                          quantiser=quantiser)  # fmt: skip
    quantiser, exact = fit_quantiser(array.type, bound, cells[usable])
    base = ColumnPlan(field.name, field.type, bound, "plain", "too many distinct values for its rows",
                      quantiser=None if exact else quantiser)  # fmt: skip
    return _with_domain(base, quantiser, array, cells, valid, usable)


def _plan_vector(field: pa.Field, element: pa.Field, elements: pa.Array, bound: Bound) -> ColumnPlan:
    """The plan of a vector column: that of its elements, under mixing where they have codes."""
    inner = plan_column(element, elements, bound)
    if inner.domain is not None:
        inner = replace(inner, coder="mixing")
    return ColumnPlan(field.name, field.type, bound, "vector", inner.reason, elements=inner)


def _sample_cells(array: pa.Array, valid: Mask | None) -> tuple[npt.NDArray[Any], Mask]:
    """(storage cells, True where a cell is a number that quantisers should fit)."""
    if kind_of(array.type) == "float":
        cells = read_floats(array, valid)
        usable: Mask = np.isfinite(cells)
    else:
        cells, fits = read_ints(array, valid)
        usable = np.ones(len(cells), np.bool_) if fits is None else fits
    return cells, usable if valid is None else usable & valid


def fit_quantiser(kind: pa.DataType, bound: Bound, cells: npt.NDArray[Any]) -> tuple[Quantiser, bool]:
    """(quantiser, True where it loses nothing) for the usable cells of a sample."""
    if kind_of(kind) == "float":
        return _fit_floats(cells, bound)
    if bound.kind == "pointwise" and bound.value is not None and not pa.types.is_date64(kind):
        return _int_bits(kind, bound.value), False
    limit = 0 if bound.value is None or bound.kind != "abs" else int(bound.value * storage_per_unit(kind))
    if not len(cells):
        return RawInts(), True
    grid = _int_grid(cells, limit, DAY_MS if pa.types.is_date64(kind) else 1)
    if grid.limit == 0 and grid.hi - grid.lo >= 2**62:
        return RawInts(), True
    return grid, grid.limit == 0


def _int_bits(kind: pa.DataType, ratio: Fraction) -> IntBits:
    low, high = legal_range(kind)
    return IntBits(_kept_bits(ratio), low, high, -(2**63) if pa.types.is_uint64(kind) else 0)


def _kept_bits(ratio: Fraction) -> int:
    """The fewest significant bits whose rounding error stays within `ratio` of a value."""
    keep = 1
    while Fraction(1, 2**keep) > ratio and keep < 64:
        keep += 1
    return keep


def _int_grid(cells: Ints, limit: int, least_unit: int) -> IntGrid:
    """The widest grid for cells that are all multiples of one unit apart."""
    low, high = int(cells.min()), int(cells.max())
    unit = int(np.gcd.reduce(cells.view(np.uint64) - np.uint64(low % 2**64))) if high > low else least_unit
    return _grid_of(low, high, unit, limit)


def _grid_of(low: int, high: int, unit: int, limit: int) -> IntGrid:
    """The widest grid of multiples of a unit: never wider than one level for all, nor than 64 bits hold."""
    half = max(0, min(limit // unit, ((high - low) // unit + 1) // 2, (2**63 - unit) // unit))
    return IntGrid(low, high, unit * (2 * half + 1), unit * half, unit * half)


def _fit_floats(cells: npt.NDArray[Any], bound: Bound) -> tuple[Quantiser, bool]:
    width = cells.dtype.itemsize
    exact: tuple[Quantiser, bool] = (FloatBits(0, width), True)
    if not len(cells):
        return exact
    if bound.kind == "pointwise" and bound.value is not None:
        drop = _MANTISSA[width] + 1 - _kept_bits(bound.value)
        return (FloatBits(drop, width), False) if drop > 0 else exact
    places = _decimal_places(cells)
    if places is not None:
        decimal = _float_decimal(cells, places, bound)
        if decimal.limit is None:
            return _denser(cells, decimal), True
    if bound.value is None:
        return exact
    grid = _float_grid(cells, bound.value)
    if places is not None and (grid is None or decimal.grid.levels * 9 <= (grid.top + 1) * 10):
        return decimal, False
    return (grid, False) if grid is not None else exact


def _denser(cells: npt.NDArray[Any], decimal: FloatDecimal) -> Quantiser:
    """The decimals, or the floats' own bits where these have fewer steps between the least and the greatest cell."""
    if decimal.grid.levels <= MAX_LEVELS:
        return decimal
    bits = FloatBits(0, decimal.width)
    levels, ok = bits.quantise(cells)
    return bits if ok.all() and int(levels.max()) - int(levels.min()) < decimal.grid.levels else decimal


def _decimal_places(cells: npt.NDArray[Any]) -> int | None:
    """The fewest decimal places that give every cell back, None where there are none."""
    probe = cells[:: max(1, len(cells) // 1000)].astype(np.float64)
    for digits in range(_DIGITS + 1):
        for part in (probe, cells.astype(np.float64)):
            with np.errstate(over="ignore", invalid="ignore"):
                whole = np.rint(part * 10.0**digits)
                back = (whole / 10.0**digits).astype(cells.dtype)
            if not ((back == part.astype(cells.dtype)) & (np.abs(whole) < 2.0**52)).all():
                break
        else:
            return digits
    return None


def _float_decimal(cells: npt.NDArray[Any], digits: int, bound: Bound) -> FloatDecimal:
    whole = np.rint(cells.astype(np.float64) * 10.0**digits).astype(np.int64)
    limit = 0
    if bound.value is not None:
        scaled = bound.value * 10**digits
        # with decimals the doubles themselves are a little off: a whole step to the bound might break it
        limit = int(scaled) if digits == 0 or scaled.denominator != 1 else int(scaled) - 1
    grid = _int_grid(whole, max(limit, 0), 1)
    return FloatDecimal(digits, grid, cells.dtype.itemsize, bound.value if grid.limit else None)


def _float_grid(cells: npt.NDArray[Any], limit: Fraction) -> FloatGrid | None:
    """A grid whose rounding errors are inside the bound by construction; None below the type's resolution."""
    low, high = float(cells.min()), float(cells.max())
    largest = max(abs(low), abs(high))
    # the spacing below a number; asked above the largest float it would be infinite
    ulp = Fraction(largest - float(np.nextafter(np.array(largest, cells.dtype), np.array(0, cells.dtype)))) * 2
    spare = limit - 2 * ulp
    if not np.isfinite(high - low) or 2 * spare <= limit:
        return None
    step = float_below(2 * spare)
    top = float(np.rint((high - low) / step)) if step > 0 else np.inf
    return FloatGrid(low, step, 0, int(top), cells.dtype.itemsize, limit) if top < 2.0**50 else None


def blind_quantiser(kind: pa.DataType, bound: Bound) -> Quantiser | None:
    """A lossy quantiser made from the type and the bound alone; None where the column stays exact."""
    if bound.value is None:
        return None
    if kind_of(kind) == "float":
        width = kind.bit_width // 8
        if bound.kind == "pointwise":
            drop = _MANTISSA[width] + 1 - _kept_bits(bound.value)
            return FloatBits(drop, width) if drop > 0 else None
        step = float_below(2 * bound.value * Fraction(1023, 1024))
        if not 0 < step < float(np.finfo(np.float64).max):
            return None
        return FloatGrid(0.0, step, -_SENSITIVE_LEVELS, _SENSITIVE_LEVELS, width, bound.value)
    unit = DAY_MS if pa.types.is_date64(kind) else 1
    if bound.kind == "pointwise":
        return _int_bits(kind, bound.value) if unit == 1 else None
    grid = _grid_of(*legal_range(kind), unit, int(bound.value * storage_per_unit(kind)))
    return grid if grid.half else None


def _with_domain(
    base: ColumnPlan, quantiser: Quantiser, array: pa.Array, cells: npt.NDArray[Any], valid: Mask | None, usable: Mask
) -> ColumnPlan:
    levels, ok = quantiser.quantise(cells)
    seen = np.unique(levels[ok & usable])  # of a decimal beyond 64 bits the cell is not its number
    span = int(seen[-1]) - int(seen[0]) + 1 if len(seen) else 0
    dense = span <= max(64, 2 * len(seen)) and span <= max(MAX_LEVELS if span <= len(array) else 256, 1)
    specials = _specials(array, cells, valid)
    listed = not dense and len(seen) <= max(16, min(len(array) // _LISTED, MAX_LEVELS))
    count = len(seen) if listed else max(span, 1)  # a preview head needs a level, be all cells null or NaN
    if count > MAX_LEVELS:
        return _wide(base, quantiser, seen, specials, legal_range(array.type) if kind_of(array.type) == "int" else None)
    code = NumberCode(quantiser, int(seen[0]) if len(seen) else 0, seen if listed else None)
    domain = make_domain(count, True, specials)
    reason = f"{len(seen)} values" if base.bound.exact else f"{count} levels of {base.bound}"
    return ColumnPlan(base.name, base.type, base.bound, "network", reason, domain, code, base.quantiser)


def _wide(
    base: ColumnPlan, quantiser: Quantiser, seen: Ints, specials: tuple[str, ...], legal: tuple[int, int] | None
) -> ColumnPlan:
    """The column with numbers for codes, and room beyond the sample's values: later partitions will need it."""
    low, high = int(seen[0]), int(seen[-1])
    room = high - low
    if isinstance(quantiser, IntGrid):
        quantiser, moved = _roomier(quantiser, room, legal or (-(2**62), 2**62))
    elif isinstance(quantiser, FloatDecimal):
        grid, moved = _roomier(quantiser.grid, room, (-(2**52), 2**52))
        quantiser = replace(quantiser, grid=grid)
    else:
        moved = 0
    if isinstance(quantiser, FloatGrid):
        most = 2**50  # levels that doubles tell apart with room to spare
        quantiser = replace(quantiser, bottom=max(low - room, -most), top=min(high + room, most))
    low, high = low + moved, high + moved
    least, most = _level_range(quantiser)
    first, last = max(low - room, least), min(high + room, most)
    shift = min(max(_common_zeros(seen), (last - first).bit_length() - _WIDE_BITS), MOST_SHIFT)
    first -= (first - low) % (1 << shift)  # so that the sample's common low bits are 0
    levels = ((last - first) >> shift) + 1
    if first < least or levels <= MAX_LEVELS:
        return base
    reason = "numbers" if base.bound.exact else f"numbers within {base.bound}"
    code = NumberCode(quantiser, first, None, shift)
    stored = base.quantiser if base.quantiser is None else quantiser
    return replace(
        base, coder="mixing", reason=reason, domain=make_domain(levels, True, specials), code=code, quantiser=stored
    )


def _roomier(grid: IntGrid, levels: int, legal: tuple[int, int]) -> tuple[IntGrid, int]:
    """The grid with as many levels more on either side as the type holds, and how many on the lower."""
    below = max(0, min(levels, (grid.lo - max(legal[0], -(2**63) + grid.step)) // grid.step))
    above = max(0, min(levels, (min(legal[1], 2**63 - grid.step) - grid.hi) // grid.step))
    return replace(grid, lo=grid.lo - below * grid.step, hi=grid.hi + above * grid.step), below


def _common_zeros(seen: Ints) -> int:
    """Low bits that all levels share with the least one."""
    differ = int(np.bitwise_or.reduce(seen - seen[0]))
    return (differ & -differ).bit_length() - 1 if differ else 0


def _level_range(quantiser: Quantiser) -> tuple[int, int]:
    """The levels that a quantiser can rebuild."""
    if isinstance(quantiser, IntGrid):
        return 0, quantiser.levels - 1
    if isinstance(quantiser, FloatDecimal):
        return 0, quantiser.grid.levels - 1
    if isinstance(quantiser, FloatGrid):
        return quantiser.bottom, quantiser.top
    if isinstance(quantiser, IntBits):
        return quantiser.lo, quantiser.hi
    if isinstance(quantiser, FloatBits):
        exponents = {2: 5, 4: 8, 8: 11}[quantiser.width]
        top = (((1 << exponents) - 1) << _MANTISSA[quantiser.width]) - 1
        return -(top >> quantiser.drop), top >> quantiser.drop
    return -(2**63), 2**63 - 1


def _specials(array: pa.Array, cells: npt.NDArray[Any], valid: Mask | None) -> tuple[str, ...]:
    found = ["null"] if valid is not None else []
    if kind_of(array.type) == "float":
        real = cells if valid is None else cells[valid]
        tests = {
            "nan": np.isnan(real),
            "+inf": np.isposinf(real),
            "-inf": np.isneginf(real),
            "-0": (real == 0) & np.signbit(real),
        }
        found += [name for name, hit in tests.items() if hit.any()]
    return (*found, "escape")


def _plan_text(field: pa.Field, array: pa.Array, bound: Bound) -> ColumnPlan:
    if bound.sensitive:
        return ColumnPlan(field.name, field.type, bound, "plain", "sensitive: no value may enter the plan")
    words = pc.unique(array).drop_null()
    specials = ("null", "escape") if array.null_count else ("escape",)
    if len(words) > max(16, min(len(array) // 4, MAX_LEVELS)):
        shape = find_pattern(array)
        if shape is None:
            return ColumnPlan(field.name, field.type, bound, "plain", "too many distinct values for its rows")
        domain = make_domain(shape.levels, True, specials)
        coder: Coder = "mixing" if domain.wide else "network"
        return ColumnPlan(field.name, field.type, bound, coder, "texts of one shape", domain, shape)
    if not len(words):  # a preview head needs a level, be all cells null
        width = array.type.byte_width if pa.types.is_fixed_size_binary(array.type) else 0
        words = pa.array([bytes(width)], pa.binary()).cast(array.type)
    ordered = words.take(pc.sort_indices(words))
    return ColumnPlan(
        field.name, field.type, bound, "network", f"{len(words)} values",
        make_domain(len(words), False, specials), TextCode(ordered),
    )  # fmt: skip
