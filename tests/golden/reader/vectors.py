"""Columns of vectors [B12]."""

import numpy as np
import pyarrow as pa

from .coders import Mixing, weights
from .streams import Bytes


def storage_of(kind):
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def cut(kind):
    """Cells of a vector: numbers of elements (cells, size), and the cells around each; -1 for none."""
    shape = tuple(kind.shape) if isinstance(kind, pa.BaseExtensionType) else (kind.list_size,)
    numbers, side = np.arange(np.prod(shape)), (1, 64)
    if len(shape) == 1 and shape[0] <= 1024:
        return numbers[None], np.zeros((1, 1), int)
    if len(shape) == 1:
        planes = numbers[None, None]
    elif len(shape) > 2 and shape[-1] <= 4:
        planes = np.moveaxis(numbers.reshape(-1, *shape[-3:]), 3, 1).reshape(-1, *shape[-3:-1])
    else:
        planes = numbers.reshape(-1, *shape[-2:])
    if len(shape) > 1:
        side = (4, 4) if max(planes.shape[1:]) <= 16 else (8, 8)
    down, across = (-(-size // step) for size, step in zip(planes.shape[1:], side, strict=True))
    cells, around = [], []
    for i in range(down):
        for j in range(across):
            here = [
                (p, i * side[0] + y, j * side[1] + x)
                for p in range(len(planes))
                for y in range(side[0])
                for x in range(side[1])
            ]
            cells.append(
                [planes[at] if all(a < size for a, size in zip(at, planes.shape, strict=True)) else -1 for at in here]
            )
            rows = range(i - 1, i + 2) if side[0] > 1 else [i]
            near = [(y, x) for y in rows for x in range(j - 1, j + 2)]
            around.append([y * across + x if 0 <= y < down and 0 <= x < across else -1 for y, x in near])
    return np.array(cells), np.array(around)


class Vectors:
    """The coder of a vector column."""

    def __init__(self, parts, kind):
        self.kind, self.size, self.parts = kind, storage_of(kind).list_size, parts
        self.net = weights(parts["weights"]) if "weights" in parts else None
        self.cells, self.around = cut(kind)

    def pieces(self, data, plan, rows, step, known):
        """Codes of the last columns of all pieces; `known` gives a piece's columns without a model."""
        data, steps, found = Bytes(data), range(0, rows, step), []
        sizes = [data.varint() for _ in steps]
        for first, size in zip(steps, sizes, strict=True):
            codes = known(first, min(rows, first + step))
            given, count = len(codes), min(step, rows - first)
            Mixing(Bytes(self.parts[plan]), data.take(size), codes, count)
            found.append(np.array([codes[n] for n in sorted(codes) if n >= given], np.int64).T)
        assert data.at == len(data.data)
        return np.concatenate(found) if found else np.zeros((0, 1), np.int64)

    def guesses(self, z, count, levels):
        """Predicted codes of the elements of `count` vectors."""
        latents = self.pieces(z, "latents", count * len(self.cells), 2**17, lambda first, end: {})
        return self.predicted(latents.reshape(count, len(self.cells), self.net["E"].shape[1]), levels)

    def codes(self, z, elements, count, levels):
        """Codes of the elements of `count` vectors."""
        n, guesses = self.size, self.guesses(z, count, levels) if self.net else None

        def known(first, end):
            codes = {0: [i % n for i in range(first, end)]}
            return codes if guesses is None else codes | {1: guesses[first:end].tolist()}

        return self.pieces(elements, "elements", count * n, n * max(1, 2**17 // n), known)[:, 0]

    def predicted(self, z, levels):
        t, found = self.net, np.zeros((len(z), self.size), np.int64)
        edge = np.concatenate([z - 64, np.zeros_like(z[:, :1])], 1)
        for places, around in zip(self.cells, self.around, strict=True):
            k = edge[:, around].reshape(len(z), -1)
            h = (k @ t["P"] + t["p"] + 2**7 >> 8).clip(0, 255)
            o = (k @ t["D"] + h @ t["V"] + t["b"]).clip(-(2**17), 2**17)
            told = (t["mean"] + (o * t["scale"] + 2**12 >> 13)).clip(0, levels - 1)
            found[:, places[places >= 0]] = told[:, places >= 0]
        return found.ravel()


def vectors_of(kind, valid, elements):
    """The array of vectors whose elements those of the valid slots are."""
    size = storage_of(kind).list_size
    rows = (np.cumsum(valid) - 1).clip(0)
    if not valid.any():
        return pa.nulls(len(valid), kind)
    values = elements.take(pa.array((rows[:, None] * size + np.arange(size)).ravel()))
    found = pa.FixedSizeListArray.from_arrays(values, type=storage_of(kind), mask=pa.array(~valid))
    return pa.ExtensionArray.from_storage(kind, found) if isinstance(kind, pa.BaseExtensionType) else found
