"""Codes of a vector column <-> bytes: latents, then every element mixed against what the autoencoder predicts.

The elements are a table of their own, one row each, for the mixing coder: its place in the vector, the prediction and
the code, the last of which is coded. Pieces of at most 2^17 elements are coded apart, so that they decode in parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ae_core import mixing
from ae_core.coder.payload import pack_parts, unpack_parts
from ae_core.errors import Corrupt
from ae_core.mixing import MixingPlan
from ae_core.threads import ordered_map
from ae_core.vectors.cells import Cells, cells_of
from ae_core.vectors.network import LATENT_LEVELS, MOST_LEVELS, FrozenVectors, encode_cells, predict_cells

Codes = npt.NDArray[np.int64]
Latents = npt.NDArray[np.uint8]
MOST_LENGTH = 1 << 16
"""Elements of a vector, at most, for this coder."""
PIECE = 1 << 17  # elements, or cells, that are coded in one go


@dataclass(frozen=True, eq=False)
class VectorCoder:
    """How a vector column is coded.

    shape : of a vector; levels, size : of an element's codes, specials from `levels` on; elements : columns place,
    prediction (where there is a network) and code; latents : one column a latent.
    """

    shape: tuple[int, ...]
    levels: int
    size: int
    elements: MixingPlan
    network: FrozenVectors | None = None
    latents: MixingPlan | None = None

    @cached_property
    def cells(self) -> Cells:
        """How vectors are cut."""
        return cells_of(self.shape)

    @property
    def length(self) -> int:
        """Elements of a vector."""
        return int(np.prod(self.shape))

    def check(self) -> None:
        """Pass where the parts fit each other.

        Raises
        ------
        Corrupt
            Where they do not.
        """
        known = (self.length,) if self.network is None else (self.length, self.levels)
        sound = self.elements.levels == (*known, self.levels) and self.elements.sizes == (*known, self.size)
        sound = sound and [model.column for model in self.elements.models] == [len(known)]
        sound = (
            sound
            and self.length <= MOST_LENGTH
            and self.levels > 0
            and (self.network is None) == (self.latents is None)
        )
        if sound and self.network is not None and self.latents is not None:
            self.network.check(self.cells)
            wanted = (LATENT_LEVELS,) * self.network.dims
            sound = self.latents.levels == self.latents.sizes == wanted and self.levels <= MOST_LEVELS
            sound = sound and {model.column for model in self.latents.models} == set(range(self.network.dims))
        if not sound:
            raise Corrupt("model: the coder of a vector column does not fit it: verify the archive")


def encode_vectors(coder: VectorCoder, codes: Codes) -> dict[str, bytes]:
    """Streams `elements` and, where there is a network, `z` of codes (rows, elements)."""
    streams: dict[str, bytes] = {}
    guesses: Codes | None = None
    if coder.network is not None and coder.latents is not None:
        z = encode_cells(coder.network, coder.cells, codes, coder.levels)
        streams["z"] = _encode(coder.latents, _pieces_of_latents(z))
        guesses = predict_cells(coder.network, coder.cells, z, coder.levels)
    pieces = (_element_rows(coder, guesses, codes, part) for part in _parts(coder, len(codes)))
    streams["elements"] = _encode(coder.elements, pieces)
    return streams


def decode_latents(coder: VectorCoder, data: bytes, rows: int) -> Latents:
    """Latents of vectors, uint8 (rows, cells, d), from their stream; raises Corrupt where it is not one."""
    assert coder.network is not None
    assert coder.latents is not None
    count, plan = rows * coder.cells.count, coder.latents
    sizes = [min(PIECE, count - first) for first in range(0, count, PIECE)]
    work = list(zip(unpack_parts(data, len(sizes)), sizes, strict=True))
    found = ordered_map(lambda item: mixing.decode_block(plan, *item).astype(np.uint8), work)
    z = np.concatenate([np.zeros((0, coder.network.dims), np.uint8), *found])
    return z.reshape(rows, coder.cells.count, coder.network.dims)


def predicted_codes(coder: VectorCoder, z: Latents) -> Codes:
    """What the decoder makes of latents, int64 (rows, elements)."""
    assert coder.network is not None
    return predict_cells(coder.network, coder.cells, z, coder.levels)


def decode_vectors(coder: VectorCoder, data: bytes, z: Latents | None, rows: int) -> Codes:
    """The codes behind `encode_vectors`, int64 (rows, elements); raises Corrupt where the bytes are not theirs."""
    parts = list(_parts(coder, rows))
    target = len(coder.elements.sizes) - 1

    def decode(item: tuple[slice, bytes]) -> Codes:
        part, piece = item
        guesses = None if z is None else predicted_codes(coder, z[part])
        empty = np.zeros((part.stop - part.start, coder.length), np.int64)
        given = _element_rows(coder, guesses, empty, slice(0, len(empty)))
        return mixing.decode_block(coder.elements, piece, len(given), given)[:, target].reshape(empty.shape)

    work = list(zip(parts, unpack_parts(data, len(parts)), strict=True))
    return np.concatenate([np.zeros((0, coder.length), np.int64), *ordered_map(decode, work)])


def _encode(plan: MixingPlan, pieces: Iterator[Codes]) -> bytes:
    return pack_parts(list(ordered_map(lambda piece: mixing.encode_block(plan, piece), pieces)))


def _parts(coder: VectorCoder, rows: int) -> Iterator[slice]:
    """Vectors that are coded in one go."""
    step = max(1, PIECE // coder.length)
    return (slice(first, min(rows, first + step)) for first in range(0, rows, step))


def _pieces_of_latents(z: Latents) -> Iterator[Codes]:
    flat = z.reshape(-1, z.shape[2])
    return (flat[first : first + PIECE].astype(np.int64) for first in range(0, len(flat), PIECE))


def _element_rows(coder: VectorCoder, guesses: Codes | None, codes: Codes, part: slice) -> Codes:
    """Rows of the table of elements: place, prediction, code."""
    cells = codes[part]
    columns = [np.tile(np.arange(coder.length), len(cells)), cells.ravel()]
    if guesses is not None:
        columns.insert(1, guesses[part].ravel())
    return np.stack(columns, 1)
