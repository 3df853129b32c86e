"""A dictionary's words <-> few bytes: each word is what it shares with the word before, and the rest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from ae_core.columns.letters import pack_letters, unpack_letters
from ae_core.columns.packing import join_parts, pack_ints, split_parts, unpack_ints
from ae_core.errors import Corrupt

MAX_LETTERS = 1 << 31
"""Of all words together: words that share their beginnings unfold, the last to the length of all."""


def pack_words(words: pa.Array) -> bytes:
    """Words in their order, front-coded or one after the other, whichever is smaller."""
    listed = to_binary(words).to_pylist()
    joined = _pack([len(word) for word in listed], [0] * len(listed), listed, mixed=True)
    shared = [0, *(_common(a, b) for a, b in pairwise(listed))][: len(listed)]
    tails = [word[keep:] for word, keep in zip(listed, shared, strict=True)]
    front = _pack([len(tail) for tail in tails], shared, tails, mixed=False)  # the line above tells what is shared
    return min(joined, front, key=len)


def _pack(lengths: list[int], shared: list[int], parts: list[bytes], *, mixed: bool) -> bytes:
    packed_lengths, text = pack_letters(np.array(lengths, np.int64), b"".join(parts), mixed=mixed)
    return join_parts([packed_lengths, pack_ints(np.array(shared, np.int64)), text])


def _common(a: bytes, b: bytes) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def unpack_words(data: bytes, kind: pa.DataType, count: int) -> pa.Array:
    """The `count` words behind `data`, of a text type."""
    packed_lengths, packed_shared, tail = split_parts(data, 3)
    shared = unpack_ints(packed_shared, count)
    if count and int(shared.min()) < 0:
        raise Corrupt("column plan: impossible word lengths: verify the archive")
    lengths, letters = unpack_letters(packed_lengths, tail, count, MAX_LETTERS)
    _check_total(lengths.tolist(), shared.tolist())
    words: list[bytes] = []
    start, before = 0, b""
    for length, keep in zip(lengths.tolist(), shared.tolist(), strict=True):
        before = before[:keep] + letters[start : start + length]
        start += length
        words.append(before)
    return from_binary(pa.array(words, pa.large_binary()), kind)


def _check_total(lengths: list[int], shared: list[int]) -> None:
    """Refuse words that would unfold to too many letters, before any of them is made."""
    total = before = 0
    for length, keep in zip(lengths, shared, strict=True):
        before = min(before, keep) + length
        total += before
        if total > MAX_LETTERS:
            raise Corrupt(f"column plan: words of more than {MAX_LETTERS} bytes: verify the archive")


def to_binary(array: pa.Array) -> pa.Array:
    """The same cells as large_binary."""
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.binary())
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string()).view(pa.large_binary())
    return array.cast(pa.large_binary())


def from_binary(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    """large_binary cells as strings or byte strings."""
    try:
        if pa.types.is_fixed_size_binary(kind):
            return cells.cast(pa.binary()).cast(kind)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return cells.cast(pa.large_string()).cast(kind)
        return cells.cast(kind)
    except pa.ArrowInvalid as error:
        raise Corrupt(f"column stream: not text of the column's type ({error}): verify the archive") from None
