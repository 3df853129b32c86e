"""Training of a vector column's autoencoder, and its freezing into integers.

The latents begin as principal components of the cells, each rounded as coarsely as pays; then encoder and decoder (a
linear part and one hidden layer, that of an image over neighbouring cells) are trained together on bits: those of the
latents plus those of the elements' errors, both as if their sizes were Laplacian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ae_core.model.fit import one_thread_each
from ae_core.vectors.cells import Cells
from ae_core.vectors.network import HIDDEN_BITS, INPUT_BITS, LATENT_BITS, LATENT_LEVELS, OUTPUT_BITS, FrozenVectors

HIDDEN_UNIT = 32  # of a hidden number in integers
CANDIDATES = (2, 4, 8, 16, 32, 64)
ROUNDINGS = (0.25, 0.5, 1.0)  # of the latents, in deviations of an element
BATCH_CELLS, STEPS, RATE = 2048, 1000, 3e-3
WEIGHT_BITS = 8.0  # what a weight costs, about

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Start:
    """Where training begins: components (size, d), and the step by which they are rounded."""

    components: Floats
    step: float


def train_vectors(
    codes: npt.NDArray[np.int64], levels: int, cells: Cells, *, vectors_served: int, seed: int = 0
) -> FrozenVectors:
    """The autoencoder for vectors like these.

    Parameters
    ----------
    codes
        (rows, elements), specials from `levels` on.
    vectors_served
        Vectors that the weights' bytes are shared by.
    """
    mean, scale = _standards(codes, levels, cells)
    x = _cell_numbers(codes, levels, cells, mean, scale)
    start = _start(x.reshape(-1, cells.size), scale, vectors_served * cells.count, cells.around)
    generator = torch.Generator().manual_seed(seed)
    net = _Network(start, cells, generator)
    with one_thread_each():
        _train(net, torch.from_numpy(x), torch.from_numpy(scale.astype(np.float32)), cells, generator)
    return _frozen(net, mean, scale, cells)


def _standards(
    codes: npt.NDArray[np.int64], levels: int, cells: Cells
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Mean and deviation of every number of a cell, whole levels."""
    value = codes < levels
    count = np.maximum(value.sum(0), 1)
    numbers = np.where(value, codes, 0).astype(np.float64)
    first, second = numbers.sum(0), (numbers * numbers).sum(0)
    there = cells.places >= 0
    places = np.where(there, cells.places, 0)
    n = np.where(there, count[places], 0).sum(0)
    n = np.maximum(n, 1)
    mean = np.where(there, first[places], 0).sum(0) / n
    square = np.where(there, second[places], 0).sum(0) / n
    scale = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.rint(mean).astype(np.int64), np.maximum(np.rint(scale), 1).astype(np.int64)


def _cell_numbers(
    codes: npt.NDArray[np.int64], levels: int, cells: Cells, mean: npt.NDArray[np.int64], scale: npt.NDArray[np.int64]
) -> Floats:
    """Standardised numbers (rows, cells, size), 0 for specials and beyond the edge."""
    places = np.maximum(cells.places, 0)
    cut = codes[:, places]
    numbers = ((cut - mean) / scale).astype(np.float32)
    numbers[(cut >= levels) | (cells.places < 0)] = 0
    return np.clip(numbers, -8, 8)


def _bits(error: Floats, unit: npt.NDArray[np.float64]) -> float:
    """Bits a row of errors in deviations, where whole levels are `unit` deviations: as of Laplacian ones."""
    size = np.abs(error).mean(0) / unit
    return float(np.log2(1 + 2 * np.e * size).sum())


