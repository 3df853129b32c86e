"""Copy candidates: the value at the last earlier row of the block with the same key, and how far to trust it.

Every candidate has a table of its own, empty at the start of a block of `rows` rows, of 2^b entries with the smallest
b >= 4 for which 2^b >= 2 * rows, at most 17. With the key's symbols k_0, k_1, ... (at most 4, each < 2^16):

    word = k_0 + k_1 * 2^16 + k_2 * 2^32 + k_3 * 2^48          (an empty key: 0)
    g = word * 0x9E3779B97F4A7C15 mod 2^64;  g = g xor (g >> 32);  hash = g * 0xD6E8FEB86659FD93 mod 2^64
    index = hash >> (64 - b);   check = (hash >> 8) mod 2^16

An entry is a uint32: check * 2^16 + value * 2^4 + class; 0 is empty. Lookup: the entry's value and class where the
class is not 0 and the check agrees, else class 0. Update with the coded symbol x (after the lookup of the same row):

    class 0 (empty, or another key's check)  ->  value x, class 2
    x == value                               ->  class 3 from 1 or 2, else min(class + 1, 8)
    x != value                               ->  value x, class 1
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from ae_core.kernels.compiling import kernel

MAX_TABLE_BITS: Final = 17
_MIX_1: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_2: Final = np.uint64(0xD6E8FEB86659FD93)


@kernel
def table_bits(rows: int) -> int:
    """log2 of the number of entries of a candidate's table in a block of `rows` rows."""
    bits = 4
    while bits < MAX_TABLE_BITS and (1 << bits) < 2 * rows:
        bits += 1
    return bits


@njit(inline="always")
def hash_word(word: np.uint64) -> np.uint64:
    """The 64-bit hash of a packed key; a bijection."""
    g = np.uint64(word) * _MIX_1
    g = g ^ (g >> np.uint64(32))
    return g * _MIX_2


@njit(inline="always")
def entry_index(hashed: np.uint64, bits: int) -> np.int64:
    """Where the entry of a hashed key lives."""
    return np.int64(hashed >> np.uint64(64 - bits))


@njit(inline="always")
def entry_check(hashed: np.uint64) -> np.uint32:
    """The 16 bits that tell keys of one entry apart."""
    return np.uint32((hashed >> np.uint64(8)) & np.uint64(0xFFFF))


@njit(inline="always")
def seen(entry: np.uint32, check: np.uint32) -> np.uint32:
    """The entry as this key sees it: itself, or 0 where it is empty or another key's."""
    return entry if (entry >> np.uint32(16)) == check else np.uint32(0)


@njit(inline="always")
def updated(entry: np.uint32, check: np.uint32, symbol: int) -> np.uint32:
    """The entry after a symbol; `entry` is the result of `seen`."""
    kind: Any = np.int64(entry & np.uint32(15))
    hit = np.int64((entry >> np.uint32(4)) & np.uint32(0xFFF)) == symbol
    known = max(min(kind + 1, 8), 3) if hit else 1
    new = known if kind > 0 else 2
    return (check << np.uint32(16)) | np.uint32((symbol << 4) | new)


@kernel
def key_hashes(symbols: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Hash of the key of every row; uint64 (rows,)."""
    out = np.empty(symbols.shape[0], np.uint64)
    for r in range(symbols.shape[0]):
        word = np.uint64(0)
        for i in range(key.shape[0]):
            word |= np.uint64(symbols[r, key[i]]) << np.uint64(16 * i)
        out[r] = hash_word(word)
    return out


@kernel
def follow(hashes: np.ndarray, target: np.ndarray, starts: np.ndarray, values: np.ndarray, classes: np.ndarray) -> None:
    """Runs one candidate over blocks that begin at `starts` (its last element is the end) and fills its features."""
    table = np.zeros(1 << MAX_TABLE_BITS, np.uint32)
    for block in range(starts.shape[0] - 1):
        first, end = starts[block], starts[block + 1]
        bits = table_bits(end - first)
        table[: 1 << bits] = 0
        for r in range(first, end):
            at = entry_index(hashes[r], bits)
            check = entry_check(hashes[r])
            entry = seen(table[at], check)
            values[r] = (entry >> np.uint32(4)) & np.uint32(0xFFF)
            classes[r] = entry & np.uint32(15)
            table[at] = updated(entry, check, target[r])


def block_starts(rows: int, block_rows: int | np.ndarray) -> np.ndarray:
    """First row of every block, then `rows`; `block_rows` is a size, or the first rows themselves."""
    first = np.arange(0, rows, block_rows) if isinstance(block_rows, int) else np.asarray(block_rows)
    return np.append(first, rows).astype(np.int64)


def copy_features(
    key: tuple[int, ...], position: int, symbols: np.ndarray, block_rows: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The candidate's value int16 (rows,) and class int8 (rows,) at every row, before the row is coded.

    Parameters
    ----------
    key
        Positions of the key; () for the previous row.
    position
        The position that is predicted.
    symbols
        uint16 (rows, positions).
    block_rows
        Rows of a block, or int64 first rows of the blocks (ascending, the first is 0).
    """
    values = np.zeros(symbols.shape[0], np.int16)
    classes = np.zeros(symbols.shape[0], np.int8)
    hashes = key_hashes(np.require(symbols, requirements=["C", "W"]), np.array(key, dtype=np.int64))
    follow(hashes, symbols[:, position].copy(), block_starts(len(symbols), block_rows), values, classes)
    return values, classes
