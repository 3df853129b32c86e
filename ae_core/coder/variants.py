"""What rows would cost if they were otherwise: bits of variants of a row, in the place of the row itself.

A variant sees what the row saw: the row before it and the copy candidates as they stood there. It leaves no trace: the
walk goes on with the row as it is. So the code lengths of the variants, taken together, are the model's distribution of
what they differ in, given everything else in the row and all rows before.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ae_core.errors import Corrupt
from ae_core.kernels.compiling import SOURCES, bare_kernel
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
    update_copies,
    update_state,
    weigh,
)
from ae_core.kernels.frozen import FrozenGroup
from ae_core.kernels.vectors import MAX_BLOCKS, item, put

_BITS: Final = 16 - np.log2(np.arange(1, (1 << 16) + 1))
"""Bits of a symbol of frequency f at f - 1."""


@bare_kernel
def _score(
    m: Packed,
    w: Work,
    v: Work,
    symbols: np.ndarray,
    variants: np.ndarray,
    variants_at: np.ndarray,
    rows_at: np.ndarray,
    bits_of: np.ndarray,
    bits: np.ndarray,
    sources: int = SOURCES,
) -> None:
    """Adds to `bits` what each variant costs.

    Row r of `symbols`, uint16 (rows * positions,), has the rows of `variants` from `variants_at[r]` to those of r + 1.
    `w` is the block's scratch, `v` that of variants, which looks into the same copy tables. `rows_at` is room for
    int64 (MAX_BLOCKS,), `bits_of` is `_BITS`.
    """
    width, state = m.kinds.shape[0], w.u.shape[0]
    for row in range(variants_at.shape[0] - 1):
        begin_row(m, w, 1)
        first, end = item(variants_at, row), item(variants_at, row + 1)
        for b in range(MAX_BLOCKS if first < end else 0):
            for i in range(state):
                put(v.u, b * state + i, item(w.u, i))
        while first < end:
            live = min(MAX_BLOCKS, end - first)
            for b in range(live):
                put(rows_at, b, first + b)
            begin_row(m, v, live)
            for p in range(width):
                find_copies(m, v, p, variants, rows_at, 0, live)
                for b in range(live):
                    put(v.chosen, b, np.int64(item(variants, (first + b) * width + p)))
                if item(m.kinds, p) == NETWORK:
                    weigh(m, v, p, live)
                    for b in range(live):
                        _, frequency = slot_range(m, v, b, p, item(v.chosen, b))
                        put(bits, first + b, item(bits, first + b) + item(bits_of, frequency - 1))
                for b in range(live):
                    update_state(m, v, b, p, item(v.chosen, b))
            first += live
        put(rows_at, 0, np.int64(0))
        for p in range(width):
            find_copies(m, w, p, symbols, rows_at, row, 1)
            put(w.chosen, 0, np.int64(item(symbols, row * width + p)))
            if item(m.kinds, p) == NETWORK:
                update_copies(m, w, p, 1)
            update_state(m, w, 0, p, item(w.chosen, 0))
        end_row(m, w, 1)


def variant_bits(group: FrozenGroup, symbols: np.ndarray, variants: np.ndarray, row_of: np.ndarray) -> np.ndarray:
    """Bits that each variant costs in its row's place, all coded positions together; float64 (variants,).

    Parameters
    ----------
    group
        A frozen group whose bounds were checked.
    symbols
        uint16 (rows, positions) of a block, given positions included.
    variants
        uint16 (variants, positions).
    row_of
        int64 (variants,), increasing: the row of `symbols` that each variant would replace.

    Raises
    ------
        Corrupt: when a symbol is outside its alphabet.

    """
    for known in (symbols, variants):
        if known.ndim != 2 or known.shape[1] != len(group.alphabets) or known.dtype != np.uint16:
            raise ValueError(f"symbols {known.dtype} {known.shape}: expected uint16 (rows, {len(group.alphabets)})")
        if len(known) and (known.max(axis=0) >= np.array(group.alphabets)).any():
            raise Corrupt("a symbol is outside its alphabet")
    if len(row_of) != len(variants) or (np.diff(row_of) < 0).any():
        raise ValueError("row_of must name a row for each variant, in increasing order")
    packed, bits = pack(group), np.zeros(len(variants))
    if not len(variants):
        return bits
    block = make_work(packed, np.array([len(symbols)], np.int64))
    scratch = make_work(packed, np.ones(MAX_BLOCKS, np.int64))
    beside = scratch._replace(
        tables=block.tables, tables_at=np.zeros(MAX_BLOCKS, np.int64), bits=np.repeat(block.bits, MAX_BLOCKS)
    )
    last = int(row_of[-1]) + 1  # what comes after has no variants
    at = np.searchsorted(row_of, np.arange(last + 1)).astype(np.int64)
    room = np.zeros(MAX_BLOCKS, np.int64)
    joined = [np.require(known, requirements=["C", "W"]).reshape(-1) for known in (symbols, variants)]
    _score(packed, block, beside, *joined, at, room, _BITS, bits)
    return bits