def _start(x: Floats, scale: npt.NDArray[np.int64], rows_served: int, around: int) -> Start:
    """The number of components, and their rounding, of fewest bits in all."""
    rows = x[:: max(1, len(x) // 20_000)].astype(np.float64)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    vectors = vectors[:, ::-1]
    unit, found = 1.0 / scale, []
    most = max(1, min(x.shape[1] // 2, int((values > 1e-6).sum())))
    for d in sorted({min(d, most) for d in CANDIDATES}):
        components = vectors[:, :d]
        for step in ROUNDINGS:
            z = np.clip(np.rint(rows @ components / step), -(LATENT_LEVELS // 2), LATENT_LEVELS // 2 - 1)
            error = rows - z * step @ components.T
            weights = WEIGHT_BITS * d * x.shape[1] * (1 + around)
            bits = _bits(z, np.ones(d)) + _bits(error, unit) + weights / rows_served
            found.append((bits, d, step))
    _, d, step = min(found)
    return Start(vectors[:, :d].astype(np.float32), step)


class _Network(torch.nn.Module):
    """The float form of the arithmetic in `vectors/network.py`."""

    def __init__(self, start: Start, cells: Cells, generator: torch.Generator) -> None:
        super().__init__()
        size, d = start.components.shape
        hidden = int(min(64, max(16, size // 2)))
        inputs, middle = cells.around * d, cells.around // 2
        components = torch.from_numpy(np.ascontiguousarray(start.components))
        linear = torch.zeros(inputs, size)
        linear[middle * d : (middle + 1) * d] = components.T * start.step
        self.E = torch.nn.Parameter(components / start.step)
        self.e = torch.nn.Parameter(torch.zeros(d))
        self.P = torch.nn.Parameter(torch.randn(inputs, hidden, generator=generator) * (0.5 / inputs**0.5))
        self.p = torch.nn.Parameter(torch.rand(hidden, generator=generator))
        self.D = torch.nn.Parameter(linear)
        self.V = torch.nn.Parameter(torch.zeros(hidden, size))
        self.b = torch.nn.Parameter(torch.zeros(size))

    def latents(self, x: torch.Tensor) -> torch.Tensor:
        """Rounded, with a gradient as if they were not; (rows, cells, d)."""
        z = (x @ self.E + self.e).clamp(-LATENT_LEVELS // 2, LATENT_LEVELS // 2 - 1)
        return z + (z.round() - z).detach()

    def decoded(self, z: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """Standardised numbers of all cells."""
        padded = torch.cat([z, torch.zeros_like(z[:, :1])], 1)
        c = padded[:, neighbours].flatten(2)
        h = (c @ self.P + self.p).clamp(0, 255 / HIDDEN_UNIT)
        return c @ self.D + h @ self.V + self.b


def _train(net: _Network, x: torch.Tensor, scale: torch.Tensor, cells: Cells, generator: torch.Generator) -> None:
    neighbours = torch.from_numpy(cells.neighbours.astype(np.int64))
    neighbours = torch.where(neighbours < 0, cells.count, neighbours)
    there = torch.from_numpy((cells.places >= 0).astype(np.float32))
    batch = max(1, min(len(x), BATCH_CELLS // cells.count))
    steps = min(STEPS, max(100, 40 * len(x) // batch))
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        rows = x[torch.randint(len(x), (batch,), generator=generator)]
        z = net.latents(rows)
        error = (net.decoded(z, neighbours) - rows).abs() * there
        sizes = error.sum((0, 1)) / (batch * there.sum(0)).clamp(min=1) * scale
        share = there.sum(0) / cells.count
        rate = torch.log2(1 + 2 * np.e * sizes) @ share + torch.log2(1 + 2 * np.e * z.abs().mean((0, 1))).sum()
        optimiser.zero_grad()
        rate.backward()
        optimiser.step()
        plan.step()


def _frozen(net: _Network, mean: npt.NDArray[np.int64], scale: npt.NDArray[np.int64], cells: Cells) -> FrozenVectors:
    """Fixed-point tensors; weights that a sum of 32 bits could not take are made smaller until it can."""
    part = {name: value.detach().double().numpy() for name, value in net.named_parameters()}

    def whole(name: str, unit: float, kind: type = np.int16) -> npt.NDArray[np.integer]:
        limit = np.iinfo(kind).max
        return np.clip(np.rint(part[name] * unit), -limit, limit).astype(kind)

    latent, output = 2.0**LATENT_BITS, 2.0**OUTPUT_BITS
    middle = np.rint((part["e"] + LATENT_LEVELS // 2) * latent).astype(np.int32)
    frozen = FrozenVectors({
        "mean": mean.astype(np.int32), "scale": scale.astype(np.int32),
        "E": whole("E", latent / 2**INPUT_BITS), "e": middle,
        "P": whole("P", HIDDEN_UNIT * 2.0**HIDDEN_BITS), "p": whole("p", HIDDEN_UNIT * 2.0**HIDDEN_BITS, np.int32),
        "D": whole("D", output), "V": whole("V", output / HIDDEN_UNIT), "b": whole("b", output, np.int32),
    })  # fmt: skip
    frozen.check(cells)
    return frozen
