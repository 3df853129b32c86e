"""Which copy candidates are worth their time: chosen on a sample by the bits that they save.

A stand-in for the network codes every position with adaptive frequencies in its best single context (nothing, an
earlier position of the row, or the position's previous symbol). A candidate changes the probability p of the symbol
that it names to the hit rate r of its class and of p's order of magnitude, and scales the others by (1 - r)/(1 - p):
what a raised logit does. It is kept for the bits that this saves. Nothing here is on the decode path.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from ae_core.kernels.compiling import kernel
from ae_core.kernels.copying import block_starts, follow, key_hashes
from ae_core.kernels.frozen import COPY_CLASSES, MAX_KEY

SAMPLE_ROWS: Final = 131_072
FULL_SAMPLE_POSITIONS: Final = 24
"""Tables with more positions are judged on proportionally fewer rows, so that the search stays in its time."""
LEADERS: Final = 6
"""Singles that pairs are built from in wide tables, and that pairs and triples grow by."""
ALL_PAIRS_UP_TO: Final = 12
GROW_FACTOR: Final = 1.01
"""A longer key must save this much more than its best part: short keys have more history in a block."""
MIN_BITS: Final = 2_048
"""About the bits that a candidate's own boosts and gates take, twice."""
MIN_SHARE: Final = 0.001
"""Of the whole table's bits: below, a candidate costs more time than it is worth."""
KEPT_HASHES: Final = 48
"""Keys whose hashes are kept for the next positions, 1 MiB each."""
_BINS: Final = 12


class _Standin(NamedTuple):
    """The stand-in's choice for one position: context symbols, its adaptive counts start empty."""

    context: np.ndarray  # int32 (rows,)
    contexts: int
    bits: float


class _Boosted(NamedTuple):
    """What an earlier candidate did to each row: which symbol it named, its new probability, the others' factor."""

    value: np.ndarray  # int16 (rows,), -1 where it said nothing
    probability: np.ndarray  # float32 (rows,)
    others: np.ndarray  # float32 (rows,)


@kernel
def _probability(joint: int, total: int, plain: int, rows: int, alphabet: int) -> float:
    """Adaptive estimate: counts in the context, backed off to the counts without context."""
    return (joint + 2.0 * (plain + 0.5) / (rows + 0.5 * alphabet)) / (total + 2.0)


@kernel
def _adaptive_bits(target: np.ndarray, alphabet: int, context: np.ndarray, contexts: int) -> float:
    """Bits of `target` under adaptive frequencies in `context`."""
    joint = np.zeros((contexts, alphabet), np.int32)
    total = np.zeros(contexts, np.int32)
    plain = np.zeros(alphabet, np.int32)
    bits = 0.0
    product = 1.0
    for r in range(target.shape[0]):
        x, c = target[r], context[r]
        product *= _probability(joint[c, x], total[c], plain[x], r, alphabet)
        if product < 1e-200:
            bits -= np.log2(product)
            product = 1.0
        joint[c, x] += 1
        total[c] += 1
        plain[x] += 1
    return bits - np.log2(product)


@kernel
def _magnitude(p: float) -> int:
    """Bin of a probability by its log odds."""
    odds = np.log2(p / (1.0 - p))
    return min(max(int(odds * 0.75 + 0.5 * _BINS), 0), _BINS - 1)


