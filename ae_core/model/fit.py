"""From a table of symbols to a frozen network: latent dimension, autoencoder, prior, context groups.

The autoencoder is trained first and frozen; the rest is trained on the latents that the frozen integers really give.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ae_core.kernels.candidates import find_candidates
from ae_core.kernels.copying import copy_features
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import FrozenEncoder, FrozenGroup, PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.model.autoencoder import AutoencoderConfig, ContextConfig
from ae_core.model.freeze import freeze_context, freeze_encoder, freeze_preview
from ae_core.model.train import (
    CurvePoint,
    GroupTable,
    Progress,
    Schedule,
    TrainedAutoencoder,
    TrainingTable,
    train_autoencoder,
    train_context,
)

DIMENSIONS = (2, 3, 4, 6, 8)
LATENT_LEVELS = 16
RATE_WEIGHT = 1 / 20  # preview loss of the mean column (1 for a constant) that one latent bit a row has to save
LATENT_SHARE = 0.07  # of what plain coders take, above which latents become dearer: about 12 % of the archive
LEAST_BITS = 0.5  # that a row's latents may take whatever their share
PREVIEW_HIDDEN = 32
GROUP_SYMBOLS = 64  # coded symbols of one context group: cost stays linear in columns
HOLD_OUT = 20  # every twentieth run of 64 rows is never trained on
RESTARTS = 2  # full trainings of the autoencoder, of which the best is kept
DEAD_BITS = 0.02  # a latent of less entropy is left out
WORKERS = min(4, os.cpu_count() or 1)  # trainings side by side


@dataclass(frozen=True)
class Effort:
    """How long a training is, by the rows that it learns from: passes over them, within a least and a most of steps."""

    passes: float
    least: int
    most: int
    rate: float
    batch: int = 512

    def schedule(self, rows: int) -> Schedule:
        """The schedule for a sample of so many rows."""
        steps = int(self.passes * rows / self.batch)
        return Schedule(min(max(steps, self.least), self.most), self.batch, self.rate)


SCOUT = Effort(10, 100, 400, 20e-3)
AUTOENCODER = Effort(40, 600, 1500, 20e-3, batch=1024)
PRIOR = Effort(10, 200, 1200, 16e-3)
CONTEXT = Effort(12, 400, 12_000, 16e-3)
TRIAL = Effort(4, 200, 800, 16e-3)


@dataclass(frozen=True)
class ModelSize:
    """Widths of a context group."""

    state: int
    hidden: int


PRIOR_SIZE = ModelSize(32, 16)
SIZES = (  # least coded symbols that a group will serve
    (2_000_000, ModelSize(48, 40)),
    (500_000, ModelSize(48, 32)),
    (100_000, ModelSize(48, 24)),
    (0, ModelSize(32, 16)),
)


@dataclass(frozen=True)
class SymbolTable:
    """The sample, its alphabets and what it stands for."""

    symbols: np.ndarray  # (rows, P) uint16
    codes: np.ndarray  # (rows, C) int32
    alphabets: tuple[int, ...]
    coded: tuple[bool, ...]
    context: tuple[bool, ...]  # positions that the context models see; the encoder sees all
    heads: tuple[PreviewHead, ...]  # one a column of `codes`
    known: tuple[bool, ...]  # columns of `codes` that side streams tell a preview anyway
    block_starts: np.ndarray  # int64, first row of every block
    rows_served: int  # rows that the model will code: what its own bytes are weighed against
    plain_bits: float  # bits a row by plain coders


@dataclass(frozen=True)
class DimensionPoint:
    """What d latents gave in a short training: preview loss of a column on unseen rows, latent bits a row."""

    dims: int
    preview_loss: float
    latent_bits: float


@dataclass(frozen=True)
class FitReport:
    """How the network was trained, for people."""

    seconds: float
    rows: int
    dims: int
    rate_weight: float  # preview loss that a latent bit had to save in the end
    dimension_curve: tuple[DimensionPoint, ...]
    curve: tuple[CurvePoint, ...]
    state: int
    hidden: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def fit_network(table: SymbolTable, *, seed: int, progress: Progress | None = None) -> tuple[Network, FitReport]:
    """The frozen network for a table, and how it was trained; deterministic for a seed and a machine."""
    start = time.perf_counter()
    rows = len(table.symbols)
    training = _training_table(table)
    with one_thread_each(), ThreadPoolExecutor(WORKERS) as pool:
        points = scout_dimensions(table, training, pool, seed=seed, progress=progress)
        dims = knee(points)
        config = _autoencoder_config(table, dims)
        most_bits = max(LEAST_BITS, LATENT_SHARE * table.plain_bits)
        trained = best_autoencoder(config, training, pool, most_bits=most_bits, seed=seed, progress=progress)
        network, curves = _around(trained, config, table, training, pool, (PRIOR, CONTEXT), seed, progress)
    size = size_for(table)
    report = FitReport(
        seconds=time.perf_counter() - start,
        rows=rows,
        dims=network.latent_dims,
        rate_weight=trained.rate_weight,
        dimension_curve=points,
        curve=(*trained.curve, *curves),
        state=size.state,
        hidden=size.hidden,
        steps=CONTEXT.schedule(rows).steps,
    )
    return network, report


def try_dimension(table: SymbolTable, dims: int, *, seed: int) -> tuple[Network, DimensionPoint]:
    """A network with `dims` latents, from short trainings: what scouting makes of it, and what it makes of rows."""
    training, config = _training_table(table), _autoencoder_config(table, dims)
    with one_thread_each(), ThreadPoolExecutor(WORKERS) as pool:
        schedule = SCOUT.schedule(len(table.symbols))
        trained = train_autoencoder(config, training, schedule, rate_weight=RATE_WEIGHT, most_bits=math.inf, seed=seed)
        network, _ = _around(trained, config, table, training, pool, (TRIAL, TRIAL), seed, None)
    return network, DimensionPoint(dims, trained.preview_loss, trained.latent_bits)


def _around(
    trained: TrainedAutoencoder,
    config: AutoencoderConfig,
    table: SymbolTable,
    training: TrainingTable,
    pool: ThreadPoolExecutor,
    efforts: tuple[Effort, Effort],
    seed: int,
    progress: Progress | None,
) -> tuple[Network, tuple[CurvePoint, ...]]:
    """The whole network around a trained autoencoder: prior and context groups, trained on its frozen latents."""
    encoder, live = _live_encoder(trained, config, table)
    z = encode_latents(encoder, table.symbols)
    size = size_for(table)
    jobs = [(z, encoder.levels, (True,) * len(live), PRIOR_SIZE, efforts[0], "prior")]
    positions = split_groups(table.coded, table.context)
    for number, group in enumerate(positions):
        symbols = np.concatenate([z, table.symbols[:, group]], 1)
        alphabets = encoder.levels + tuple(table.alphabets[p] for p in group)
        coded = (False,) * len(live) + tuple(table.coded[p] for p in group)
        jobs.append((symbols, alphabets, coded, size, efforts[1], f"context {number + 1}"))

    fit = partial(_fit_group, training=training, table=table, seed=seed, progress=progress)
    (prior, prior_curve), *groups = [done.result() for done in [pool.submit(fit, *job) for job in jobs]]
    contexts = tuple(ContextGroup(group, frozen) for group, (frozen, _) in zip(positions, groups, strict=True))
    network = Network(encoder, freeze_preview(trained.preview, table.heads, live), prior, contexts)
    return network, (*prior_curve, *(point for _, curve in groups for point in curve))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """One core per training: its steps are small, a second thread costs more than it brings.

    Measured on two cores: 14 ms a step with one thread, 400 ms with two while another process was busy.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def scout_dimensions(
    table: SymbolTable, training: TrainingTable, pool: ThreadPoolExecutor, *, seed: int, progress: Progress | None
) -> tuple[DimensionPoint, ...]:
    """Preview loss and latent bits by latent dimension, each from a short training."""
    points = []
    for point in pool.map(lambda dims: _scout(table, training, dims, seed), DIMENSIONS):
        points.append(point)
        if progress:
            progress("latent dimension", len(points) / len(DIMENSIONS))
    return tuple(points)


