"""A block's symbols to bytes and back: model step and coder step fused, no Python per symbol.

A block is one lane: one rANS stream, copy tables that start empty, a first row without a predecessor. Blocks go
up to four in lockstep, so that the weights are read once for all of them; how many has no influence on any bit. The
functions release the interpreter lock; callers run blocks in threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ae_core.coder import rans
from ae_core.errors import Corrupt
from ae_core.kernels.compiling import SOURCES, bare_kernel
from ae_core.kernels.fast import (
    NETWORK,
    Packed,
    Work,
    begin_row,
    end_row,
    find_copies,
    find_symbols,
    found_range,
    make_work,
    pack,
    slot_range,
    update_copies,
    update_state,
    weigh,
)
from ae_core.kernels.frozen import FrozenGroup, first_rows
from ae_core.kernels.vectors import MAX_BLOCKS, item, put

_FINE: Final = 0
_CUT: Final = 1
_LEFT_OVER: Final = 2
_START64: Final = np.uint64(rans.START)


@bare_kernel
def _intervals(
    m: Packed,
    w: Work,
    symbols: np.ndarray,
    rows_at: np.ndarray,
    out: np.ndarray,
    out_at: np.ndarray,
    sources: int = SOURCES,
) -> None:
    """First slot + (frequency - 1) * 2^16 of every network-coded symbol of blocks in lockstep, the longest first.

    Block b has the rows of `symbols`, uint16 (rows * positions,), from `rows_at[b]` to those of b + 1; its intervals,
    uint32 in coding order, go to `out` from `out_at[b]` on, which moves on.
    """
    live, width = out_at.shape[0], m.kinds.shape[0]
    for row in range(rows_at[1] - rows_at[0]):
        while rows_at[live - 1] + row >= rows_at[live]:
            live -= 1
        begin_row(m, w, live)
        for p in range(width):
            find_copies(m, w, p, symbols, rows_at, row, live)
            for b in range(live):
                put(w.chosen, b, np.int64(item(symbols, (item(rows_at, b) + row) * width + p)))
            if item(m.kinds, p) == NETWORK:
                weigh(m, w, p, live)
                for b in range(live):
                    low, frequency = slot_range(m, w, b, p, item(w.chosen, b))
                    at = item(out_at, b)
                    put(out, at, np.uint32(low) | (np.uint32(frequency - 1) << np.uint32(16)))
                    put(out_at, b, at + 1)
                update_copies(m, w, p, live)
            for b in range(live):
                update_state(m, w, b, p, item(w.chosen, b))
        end_row(m, w, live)


@bare_kernel
def _decode(
    m: Packed,
    w: Work,
    symbols: np.ndarray,
    rows_at: np.ndarray,
    states: np.ndarray,
    words: np.ndarray,
    words_at: np.ndarray,
    words_end: np.ndarray,
    outcomes: np.ndarray,
    sources: int = SOURCES,
) -> None:
    """Fills the network-coded symbols of blocks in lockstep, the longest block first.

    Block b has the rows of `symbols`, uint16 (rows * positions,), from `rows_at[b]` to those of b + 1, the first state
    `states[b]`, and the words from `words_at[b]` to `words_end[b]`; its outcome is fine when its stream ended as it
    must. States and `words_at` move on.
    """
    live, width = states.shape[0], m.kinds.shape[0]
    for row in range(rows_at[1] - rows_at[0]):
        while rows_at[live - 1] + row >= rows_at[live]:
            live -= 1
        begin_row(m, w, live)
        for p in range(width):
            find_copies(m, w, p, symbols, rows_at, row, live)
            if item(m.kinds, p) == NETWORK:
                for b in range(live):
                    put(w.slots, b, rans.slot_of(item(states, b)))
                weigh(m, w, p, live)
                find_symbols(m, w, p, live)
                for b in range(live):
                    low, frequency = found_range(m, w, b, p)
                    put(symbols, (item(rows_at, b) + row) * width + p, np.uint16(item(w.chosen, b)))
                    state = rans.popped(item(states, b), item(w.slots, b), low, frequency)
                    if state < _START64:
                        at = item(words_at, b)
                        if at == item(words_end, b):
                            outcomes[b] = _CUT
                            return
                        state = (state << np.uint64(32)) | np.uint64(item(words, at))
                        put(words_at, b, at + 1)
                    put(states, b, state)
                update_copies(m, w, p, live)
            else:
                for b in range(live):
                    put(w.chosen, b, np.int64(item(symbols, (item(rows_at, b) + row) * width + p)))
            for b in range(live):
                update_state(m, w, b, p, item(w.chosen, b))
        end_row(m, w, live)
    for b in range(states.shape[0]):
        if states[b] != _START64 or words_at[b] != words_end[b]:
            outcomes[b] = _LEFT_OVER


def _check_symbols(group: FrozenGroup, symbols: np.ndarray, *, coded: bool) -> None:
    """Refuses symbols that a table lookup could not survive; coded ones only where the caller supplies them."""
    if symbols.ndim != 2 or symbols.shape[1] != len(group.alphabets) or symbols.dtype != np.uint16:
        raise ValueError(f"symbols {symbols.dtype} {symbols.shape}: expected uint16 (rows, {len(group.alphabets)})")
    if not len(symbols):
        return
    most = symbols.max(axis=0)
    for p, size in enumerate(group.alphabets):
        if (coded or not group.coded[p]) and most[p] >= size:
            raise Corrupt(f"position {p} has symbol {most[p]} in an alphabet of {size}")


def _network_positions(group: FrozenGroup) -> list[int]:
    return [p for p, size in enumerate(group.alphabets) if group.coded[p] and size > 1]


def _longest_first(symbols: Sequence[np.ndarray]) -> list[list[int]]:
    """Numbers of the blocks that go in lockstep, the longest first: about equal lengths go together."""
    order = sorted(range(len(symbols)), key=lambda b: -len(symbols[b]))
    return [order[first : first + MAX_BLOCKS] for first in range(0, len(order), MAX_BLOCKS)]


def block_intervals(group: FrozenGroup, symbols: np.ndarray) -> np.ndarray:
    """First slot + (frequency - 1) * 2^16 of every network-coded symbol, uint32 (rows, network-coded positions).

    Raises
    ------
        Corrupt: when a symbol is outside its alphabet.

    """
    return intervals_of_blocks(group, [symbols])[0]


def intervals_of_blocks(group: FrozenGroup, symbols: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`block_intervals` of many blocks of one group, up to four in lockstep: less time a symbol, equal results.

    Raises
    ------
        Corrupt: when a symbol is outside its alphabet.

    """
    for block in symbols:
        _check_symbols(group, block, coded=True)
    width, packed = len(_network_positions(group)), pack(group)
    found = [np.zeros((0, width), np.uint32)] * len(symbols)
    for some in _longest_first(symbols):
        rows = np.array([len(symbols[b]) for b in some], np.int64)
        rows_at = first_rows(tuple(rows.tolist()))
        out = np.empty(int(rows_at[-1]) * width, np.uint32)
        joined = np.concatenate([symbols[b] for b in some])
        _intervals(packed, make_work(packed, rows), joined.ravel(), rows_at, out, rows_at[:-1] * width)
        for b, first, count in zip(some, rows_at, rows, strict=False):
            found[b] = out[first * width : (first + count) * width].reshape(count, width)
    return found