@kernel
def _judge(
    target: np.ndarray,
    alphabet: int,
    context: np.ndarray,
    contexts: int,
    values: np.ndarray,
    classes: np.ndarray,
    first_value: np.ndarray,
    first_probability: np.ndarray,
    first_others: np.ndarray,
    probability: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Bits that the candidate saves, and the hit rate by (class, magnitude); fills the named symbol's probability."""
    joint = np.zeros((contexts, alphabet), np.int32)
    total = np.zeros(contexts, np.int32)
    plain = np.zeros(alphabet, np.int32)
    hits = np.zeros((COPY_CLASSES, _BINS))
    misses = np.zeros((COPY_CLASSES, _BINS))
    before = 0.0
    product = 1.0
    for r in range(target.shape[0]):
        x, c, v, kind = target[r], context[r], values[r], classes[r]
        if kind > 0:
            if first_value[r] == v:
                p = float(first_probability[r])
            else:
                p = _probability(joint[c, v], total[c], plain[v], r, alphabet) * first_others[r]
            p = min(max(p, 1e-6), 1.0 - 1e-6)
            probability[r] = p
            at = _magnitude(p)
            if v == x:
                hits[kind, at] += 1
                product *= p
            else:
                misses[kind, at] += 1
                product *= 1.0 - p
            if product < 1e-200:
                before -= np.log2(product)
                product = 1.0
        joint[c, x] += 1
        total[c] += 1
        plain[x] += 1
    before -= np.log2(product)
    rate = (hits + 0.5) / (hits + misses + 1.0)
    after = -np.sum(hits * np.log2(rate) + misses * np.log2(1.0 - rate)) + np.sum(np.log2(hits + misses + 1.0))
    return before - after, rate


@kernel
def _apply(
    values: np.ndarray, classes: np.ndarray, probability: np.ndarray, rate: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of `_Boosted` after a candidate."""
    value = np.full(values.shape[0], -1, np.int16)
    named = np.zeros(values.shape[0], np.float32)
    others = np.ones(values.shape[0], np.float32)
    for r in range(values.shape[0]):
        if classes[r] > 0:
            p = probability[r]
            raised = rate[classes[r], _magnitude(p)]
            value[r] = values[r]
            named[r] = raised
            others[r] = (1.0 - raised) / (1.0 - p)
    return value, named, others


class _Search:
    """The search for one table: keeps what candidates of different positions share."""

    def __init__(self, symbols: np.ndarray, alphabets: tuple[int, ...], starts: np.ndarray) -> None:
        self.columns = np.ascontiguousarray(symbols.T)
        self.symbols = symbols
        self.alphabets = alphabets
        self.starts = starts
        self.rows = len(symbols)
        self.hashes: dict[tuple[int, ...], np.ndarray] = {}

    def standin(self, position: int) -> _Standin:
        """The cheapest single context of a position."""
        target, alphabet = self.columns[position], self.alphabets[position]
        previous = np.concatenate(([0], target[:-1])).astype(np.int32)
        options = [(np.zeros(self.rows, np.int32), 1), (previous, alphabet)]
        options += [(self.columns[q].astype(np.int32), self.alphabets[q]) for q in range(position)]
        found = [_Standin(c, n, _adaptive_bits(target, alphabet, c, n)) for c, n in options]
        return min(found, key=lambda option: option.bits)

    def features(self, position: int, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Value and class of a candidate at every row."""
        if key not in self.hashes:
            if len(self.hashes) > KEPT_HASHES:
                self.hashes.clear()
            self.hashes[key] = key_hashes(self.symbols, np.array(key, dtype=np.int64))
        values, classes = np.empty(self.rows, np.int16), np.empty(self.rows, np.int8)
        follow(self.hashes[key], self.columns[position], self.starts, values, classes)
        return values, classes

    def saving(
        self, position: int, key: tuple[int, ...], standin: _Standin, before: _Boosted
    ) -> tuple[float, _Boosted]:
        """Bits that a candidate saves after `before`, and what it leaves to a later one."""
        values, classes = self.features(position, key)
        named = np.zeros(self.rows, np.float32)
        bits, rate = _judge(
            self.columns[position],
            self.alphabets[position],
            standin.context,
            standin.contexts,
            values,
            classes,
            *before,
            named,
        )
        return bits, _Boosted(*_apply(values, classes, named, rate))

    def best_key(self, position: int, standin: _Standin, before: _Boosted) -> tuple[float, tuple[int, ...], _Boosted]:
        """The key that saves most: singles, pairs, then pairs and triples grown by the leading singles."""
        usable = [q for q in range(position) if self.alphabets[q] > 1]
        savings: dict[tuple[int, ...], float] = {}

        def judge(key: tuple[int, ...]) -> None:
            if key not in savings:
                savings[key] = self.saving(position, key, standin, before)[0]

        judge(())
        for q in usable:
            judge((q,))
        leaders = sorted(usable, key=lambda q: -savings[(q,)])
        for pair in combinations(leaders[: ALL_PAIRS_UP_TO if len(usable) <= ALL_PAIRS_UP_TO else LEADERS], 2):
            judge(tuple(sorted(pair)))
        for length in range(2, MAX_KEY):
            grown = sorted((key for key in savings if len(key) == length), key=lambda key: -savings[key])[:2]
            for key in grown:
                for q in leaders[: 2 * LEADERS]:
                    if q not in key:
                        judge(tuple(sorted((*key, q))))
        best: tuple[int, ...] = ()
        for key in sorted(savings, key=len):
            margin = GROW_FACTOR if len(key) > len(best) else 1.0
            if savings[key] > margin * max(savings[best], 0.0):
                best = key
        bits, after = self.saving(position, best, standin, before)
        return bits, best, after


def find_candidates(
    symbols: np.ndarray,
    alphabets: tuple[int, ...],
    coded: tuple[bool, ...],
    *,
    block_rows: int | np.ndarray,
    max_per_position: int = 2,
) -> list[tuple[int, tuple[int, ...]]]:
    """Copy candidates (position, key) that save bits on the table, sorted by position, the better one first.

    Parameters
    ----------
    symbols
        uint16 (rows, positions); the first 131,072 rows are judged, fewer in wide tables.
    alphabets
        K of every position.
    coded
        Candidates are sought for coded positions only; the others may be part of a key.
    block_rows
        Rows of a block, or int64 first rows of the blocks.
    max_per_position
        0, 1 or 2.
    """
    limit = SAMPLE_ROWS * FULL_SAMPLE_POSITIONS // max(len(alphabets), FULL_SAMPLE_POSITIONS)
    rows = min(len(symbols), limit)
    if rows < 2 or max_per_position == 0:
        return []
    starts = block_starts(len(symbols), block_rows)
    starts = np.append(starts[starts < rows], rows)
    search = _Search(symbols[:rows].copy(), tuple(alphabets), starts)
    positions = [p for p in range(len(alphabets)) if coded[p] and alphabets[p] > 1]
    standins = {p: search.standin(p) for p in positions}
    scale = len(symbols) / rows
    floor = max(MIN_BITS / scale, MIN_SHARE * sum(s.bits for s in standins.values()))
    nothing = _Boosted(np.full(rows, -1, np.int16), np.zeros(rows, np.float32), np.ones(rows, np.float32))
    found: list[tuple[int, tuple[int, ...]]] = []
    for p in positions:
        before = nothing
        for _ in range(max_per_position if standins[p].bits > floor else 0):
            bits, key, after = search.best_key(p, standins[p], before)
            if bits < floor:
                break
            found.append((p, key))
            before = after
    return found
