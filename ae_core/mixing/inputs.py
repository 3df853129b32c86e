"""A column's model and the columns known before it -> the arrays that the coder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ae_core.mixing.plan import BUCKET, CHANGE, MOST_FEATURES, NOW, ColumnModel, MixingPlan, Reference

Codes = npt.NDArray[np.int64]
_MOST_GUESS = 1 << 60


@dataclass(frozen=True, eq=False)
class Inputs:
    """Arguments of `coder.code_column`, by their names there."""

    refs: npt.NDArray[np.int32]
    statics: npt.NDArray[np.int32]
    features: npt.NDArray[np.int64]
    contexts: npt.NDArray[np.int64]
    selector: int
    again: int
    base: npt.NDArray[np.int64]
    taps: npt.NDArray[np.int64]


class Known:
    """The columns of a block that are known so far, and rows found in them; each found once."""

    def __init__(self, plan: MixingPlan, codes: Codes) -> None:
        self.levels, self.codes, self.rows = plan.levels, codes, len(codes)
        self._rows_of: dict[Reference, npt.NDArray[np.int32]] = {}
        self._numbers: dict[int, npt.NDArray[np.int64]] = {}

    def rows_of(self, reference: Reference) -> npt.NDArray[np.int32]:
        """The row that a reference means, by row, -1 where there is none."""
        if reference not in self._rows_of:
            if reference[0] < 0:
                found = np.arange(self.rows, dtype=np.int32) + np.int32(reference[0])
                self._rows_of[reference] = np.maximum(found, -1).astype(np.int32)
            else:
                self._rows_of[reference] = _last_same(self._key(reference))
        return self._rows_of[reference]

    def _key(self, columns: Sequence[int]) -> npt.NDArray[np.uint64]:
        key = np.zeros(self.rows, np.uint64)
        for column in columns:
            key = (key + self.codes[:, column].astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        return key

    def number(self, column: int) -> npt.NDArray[np.int64]:
        """A column's codes, specials replaced by the value before them (0 at the start)."""
        if column not in self._numbers:
            codes = self.codes[:, column].astype(np.int64)
            valid = codes < self.levels[column]
            last = np.maximum.accumulate(np.where(valid, np.arange(self.rows), -1))
            self._numbers[column] = np.where(last >= 0, codes[last], 0)
        return self._numbers[column]

    def number_at(self, column: int, reference: Reference) -> npt.NDArray[np.int64]:
        """`number` at the rows of a reference; at the row before where there is none, 0 at the start."""
        numbers = self.number(column)
        if not reference:
            return numbers
        rows = self.rows_of(reference)
        before = np.concatenate([np.zeros(min(1, self.rows), np.int64), numbers[:-1]])
        return np.where(rows >= 0, numbers[rows], before)

    def feature(self, kind: int, column: int, reference: Reference) -> npt.NDArray[np.int32]:
        """A feature of known columns, int32 (rows,)."""
        codes = self.codes[:, column].astype(np.int64)
        if kind == BUCKET:
            levels = max(self.levels[column], 1)
            codes = np.where(codes < levels, codes * 40 // levels, codes - levels + 64)
        if kind == CHANGE:
            rows = self.rows_of(reference)
            return np.where(rows >= 0, magnitudes(codes - codes[rows]), 99).astype(np.int32)
        return codes.astype(np.int32)


def magnitudes(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Signed classes of numbers: exact to 2, then two an octave."""
    size = np.abs(values)
    exponent = np.zeros(len(values), np.int64)
    for k in range(1, 48):
        exponent += size >> k > 0
    half = size >> np.maximum(exponent - 1, 0) & 1
    return np.where(size > 2, 2 * exponent + half, size) * np.sign(values)


@njit(cache=True, nogil=True)
def _last_same(keys: Any) -> Any:
    """The last earlier row with the same key, -1 where there is none."""
    room = 16
    while room < 2 * len(keys):
        room *= 2
    heads = np.full(room, -1, np.int32)
    found = np.full(len(keys), -1, np.int32)
    for row in range(len(keys)):
        place = np.int64(keys[row] >> np.uint64(20)) & (room - 1)
        while heads[place] >= 0 and keys[heads[place]] != keys[row]:
            place = (place + 1) & (room - 1)
        found[row] = heads[place]
        heads[place] = row
    return found


def column_inputs(model: ColumnModel, known: Known) -> Inputs:
    """What the coder needs for one column."""
    features = model.features
    own_taps = [tap for tap in model.taps if tap.column == model.column]
    own = [f[2] for f in features if f[0] < NOW and f[2]] + [tap.reference for tap in own_taps]
    references = list(dict.fromkeys([*own, *([] if model.again is None else [model.again])]))
    table = np.full((len(features), 2), -1, np.int64)
    statics: list[npt.NDArray[np.int32]] = []
    for place, (kind, argument, reference) in enumerate(features):
        if kind >= NOW:
            table[place] = -1, len(statics)
            statics.append(known.feature(kind, argument, reference))
        else:
            table[place] = kind, references.index(reference) if reference else argument
    contexts = np.full((len(model.contexts), MOST_FEATURES), -1, np.int64)
    for row, context in enumerate(model.contexts):
        contexts[row, : len(context)] = [features.index(feature) for feature in context]
    base = np.zeros(known.rows if model.guided else 0, np.int64)
    if model.guided:
        base += model.constant
        for tap in model.taps:
            if tap.column != model.column:
                base += tap.weight * known.number_at(tap.column, tap.reference)
        base = np.clip(base, -_MOST_GUESS, _MOST_GUESS)
    return Inputs(
        refs=_stacked([known.rows_of(reference) for reference in references], known.rows),
        statics=_stacked(statics, known.rows),
        features=table,
        contexts=contexts,
        selector=-1 if model.selector is None else features.index(model.selector),
        again=-1 if model.again is None else references.index(model.again),
        base=base,
        taps=np.array([(references.index(t.reference), t.weight) for t in own_taps], np.int64).reshape(-1, 2),
    )


def _stacked(arrays: list[npt.NDArray[np.int32]], rows: int) -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(np.stack(arrays)) if arrays else np.zeros((0, rows), np.int32)
