"""The entropy coder: one rANS stream of 32-bit words for a block and group.

State x is 64 bits wide and stays in [2^31, 2^63) between symbols; frequencies sum to 2^16. It starts at 2^31.

    encode (cum, f), last symbol first:   if x >= f * 2^47: emit the low 32 bits, x = x >> 32
                                          x = ((x // f) << 16) + x % f + cum
    decode, first symbol first:           slot = x mod 2^16 picks the symbol;  x = f * (x >> 16) + slot - cum
                                          if x < 2^31: x = (x << 32) | next word

Bytes: the final state (low word, high word), then the words in decoding order, all little-endian uint32. Where no
symbol moved the state there are no bytes at all. A decoder ends at state 2^31 with every word consumed, or the bytes
are corrupt.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from ae_core.errors import Corrupt
from ae_core.kernels.compiling import kernel

START: Final = 1 << 31
_START64: Final = np.uint64(START)
_WORD: Final = np.uint64(0xFFFFFFFF)
_SLOT: Final = np.uint64(0xFFFF)


def encode_reference(intervals: list[tuple[int, int]]) -> bytes:
    """The definition in Python integers: the stream of symbols with these (first slot, frequency)."""
    x, words = START, []
    for cum, f in reversed(intervals):
        if x >= f << 47:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        x = ((x // f) << 16) + x % f + cum
    if x == START and not words:
        return b""
    return np.array([x & 0xFFFFFFFF, x >> 32, *reversed(words)], dtype="<u4").tobytes()


@kernel
def _push_all(intervals: np.ndarray, words: np.ndarray) -> int:
    """Fills `words` from its end and returns the index of the first one."""
    x, at = _START64, words.shape[0]
    for i in range(intervals.shape[0] - 1, -1, -1):
        cum = np.uint64(intervals[i]) & _SLOT
        f = (np.uint64(intervals[i]) >> np.uint64(16)) + np.uint64(1)
        if x >= f << np.uint64(47):
            at -= 1
            words[at] = np.uint32(x & _WORD)
            x >>= np.uint64(32)
        quotient = x // f
        x = (quotient << np.uint64(16)) + (x - quotient * f) + cum
    if x == _START64 and at == words.shape[0]:
        return at
    words[at - 1] = np.uint32(x >> np.uint64(32))
    words[at - 2] = np.uint32(x & _WORD)
    return at - 2


def encode(intervals: np.ndarray) -> bytes:
    """The stream of symbols given as uint32 (symbols,): first slot + (frequency - 1) * 2^16, in coding order."""
    words = np.empty(len(intervals) + 2, np.uint32)
    return words[_push_all(intervals, words) :].astype("<u4").tobytes()


def open_stream(data: bytes) -> tuple[int, np.ndarray]:
    """First state and the words that follow, uint32.

    Raises
    ------
        Corrupt: when the length or the state is impossible.

    """
    if not data:
        return START, np.zeros(0, np.uint32)
    if len(data) % 4 or len(data) < 8:
        raise Corrupt(f"entropy-coded stream of {len(data)} bytes is cut: restore the file from a replica")
    words = np.frombuffer(data, dtype="<u4").astype(np.uint32)
    state = int(words[0]) | int(words[1]) << 32
    if not START <= state < 1 << 63 or (state == START and len(words) == 2):
        raise Corrupt("entropy-coded stream begins with an impossible state: restore the file from a replica")
    return state, words[2:]


@njit(inline="always")
def slot_of(state: np.uint64) -> np.int64:
    """The slot that picks the next symbol."""
    return np.int64(state & _SLOT)


@njit(inline="always")
def popped(state: np.uint64, slot: int, cum: int, frequency: int) -> np.uint64:
    """The state without its newest symbol, not yet refilled."""
    return np.uint64(frequency) * (state >> np.uint64(16)) + np.uint64(slot - cum)
