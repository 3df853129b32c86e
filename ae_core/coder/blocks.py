"""A block's symbols to bytes and back: model step and coder step fused, no Python per symbol.

A block is one lane: one rANS stream, copy tables that start empty, a first row without a predecessor. The functions
release the interpreter lock; callers run blocks in threads.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ae_core.coder import rans
from ae_core.errors import Corrupt
from ae_core.kernels.compiling import SOURCES, bare_kernel
from ae_core.kernels.copying import table_bits
from ae_core.kernels.fast import (
    NETWORK,
    Packed,
    Work,
    begin_row,
    end_row,
    find_copies,
    make_work,
    pack,
    slot_range,
    symbol_at,
    update_copies,
    update_state,
    weigh,
)
from ae_core.kernels.frozen import FrozenGroup

_FINE: Final = 0
_CUT: Final = 1
_LEFT_OVER: Final = 2
_START64: Final = np.uint64(rans.START)


@bare_kernel
def _intervals(m: Packed, w: Work, symbols: np.ndarray, out: np.ndarray, sources: int = SOURCES) -> None:
    """First slot + (frequency - 1) * 2^16 of every network-coded symbol, uint32, in coding order."""
    bits, at = table_bits(symbols.shape[0]), 0
    for row in range(symbols.shape[0]):
        begin_row(m, w)
        for p in range(m.kinds.shape[0]):
            find_copies(m, w, p, symbols, row, bits)
            if m.kinds[p] == NETWORK:
                total = weigh(m, w, p)
                symbol = np.int64(symbols[row, p])
                low, frequency = slot_range(m, w, p, total, symbol)
                update_copies(m, w, p, symbol)
                out[at] = np.uint32(low) | (np.uint32(frequency - 1) << np.uint32(16))
                at += 1
            update_state(m, w, p, np.int64(symbols[row, p]))
        end_row(m, w)


@bare_kernel
def _decode(
    m: Packed, w: Work, symbols: np.ndarray, first_state: np.uint64, words: np.ndarray, sources: int = SOURCES
) -> int:
    """Fills the network-coded symbols; 0 when the stream ended as it must."""
    bits, at, state = table_bits(symbols.shape[0]), 0, first_state
    for row in range(symbols.shape[0]):
        begin_row(m, w)
        for p in range(m.kinds.shape[0]):
            find_copies(m, w, p, symbols, row, bits)
            if m.kinds[p] == NETWORK:
                total = weigh(m, w, p)
                slot = rans.slot_of(state)
                symbol, low, frequency = symbol_at(m, w, p, total, slot)
                symbols[row, p] = symbol
                update_copies(m, w, p, symbol)
                state = rans.popped(state, slot, low, frequency)
                if state < _START64:
                    if at == words.shape[0]:
                        return _CUT
                    state = (state << np.uint64(32)) | np.uint64(words[at])
                    at += 1
            update_state(m, w, p, np.int64(symbols[row, p]))
        end_row(m, w)
    return _FINE if state == _START64 and at == words.shape[0] else _LEFT_OVER


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


def block_intervals(group: FrozenGroup, symbols: np.ndarray) -> np.ndarray:
    """First slot + (frequency - 1) * 2^16 of every network-coded symbol, uint32 (rows, network-coded positions).

    Raises
    ------
        Corrupt: when a symbol is outside its alphabet.

    """
    _check_symbols(group, symbols, coded=True)
    out = np.empty((len(symbols), len(_network_positions(group))), np.uint32)
    packed = pack(group)
    _intervals(packed, make_work(packed, len(symbols)), np.require(symbols, requirements=["C", "W"]), out.reshape(-1))
    return out


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
    _check_symbols(group, symbols, coded=False)
    if not (symbols.flags.c_contiguous and symbols.flags.writeable):
        raise ValueError("symbols must be C-contiguous and writable: they are filled in place")
    for p, size in enumerate(group.alphabets):
        if group.coded[p] and size == 1:
            symbols[:, p] = 0
    state, words = rans.open_stream(data)
    packed = pack(group)
    outcome = _decode(packed, make_work(packed, len(symbols)), symbols, np.uint64(state), words)
    if outcome != _FINE:
        what = "ends early" if outcome == _CUT else "does not end where its rows end"
        raise Corrupt(f"entropy-coded stream of {len(data)} bytes {what}: restore the file from a replica")


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
