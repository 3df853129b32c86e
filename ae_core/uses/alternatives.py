"""What a cell could be otherwise, and what the whole row would then cost: the model's distribution of one cell.

The bits of a row with a cell replaced, over all values that the cell may take, are that cell's distribution given every
other cell of the row and the rows before: of the latents that the encoder gives the changed row, of all columns given
these, and of the relations that the cell has a part in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.codec import Codec
from ae_core.coder.variants import variant_bits
from ae_core.columns import Codes, ColumnPlan, TablePlan, codes_to_digits, encode_columns
from ae_core.columns.derived import Linear, Lookup
from ae_core.columns.domain import TextCode
from ae_core.columns.storage import kind_of, one_array, read_floats, read_ints, valid_mask, working_type
from ae_core.kernels.encoder import encode_latents
from ae_core.pipeline import group_symbols
from ae_core.uses.spelling import Spelling
from ae_core.uses.surprise import RARE_SHARE, RAREST, lookup_bits

ALL_VALUES = 256  # of a domain of no more, every value is tried
GRID = 96  # of a greater one, so many, evenly spaced
FINE = 48  # and then so many around the best of them

_NULL_REST = np.iinfo(np.int64).min

TYPO_RARITY = 20  # a word so many times rarer than one near it may be a typing error

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Variants:
    """Rows with one cell replaced: increasing row numbers, the column's index, its code instead."""

    rows: Ints
    column: int
    codes: Ints


def changeable(plan: TablePlan) -> tuple[int, ...]:
    """Indices of the columns whose cells have a distribution: network-coded ones and those that relations determine."""
    found = []
    for index, column in enumerate(plan.columns):
        lookup = isinstance(column.derived, Lookup) and bool(column.derived.keys)
        lookup = lookup and column.domain is not None and not column.domain.wide
        if column.coder == "network" or lookup or isinstance(column.derived, Linear):
            found.append(index)
    return tuple(found)


@dataclass(eq=False)
class _Rests:
    """The rests of a linear column: those of the rows, and how many bits each is worth."""

    linear: Linear
    rest: Ints
    null: npt.NDArray[np.bool_]
    known: Ints = field(init=False)
    bits: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.rest = np.where(self.null, _NULL_REST, self.rest)  # nulls are a rest of their own
        self.known, counts = np.unique(self.rest, return_counts=True)
        share = counts / max(len(self.rest), 1)
        self.bits = np.where(share < RARE_SHARE, RAREST, -np.log2(share))

    @property
    def usual(self) -> int:
        """The most frequent rest."""
        values = self.known != _NULL_REST
        return int(self.known[values][self.bits[values].argmin()]) if values.any() else 0

    def bits_of(self, rest: Ints) -> npt.NDArray[np.float64]:
        """Bits of rests; of one that no row has, the most."""
        place = np.minimum(np.searchsorted(self.known, rest), len(self.known) - 1)
        return np.where(self.known[place] == rest, self.bits[place], RAREST)


