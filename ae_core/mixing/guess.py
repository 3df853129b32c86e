"""A column's linear guess: which cells it is summed from, and their fixed-point weights, fitted to a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ae_core.mixing.inputs import Known
from ae_core.mixing.plan import ONE, Reference, Tap

Floats = npt.NDArray[np.float64]
Source = tuple[int, Reference]
_LEAST_GAIN = 0.004  # bits a row that a further term has to save
_LARGEST = 1 << 26
_POOL = 64  # terms, the best beside those chosen, that are tried as the next one


def fit_guess(
    blocks: Sequence[Known], column: int, sources: Sequence[Source], most: int
) -> tuple[int, tuple[Tap, ...], float]:
    """(constant, taps, estimated bits a row): terms are added one by one while they pay.

    The weights are least squares with outliers weighed down; bits are those of a number as long as the error.
    """
    goal = np.concatenate([block.number(column) for block in blocks]).astype(np.float64)
    terms = {
        source: np.concatenate([block.number_at(*source) for block in blocks]).astype(np.float64) for source in sources
    }
    chosen, weights, best = _greedy(goal, terms, most)
    fixed = [int(np.clip(round(w * ONE), -_LARGEST, _LARGEST)) for w in weights]
    taps = tuple(Tap(column, reference, w) for (column, reference), w in zip(chosen, fixed[1:], strict=True))
    return fixed[0], taps, best


def fit_far_guess(
    blocks: Sequence[Known], column: int, own: Sequence[Reference], others: Sequence[int], most: int
) -> tuple[int, tuple[Tap, ...], float]:
    """`fit_guess` for numbers so large that their differences alone can be fitted.

    A guess is the column at one of its `own` references, or nothing, plus weighted changes since then: of the column
    itself from a further reference, of another column to its present value.
    """

    def joined(source: Source) -> Floats:
        return np.concatenate([block.number_at(*source) for block in blocks]).astype(np.float64)

    goal, past = joined((column, ())), {reference: joined((column, reference)) for reference in own}
    by_bits = sorted((_bits(goal - past[reference]), at) for at, reference in enumerate(own))
    starts: list[Reference] = [own[at] for _, at in by_bits[:2]]
    found: list[tuple[float, int, tuple[Tap, ...]]] = []
    for start in [*starts, ()]:
        terms: dict[tuple[Source, Source | None], Floats] = {}
        if start:
            terms |= {((column, start), (column, r)): past[start] - past[r] for r in own if r != start}
            steps = [(r, s) for r in own for s in own if len(r) == len(s) == 1 and r[0] - s[0] == 1 and s[0] < 0]
            terms |= {((column, r), (column, s)): past[r] - past[s] for r, s in steps if r != start}
        for other in others:
            now = joined((other, ()))
            terms[(other, ()), (other, start) if start else None] = now - joined((other, start)) if start else now
        shift = 0.0 if start else float(np.round(goal.mean()))
        pairs, weights, bits = _greedy(goal - (past[start] if start else shift), terms, most // 2)
        taps: dict[Source, int] = {}
        if start:
            taps[column, start] = ONE
        for (plus, minus), weight in zip(pairs, weights[1:], strict=True):
            fixed = int(np.clip(round(weight * ONE), -_LARGEST, _LARGEST))
            taps[plus] = taps.get(plus, 0) + fixed
            if minus is not None:
                taps[minus] = taps.get(minus, 0) - fixed
        constant = round(weights[0] * ONE) + int(shift) * ONE
        found.append((bits, constant, tuple(Tap(c, r, weight) for (c, r), weight in taps.items() if weight)))
    bits, constant, kept = min(found, key=lambda one: one[0])
    return constant, kept, bits


def _greedy(goal: Floats, terms: dict[Any, Floats], most: int) -> tuple[list[Any], Floats, float]:
    """(names of the terms that pay, weights with the constant first, estimated bits a row)."""
    chosen: list[Any] = []
    weights, best = _fit(goal, [])
    left = list(terms)
    while len(chosen) < most and left:
        bits_with = [_fit(goal, [terms[one] for one in [*chosen, other]], passes=1)[1] for other in left]
        order = np.argsort(bits_with, kind="stable")
        name = left[order[0]]
        found, bits = _fit(goal, [terms[one] for one in [*chosen, name]])
        if bits > best - _LEAST_GAIN:
            break
        chosen.append(name)
        weights, best = found, bits
        left = [left[at] for at in sorted(order[1:_POOL].tolist())]
    return chosen, weights, best


def _bits(error: Floats) -> float:
    return float(np.log2(1 + 2 * np.abs(np.rint(error))).mean())


def _fit(goal: Floats, terms: list[Floats], passes: int = 4) -> tuple[Floats, float]:
    """Weights (constant first) and bits a row."""
    matrix = np.stack([np.ones(len(goal)), *terms], 1)
    sizes = np.maximum(np.abs(matrix).max(axis=0), 1e-9)
    matrix /= sizes
    weight = np.ones(len(goal))
    found = np.zeros(matrix.shape[1])
    error = goal
    for _ in range(passes):
        scaled = matrix * weight[:, None]
        gram = scaled.T @ matrix
        gram += 1e-12 * np.trace(gram) * np.eye(len(gram))
        found = np.linalg.solve(gram, scaled.T @ goal)
        error = goal - matrix @ found
        weight = 1 / (1 + np.abs(error))
    return found / sizes, _bits(error)
