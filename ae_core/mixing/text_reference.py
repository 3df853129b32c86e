"""The coder of texts written out in plain Python integers: what `text` must equal byte for byte."""

from __future__ import annotations

from ae_core.mixing.reference import Arithmetic, Decisions, magnitude, mix
from ae_core.mixing.text import CONTEXTS, MATCHED, places


def encode_text(text: bytes, separator: int) -> bytes:
    """`text.encode_text`, slowly."""
    arithmetic = Arithmetic()
    coded = Decisions(arithmetic, len(text), CONTEXTS, 256)
    seen: dict[int, int] = {}
    start, above_start = 0, -1
    line, word, shape, alike = 0, 0, 0, 1
    run, match = 0, 0
    for at, byte in enumerate(text):
        last = [*reversed(text[max(at - MATCHED, 0) : at]), *[0] * MATCHED][:MATCHED]
        there = above_start + at - start
        above = text[there] if above_start >= 0 and there < start else separator
        expected = text[match] if run else -1
        coded.hashes = [
            0,
            *(hash_of(*last[:count]) for count in (1, 2, 4, 6)),
            word,
            line,
            hash_of(above, last[0], alike),
            hash_of(expected, magnitude(run)),
            hash_of(shape, last[0]),
            hash_of(min(at - start, 255), above),
            hash_of(last[1], last[2]),
        ]
        coded.two = kind(last[0]) + 8 * (run > 0)
        coded.value(byte)
        if byte == separator:
            above_start, start = start, at + 1
            line, word, shape, alike = 0, 0, 0, 1
        else:
            letter = chr(byte).lower() if byte < 128 else chr(byte)
            line = mix(line, byte + 1)
            word = mix(word, ord(letter) + 1) if kind(byte) in (1, 2, 4) else 0
            shape = (8 * shape + kind(byte)) % 2**18
            alike = int(alike and byte == above)
        run = run + 1 if run and byte == expected else 0
        match += 1
        now = [byte, *last][:MATCHED]
        slot = hash_of(*now) % places(len(text))
        there = seen.get(slot, 0)
        if not run and there >= MATCHED and [*reversed(text[there - MATCHED : there])] == now:
            match, run = there, MATCHED
        seen[slot] = at + 1
    return bytes([separator]) + arithmetic.close()


def hash_of(*features: int) -> int:
    """Hash of a context."""
    h = 0
    for feature in features:
        h = mix(h, feature + 1)
    return h


def kind(byte: int) -> int:
    """a-z 1, A-Z 2, digits 3, bytes above 127 4, space 5, others 6."""
    letter = bytes([byte])
    if letter.isalpha():
        return 1 if letter.islower() else 2
    return 3 if letter.isdigit() else 4 if byte > 127 else 5 if letter == b" " else 6