def encode_block(group: FrozenGroup, symbols: np.ndarray) -> bytes:
    """The block's stream; equal on every machine.

    Parameters
    ----------
    group
        A frozen group whose bounds were checked.
    symbols
        uint16 (rows, positions), given ones included.

    Raises
    ------
        Corrupt: when a symbol is outside its alphabet.

    """
    return rans.encode(block_intervals(group, symbols).reshape(-1))


def decode_block(group: FrozenGroup, data: bytes, symbols: np.ndarray) -> None:
    """Fills the coded positions of `symbols` in place; the exact inverse of `encode_block`.

    Parameters
    ----------
    group
        The group that the block was encoded with.
    data
        The block's stream.
    symbols
        uint16 (rows, positions), C-contiguous, given positions filled.

    Raises
    ------
        Corrupt: when the stream is not one that `encode_block` writes for this many rows; `symbols` is then undefined.

    """
    decode_blocks(group, [data], [symbols])


def decode_blocks(group: FrozenGroup, data: Sequence[bytes], symbols: Sequence[np.ndarray]) -> None:
    """`decode_block` of many blocks of one group, up to four in lockstep: less time a symbol, equal results.

    Blocks of about equal lengths gain most.

    Raises
    ------
        Corrupt: when a stream is not one that `encode_block` writes for its rows; all of `symbols` is then undefined.

    """
    for _, block in zip(data, symbols, strict=True):
        _check_symbols(group, block, coded=False)
        if not (block.flags.c_contiguous and block.flags.writeable):
            raise ValueError("symbols must be C-contiguous and writable: they are filled in place")
    packed = pack(group)
    for some in _longest_first(symbols):
        _decode_together(group, packed, [data[b] for b in some], [symbols[b] for b in some])


