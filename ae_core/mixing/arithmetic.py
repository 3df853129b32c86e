"""The numbers that the mixing coder is defined by: logistic tables, counter rates, confidence classes.

Everything is made by integer arithmetic alone, so that every machine has the same tables.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

UNIT = 256  # steps of a logit per nat
LIMIT = 11 * UNIT - 1  # largest absolute logit, 11 nats: probabilities down to 1 in 60,000
NODES = 16  # counters of a bucket: the first holds its check, the others the nodes of four decisions
COUNTS = 16  # confidence states of a counter
CLASSES = 14  # kinds of confidence that the mixer tells apart
STARTING_RATE, FINAL_RATE = 640, 72  # the mixer's, in 2^-24
APM_BINS = 33
APM_STEP = 2 * (LIMIT + 1) // (APM_BINS - 1)

_SEEN = (0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36, 56, 90, 150, 250)  # observations that a confidence state stands for
_CLASS = (0, 1, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6)
_STARTING_WEIGHT = (0, 7, 11, 13, 15, 17, 19)  # of a class, in 1/64, before it is divided among the contexts


def _exponentials() -> list[int]:
    """e^(i / UNIT) in 2^-64, i = 0..LIMIT, by repeated multiplication of a series for e^(1 / UNIT)."""
    one = 1 << 64
    step, term = one, one
    for k in range(1, 20):
        term //= UNIT * k
        step += term
    found = [one]
    for _ in range(LIMIT):
        found.append(found[-1] * step >> 64)
    return found


def _squash() -> Ints:
    """Probability of a one in 2^-16, 1..65535, by logit + LIMIT."""
    upper = [(e << 16) // (e + (1 << 64)) for e in _exponentials()]
    lower = [65536 - p for p in upper[:0:-1]]
    return np.clip(np.array(lower + upper), 1, 65535).astype(np.int32)


SQUASH = _squash()
STRETCH = (np.searchsorted(SQUASH, np.arange(4096) * 16 + 8) - LIMIT).astype(np.int32)
"""Logit of a probability in 2^-12 (its middle)."""

SLOW_RATE = np.array([(10 << 16) // (10 * seen + 16) for seen in _SEEN], np.int32)
FAST_RATE = np.maximum(SLOW_RATE, 3034)
"""What a counter moves by, in 2^-16, by its confidence state: 1 / (n + 1.6), and no slower than 1 / 21.6."""

STEP_MASK = np.array(
    [(1 << max(0, (_SEEN[min(i + 1, 15)] - _SEEN[i]).bit_length() - 1)) - 1 for i in range(COUNTS)], np.int32
)
"""A counter's confidence rises when the clock's bits under this mask are 0: once in as many steps as it stands for."""


def _classes() -> Ints:
    """Class of a counter by confidence state and its probability's six high bits: odd where it never saw the other."""
    table = np.zeros((COUNTS, 64), np.int32)
    for state in range(COUNTS):
        p = 32768
        for step in range(_SEEN[state]):
            rate = (10 << 16) // (10 * step + 16)
            p += ((65535 - p) * rate) >> 16
        top = p >> 10
        for high in range(64):
            sure = state > 0 and (high >= top or high <= 63 - top)
            table[state, high] = 2 * _CLASS[state] + int(sure)
    return table.reshape(-1)


CLASS = _classes()


def starting_weights(contexts: int, sets: int) -> Ints:
    """Weights of a mixer before it has seen anything, (sets * contexts * 2 * CLASSES,) in 2^-16."""
    by_class = np.array([_STARTING_WEIGHT[c // 2] << 10 for c in range(CLASSES)], np.int64)
    slow = by_class * 5 // (2 * (contexts + 2))
    fast = by_class // (4 * (contexts + 2))
    return np.tile(np.concatenate([slow, fast]), sets * contexts).astype(np.int32)
