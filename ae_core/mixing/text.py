"""Texts <-> bytes: the mixing coder with one fixed plan, whose contexts are the bytes before.

A text is coded byte by byte, each as a value of 256 levels under twelve contexts: the last bytes, the letters of the
word, the line so far, the line above, and what followed where the last six bytes stood before. A *line* ends with the
separator, which the stream names, so that word lists teach their own order and lengths. `text_reference.py` defines the
same bytes without any care for speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ae_core.errors import Corrupt
from ae_core.mixing import coder
from ae_core.mixing.arithmetic import CLASSES, NODES, starting_weights
from ae_core.mixing.block import buckets, starting_apm
from ae_core.mixing.coder import STEPS, _code_value, _magnitude, _mix

MOST_TEXT = 1 << 18
"""Bytes of a text that may be coded so: a core takes about a second for them, whatever the stream says."""
CONTEXTS = 12
MATCHED = 6  # bytes that have to be the same for what followed to be looked at
_BYTE_BYTES = 32  # no byte of a text takes more: 8 decisions of at most 4 bytes
_PLACES = 255  # of a line that are told apart


def encode_text(text: bytes, separator: int) -> bytes:
    """The stream of a text of at most `MOST_TEXT` bytes: its separator, then the code."""
    found = np.frombuffer(text, np.uint8).astype(np.int64)
    state, data = np.zeros(coder.STATE_SIZE, np.int64), np.zeros(_BYTE_BYTES * len(text) + 64, np.uint8)
    coder.open_stream(state, data, False)
    _run(state, data, found, separator, decode=False)
    return bytes([separator]) + data[: coder.close_stream(state, data)].tobytes()


def decode_text(data: bytes, size: int) -> bytes:
    """The `size` bytes of text behind a stream; bytes that no writer made may give some text of that size.

    Raises
    ------
    Corrupt
        Where the text is longer than any that is coded so, the separator is missing, or bytes are left over.
    """
    if size > MOST_TEXT or not data:
        raise Corrupt(f"mixing: {size} bytes of text in {len(data)} bytes: verify the archive")
    stream = np.frombuffer(data, np.uint8, offset=1).copy()
    state, found = np.zeros(coder.STATE_SIZE, np.int64), np.zeros(size, np.int64)
    coder.open_stream(state, stream, True)
    _run(state, stream, found, data[0], decode=True)
    if state[coder.AT] < len(stream):
        raise Corrupt("mixing: bytes behind the end of a text: verify the archive")
    return found.astype(np.uint8).tobytes()


def _run(state: Any, data: Any, text: Any, separator: int, *, decode: bool) -> None:
    """Code a text with fresh tables."""
    _code_text(
        decode, state, data, text, separator,
        np.full(places(len(text)), -1, np.int64),
        np.zeros(buckets(len(text), CONTEXTS) * NODES, np.uint32),
        starting_weights(CONTEXTS, coder.SETS), np.zeros(CONTEXTS * 2 * CLASSES * coder.SELECTED, np.int32),
        starting_apm(),
    )  # fmt: skip


def places(size: int) -> int:
    """Entries of the table of places where six bytes stood, a power of two."""
    return 1 << max(size - 1, 0).bit_length()


@njit(cache=True, nogil=True)
def _kind(byte: Any) -> Any:
    """a-z 1, A-Z 2, digits 3, bytes above 127 4, space 5, others 6."""
    if 97 <= byte <= 122:
        return 1
    if 65 <= byte <= 90:
        return 2
    if 48 <= byte <= 57:
        return 3
    if byte >= 128:
        return 4
    return 5 if byte == 32 else 6


@njit(cache=True, nogil=True)
def _code_text(
    decode: bool, state: Any, data: Any, text: Any, separator: int, seen: Any, table: Any, weights: Any, chosen: Any,
    apm: Any,
) -> None:  # fmt: skip
    """Code every byte: writes `data`, or reads it and fills `text`.

    text : int64 (bytes,); seen : int64 (`places`,), -1; the other tables as of `coder.code_column`.
    """
    hashes = np.zeros(CONTEXTS, np.int64)
    slots = np.zeros(CONTEXTS, np.int64)
    xs = np.zeros(2 * CONTEXTS, np.int64)
    weighed = np.zeros(CONTEXTS, np.int64)
    last = np.zeros(MATCHED, np.int64)  # bytes before, the nearest first
    state[STEPS] = 0
    start, above_start = 0, -1  # of this line, and of the one above
    line, word, shape, alike = 0, 0, 0, 1
    run, match = 0, 0
    for at in range(len(text)):
        place = at - start
        above: Any = np.int64(separator)
        if above_start >= 0 and above_start + place < start:
            above = text[above_start + place]
        expected: Any = text[match] if run > 0 else np.int64(-1)
        h = 0
        for k in range(MATCHED):
            h = _mix(h, last[k] + 1)
            if k < 2:
                hashes[1 + k] = h
            elif k == 3:
                hashes[3] = h
        hashes[4] = h
        hashes[5] = word
        hashes[6] = line
        hashes[7] = _mix(_mix(_mix(0, above + 1), last[0] + 1), alike + 1)
        hashes[8] = _mix(_mix(0, expected + 1), _magnitude(run) + 1)
        hashes[9] = _mix(_mix(0, shape + 1), last[0] + 1)
        hashes[10] = _mix(_mix(0, min(place, _PLACES) + 1), above + 1)
        hashes[11] = _mix(_mix(0, last[1] + 1), last[2] + 1)
        two = _kind(last[0]) + (8 if run > 0 else 0)
        byte = _code_value(
            state, data, decode, text[at], 8, table, hashes, slots, weights, chosen, apm, two, xs, weighed
        )
        text[at] = byte

        kind = _kind(byte)
        if byte == separator:
            above_start, start = start, at + 1
            line, word, shape, alike = 0, 0, 0, 1
        else:
            line = _mix(line, byte + 1)
            word = _mix(word, (byte | 32 if kind < 3 else byte) + 1) if kind < 3 or kind == 4 else 0
            shape = (8 * shape + kind) & 0x3FFFF
            alike = alike if byte == above else 0
        if run > 0:
            run = run + 1 if byte == expected else 0
            match += 1
        for k in range(MATCHED - 1, 0, -1):
            last[k] = last[k - 1]
        last[0] = byte
        h = 0
        for k in range(MATCHED):
            h = _mix(h, last[k] + 1)
        h &= len(seen) - 1
        if run == 0 and seen[h] >= MATCHED:
            match, run = seen[h], MATCHED
            for k in range(MATCHED):
                if text[match - 1 - k] != last[k]:
                    run = 0
        seen[h] = at + 1
