"""Which contexts each column is coded in: tried on a sample, kept where the coder's own bytes get fewer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations, pairwise
from math import log2

import numpy as np
import numpy.typing as npt

from ae_core.mixing import coder
from ae_core.mixing.block import code_model
from ae_core.mixing.guess import fit_far_guess, fit_guess
from ae_core.mixing.inputs import Codes, Known, column_inputs
from ae_core.mixing.plan import (
    AGAINST,
    BUCKET,
    CHANGE,
    COARSE,
    ENERGY,
    FRACTION,
    GUESS,
    MOST_FEATURES,
    NOW,
    OWN,
    RESIDUAL,
    RUN,
    ColumnModel,
    Feature,
    MixingPlan,
    Reference,
)

SEARCH_ROWS = 16_384  # rows on which contexts are tried
LEAST_SEARCH_ROWS = 2_048  # of wide tables; guesses are fitted and finished models compared on twice the rows
NEIGHBOURS = 48  # columns that one looks at, the nearest: cost stays linear in columns
ALL_ROWS_COLUMNS = 24  # of a table with more columns, rows are fewer: 48 cost half the time and 0.07 % more bytes
MANY_COLUMNS, FEW_NEIGHBOURS = 256, 8  # of a table with more columns, the search for each has to be brief
BEFORE: Reference = (-1,)
_TRIED = 10  # features that are combined, the best alone first
_CONTEXTS = 6
_LEAST_GAIN = 0.003  # share of a column's bits that a further context has to save
_PARTNERS = 12  # known columns that are looked at in pairs
_KEYS = 3
_FEW = 16  # known columns up to which each is looked at in every row that is worth it, and not the row before alone
_FEW_LEVELS = 8  # below these no guess is made
_LONGEST_LAG = 4096
_LAGS = 3
_DEEP = 0.4  # of the distance at lags around it: what makes a lag stand out
_REPEATS = 0.02  # share of cells like those of another row from which on it pays to ask


def choose(
    codes: npt.NDArray[np.integer], levels: Sequence[int], sizes: Sequence[int], ordinal: Sequence[bool],
    coded: Sequence[bool], block_starts: Sequence[int] = (0,), search_rows: int = SEARCH_ROWS,
) -> MixingPlan:  # fmt: skip
    """A plan for columns of codes, from a sample.

    Parameters
    ----------
    codes
        Integers (rows, columns): values below `levels`, specials from there below `sizes`.
    ordinal
        Columns whose values are in order.
    coded
        Columns to code; the others are given to the decoder.
    block_starts
        First rows of the blocks that the sample is made of, the first 0.
    search_rows
        Rows on which contexts are tried; guesses are fitted and finished models compared on twice as many.
    """
    bare = MixingPlan(tuple(levels), tuple(sizes), ())
    bounds = [*block_starts, len(codes)]
    parts = [np.ascontiguousarray(codes[a:b], np.int64) for a, b in pairwise(bounds) if b > a]
    columns = max(1, sum(coded))
    many = len(levels) > MANY_COLUMNS
    neighbours = FEW_NEIGHBOURS if many else NEIGHBOURS
    rows = max(LEAST_SEARCH_ROWS, 0 if many else min(search_rows, search_rows * ALL_ROWS_COLUMNS**2 // columns**2))
    search, fit = _first_rows(bare, parts, rows), _first_rows(bare, parts, 2 * rows)
    given = [column for column in range(len(levels)) if not coded[column]]
    order = [column for column in range(len(levels)) if coded[column]]

    def search_for(place: int) -> ColumnModel:
        column = order[place]
        nearest = sorted([*given, *order[:place]], key=lambda other: (abs(other - column), other))[:neighbours]
        return _Search(bare, search, fit, column, sorted(nearest), ordinal).best()

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the coder lets go of the interpreter lock
        models = list(pool.map(search_for, range(len(order))))
    return replace(bare, models=tuple(models))


def _first_rows(plan: MixingPlan, parts: Sequence[Codes], rows: int) -> list[Known]:
    found, left = [], rows
    for part in parts:
        if left > 0:
            found.append(Known(plan, part[:left]))
            left -= len(part)
    return found


def model_bits(plan: MixingPlan, model: ColumnModel, blocks: Iterable[Known]) -> float:
    """Bits that a column takes under a model, block by block."""
    bits = 0.0
    for block in blocks:
        state, data = np.zeros(coder.STATE_SIZE, np.int64), np.zeros(128 * block.rows + 64, np.uint8)
        coder.open_stream(state, data, False)
        codes = block.codes[:, model.column].copy()
        code_model(plan, model, column_inputs(model, block), codes, state, data, decode=False)
        bits += 8 * int(state[coder.AT]) + 32 - log2(int(state[coder.HIGH] - state[coder.LOW]) + 1)
    return bits


class _Search:
    """The search for one column's model."""

    def __init__(
        self, plan: MixingPlan, search: Sequence[Known], fit: Sequence[Known], column: int, known: Sequence[int],
        ordinal: Sequence[bool],
    ) -> None:  # fmt: skip
        self.plan, self.search, self.fit = plan, search, fit
        self.column, self.known, self.ordinal = column, list(known), ordinal
        self.levels = plan.levels[column]
        self.numeric = ordinal[column] and self.levels > _FEW_LEVELS
        self.wide = (self.levels - 1).bit_length() >= coder.WIDE_BITS

    def best(self) -> ColumnModel:
        """The model of fewest bits on the larger sample."""
        plain = ColumnModel(self.column, False, ((),), (RUN, 0, BEFORE))
        if self._bits(plain) < 8 * len(self.search):  # as good as constant
            return plain
        references = [BEFORE, *self._lags(), *self._keys()]
        features = self._features(references)
        if self.wide:
            return self._wide(references, features)
        found = [self._grown(plain, features)]
        if self.numeric:
            constant, taps, _ = fit_guess(self.fit, self.column, self._sources(references), 8)
            guided = replace(plain, constant=constant, taps=taps)
            looks: list[Feature] = [(GUESS, 0, ()), (FRACTION, 0, ()), (ENERGY, 0, ()), (RESIDUAL, 0, BEFORE)]
            looks += [(AGAINST, 0, reference) for reference in references]
            if any(tap.column != self.column for tap in taps) or len(taps) > 1:
                found.append(self._grown(guided, [*looks, *features]))
            residual = replace(guided, residual=True, selector=(ENERGY, 0, ()))
            found.append(self._grown(residual, [*looks, *features]))
        return min(found, key=lambda model: model_bits(self.plan, model, self.fit) + 8 * _size(model))

    def _wide(self, references: Sequence[Reference], features: Sequence[Feature]) -> ColumnModel:
        """The model of a column whose values are numbers of many digits: always errors of a guess."""
        others = [c for c in self.known if self.ordinal[c] and self._varies(c)]
        constant, taps, _ = fit_far_guess(self.fit, self.column, self._beside(references), others, 8)
        model = ColumnModel(self.column, True, ((),), (ENERGY, 0, ()), constant, taps)
        repeats = {reference: self._repeats(reference) for reference in references}
        likely = max(references, key=lambda reference: repeats[reference])
        if repeats[likely] > _REPEATS:
            model = min(replace(model, again=likely), model, key=self._bits)
        looks: list[Feature] = [(ENERGY, 0, ()), (RESIDUAL, 0, BEFORE)]
        looks += [(AGAINST, 0, reference) for reference in references]
        return self._grown(model, [*looks, *features])

    def _repeats(self, reference: Reference) -> float:
        """Share of rows whose cell is that of a reference."""
        same = 0
        for block in self.search:
            back, codes = block.rows_of(reference), block.codes[:, self.column]
            same += int(((codes == codes[back]) & (back >= 0)).sum())
        return same / sum(block.rows for block in self.search)

    def _bits(self, model: ColumnModel) -> float:
        return model_bits(self.plan, model, self.search)

    # --- rows worth a look -------------------------------------------------------------------------

    def _distance(self, reference: Reference) -> float:
        """How far the cell at a reference is from this one, bits a row."""
        total, rows = 0.0, 0
        for block in self.search:
            back, codes = block.rows_of(reference), block.codes[:, self.column].astype(np.int64)
            if self.numeric:
                away = np.log2(1 + np.abs(codes - codes[back]))
            else:
                away = np.where(codes == codes[back], 0.0, log2(1 + self.levels))
            total += float(np.where(back >= 0, away, log2(1 + self.levels)).sum())
            rows += block.rows
        return total / rows

    def _keys(self) -> list[Reference]:
        """Sets of known columns whose last row with the same codes is close to this cell."""
        partners = [c for c in self.known if self._varies(c)]
        if len(partners) > _PARTNERS:
            partners = sorted(partners, key=lambda c: self._distance((c,)))[:_PARTNERS]
        scored: dict[Reference, float] = {}
        for size in (1, 2):
            for columns in combinations(partners, size):
                scored[columns] = self._distance(columns)
        best = sorted(scored, key=lambda key: scored[key])[:4]
        for columns in best:
            for more in partners:
                grown = tuple(sorted({*columns, more}))
                if grown not in scored:
                    scored[grown] = self._distance(grown)
        kept: list[Reference] = []
        for key in sorted(scored, key=lambda key: (scored[key], len(key))):
            if len(kept) < _KEYS and not any(set(key) < set(k) or set(k) < set(key) for k in kept[1:]):
                kept.append(key)
        return kept

    def _varies(self, column: int) -> bool:
        return any(int(block.codes[:, column].min()) != int(block.codes[:, column].max()) for block in self.search)

    def _lags(self) -> list[Reference]:
        """2, and the local minima of the distance over longer lags."""
        block = max(self.search, key=lambda block: block.rows)
        longest = min(block.rows // 4, _LONGEST_LAG)
        found: list[Reference] = [(-2,)]
        if longest < 4:
            return found
        codes = block.number(self.column).astype(np.float64)
        codes = codes - codes.mean()
        spectrum = np.fft.rfft(codes, 2 * len(codes))
        alike = np.fft.irfft(spectrum * spectrum.conj())[: longest + 1]
        squares = np.concatenate([[0.0], np.cumsum(codes * codes)])
        lags = np.arange(longest + 1)
        apart = (squares[-1] - squares[lags] + squares[len(codes) - lags] - 2 * alike) / (len(codes) - lags)
        inner = np.arange(3, longest)
        dips = inner[(apart[inner] < apart[inner - 1]) & (apart[inner] <= apart[inner + 1])]
        near = float(apart[2])
        low = apart[dips] < max(0.7 * near, min(near, 0.5 * float(np.median(apart))))
        sums = np.concatenate([[0.0], np.cumsum(apart)])
        first, end = dips // 2, np.minimum(dips + dips // 2, longest) + 1
        low |= apart[dips] < _DEEP * (sums[end] - sums[first]) / (end - first)  # the row above, in a smooth grid
        dips = dips[low]
        return found + [(-int(lag),) for lag in dips[np.argsort(apart[dips], kind="stable")][:_LAGS]]

    def _beside(self, references: Sequence[Reference]) -> list[Reference]:
        """The references, and the rows next to those a long way back: neighbours in a grid."""
        found = list(references)
        for reference in references:
            if reference[0] < -2:
                found += [(reference[0] - 1,), (reference[0] + 1,)]
        return list(dict.fromkeys(found))

    # --- contexts ----------------------------------------------------------------------------------

    def _features(self, references: Sequence[Reference]) -> list[Feature]:
        found: list[Feature] = []
        for reference in references:
            found += [(OWN, 0, reference), (RUN, 0, reference)]
            if self.levels > 40:
                found.append((COARSE, 0, reference))
        for column in self.known:
            if not self._varies(column):
                continue
            if (self.plan.levels[column] - 1).bit_length() < coder.WIDE_BITS:
                found.append((NOW, column, ()))
            if self.plan.levels[column] > 40 and self.ordinal[column]:
                found.append((BUCKET, column, ()))
            if self.ordinal[column]:
                found.append((CHANGE, column, BEFORE))
        return found

    def _sources(self, references: Sequence[Reference]) -> list[tuple[int, Reference]]:
        found = [(self.column, reference) for reference in self._beside(references)]
        rows = [reference for reference in references if reference != (-2,)] if len(self.known) <= _FEW else [BEFORE]
        for column in self.known:
            if self.ordinal[column] and self._varies(column):
                found += [(column, ()), *((column, reference) for reference in rows)]
        return found

    def _grown(self, model: ColumnModel, features: Sequence[Feature]) -> ColumnModel:
        """The model with contexts added, each the one that saves most, until none saves enough."""
        bits = self._bits(model)
        alone = {
            feature: self._bits(replace(model, contexts=(*model.contexts, (feature,))))
            for feature in dict.fromkeys(features)
        }
        best = sorted(alone, key=lambda feature: alone[feature])[:_TRIED]
        hopes: dict[tuple[Feature, ...], float] = {}  # what a context saved when last tried, at first all
        hopes |= {(feature,): bits - alone[feature] for feature in best}
        while len(model.contexts) < _CONTEXTS:
            context, saved = self._most_saving(model, bits, hopes)
            if saved < _LEAST_GAIN * bits + 16:
                break
            bits -= saved
            model = replace(model, contexts=(*model.contexts, context))
            del hopes[context]
            for feature in best:
                grown = tuple(sorted({*context, feature}))
                if len(grown) <= MOST_FEATURES and grown not in model.contexts:
                    hopes.setdefault(grown, bits)
        return model

    def _most_saving(
        self, model: ColumnModel, bits: float, hopes: dict[tuple[Feature, ...], float]
    ) -> tuple[tuple[Feature, ...], float]:
        """The context that saves most and its bits; hopes are seldom surpassed, so the faint ones are not tried."""
        found: tuple[tuple[Feature, ...], float] = ((), 0.0)
        for context in sorted(hopes, key=lambda context: -hopes[context]):
            if 3 * hopes[context] <= found[1]:
                break
            hopes[context] = bits - self._bits(replace(model, contexts=(*model.contexts, context)))
            if hopes[context] > found[1]:
                found = (context, hopes[context])
        return found


def _size(model: ColumnModel) -> int:
    return len(MixingPlan((), (), (model,)).to_bytes())
