"""The autoencoder of a vector column, in integers: equal latents and equal predictions on every machine.

    v = clamp(((code - mean) << 8) // scale, -2047, 2047)     0 for specials and beyond the edge
    z = clamp((v E + e + 2^17) >> 18, 0, 127)
    c = z - 64 of a cell and its neighbours, 0 beyond the edge
    h = clamp((c P + p + 2^7) >> 8, 0, 255);   o = c D + h V + b
    prediction = clamp(mean + ((clamp(o, -2^17, 2^17) scale + 2^12) >> 13), 0, column's levels - 1)

All sums are proved to fit 32 bits when a network is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from ae_core.errors import Corrupt
from ae_core.vectors.cells import Cells

MOST_LEVELS: Final = 1 << 30  # of the elements' codes
LATENT_LEVELS: Final = 128  # of every latent
MOST_LATENTS, MOST_HIDDEN, MOST_SIZE = 128, 1024, 1 << 12
INPUT_BITS, LATENT_BITS, HIDDEN_BITS, OUTPUT_BITS = 8, 18, 8, 13
MOST_INPUT, MOST_OUTPUT = 2047, 1 << 17
Ints = npt.NDArray[np.int32]
_SHAPES = {"mean": np.int32, "scale": np.int32, "E": np.int16, "e": np.int32, "P": np.int16, "p": np.int32,
           "D": np.int16, "V": np.int16, "b": np.int32}  # fmt: skip


@dataclass(frozen=True, eq=False)
class FrozenVectors:
    """Integer tensors, matrices input first.

    mean, scale : int32 (size,); E : int16 (size, d), e : int32 (d,); P : int16 (around d, hidden), p : int32 (hidden,);
    D : int16 (around d, size); V : int16 (hidden, size), b : int32 (size,).
    """

    tensors: Mapping[str, npt.NDArray[Any]]

    @property
    def dims(self) -> int:
        """Latents of a cell."""
        return int(self.tensors["E"].shape[1])

    def check(self, cells: Cells) -> None:
        """Pass where the tensors fit the cells and no sum can leave 32 bits.

        Raises
        ------
        Corrupt
            Where they do not.
        """
        t = self.tensors
        sound = set(t) == set(_SHAPES) and all(t[name].dtype == kind for name, kind in _SHAPES.items())
        sound = sound and t["E"].ndim == t["P"].ndim == 2
        if sound:
            d, hidden, size, inputs = self.dims, t["P"].shape[1], cells.size, cells.around * self.dims
            shapes = {"mean": (size,), "scale": (size,), "E": (size, d), "e": (d,), "P": (inputs, hidden),
                      "p": (hidden,), "D": (inputs, size), "V": (hidden, size), "b": (size,)}  # fmt: skip
            sound = 1 <= d <= MOST_LATENTS and 1 <= hidden <= MOST_HIDDEN and size <= MOST_SIZE
            sound = sound and all(t[name].shape == shape for name, shape in shapes.items())
            sound = sound and bool((t["scale"] > 0).all() and (t["scale"] <= MOST_LEVELS).all())
            sound = sound and bool((t["mean"] >= 0).all() and (t["mean"] <= MOST_LEVELS).all())
        if not (sound and self._fits()):
            raise Corrupt("model: the autoencoder of a vector column is not one that any writer makes")

    def _fits(self) -> bool:
        """Whether every sum stays within 32 bits, whatever goes in."""
        t, most = self.tensors, LATENT_LEVELS // 2
        latents = _reach(t["E"], MOST_INPUT) + np.abs(t["e"].astype(np.int64)) + (1 << (LATENT_BITS - 1))
        hidden = _reach(t["P"], most) + np.abs(t["p"].astype(np.int64)) + (1 << (HIDDEN_BITS - 1))
        output = _reach(t["D"], most) + _reach(t["V"], 255) + np.abs(t["b"].astype(np.int64))
        return all(int(found.max()) < 2**31 for found in (latents, hidden, output))


def _reach(weights: npt.NDArray[Any], most: int) -> npt.NDArray[np.int64]:
    return np.abs(weights.astype(np.int64)).sum(0) * most


@njit(cache=True, nogil=True)
def _add_product(x: Any, weights: Any, out: Any) -> None:
    """`out` (rows, b) += x (rows, a) @ weights (a, b), in int32."""
    for row in range(x.shape[0]):
        for i in range(x.shape[1]):
            value = np.int32(x[row, i])
            if value:
                for j in range(weights.shape[1]):
                    out[row, j] += value * np.int32(weights[i, j])


@njit(cache=True, nogil=True)
def _inputs(codes: Any, levels: int, places: Any, mean: Any, scale: Any, out: Any) -> None:
    """Standardised numbers of all cells, int32 (rows * cells, size)."""
    cells, size = places.shape
    for row in range(codes.shape[0]):
        for cell in range(cells):
            for k in range(size):
                place = places[cell, k]
                value = np.int64(0)
                if place >= 0 and codes[row, place] < levels:
                    value = ((np.int64(codes[row, place]) - np.int64(mean[k])) << INPUT_BITS) // np.int64(scale[k])
                out[row * cells + cell, k] = min(max(value, -MOST_INPUT), MOST_INPUT)


@njit(cache=True, nogil=True)
def _gather(z: Any, neighbours: Any, middle: int, out: Any) -> None:
    """Latents around every cell less the middle level, int32 (rows * cells, around * d)."""
    cells, around = neighbours.shape
    d = z.shape[2]
    for row in range(z.shape[0]):
        for cell in range(cells):
            for n in range(around):
                other = neighbours[cell, n]
                for i in range(d):
                    out[row * cells + cell, n * d + i] = np.int32(z[row, other, i]) - middle if other >= 0 else 0


@njit(cache=True, nogil=True)
def _put(o: Any, levels: int, places: Any, mean: Any, scale: Any, codes: Any) -> None:
    """Predictions of all elements into int64 (rows, elements)."""
    cells, size = places.shape
    for row in range(codes.shape[0]):
        for cell in range(cells):
            for k in range(size):
                if places[cell, k] >= 0:
                    value = np.int64(min(max(o[row * cells + cell, k], -MOST_OUTPUT), MOST_OUTPUT))
                    moved = (value * np.int64(scale[k]) + (1 << (OUTPUT_BITS - 1))) >> OUTPUT_BITS
                    codes[row, places[cell, k]] = min(max(np.int64(mean[k]) + moved, 0), levels - 1)


def encode_cells(net: FrozenVectors, cells: Cells, codes: npt.NDArray[np.int64], levels: int) -> npt.NDArray[np.uint8]:
    """Latents of vectors, uint8 (rows, cells, d); `codes` (rows, elements), specials from `levels` on."""
    t = net.tensors
    v = np.empty((len(codes) * cells.count, cells.size), np.int32)
    _inputs(codes, levels, cells.places, t["mean"], t["scale"], v)
    sums = np.tile(t["e"] + np.int32(1 << (LATENT_BITS - 1)), (len(v), 1))
    _add_product(v, t["E"], sums)
    z = np.clip(sums >> LATENT_BITS, 0, LATENT_LEVELS - 1)
    return z.astype(np.uint8).reshape(len(codes), cells.count, net.dims)


def predict_cells(net: FrozenVectors, cells: Cells, z: npt.NDArray[np.uint8], levels: int) -> npt.NDArray[np.int64]:
    """Codes that the decoder predicts, int64 (rows, elements), all below `levels`."""
    t = net.tensors
    c = np.empty((len(z) * cells.count, cells.around * net.dims), np.int32)
    _gather(z, cells.neighbours, LATENT_LEVELS // 2, c)
    hidden = np.tile(t["p"] + np.int32(1 << (HIDDEN_BITS - 1)), (len(c), 1))
    _add_product(c, t["P"], hidden)
    hidden = np.clip(hidden >> HIDDEN_BITS, 0, 255).astype(np.int32)
    out = np.tile(t["b"], (len(c), 1))
    _add_product(c, t["D"], out)
    _add_product(hidden, t["V"], out)
    codes = np.zeros((len(z), int(cells.places.max()) + 1), np.int64)
    _put(out, levels, cells.places, t["mean"], t["scale"], codes)
    return codes