def _scout(table: SymbolTable, training: TrainingTable, dims: int, seed: int) -> DimensionPoint:
    config, schedule = _autoencoder_config(table, dims), SCOUT.schedule(len(table.symbols))
    trained = train_autoencoder(config, training, schedule, rate_weight=RATE_WEIGHT, most_bits=math.inf, seed=seed)
    return DimensionPoint(dims, trained.preview_loss, trained.latent_bits)


def best_autoencoder(
    config: AutoencoderConfig,
    training: TrainingTable,
    pool: ThreadPoolExecutor,
    *,
    most_bits: float,
    seed: int,
    progress: Progress | None,
) -> TrainedAutoencoder:
    """The best of a few full trainings from different seeds: rounded latents have local optima."""

    def train(number: int) -> TrainedAutoencoder:
        schedule = AUTOENCODER.schedule(len(training.symbols))
        shown = progress if number == 0 else None
        return train_autoencoder(
            config,
            training,
            schedule,
            rate_weight=RATE_WEIGHT,
            most_bits=most_bits,
            seed=seed + number,
            progress=shown,
        )

    found = list(pool.map(train, range(RESTARTS)))
    return min(found, key=lambda trained: trained.preview_loss + RATE_WEIGHT * trained.latent_bits)


def knee(points: Sequence[DimensionPoint]) -> int:
    """The dimension farthest below the straight line from the first to the last point of loss against bits.

    Both axes are scaled to 0..1 (Satopää et al., 2011, "Finding a Kneedle in a Haystack"); points whose loss is not
    below that of fewer dimensions are passed over.  Where more dimensions never help, the fewest are taken.
    """
    best: list[DimensionPoint] = []
    for point in points:
        if not best or point.preview_loss < best[-1].preview_loss - 1e-4:
            best.append(point)
    bits = np.array([p.latent_bits for p in best])
    loss = np.array([p.preview_loss for p in best])
    if len(best) < 3 or bits[-1] <= bits[0]:
        return best[0].dims
    below = 1 - (loss - loss[-1]) / (loss[0] - loss[-1]) - (bits - bits[0]) / (bits[-1] - bits[0])
    return best[int(np.argmax(below))].dims


