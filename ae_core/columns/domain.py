"""A column's domain: which values have a code, and cells <-> codes <-> digits.

Codes count the values first, in order, then the specials. `escape` is always the last code: its cell is stored exactly
elsewhere, so that a model which never saw a value can still carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.columns.numeric import Quantiser
from ae_core.columns.storage import (
    Ints,
    Mask,
    kind_of,
    read_floats,
    read_ints,
    valid_mask,
    write_floats,
    write_ints,
)

Codes = npt.NDArray[np.integer[Any]]  # int32, of wide domains int64
Symbols = npt.NDArray[np.uint16]

SPECIALS = ("null", "nan", "+inf", "-inf", "-0", "escape")
MAX_ALPHABET = 256
MAX_LEVELS = (MAX_ALPHABET - len(SPECIALS)) * MAX_ALPHABET
WIDE_LEVELS = 1 << 44
MOST_SHIFT = 40
SHOWN_LEVELS = 1 << 13
COARSE_LEVELS = 64
_FLOAT_SPECIALS = {"nan": np.nan, "+inf": np.inf, "-inf": -np.inf, "-0": -0.0}


@dataclass(frozen=True)
class Domain:
    """The codes of a column.

    levels : number of value codes; ordinal : codes are in order of value; specials : subset of SPECIALS in their order,
    codes levels, levels + 1, …; radices : sizes of the digits of a value code, high digit first.
    A *wide* domain has too many values for digits: the mixing coder codes its cells as numbers, the encoder sees them
    in 64 coarse classes (its one digit), and previews show them in 8192 steps.
    """

    levels: int
    ordinal: bool
    specials: tuple[str, ...]
    radices: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of codes, specials included."""
        return self.levels + len(self.specials)

    @property
    def wide(self) -> bool:
        """True where codes are numbers and their digit tells them coarsely."""
        return self.levels > MAX_LEVELS

    @property
    def shown(self) -> int:
        """Value codes of a preview."""
        return SHOWN_LEVELS if self.wide else self.levels

    def code_of(self, special: str) -> int:
        """The code of a special, -1 where the domain lacks it."""
        return self.levels + self.specials.index(special) if special in self.specials else -1

    @property
    def escape(self) -> int:
        """The code of cells that are stored exactly."""
        return self.size - 1

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Symbols of each digit; the high digit carries the specials."""
        return (self.radices[0] + len(self.specials), *self.radices[1:])


def make_domain(levels: int, ordinal: bool, specials: tuple[str, ...]) -> Domain:
    """A domain with one digit where the alphabet allows it, else two; one coarse digit where it is wide."""
    if levels > MAX_LEVELS:
        return Domain(levels, ordinal, specials, (COARSE_LEVELS,))
    if levels + len(specials) <= MAX_ALPHABET:
        return Domain(levels, ordinal, specials, (levels,))
    low = max(64, -(-levels // (MAX_ALPHABET - len(specials))))
    return Domain(levels, ordinal, specials, (-(-levels // low), low))


def codes_to_digits(domain: Domain, codes: Codes) -> Symbols:
    """(rows, digits) symbols; a special is its number on the high digit and 0 below."""
    if domain.wide:
        return _scaled(domain, codes, COARSE_LEVELS, codes * COARSE_LEVELS // domain.levels).astype(np.uint16)[:, None]
    if len(domain.radices) == 1:
        return codes.astype(np.uint16)[:, None]
    high, low = domain.radices
    digits = np.empty((len(codes), 2), np.uint16)
    special = codes >= domain.levels
    digits[:, 0] = np.where(special, codes - domain.levels + high, codes // low)
    digits[:, 1] = np.where(special, 0, codes % low)
    return digits


def shown_codes(domain: Domain, codes: Codes) -> npt.NDArray[np.int32]:
    """What a preview may say of codes: themselves, or of a wide domain the nearest of 8192 steps."""
    if not domain.wide:
        return codes.astype(np.int32, copy=False)
    top = domain.levels - 1
    return _scaled(domain, codes, SHOWN_LEVELS, (codes * (SHOWN_LEVELS - 1) + top // 2) // top).astype(np.int32)


def codes_of_shown(domain: Domain, shown: npt.NDArray[np.int32]) -> Codes:
    """Codes of what a preview says, an escape at most."""
    if not domain.wide:
        return np.clip(shown, 0, domain.escape).astype(np.int32)
    steps = np.clip(shown, 0, SHOWN_LEVELS + len(domain.specials) - 1).astype(np.int64)
    values = (steps * (domain.levels - 1) + (SHOWN_LEVELS - 1) // 2) // (SHOWN_LEVELS - 1)
    return np.where(steps < SHOWN_LEVELS, values, steps - SHOWN_LEVELS + domain.levels)


def _scaled(domain: Domain, codes: Codes, levels: int, values: Codes) -> Codes:
    return np.where(codes < domain.levels, values, codes - domain.levels + levels)


def digits_to_codes(domain: Domain, digits: Symbols) -> Codes:
    """Codes of (rows, digits) symbols; digits beyond the last value stand for an escape."""
    top = digits[:, 0].astype(np.int32)
    if len(domain.radices) == 1:
        return np.minimum(top, domain.escape)
    high, low = domain.radices
    codes = np.where(top >= high, top - high + domain.levels, np.minimum(top * low + digits[:, 1], domain.size))
    past = (top < high) & (codes >= domain.levels)
    return np.where(past | (codes >= domain.size), domain.escape, codes).astype(np.int32)


class ValueCode(Protocol):
    """How a column's values are numbered."""

    def encode(self, array: pa.Array, domain: Domain) -> Codes:
        """Codes of cells; cells that the domain lacks get `domain.escape`."""

    def decode(self, codes: Codes, domain: Domain, kind: pa.DataType, low: Ints | None = None) -> pa.Array:
        """Cells of codes; escapes come back as null."""

    def values(self, domain: Domain, kind: pa.DataType) -> pa.Array:
        """The value of every value code, in order."""


