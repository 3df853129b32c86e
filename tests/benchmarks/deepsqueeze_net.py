"""The network of the DeepSqueeze-style peer: training, the search for its sizes, and its predictions.

x  (rows, numbers) in [0, 1] and (rows, categories) ── W ──▶ width ─▶ width ─▶ code in [0, 1]
code, truncated to some bits ──▶ width ─▶ width ──▶ numbers in [0, 1], logits of every category
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.coders import Array, quick_size

CODES = (1, 2, 4)
WIDTHS = (32, 128)
BITS = (2, 3, 4, 6, 8)
SAMPLE, RUNS = 65_536, 8  # rows that sizes are searched on, in runs that keep the order of rows
TRIAL_STEPS, STEPS = 500, 6_000
BATCH, RATE, WARM_UP = 1_024, 2e-3, 200
PREDICTED = 65_536  # rows at once; a part of the format, since the last bits of a float may depend on it


@dataclass(frozen=True)
class Layout:
    """Symbols of each number and of each category."""

    numbers: tuple[int, ...]
    classes: tuple[int, ...]

    @property
    def outputs(self) -> int:
        """Outputs of the decoder."""
        return len(self.numbers) + sum(self.classes)


@dataclass(frozen=True)
class Trained:
    """A trained network: what is stored of it, and the code of every row in [0, 1], not truncated."""

    width: int
    code: int
    weights: Array  # (parameters of the decoder,) float16
    bits: int
    codes: Array  # (rows, code) float32


@dataclass(frozen=True)
class Ranks:
    """Places of the values of each category, by falling logit; equal logits keep their order."""

    logits: list[Array]  # of each category, (rows, classes)

    def of(self, column: int, symbols: Array) -> Array:
        """Rank of each row's symbol."""
        logits = self.logits[column]
        own = np.take_along_axis(logits, symbols[:, None], 1)
        earlier = np.arange(logits.shape[1]) < symbols[:, None]
        return np.asarray(((logits > own) | ((logits == own) & earlier)).sum(1))

    def at(self, column: int, ranks: Array) -> Array:
        """Symbol at each row's rank."""
        order = np.argsort(-self.logits[column], axis=1, kind="stable")
        return np.take_along_axis(order, ranks[:, None].astype(np.int64), 1)[:, 0]


def decoder(layout: Layout, width: int, code: int) -> nn.Sequential:
    """Code to outputs: numbers first, then the logits of the categories."""
    hidden = nn.Linear(code, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(width, layout.outputs))


class Net(nn.Module):
    """The autoencoder."""

    def __init__(self, layout: Layout, width: int, code: int) -> None:
        super().__init__()
        self.layout = layout
        self.numbers = nn.Linear(len(layout.numbers), width)
        self.categories = nn.EmbeddingBag(max(1, sum(layout.classes)), width, mode="sum")  # a one-hot row times W
        nn.init.normal_(self.categories.weight, std=0.1)
        self.encoder = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, code))
        self.decoder = decoder(layout, width, code)
        spans = torch.tensor([max(1, size - 1) for size in layout.numbers], dtype=torch.float32)
        self.register_buffer("spans", spans)
        starts = np.cumsum((0, *layout.classes))[:-1]
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64))
        self.spread = nn.Parameter((spans / 4).log())  # of each number, buckets: weighs the numbers' squared errors

    def encode(self, numbers: Tensor, classes: Tensor) -> Tensor:
        """(rows, code) in [0, 1]."""
        state = self.numbers(numbers / self.spans)
        if self.layout.classes:
            state = state + self.categories(classes + self.starts)
        return torch.sigmoid(self.encoder(state))

    def loss(self, numbers: Tensor, present: Tensor, classes: Tensor) -> Tensor:
        """Mean over the rows: weighted squared error of the numbers that are present, cross-entropy of categories."""
        outputs = self.decoder(self.encode(numbers, classes))
        count = len(self.layout.numbers)
        error = torch.sigmoid(outputs[:, :count]) * self.spans - numbers
        spread = self.spread.clamp(min=-1.2)
        total = ((0.5 * error.square() * torch.exp(-2 * spread) + spread) * present).sum() / len(numbers)
        logits = outputs[:, count:].split(self.layout.classes, 1) if self.layout.classes else ()
        for column, part in enumerate(logits):
            total = total + F.cross_entropy(part, classes[:, column])
        return total


@contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums in the same order, and no more than a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(before)


