"""The additive integer encoder at speed: symbols to latents, as `reference.encode_latents` defines."""

from __future__ import annotations

import numpy as np

from ae_core.errors import Corrupt
from ae_core.kernels.compiling import kernel
from ae_core.kernels.frozen import FrozenEncoder, first_rows


@kernel
def _encode(
    symbols: np.ndarray, first: np.ndarray, E: np.ndarray, bias: np.ndarray, levels: np.ndarray, z: np.ndarray
) -> None:
    total = np.zeros(z.shape[1], np.int64)
    for row in range(symbols.shape[0]):
        for d in range(z.shape[1]):
            total[d] = bias[d] + 8
        for p in range(symbols.shape[1]):
            at = first[p] + symbols[row, p]
            for d in range(z.shape[1]):
                total[d] += E[at, d]
        for d in range(z.shape[1]):
            z[row, d] = min(max(total[d] >> 4, 0), levels[d] - 1)


def encode_latents(encoder: FrozenEncoder, symbols: np.ndarray) -> np.ndarray:
    """Latents of every row, uint16 (rows, d).

    Raises
    ------
    Corrupt
        When a symbol is outside its alphabet.
    """
    if symbols.ndim != 2 or symbols.shape[1] != len(encoder.alphabets) or symbols.dtype != np.uint16:
        raise ValueError(f"symbols {symbols.dtype} {symbols.shape}: expected uint16 (rows, {len(encoder.alphabets)})")
    if len(symbols) and (symbols.max(axis=0) >= np.array(encoder.alphabets)).any():
        raise Corrupt("a symbol is outside its alphabet")
    z = np.empty((len(symbols), len(encoder.levels)), np.uint16)
    first = first_rows(encoder.alphabets)[:-1]
    levels = np.array(encoder.levels, np.int64)
    _encode(
        np.require(symbols, requirements=["C", "W"]), first, encoder.E.copy(), encoder.bias.astype(np.int64), levels, z
    )
    return z
