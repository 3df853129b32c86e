"""From integer logits to frequencies that sum to 2^16: the definition, one alphabet at a time.

With logits l in units of 2^-9 nat, L = max(l):

    d = min(L - l, 2^22 - 1)         t = (d * 369) >> 7          (units of 2^-10 of log2; 369 * 2^22 < 2^31)
    i = min(t >> 10, 31)             f = t & 1023
    e = (32768 - ((f * (22007 - ((f * 5623) >> 10))) >> 10)) >> i            about 2^15 * 2^(-t / 1024)
    S = sum(e)                       r = ((65536 - K) << 15) // S
    cum_k = k + ((sum(e_0..e_(k-1)) * r) >> 15)                  cum_K = 65536

Every frequency cum_(k+1) - cum_k is at least 1; every intermediate is below 2^31.
"""

from __future__ import annotations

from typing import Final

import numpy as np

FREQUENCY_BITS: Final = 16
FREQUENCY_SUM: Final = 1 << FREQUENCY_BITS
DISTANCE_LIMIT: Final = (1 << 22) - 1
LOG2_FACTOR: Final = 369
LOG2_SHIFT: Final = 7
EXP2_LINEAR: Final = 22007
EXP2_SQUARE: Final = 5623


def exponentials(logits: np.ndarray) -> np.ndarray:
    """e of every logit, int64 (K,) in 0..32768; the greatest logit's is 32768."""
    wide = logits.astype(np.int64)
    d = np.minimum(wide.max() - wide, DISTANCE_LIMIT)
    t = (d * LOG2_FACTOR) >> LOG2_SHIFT
    f = t & 1023
    return (32768 - ((f * (EXP2_LINEAR - ((f * EXP2_SQUARE) >> 10))) >> 10)) >> np.minimum(t >> 10, 31)


def cumulative(logits: np.ndarray) -> np.ndarray:
    """cum_0 = 0 .. cum_K = 65536, int64 (K + 1,); symbol k owns the slots cum_k .. cum_(k+1) - 1."""
    size = len(logits)
    e = exponentials(logits)
    r = ((FREQUENCY_SUM - size) << 15) // int(e.sum())
    below = np.concatenate(([0], np.cumsum(e)[:-1]))
    return np.append(np.arange(size) + ((below * r) >> 15), FREQUENCY_SUM)