def size_for(table: SymbolTable) -> ModelSize:
    """Widths of the context groups by the symbols that each will code: a weight has to pay for its bits."""
    groups = max(1, -(-sum(table.coded) // GROUP_SYMBOLS))
    coded = sum(table.coded) * table.rows_served / groups
    return next(size for least, size in SIZES if coded >= least)


def split_groups(coded: Sequence[bool], context: Sequence[bool]) -> list[tuple[int, ...]]:
    """Context positions cut into runs of at most GROUP_SYMBOLS coded ones, as even as can be."""
    total = sum(coded)
    if not total:
        return []
    count = -(-total // GROUP_SYMBOLS)
    before = np.cumsum([0, *coded[:-1]])  # coded positions in front of each
    of_group = np.where(context, np.minimum(before * count // total, count - 1), -1)
    return [tuple(np.flatnonzero(of_group == g).tolist()) for g in range(count)]


def _fit_group(
    symbols: np.ndarray,
    alphabets: tuple[int, ...],
    coded: tuple[bool, ...],
    size: ModelSize,
    effort: Effort,
    stage: str,
    training: TrainingTable,
    table: SymbolTable,
    seed: int,
    progress: Progress | None,
) -> tuple[FrozenGroup, tuple[CurvePoint, ...]]:
    """A context group with the copy candidates that pay, trained and frozen."""
    candidates = sorted(find_candidates(symbols, alphabets, coded, block_rows=table.block_starts))
    features = [copy_features(key, p, symbols, table.block_starts) for p, key in candidates]
    none = np.zeros((len(symbols), 0), np.int16)
    group = GroupTable(
        symbols,
        np.stack([v for v, _ in features], 1) if features else none,
        np.stack([c for _, c in features], 1) if features else none,
    )
    config = ContextConfig(alphabets, coded, tuple(candidates), size.state, size.hidden)
    schedule = effort.schedule(len(symbols))
    model, curve = train_context(
        config, group, training, schedule, rows_served=table.rows_served, seed=seed, stage=stage, progress=progress
    )
    return freeze_context(model), curve


def _training_table(table: SymbolTable) -> TrainingTable:
    rows = len(table.symbols)
    first = np.zeros(rows, bool)
    first[table.block_starts] = True
    held_out = (np.arange(rows) // 64) % HOLD_OUT == HOLD_OUT - 1
    return TrainingTable(table.symbols, table.codes, first, held_out)


def _autoencoder_config(table: SymbolTable, dims: int) -> AutoencoderConfig:
    return AutoencoderConfig(table.alphabets, (LATENT_LEVELS,) * dims, table.heads, table.known, PREVIEW_HIDDEN)


def _live_encoder(
    trained: TrainedAutoencoder, config: AutoencoderConfig, table: SymbolTable
) -> tuple[FrozenEncoder, tuple[int, ...]]:
    """The frozen encoder without dimensions that say nothing, and which ones are left (at least two)."""
    encoder = freeze_encoder(trained.encoder, config, tuple(range(len(config.latent_levels))))
    z = encode_latents(encoder, table.symbols)
    entropies = np.array([_bits(column) for column in z.T])
    live = np.flatnonzero(entropies > DEAD_BITS)
    if len(live) < 2:
        live = np.sort(np.argsort(-entropies)[:2])
    chosen = tuple(int(i) for i in live)
    return freeze_encoder(trained.encoder, config, chosen), chosen


def _bits(symbols: np.ndarray) -> float:
    p = np.bincount(symbols) / len(symbols)
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
