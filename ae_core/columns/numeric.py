"""Numbers <-> integer levels: one quantiser per column, each with its exact check.

A quantiser turns storage cells (see storage.py) into int64 levels and says, cell by cell, whether the value rebuilt
from the level is within the column's bound. Cells that are not are stored exactly by the caller. Rebuilding is integer
arithmetic, bit operations, or one product, one sum and one quotient of IEEE 754 doubles, each rounded once (numpy runs
them as separate operations, so no fused multiply-add can change the last bit).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ae_core.columns.exact import floats_within
from ae_core.columns.storage import Ints, Mask
from ae_core.policy import read_fraction

Cells = npt.NDArray[Any]
_U64 = np.uint64


class Quantiser(Protocol):
    """Storage cells -> levels and back."""

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """(levels, True where the rebuilt cell is within the bound)."""

    def rebuild(self, levels: Ints) -> Cells:
        """The storage cells of levels."""


@dataclass(frozen=True)
class RawInts:
    """Integers that are their own levels."""

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """(cells, all True)."""
        return cells, np.ones(len(cells), np.bool_)

    def rebuild(self, levels: Ints) -> Cells:
        """The levels themselves."""
        return levels


@dataclass(frozen=True)
class IntGrid:
    """q = (x - lo) // step; y = min(lo + q step + half, hi). Cells outside [lo, hi] are never within.

    limit : largest allowed |x - y| in storage units.
    """

    lo: int
    hi: int
    step: int
    half: int
    limit: int

    @property
    def levels(self) -> int:
        """Number of levels of the whole range."""
        return (self.hi - self.lo) // self.step + 1

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """Levels and the exact check, in modular 64-bit arithmetic: no range overflows it."""
        inside = (cells >= self.lo) & (cells <= self.hi)
        if self.step == 1:
            return cells - np.int64(self.lo), inside
        offset = cells.view(_U64) - _U64(self.lo % 2**64)
        levels = (offset // _U64(self.step)).view(np.int64)
        rebuilt = self._offset(levels)
        distance = np.maximum(offset, rebuilt) - np.minimum(offset, rebuilt)
        return levels, inside & (distance <= _U64(self.limit))

    def _offset(self, levels: Ints) -> npt.NDArray[np.uint64]:
        width = self.hi - self.lo
        if width < self.half:
            return np.full(len(levels), width, _U64)
        start = levels.view(_U64) * _U64(self.step)
        return np.where(start > _U64(width - self.half), _U64(width), start + _U64(self.half))

    def rebuild(self, levels: Ints) -> Cells:
        """lo + q step + half, at most hi, for levels in [0, self.levels)."""
        if self.step == 1:
            return levels + np.int64(self.lo)
        return (self._offset(levels) + _U64(self.lo % 2**64)).view(np.int64)


@dataclass(frozen=True)
class IntBits:
    """Integers rounded to `keep` significant bits, counted from `origin`; zero stays zero (a relative bound)."""

    keep: int
    lo: int
    hi: int
    origin: int = 0

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """(rounded values, True where they are legal and were rounded within 2^-keep)."""
        zero = _U64(self.origin % 2**64)
        above = cells >= np.int64(self.origin)
        size = np.where(above, cells.view(_U64) - zero, zero - cells.view(_U64))
        shift = np.maximum(_bit_length(size) - self.keep, 0).astype(_U64)
        room = _U64(1) << shift
        half = np.where(shift > 0, room >> _U64(1), _U64(0))
        rounded = ((size + half) >> shift) << shift
        wrapped = rounded < (size >> _U64(1))
        levels = np.where(above, zero + rounded, zero - rounded).view(np.int64)
        crossed = above != (levels >= np.int64(self.origin))
        ok = ~wrapped & ~crossed & (levels >= self.lo) & (levels <= self.hi)
        return levels, ok

    def rebuild(self, levels: Ints) -> Cells:
        """The levels themselves."""
        return levels


def _bit_length(size: npt.NDArray[np.uint64]) -> Ints:
    length = np.zeros(len(size), np.int64)
    rest = size.copy()
    for bits in (32, 16, 8, 4, 2, 1):
        big = rest >= _U64(1) << _U64(bits)
        length[big] += bits
        rest[big] >>= _U64(bits)
    return length + (rest > 0)


@dataclass(frozen=True)
class FloatDecimal:
    """Floats with a few decimal places: m = round(x 10^digits) on an integer grid, y = m / 10^digits.

    limit : largest allowed |x - y|; None means equal.
    """

    digits: int
    grid: IntGrid
    width: int
    limit: Fraction | None

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """Levels and the exact check on the rebuilt floats."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.rint(cells.astype(np.float64) * float(10**self.digits))
            usable = np.abs(scaled) < 2.0**53
        levels, inside = self.grid.quantise(np.where(usable, scaled, 0.0).astype(np.int64))
        rebuilt = self.rebuild(np.where(inside, levels, 0))
        within = _same_bits(cells, rebuilt) if self.limit is None else floats_within(cells, rebuilt, self.limit)
        return levels, inside & usable & within

    def rebuild(self, levels: Ints) -> Cells:
        """The quotient in double precision, then rounded to the column's width."""
        whole = self.grid.rebuild(levels).astype(np.float64)
        return (whole / float(10**self.digits)).astype(f"f{self.width}")


