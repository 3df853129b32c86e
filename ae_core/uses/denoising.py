"""Cells that the rest of their row speaks against, and what it speaks for.

The evidence against a cell is how many bits its row would save with the best other value: the logarithm of how much
likelier the model holds that value, given all other cells of the row and the rows before. Numbers are replaced by their
conditional expectation, taken to the nearest value that the column has; texts by the likeliest word, of a word that the
model does not know only by one a typing error away. Half the evidence is enough where a word is one typing error away
from one that is far more frequent. One cell of a row is replaced at a time, that of the strongest
evidence first, and the row is looked at again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.codec import Codec
from ae_core.columns.derived import Linear
from ae_core.columns.storage import one_array, working_type, write_ints
from ae_core.columns.table import restore
from ae_core.uses.alternatives import Alternatives, Ints, Variants, changeable
from ae_core.uses.surprise import surprise

ROUNDS = 3  # cells of a row that are replaced at most, beside those that have to be filled
TOGETHER = 500  # rows whose variants are weighed at once: memory stays bounded
TYPO_SHARE = 0.5  # of the evidence is enough for a rare word one typing error away from a frequent one
UNSUPPORTED = 6.0  # bits beyond the best at which a value is no expectation but a gap between two
UNLIKELY = 30.0  # bits beyond the best that count for nothing in an expectation


@dataclass(frozen=True, eq=False)
class Change:
    """One replaced cell; `evidence` in bits, negative where a null was filled that the model thinks right."""

    row: int
    column: int
    evidence: float


@dataclass(frozen=True, eq=False)
class DenoisedBlock:
    """A block with its changes, in the order of rows and columns, and the arrays of its columns."""

    table: pa.Table
    changes: tuple[Change, ...]


@dataclass(frozen=True, eq=False)
class _Best:
    """Of one column, in some rows: bits saved by the best value, and the code to replace the cell by."""

    column: int
    rows: Ints
    gain: npt.NDArray[np.float64]
    codes: Ints


def denoise_block(codec: Codec, table: pa.Table, *, evidence: float, fill: Collection[str] = ()) -> DenoisedBlock:
    """The block with its unlikely cells replaced.

    Parameters
    ----------
    evidence : bits that replacing a cell has to save.
    fill : columns whose nulls are all filled, whatever speaks for or against it.
    """
    block = Alternatives(codec, table)
    columns = changeable(codec.plan)
    filled = [index for index in columns if codec.plan.columns[index].name in set(fill)]
    (scores,) = surprise(codec, [table])
    bits = scores.bits
    suspicious = bits > np.median(bits) + evidence * TYPO_SHARE if len(bits) else np.zeros(0, np.bool_)
    changed: dict[tuple[int, int], float] = {}
    waiting = {index: block.null(index) for index in filled}
    for _ in range(ROUNDS + len(filled)):
        empty = np.any([*waiting.values()], axis=0) if waiting else np.zeros(block.rows, np.bool_)
        rows = np.flatnonzero(suspicious | empty)
        if not len(rows):
            break
        found = _strongest(block, rows, columns, suspicious, waiting, changed, evidence)
        if not found:
            break
        suspicious = np.zeros(block.rows, np.bool_)
        for best in found:
            block.change(best.column, best.rows, best.codes)
            for row, gain in zip(best.rows.tolist(), best.gain.tolist(), strict=True):
                changed[(row, best.column)] = gain
            suspicious[best.rows[best.gain >= evidence * TYPO_SHARE]] = True
            if best.column in waiting:
                waiting[best.column][best.rows] = False
    changes = tuple(Change(row, column, gain) for (row, column), gain in sorted(changed.items()))
    return DenoisedBlock(_rebuilt(block, changes), changes)


def _strongest(
    block: Alternatives,
    rows: Ints,
    columns: Sequence[int],
    suspicious: npt.NDArray[np.bool_],
    waiting: dict[int, npt.NDArray[np.bool_]],
    changed: dict[tuple[int, int], float],
    evidence: float,
) -> list[_Best]:
    """The cell of each row that is to be replaced, by column: an empty one that is to be filled before others."""
    chosen: list[_Best] = []
    for at in range(0, len(rows), TOGETHER):
        some = rows[at : at + TOGETHER]
        asked = {}
        for index in columns:
            mine = some[suspicious[some] | waiting[index][some]] if index in waiting else some[suspicious[some]]
            asked[index] = mine[[(row, index) not in changed for row in mine.tolist()]]
        options = _weighed(block, some, asked)
        gain = np.full((len(options), len(some)), -np.inf)
        for number, best in enumerate(options):
            place = np.searchsorted(some, best.rows)
            enough = best.gain >= evidence
            close = ~enough & (best.gain >= evidence * TYPO_SHARE)
            if close.any():
                enough[close] = block.is_typo(best.column, best.rows[close], best.codes[close])
            gain[number, place] = np.where(enough, best.gain, -np.inf)
            if best.column in waiting:
                must = waiting[best.column][best.rows]
                gain[number, place[must]] = best.gain[must] + 1e6  # first, the surest of them first
        if not options:
            continue
        winner = np.where(gain.max(0) > -np.inf, gain.argmax(0), -1)
        for number, best in enumerate(options):
            take = winner[np.searchsorted(some, best.rows)] == number
            if take.any():
                chosen.append(_Best(best.column, best.rows[take], best.gain[take], best.codes[take]))
    return chosen


def _weighed(block: Alternatives, some: Ints, asked: dict[int, Ints]) -> list[_Best]:
    """The best other value of every cell that is asked for."""
    found = []
    variants: list[Variants] = []
    for index, rows in asked.items():
        if not len(rows):
            continue
        if isinstance(block.plan.columns[index].derived, Linear):
            found.append(_Best(index, rows, block.linear_gain(index, rows), np.zeros(len(rows), np.int64)))
        elif (one := block.candidates(index, rows)) is not None and len(one.rows):
            variants.append(one)
    if variants:
        any_column = variants[0].column
        itself = Variants(some, any_column, np.asarray(block.codes[any_column][some], np.int64))
        base, *bits = block.bits([itself, *variants])
        for one, cost in zip(variants, bits, strict=True):
            if block.is_grid(one.column):
                rows, places = _least(one.rows, cost)
                finer = block.around(one.column, rows, one.codes[places])
                one, cost = finer, block.bits([finer])[0]
            found.append(_best_of(block, one, cost, some, base))
    return found


def _least(rows: Ints, bits: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """The distinct rows of increasing `rows`, and the place of the least bits of each."""
    distinct, first = np.unique(rows, return_index=True)
    order = np.lexsort((bits, rows))
    return distinct, order[first]


def _best_of(
    block: Alternatives, one: Variants, bits: npt.NDArray[np.float64], some: Ints, base: npt.NDArray[np.float64]
) -> _Best:
    """What a column's variants come to in each row: what is saved at best, and expectation or likeliest value."""
    rows, places = _least(one.rows, bits)
    least, codes = bits[places], one.codes[places]
    numbers = block.numbers(one.column)
    if numbers is not None:
        which = np.searchsorted(rows, one.rows)
        above = bits - least[which]
        weight = np.where(above < UNLIKELY, np.exp2(-np.minimum(above, UNLIKELY)), 0)
        total = np.bincount(which, weight, len(rows))
        mean = np.bincount(which, weight * numbers[one.codes], len(rows)) / total
        place = np.clip(np.searchsorted(numbers, mean), 1, max(len(numbers) - 1, 1))
        nearer = np.abs(mean - numbers[place - 1]) <= np.abs(numbers[np.minimum(place, len(numbers) - 1)] - mean)
        wanted = np.where(nearer, place - 1, np.minimum(place, len(numbers) - 1)).astype(np.int64)
        # between two likely values lies one that is not: then the likeliest it is
        mine = (one.codes == wanted[which]) & (above < UNSUPPORTED)
        codes = np.where(np.bincount(which[mine], minlength=len(rows)) > 0, wanted, codes)
    return _Best(one.column, rows, base[np.searchsorted(some, rows)] - least, codes)


def _rebuilt(block: Alternatives, changes: Sequence[Change]) -> pa.Table:
    """The table with the changed cells in their own types."""
    table = block.table
    for index in sorted({change.column for change in changes}):
        rows = np.array([change.row for change in changes if change.column == index], np.int64)
        column = block.plan.columns[index]
        kind = working_type(column.type)
        if isinstance(column.derived, Linear):
            new = write_ints(kind, block.linear_cells(index, rows), None)
        else:
            assert column.code is not None
            assert column.domain is not None
            new = column.code.decode(block.codes[index][rows], column.domain, kind)
        old = table.column(index)
        base = one_array(old if kind == old.type else old.cast(kind))
        order = np.arange(len(base))
        order[rows] = len(base) + np.arange(len(rows))
        array = restore(pa.concat_arrays([base, new]).take(pa.array(order)), column.type)
        table = table.set_column(index, table.schema.field(index), array)
    return table
