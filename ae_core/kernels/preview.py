"""The preview decoder at speed: latents to approximate codes of every column, as `reference.preview_codes` defines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ae_core.errors import Corrupt
from ae_core.kernels.compiling import SOURCES, bare_kernel
from ae_core.kernels.fast import aligned, pack_dense, whole_vectors
from ae_core.kernels.frozen import ORDINAL_SHIFT, FrozenPreview, first_rows
from ae_core.kernels.vectors import LANES, add_row, clamp_shifted, dense


class _PackedPreview(NamedTuple):
    """A frozen preview laid out for the kernel, with its scratch."""

    first: np.ndarray  # int64 (d,): first row of a dimension in P
    P: np.ndarray  # int16 (sum L * hidden vectors * 16,)
    b: np.ndarray  # int32 (hidden vectors * 16,)
    V: np.ndarray  # int16, packed
    bias: np.ndarray  # int32 (output vectors * 16,): 16 * bv
    sums: np.ndarray  # int32 (hidden vectors * 16,)
    h: np.ndarray  # int16 (hidden vectors * 16,)
    out: np.ndarray  # int32 (output vectors * 16,)
    heads: np.ndarray  # int64 (columns, 5): first output, ordinal, levels, specials, first radix index
    radices: np.ndarray  # int64: radices of all columns, a 0 behind each column's


def _pack(preview: FrozenPreview) -> _PackedPreview:
    hidden, outputs = preview.V.shape
    hv, ov = whole_vectors(hidden), whole_vectors(outputs)
    P = np.zeros((len(preview.P), hv * LANES), np.int16)
    P[:, :hidden] = preview.P
    b, bias = np.zeros(hv * LANES, np.int32), np.zeros(ov * LANES, np.int32)
    b[:hidden], bias[:outputs] = preview.b, 16 * preview.bv.astype(np.int32)
    heads = np.zeros((len(preview.heads), 5), np.int64)
    radices: list[int] = []
    at = 0
    for c, head in enumerate(preview.heads):
        heads[c] = (at, head.ordinal, head.levels, head.specials, len(radices))
        radices += [*head.radices, 0]
        at += head.outputs
    V = pack_dense(preview.V, np.arange(outputs), hv * LANES, ov)
    return _PackedPreview(
        first=first_rows(preview.levels)[:-1],
        P=aligned(P),
        b=aligned(b),
        V=aligned(V),
        bias=aligned(bias),
        sums=aligned(np.zeros(hv * LANES, np.int32)),
        h=aligned(np.zeros(hv * LANES, np.int16)),
        out=aligned(np.zeros(ov * LANES, np.int32)),
        heads=heads,
        radices=np.array(radices, np.int64),
    )


@njit(inline="always")
def _greatest(out: np.ndarray, first: int, count: int) -> int:
    """Index, from `first`, of the first greatest of `count` outputs."""
    best = 0
    for i in range(1, count):
        if out[first + i] > out[first + best]:
            best = i
    return best


@njit(inline="always")
def _code(m: _PackedPreview, column: int) -> int:
    """What the outputs say about a column; `PreviewHead` words the rules."""
    at, ordinal, levels, specials, digit = m.heads[column]
    if ordinal:
        y = min(max(m.out[at], 0), 1 << ORDINAL_SHIFT)
        code = (y * (levels - 1) + (1 << (ORDINAL_SHIFT - 1))) >> ORDINAL_SHIFT
        if specials:
            special = _greatest(m.out, at + 1, specials)
            if m.out[at + 1 + special] > 0:
                code = levels + special
        return code
    high = m.radices[digit]
    code = _greatest(m.out, at, high + specials)
    if code >= high:
        return levels + code - high
    at += high + specials
    digit += 1
    while m.radices[digit] > 0:
        code = code * m.radices[digit] + _greatest(m.out, at, m.radices[digit])
        at += m.radices[digit]
        digit += 1
    return min(code, levels - 1)


@bare_kernel
def _preview(m: _PackedPreview, z: np.ndarray, codes: np.ndarray, sources: int = SOURCES) -> None:
    hidden_vectors, output_vectors = m.b.shape[0] // LANES, m.out.shape[0] // LANES
    for row in range(z.shape[0]):
        for i in range(m.sums.shape[0]):
            m.sums[i] = m.b[i]
        for d in range(z.shape[1]):
            add_row(m.sums, 0, m.P, (m.first[d] + z[row, d]) * hidden_vectors * LANES, hidden_vectors)
        clamp_shifted(m.h, 0, m.sums, 0, 0, 0, 255, hidden_vectors)
        dense(m.out, 0, m.bias, 0, m.V, 0, m.h, 0, hidden_vectors * (LANES // 2), output_vectors, 1)
        for column in range(codes.shape[1]):
            codes[row, column] = _code(m, column)


def preview_codes(preview: FrozenPreview, z: np.ndarray) -> np.ndarray:
    """Approximate code of every column, int32 (rows, columns), from latents (rows, d) of any integer type.

    Raises
    ------
    Corrupt
        When a latent is outside its levels.
    """
    if z.ndim != 2 or z.shape[1] != len(preview.levels):
        raise ValueError(f"latents of shape {z.shape}: expected (rows, {len(preview.levels)})")
    wide = np.require(z, np.int64, ["C", "W"])
    if len(wide) and not ((wide >= 0).all() and (wide < np.array(preview.levels)).all()):
        raise Corrupt("a latent is outside its levels")
    codes = np.zeros((len(wide), len(preview.heads)), np.int32)
    _preview(_pack(preview), wide, codes)
    return codes