def _decode_together(group: FrozenGroup, packed: Packed, data: list[bytes], symbols: list[np.ndarray]) -> None:
    """At most MAX_BLOCKS blocks in lockstep, the longest first."""
    streams = [rans.open_stream(stream) for stream in data]
    states = np.array([state for state, _ in streams], np.uint64)
    words_at = first_rows(tuple(len(words) for _, words in streams))
    rows = np.array([len(block) for block in symbols], np.int64)
    joined = symbols[0] if len(symbols) == 1 else np.concatenate(symbols)
    for p, size in enumerate(group.alphabets):
        if group.coded[p] and size == 1:
            joined[:, p] = 0
    rows_at, outcomes = first_rows(tuple(rows.tolist())), np.full(len(symbols), _FINE, np.int64)
    words = np.concatenate([words for _, words in streams])
    work = make_work(packed, rows)
    _decode(packed, work, joined.reshape(-1), rows_at, states, words, words_at[:-1].copy(), words_at[1:], outcomes)
    for stream, outcome in zip(data, outcomes, strict=True):
        if outcome != _FINE:
            what = "ends early" if outcome == _CUT else "does not end where its rows end"
            raise Corrupt(f"entropy-coded stream of {len(stream)} bytes {what}: restore the file from a replica")
    if len(symbols) > 1:
        for block, first in zip(symbols, rows_at, strict=False):
            block[:] = joined[first : first + len(block)]


def symbol_bits(group: FrozenGroup, symbols: np.ndarray) -> np.ndarray:
    """Bits that every coded symbol costs, float32 (rows, coded positions): 16 - log2(frequency).

    Raises
    ------
        Corrupt: when a symbol is outside its alphabet.

    """
    bits = np.zeros((len(symbols), len(group.coded_positions)), np.float32)
    frequencies = (block_intervals(group, symbols) >> np.uint32(16)).astype(np.float32) + 1
    network = np.isin(group.coded_positions, _network_positions(group))
    bits[:, network] = 16 - np.log2(frequencies)
    return bits


def draw_block(group: FrozenGroup, symbols: np.ndarray, random: np.random.Generator) -> None:
    """Fills the coded positions of `symbols` with a draw from the model: what decoding endless random words gives.

    A decoder picks every symbol by the low bits of its state, which are random where its words are; so each comes as
    often as its integer frequency says. Equal for equal states of `random` on every machine.

    Parameters
    ----------
    group
        A frozen group whose bounds were checked.
    symbols
        uint16 (rows, positions), C-contiguous, given positions filled.
    random
        Source of the words; it moves on.

    Raises
    ------
        Corrupt: when a given symbol is outside its alphabet.

    """
    _check_symbols(group, symbols, coded=False)
    for p, size in enumerate(group.alphabets):
        if group.coded[p] and size == 1:
            symbols[:, p] = 0
    packed, rows = pack(group), np.array([len(symbols)], np.int64)
    # a symbol takes 16 bits at most and a word brings 32
    words = random.integers(0, 1 << 32, len(symbols) * len(_network_positions(group)) // 2 + 2, np.uint32)
    states = random.integers(rans.START, 1 << 63, 1, np.uint64)
    ends = np.array([0, len(words)], np.int64)
    work, outcomes = make_work(packed, rows), np.zeros(1, np.int64)
    _decode(packed, work, symbols.reshape(-1), first_rows((len(symbols),)), states, words, ends[:1], ends[1:], outcomes)