def _same_bits(a: Cells, b: Cells) -> Mask:
    kind = f"u{a.dtype.itemsize}"
    return np.asarray(a.view(kind) == b.view(kind), np.bool_)


@dataclass(frozen=True)
class FloatGrid:
    """q = rint((x - offset) / step); y = fl(offset + fl(q step)) in double, then rounded to the column's width."""

    offset: float
    step: float
    bottom: int
    top: int
    width: int
    limit: Fraction

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """Levels in [bottom, top] and the exact check on the rebuilt floats."""
        with np.errstate(invalid="ignore", over="ignore"):
            place = np.rint((cells.astype(np.float64) - self.offset) / self.step)
            usable = (place >= self.bottom) & (place <= self.top)
        levels = np.where(usable, place, 0.0).astype(np.int64)
        return levels, usable & floats_within(cells, self.rebuild(levels), self.limit)

    def rebuild(self, levels: Ints) -> Cells:
        """Two IEEE operations and one conversion."""
        with np.errstate(over="ignore"):
            return (self.offset + levels.astype(np.float64) * self.step).astype(f"f{self.width}")


@dataclass(frozen=True)
class FloatBits:
    """Floats by their bit patterns in order of value, the lowest `drop` mantissa bits rounded away.

    drop = 0 is exact. -0.0, infinities and NaN have no level. Rounding keeps a relative bound for normal numbers;
    a subnormal that would change has no level either.
    """

    drop: int
    width: int

    def quantise(self, cells: Cells) -> tuple[Ints, Mask]:
        """Levels (sign and magnitude of the shifted bits) and whether they keep the bound."""
        bits = cells.view(f"i{self.width}").astype(np.int64)
        negative = bits < 0
        magnitude = bits & np.int64(2 ** (8 * self.width - 1) - 1)
        half = np.int64((1 << self.drop) >> 1)
        level = (magnitude + half) >> np.int64(self.drop)
        mantissa = {2: 10, 4: 23, 8: 52}[self.width]
        exponents = np.int64(((1 << (8 * self.width - 1 - mantissa)) - 1) << mantissa)
        back = level << np.int64(self.drop)
        normal = magnitude >= np.int64(1 << mantissa)
        ok = (magnitude < exponents) & (back < exponents) & (normal | (back == magnitude))
        ok &= ~(negative & (magnitude == 0))
        return np.where(negative, -level, level), ok

    def rebuild(self, levels: Ints) -> Cells:
        """The floats of levels."""
        magnitude = np.abs(levels) << np.int64(self.drop)
        sign = np.int64(-(2 ** (8 * self.width - 1)))
        bits = np.where(levels < 0, magnitude | sign, magnitude)
        return bits.astype(f"i{self.width}").view(f"f{self.width}")


_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (RawInts, IntGrid, IntBits, FloatDecimal, FloatGrid, FloatBits)
}


def quantiser_to_json(quantiser: Quantiser, bound: Fraction | None) -> dict[str, Any]:
    """JSON values of a quantiser; floats as hexadecimal text, fractions as text, and nothing that is as usual.

    Usual is a limit that is the column's bound, on a grid of integers that is half its step, a half that is that too.
    """
    record = asdict(quantiser)  # type: ignore[call-overload]
    if isinstance(quantiser, FloatGrid | FloatDecimal) and quantiser.limit == bound:
        del record["limit"]
    for grid in (record, record.get("grid", {})):
        if "half" in grid:
            if grid["limit"] == grid["half"]:
                del grid["limit"]
            if grid["half"] == grid["step"] // 2:
                del grid["half"]
    for key, value in record.items():
        if isinstance(value, float):
            record[key] = value.hex()
        elif isinstance(value, Fraction):
            record[key] = str(value)
    return {"kind": type(quantiser).__name__, **record}


def quantiser_from_json(record: dict[str, Any], bound: Fraction | None) -> Quantiser:
    """The quantiser of a record; raises KeyError, TypeError or ValueError where it is malformed."""
    fields = dict(record)
    kind = _KINDS[fields.pop("kind")]
    if kind is IntGrid:
        return _grid_from_json(fields)
    if kind is FloatDecimal:
        fields["grid"] = _grid_from_json(fields["grid"])
    for key in ("offset", "step"):
        if kind is FloatGrid:
            fields[key] = float.fromhex(fields[key])
    if kind in (FloatGrid, FloatDecimal):
        limit = fields.get("limit", bound)
        fields["limit"] = read_fraction(limit) if isinstance(limit, str) else limit
    built: Quantiser = kind(**fields)
    return built


def _grid_from_json(fields: dict[str, Any]) -> IntGrid:
    half = fields.get("half", fields["step"] // 2)
    return IntGrid(**{"half": half, "limit": half, **fields})