class Alternatives:
    """A block as codes that can be changed, and the price of changing them."""

    def __init__(self, codec: Codec, table: pa.Table) -> None:
        assert codec.network is not None
        self.codec, self.plan, self.network = codec, codec.plan, codec.network
        self.table = table
        encoded = encode_columns(codec.plan, table)
        self.symbols = encoded.symbols
        self.codes: dict[int, Codes] = {
            index: encoded.shown[:, place].astype(np.int64) for place, index in enumerate(codec.plan.domain_columns)
        }
        self._stored: dict[int, Ints] = {}
        self._rests = {index: self._rest_of(index) for index in changeable(self.plan) if self._is_linear(index)}
        self._lookups = [
            (index, column.derived)
            for index, column in enumerate(self.plan.columns)
            if isinstance(column.derived, Lookup) and column.derived.keys
        ]
        self._spelling: dict[int, Spelling] = {}

    @property
    def rows(self) -> int:
        """Rows of the block."""
        return len(self.symbols)

    @cached_property
    def _latents(self) -> np.ndarray:
        return encode_latents(self.network.encoder, self.symbols)

    def null(self, index: int) -> npt.NDArray[np.bool_]:
        """The rows whose cell is null."""
        domain = self.plan.columns[index].domain
        if domain is not None and "null" in domain.specials:
            return self.codes[index] == domain.code_of("null")
        return np.asarray(self.table.column(index).is_null())

    def change(self, index: int, rows: Ints, codes: Ints) -> None:
        """Replace cells; what comes later sees them so. Of a linear column: the sum and the usual rest."""
        column = self.plan.columns[index]
        if self._is_linear(index):
            self._rests[index].rest[rows] = self._rests[index].usual
            return
        assert column.domain is not None
        for linear in self._rests.values():
            moved = self._moved(linear.linear, index, rows, codes)
            linear.rest[rows] -= np.where(linear.rest[rows] == _NULL_REST, 0, moved)
        self.codes[index][rows] = codes
        if index in self._stored:
            self._stored[index][rows] = self._levels(index)[codes]
        if column.has_symbols:
            self.symbols[rows[:, None], list(self.plan.positions[index])] = codes_to_digits(column.domain, codes)
        for cached in ("_latents", "_lookup_bits"):
            self.__dict__.pop(cached, None)

    def bits(self, variants: list[Variants]) -> list[npt.NDArray[np.float64]]:
        """Bits that each of the rows would take, in the lists' order; what no variant changes is left out alike."""
        symbols = [self._symbols(one) for one in variants]
        rows = np.concatenate([one.rows for one in variants])
        order = np.argsort(rows, kind="stable")
        joined, rows = np.concatenate(symbols)[order], rows[order]
        z = encode_latents(self.network.encoder, joined)
        total = variant_bits(self.network.prior, self._latents, z, rows)
        for group in self.network.groups:
            here = group_symbols(group, self._latents, self.symbols)
            total += variant_bits(group.frozen, here, group_symbols(group, z, joined), rows)
        back = np.empty_like(total)
        back[order] = total
        ends = np.cumsum([len(one.rows) for one in variants])[:-1]
        return [bits + self._relation_bits(one) for bits, one in zip(np.split(back, ends), variants, strict=True)]

    def candidates(self, index: int, rows: Ints) -> Variants | None:
        """What the cells of a column may be in these rows: all values, a grid of them, or near words."""
        column = self.plan.columns[index]
        domain = column.domain
        if self._is_linear(index) or domain is None:
            return None
        if isinstance(column.derived, Lookup):
            predicted = column.derived.predict([self.codes[key][rows] for key in column.derived.keys], len(rows))
            told = (predicted >= 0) & (predicted < domain.levels) & (predicted != self.codes[index][rows])
            return Variants(rows[told], index, predicted[told].astype(np.int64))
        words = isinstance(column.code, TextCode)
        unknown = self.codes[index][rows] == domain.escape
        if words and unknown.any():
            known = self._all_values(index, rows[~unknown])
            near = self._near(index, rows[unknown & ~self._null_now(index, rows)])
            return _joined(index, known, near)
        if words and domain.levels > ALL_VALUES:
            return self._near(index, rows)
        return self._all_values(index, rows)

    def around(self, index: int, rows: Ints, codes: Ints) -> Variants:
        """Values around a code of a grid, for each row."""
        domain = self.plan.columns[index].domain
        assert domain is not None
        reach = max(1, domain.levels // GRID)
        steps = np.unique(np.linspace(-reach, reach, min(FINE, 2 * reach + 1)).astype(np.int64))
        found = np.clip(codes[:, None] + steps, 0, domain.levels - 1)
        return Variants(np.repeat(rows, len(steps)), index, found.reshape(-1))

    def is_typo(self, index: int, rows: Ints, codes: Ints) -> npt.NDArray[np.bool_]:
        """True where a cell's word is one typing error away from the code's, and far rarer in the block."""
        column = self.plan.columns[index]
        found = np.zeros(len(rows), np.bool_)
        if column.domain is None or not isinstance(column.code, TextCode) or not _spelled(column):
            return found
        near = self._near(index, rows)
        told = set(zip(near.rows.tolist(), near.codes.tolist(), strict=True))
        counts = np.bincount(self.codes[index], minlength=column.domain.size)
        own = self.codes[index][rows]
        rare = (counts[own] * TYPO_RARITY <= counts[codes]) | (own == column.domain.escape)
        found[rare] = [pair in told for pair in zip(rows[rare].tolist(), codes[rare].tolist(), strict=True)]
        return found

    def is_grid(self, index: int) -> bool:
        """True where `candidates` tries some values of many."""
        domain = self.plan.columns[index].domain
        return domain is not None and domain.levels > ALL_VALUES and domain.ordinal

    def linear_gain(self, index: int, rows: Ints) -> npt.NDArray[np.float64]:
        """Bits that a linear column's cells would save with the usual rest."""
        rests = self._rests[index]
        return rests.bits_of(rests.rest[rows]) - float(rests.bits_of(np.array([rests.usual]))[0])

    def linear_cells(self, index: int, rows: Ints) -> Ints:
        """Storage of a linear column's cells with the usual rest."""
        rests = self._rests[index]
        inputs = [self._storage(key)[rows] for key in rests.linear.inputs]
        return rests.linear.sum(inputs, len(rows)) + rests.usual

    def numbers(self, index: int) -> npt.NDArray[np.float64] | None:
        """The value of every value code as a number; None for texts and booleans."""
        column = self.plan.columns[index]
        assert column.code is not None
        assert column.domain is not None
        kind = working_type(column.type)
        if not column.domain.ordinal or kind_of(kind) not in ("int", "float") or pa.types.is_boolean(kind):
            return None
        values = column.code.values(column.domain, kind)
        if kind_of(kind) == "float":
            return read_floats(values, None).astype(np.float64)
        cells, fits = read_ints(values, None)
        return cells.astype(np.float64) if fits is None and (np.diff(cells) > 0).all() else None

    # --- parts --------------------------------------------------------------------------------------------

    def _is_linear(self, index: int) -> bool:
        return isinstance(self.plan.columns[index].derived, Linear)

    def _null_now(self, index: int, rows: Ints) -> npt.NDArray[np.bool_]:
        return np.asarray(self.table.column(index).is_null())[rows]

    def _storage(self, index: int) -> Ints:
        """Storage of a column's cells as they are now; nulls are 0."""
        if index not in self._stored:
            kind = working_type(self.plan.columns[index].type)
            column = self.table.column(index)
            array = one_array(column if kind == column.type else column.cast(kind))
            self._stored[index] = read_ints(array, valid_mask(array))[0].copy()
        return self._stored[index]

    def _levels(self, index: int) -> Ints:
        """Storage of a column's value codes."""
        column = self.plan.columns[index]
        assert column.domain is not None
        assert column.code is not None
        return read_ints(column.code.values(column.domain, working_type(column.type)), None)[0]

    def _rest_of(self, index: int) -> _Rests:
        linear = self.plan.columns[index].derived
        assert isinstance(linear, Linear)
        inputs = [self._storage(key) for key in linear.inputs]
        null = np.asarray(self.table.column(index).is_null())
        return _Rests(linear, self._storage(index) - linear.sum(inputs, self.rows), null)

    def _moved(self, linear: Linear, index: int, rows: Ints, codes: Ints) -> Ints:
        """By how much a linear column's sum rises with other codes of one of its inputs."""
        if index not in linear.inputs:
            return np.zeros(len(rows), np.int64)
        levels, old = self._levels(index), self._storage(index)[rows]
        value = codes < len(levels)
        new = np.where(value, levels[np.where(value, codes, 0)], old)
        return np.int64(linear.coefficients[linear.inputs.index(index)]) * (new - old)

    def _symbols(self, one: Variants) -> np.ndarray:
        rows = self.symbols[one.rows]
        column = self.plan.columns[one.column]
        if column.has_symbols and column.domain is not None:
            rows[:, self.plan.positions[one.column]] = codes_to_digits(column.domain, one.codes)
        return rows

    def _relation_bits(self, one: Variants) -> npt.NDArray[np.float64]:
        """Bits of the relations that the changed column has a part in."""
        total = np.zeros(len(one.rows))
        for index, lookup in self._lookups:
            if one.column != index and one.column not in lookup.keys:
                total += self._lookup_bits[index][one.rows]
                continue
            keys = [one.codes if key == one.column else self.codes[key][one.rows] for key in lookup.keys]
            own = one.codes if index == one.column else self.codes[index][one.rows]
            total += np.where(lookup.predict(keys, len(own)) == own, 0, self._miss(index))
        for rests in self._rests.values():
            moved = self._moved(rests.linear, one.column, one.rows, one.codes)
            rest = rests.rest[one.rows]
            total += rests.bits_of(np.where(rest == _NULL_REST, rest, rest - moved))
        return total

    @cached_property
    def _lookup_bits(self) -> dict[int, npt.NDArray[np.float64]]:
        found = {}
        for index, lookup in self._lookups:
            predicted = lookup.predict([self.codes[key] for key in lookup.keys], self.rows)
            found[index] = np.where(predicted == self.codes[index], 0, self._miss(index))
        return found

    def _miss(self, index: int) -> float:
        domain = self.plan.columns[index].domain
        assert domain is not None
        return lookup_bits(domain.size)

    def _all_values(self, index: int, rows: Ints) -> Variants:
        domain = self.plan.columns[index].domain
        assert domain is not None
        if domain.levels <= ALL_VALUES:
            values = np.arange(domain.levels, dtype=np.int64)
        elif domain.ordinal:
            values = np.unique(np.linspace(0, domain.levels - 1, GRID).astype(np.int64))
        else:
            return Variants(rows[:0], index, rows[:0])
        return Variants(np.repeat(rows, len(values)), index, np.tile(values, len(rows)))

    def _near(self, index: int, rows: Ints) -> Variants:
        """Words one typing error away from those in the rows."""
        column = self.plan.columns[index]
        if not isinstance(column.code, TextCode) or not _spelled(column):
            return Variants(rows[:0], index, rows[:0])
        if index not in self._spelling:
            self._spelling[index] = Spelling(column.code.words.to_pylist())
        words = self.table.column(index).take(pa.array(rows)).to_pylist()
        near = {word: self._spelling[index].near(word) for word in set(words) if word is not None}
        found = [(row, code) for row, word in zip(rows, words, strict=True) for code in near.get(word, ())]
        pairs = np.array(found, np.int64).reshape(-1, 2)
        return Variants(pairs[:, 0], index, pairs[:, 1])


def _spelled(column: ColumnPlan) -> bool:
    kind = working_type(column.type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _joined(index: int, a: Variants, b: Variants) -> Variants:
    rows, codes = np.concatenate([a.rows, b.rows]), np.concatenate([a.codes, b.codes])
    order = np.argsort(rows, kind="stable")
    return Variants(rows[order], index, codes[order])
