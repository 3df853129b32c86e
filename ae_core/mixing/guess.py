"""A column's linear guess: which cells it is summed from, and their fixed-point weights, fitted to a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ae_core.mixing.inputs import Known
from ae_core.mixing.plan import ONE, Reference, Tap

Floats = npt.NDArray[np.float64]
Source = tuple[int, Reference]
_LEAST_GAIN = 0.004  # bits a row that a further term has to save
_LARGEST = 1 << 26


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
    chosen: list[Source] = []
    weights, best = _fit(goal, [])
    while len(chosen) < most and len(chosen) < len(terms):
        rivals = []
        for source in terms:
            if source not in chosen:
                rivals.append((_fit(goal, [terms[s] for s in [*chosen, source]], passes=1)[1], source))
        source = min(rivals)[1]
        found, bits = _fit(goal, [terms[s] for s in [*chosen, source]])
        if bits > best - _LEAST_GAIN:
            break
        chosen.append(source)
        weights, best = found, bits
    fixed = [int(np.clip(round(w * ONE), -_LARGEST, _LARGEST)) for w in weights]
    taps = tuple(Tap(*source, weight) for source, weight in zip(chosen, fixed[1:], strict=True))
    return fixed[0], taps, best


def _fit(goal: Floats, terms: list[Floats], passes: int = 4) -> tuple[Floats, float]:
    """Weights (constant first) and bits a row."""
    matrix = np.stack([np.ones(len(goal)), *terms], 1)
    weight = np.ones(len(goal))
    found = np.zeros(matrix.shape[1])
    error = goal
    for _ in range(passes):
        scaled = matrix * weight[:, None]
        gram = scaled.T @ matrix + 1e-6 * np.eye(matrix.shape[1]) * (1 + np.abs(goal).mean())
        found = np.linalg.solve(gram, scaled.T @ goal)
        error = goal - matrix @ found
        weight = 1 / (1 + np.abs(error))
    return found, float(np.log2(1 + 2 * np.abs(np.rint(error))).mean())