def search(layout: Layout, numbers: Array, present: Array, classes: Array) -> Trained:
    """The network of the sizes that need the fewest bytes on a sample, trained on all rows.

    Parameters are the symbols of the numbers (rows, numbers), which of them are present, and the symbols of the
    categories (rows, categories).
    """
    rows = len(numbers)
    length = min(SAMPLE, rows) // RUNS
    chosen = np.concatenate([np.arange(length) + (rows - length) * i // (RUNS - 1) for i in range(RUNS)])
    if rows <= SAMPLE:
        chosen = np.arange(rows)
    sample = numbers[chosen], present[chosen], classes[chosen]
    with _one_thread():
        fields = len(layout.numbers) + len(layout.classes)
        sizes = list(product(WIDTHS, [code for code in CODES if code <= max(1, fields)]))
        costs = {}
        for width, code in sizes:
            weights, codes = _train(layout, width, code, sample, TRIAL_STEPS)
            costs[width, code] = min(_bytes(layout, width, weights, codes, bits, sample, rows) for bits in BITS)
        width, code = min(sizes, key=lambda size: costs[size])
        weights, codes = _train(layout, width, code, (numbers, present, classes), STEPS)
        estimates = {bits: _bytes(layout, width, weights, codes[chosen], bits, sample, rows) for bits in BITS}
    return Trained(width, code, weights, min(BITS, key=lambda bits: estimates[bits]), codes)


def code_levels(codes: Array, bits: int) -> Array:
    """(rows, code) uint16: each code truncated to a number of bits."""
    return np.rint(codes * ((1 << bits) - 1)).astype(np.uint16)


def predict(layout: Layout, width: int, weights: Array, levels: Array, bits: int) -> Iterator[tuple[int, Array, Ranks]]:
    """(first row, predicted buckets of the numbers (rows, numbers) int64, ranks of the categories), run after run."""
    with _one_thread(), torch.no_grad():
        net = decoder(layout, width, levels.shape[1])
        nn.utils.vector_to_parameters(torch.from_numpy(weights.astype(np.float32)), net.parameters())
        spans = np.array([size - 1 for size in layout.numbers])
        count = len(layout.numbers)
        ends = np.cumsum(layout.classes)[:-1]
        for start in range(0, len(levels), PREDICTED):
            codes = levels[start : start + PREDICTED].astype(np.float32) / np.float32((1 << bits) - 1)
            outputs = net(torch.from_numpy(codes))
            shares = torch.sigmoid(outputs[:, :count]).numpy()
            logits = np.split(outputs[:, count:].numpy(), ends, 1) if layout.classes else []
            yield start, np.rint(shares * spans).astype(np.int64), Ranks(logits)


def _train(
    layout: Layout,
    width: int,
    code: int,
    data: tuple[Array, Array, Array],
    steps: int,
) -> tuple[Array, Array]:
    """(weights of the decoder in float16, codes of the rows) after some steps of Adam."""
    numbers, present, classes = (torch.from_numpy(np.ascontiguousarray(part)) for part in data)
    torch.manual_seed(0)
    net = Net(layout, width, code)
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / WARM_UP, 2.02 - 2 * step / steps)
    )
    for _ in range(steps):
        rows = torch.randint(len(numbers), (min(BATCH, len(numbers)),))
        loss = net.loss(numbers[rows].float(), present[rows], classes[rows].long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        runs = zip(numbers.split(PREDICTED), classes.split(PREDICTED), strict=True)
        codes = torch.cat([net.encode(some.float(), kinds.long()) for some, kinds in runs]).numpy()
        weights = nn.utils.parameters_to_vector(net.decoder.parameters()).clamp(-6e4, 6e4).numpy()
    return weights.astype(np.float16), codes


def _bytes(
    layout: Layout,
    width: int,
    weights: Array,
    codes: Array,
    bits: int,
    sample: tuple[Array, Array, Array],
    rows: int,
) -> float:
    """About the bytes of all rows, from those of a sample's codes and corrections, and the weights."""
    numbers, present, classes = sample
    levels = code_levels(codes, bits)
    (_, buckets, ranks), *_ = predict(layout, width, weights, levels, bits)
    streams = list(levels.T)
    streams += [(numbers - buckets)[present[:, j], j] for j in range(len(layout.numbers))]
    streams += [ranks.of(j, classes[:, j]) for j in range(len(layout.classes))]
    return sum(map(quick_size, streams)) * rows / len(codes) + weights.nbytes
