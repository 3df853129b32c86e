"""How a vector or an image is cut into cells: all cells share one autoencoder, which makes it a convolution.

A short vector is one cell, a long one a row of cells, an image a grid of square patches. The decoder of a cell sees the
latents of its neighbours too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

WHOLE = 1024  # elements up to which a vector is one cell
SEGMENT = 64  # elements of a cell of a longer one
SMALL_SIDE, SMALL_PATCH, PATCH = 16, 4, 8
MOST_CHANNELS = 4  # of the last axis of an image, from which on it counts as one of its sides


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a vector.

    places : int32 (cells, size), which element each number of a cell is, -1 beyond the edge;
    neighbours : int32 (cells, 1, 3 or 9), the cells around each, itself in the middle, -1 beyond the edge.
    """

    places: npt.NDArray[np.int32]
    neighbours: npt.NDArray[np.int32]

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.places)

    @property
    def size(self) -> int:
        """Elements of a cell."""
        return self.places.shape[1]

    @property
    def around(self) -> int:
        """Cells whose latents a cell's decoder sees."""
        return self.neighbours.shape[1]


@lru_cache(maxsize=64)
def cells_of(shape: tuple[int, ...]) -> Cells:
    """The cells of a shape."""
    if len(shape) == 1:
        if shape[0] <= WHOLE:
            return Cells(np.arange(shape[0], dtype=np.int32)[None], np.zeros((1, 1), np.int32))
        return _grid(np.arange(shape[0]).reshape(1, 1, -1), 1, SEGMENT)
    numbers = np.arange(int(np.prod(shape)))
    if len(shape) > 2 and shape[-1] <= MOST_CHANNELS:
        planes = np.moveaxis(numbers.reshape(-1, *shape[-3:]), 3, 1).reshape(-1, *shape[-3:-1])
    else:
        planes = numbers.reshape(-1, *shape[-2:])
    side = SMALL_PATCH if max(planes.shape[1:]) <= SMALL_SIDE else PATCH
    return _grid(planes, side, side)


def _grid(planes: npt.NDArray[np.int64], high: int, wide: int) -> Cells:
    """Cells of high x wide places of all planes, of an array (planes, height, width) of element numbers."""
    count, height, width = planes.shape
    down, across = -(-height // high), -(-width // wide)
    padded = np.full((count, down * high, across * wide), -1, np.int32)
    padded[:, :height, :width] = planes
    cut = padded.reshape(count, down, high, across, wide).transpose(1, 3, 0, 2, 4)
    numbers = np.full((down + 2, across + 2), -1, np.int32)
    numbers[1:-1, 1:-1] = np.arange(down * across).reshape(down, across)
    rows = (1,) if high == 1 else (0, 1, 2)
    around = [numbers[i : i + down, j : j + across].ravel() for i in rows for j in (0, 1, 2)]
    return Cells(np.ascontiguousarray(cut.reshape(down * across, -1)), np.ascontiguousarray(np.stack(around, 1)))