@dataclass(frozen=True, eq=False)
class NumberCode:
    """Quantiser levels as codes: all levels from `first` on, or only the listed ones.

    listed : increasing levels (int64), or None where code = (level - first) >> shift; shift : low bits that a wide
    column stores apart.
    """

    quantiser: Quantiser
    first: int
    listed: Ints | None
    shift: int = 0

    def encode(self, array: pa.Array, domain: Domain) -> Codes:
        """Codes of a numeric array, each value checked against the bound by its quantiser."""
        valid = valid_mask(array)
        if kind_of(array.type) == "float":
            cells = read_floats(array, valid)
            levels, ok = self.quantiser.quantise(cells)
            codes = self._number(levels, ok, domain)
            if not ok.all():
                _mark_floats(codes, cells, ok, domain)
        else:
            cells, fits = read_ints(array, valid)
            levels, ok = self.quantiser.quantise(cells)
            codes = self._number(levels, ok if fits is None else ok & fits, domain)
        if valid is not None:
            codes[~valid] = domain.code_of("null") if "null" in domain.specials else domain.escape
        return codes

    def _number(self, levels: Ints, ok: Mask, domain: Domain) -> Codes:
        if self.listed is None:
            place = (levels - np.int64(self.first)) >> np.int64(self.shift)
            known = ok & (place >= 0) & (place < domain.levels)
        elif self._table is not None:
            base = levels - self.listed[0]
            near = ok & (levels >= self.listed[0]) & (levels <= self.listed[-1])
            place = self._table[np.where(near, base, 0)]
            known = near & (place >= 0)
        else:
            place = np.minimum(np.searchsorted(self.listed, levels), domain.levels - 1)
            known = ok & (self.listed[place] == levels)
        return np.where(known, place, domain.escape).astype(np.int64 if domain.wide else np.int32)

    def low_bits(self, array: pa.Array, codes: Codes, domain: Domain) -> Ints:
        """What the codes of a wide column leave out, of its cells that have a value code."""
        valid = valid_mask(array)
        is_float = kind_of(array.type) == "float"
        cells = read_floats(array, valid) if is_float else read_ints(array, valid)[0]
        low = self.quantiser.quantise(cells)[0] - np.int64(self.first)
        return low[codes < domain.levels] & np.int64((1 << self.shift) - 1)

    @cached_property
    def _table(self) -> Ints | None:
        """Level - first level -> code, where the levels lie close enough together."""
        assert self.listed is not None
        low, high = int(self.listed[0]), int(self.listed[-1])
        if high - low >= 1 << 20:
            return None
        table = np.full(high - low + 1, -1, np.int64)
        table[self.listed - low] = np.arange(len(self.listed))
        return table

    def levels_of(self, domain: Domain) -> Ints:
        """The quantiser level of every value code."""
        if self.listed is not None:
            return self.listed
        return np.arange(domain.levels, dtype=np.int64) + np.int64(self.first)

    def decode(self, codes: Codes, domain: Domain, kind: pa.DataType, low: Ints | None = None) -> pa.Array:
        """Cells of codes; nulls and escapes come back as null.

        low : the low bits of cells that have a value code, in their order; the middle of what they may be if None.
        """
        if domain.wide:
            return self._decode_wide(codes, domain, kind, low)
        table = np.zeros(domain.size, self._cells(domain, kind).dtype)
        table[: domain.levels] = self._cells(domain, kind)
        for name, value in _FLOAT_SPECIALS.items():
            if name in domain.specials:
                table[domain.code_of(name)] = value
        absent = (codes == domain.escape) | (codes == domain.code_of("null"))
        valid = ~absent if absent.any() else None
        return _write(kind, table[codes], valid)

    def _decode_wide(self, codes: Codes, domain: Domain, kind: pa.DataType, low: Ints | None) -> pa.Array:
        value = codes < domain.levels
        levels = np.zeros(len(codes), np.int64)
        levels[value] = codes[value] << np.int64(self.shift)
        if self.shift:
            levels[value] += np.int64(1 << (self.shift - 1)) if low is None else low
        cells = self.quantiser.rebuild(levels + np.int64(self.first))
        for name, special in _FLOAT_SPECIALS.items():
            if name in domain.specials:
                cells[codes == domain.code_of(name)] = special
        absent = (codes == domain.escape) | (codes == domain.code_of("null"))
        return _write(kind, cells, ~absent if absent.any() else None)

    def _cells(self, domain: Domain, kind: pa.DataType) -> npt.NDArray[Any]:
        cached = self.__dict__.get("_cell_table")
        if cached is None:
            cached = self.quantiser.rebuild(self.levels_of(domain))
            self.__dict__["_cell_table"] = cached
        return cached

    def values(self, domain: Domain, kind: pa.DataType) -> pa.Array:
        """The rebuilt value of every value code."""
        return _write(kind, self._cells(domain, kind), None)


def _write(kind: pa.DataType, cells: npt.NDArray[Any], valid: Mask | None) -> pa.Array:
    return write_floats(kind, cells, valid) if kind_of(kind) == "float" else write_ints(kind, cells, valid)


def _mark_floats(codes: Codes, cells: npt.NDArray[Any], ok: Mask, domain: Domain) -> None:
    """Give NaN, infinities and -0.0 among the cells without a level their own codes."""
    spots = np.flatnonzero(~ok)
    odd = cells[spots]
    width = odd.dtype.itemsize
    plain_nan = np.array([np.nan], odd.dtype).view(f"u{width}")[0]
    tests = {
        "nan": odd.view(f"u{width}") == plain_nan,
        "+inf": odd == np.inf,
        "-inf": odd == -np.inf,
        "-0": (odd == 0) & np.signbit(odd),
    }
    for name, hit in tests.items():
        if name in domain.specials:
            codes[spots[hit]] = domain.code_of(name)


@dataclass(frozen=True, eq=False)
class TextCode:
    """Words of a dictionary as codes, in the order of `words` (an array of the column's working type)."""

    words: pa.Array

    def encode(self, array: pa.Array, domain: Domain) -> Codes:
        """Codes of a text array."""
        found = pc.index_in(array, value_set=self.words)
        codes = np.asarray(found.fill_null(domain.escape), np.int32).copy()
        valid = valid_mask(array)
        if valid is not None:
            codes[~valid] = domain.code_of("null") if "null" in domain.specials else domain.escape
        return codes

    def decode(self, codes: Codes, domain: Domain, kind: pa.DataType, low: Ints | None = None) -> pa.Array:
        """Words of codes; nulls and escapes come back as null."""
        absent = codes >= domain.levels
        index = pa.array(np.where(absent, 0, codes), mask=absent if absent.any() else None)
        return self.words.take(index)

    def values(self, domain: Domain, kind: pa.DataType) -> pa.Array:
        """The words."""
        return self.words
