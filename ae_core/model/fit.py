"""From a table of symbols to a frozen network: latent dimension, autoencoder, prior, context groups.

The autoencoder is trained first and frozen; the rest is trained on the latents that the frozen integers really give.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

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
RATE_WEIGHT = 1.0  # preview loss (columns' sum, 1 each for a mean) that one latent bit a row has to save
PREVIEW_HIDDEN = 32
GROUP_SYMBOLS = 64  # coded symbols of one context group: cost stays linear in columns
HOLD_OUT = 20  # every twentieth run of 64 rows is never trained on
DEAD_BITS = 0.02  # a latent of less entropy is left out
SCOUT_STEPS, AUTOENCODER_STEPS = 400, 1500
AUTOENCODER_RATE = 10e-3
BATCH = 512
EPOCHS = 6
LEAST_STEPS, MOST_STEPS = 600, 12_000
SIZES = (
    (2_000_000, 64, 48),
    (500_000, 64, 32),
    (100_000, 48, 24),
    (0, 32, 16),
)  # (coded symbols served, state, hidden)


@dataclass(frozen=True)
class SymbolTable:
    """The sample, its alphabets and what it stands for."""

    symbols: np.ndarray  # (rows, P) uint16
    codes: np.ndarray  # (rows, C) int32
    alphabets: tuple[int, ...]
    coded: tuple[bool, ...]
    heads: tuple[PreviewHead, ...]  # one a column of `codes`
    block_starts: np.ndarray  # int64, first row of every block
    rows_served: int  # rows that the model will code: what its own bytes are weighed against


@dataclass(frozen=True)
class ModelSize:
    """Widths of a context group and the steps it is trained for."""

    state: int
    hidden: int
    steps: int


PRIOR_SIZE = ModelSize(32, 16, 1200)


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
    training = _training_table(table)
    points = scout_dimensions(table, training, seed=seed, progress=progress)
    config = _autoencoder_config(table, knee(points))
    schedule = Schedule(AUTOENCODER_STEPS, BATCH, rate=AUTOENCODER_RATE)
    trained = train_autoencoder(config, training, schedule, rate_weight=RATE_WEIGHT, seed=seed, progress=progress)
    encoder, live = _live_encoder(trained, config, table)
    preview = freeze_preview(trained.preview, table.heads, live)
    z = encode_latents(encoder, table.symbols)

    size = size_for(table)
    groups, curve = [], list(trained.curve)
    prior, points_of = _fit_group(
        z, encoder.levels, (True,) * len(live), PRIOR_SIZE, training, table, seed, "prior", progress
    )
    curve += points_of
    for number, positions in enumerate(split_groups(table.coded)):
        frozen, points_of = _fit_group(
            np.concatenate([z, table.symbols[:, positions]], 1),
            encoder.levels + tuple(table.alphabets[p] for p in positions),
            (False,) * len(live) + tuple(table.coded[p] for p in positions),
            size,
            training,
            table,
            seed,
            f"context {number + 1}",
            progress,
        )
        groups.append(ContextGroup(positions, frozen))
        curve += points_of
    report = FitReport(
        seconds=time.perf_counter() - start,
        rows=len(table.symbols),
        dims=len(live),
        dimension_curve=points,
        curve=tuple(curve),
        state=size.state,
        hidden=size.hidden,
        steps=size.steps,
    )
    return Network(encoder, preview, prior, tuple(groups)), report


def scout_dimensions(
    table: SymbolTable, training: TrainingTable, *, seed: int, progress: Progress | None
) -> tuple[DimensionPoint, ...]:
    """Preview loss and latent bits by latent dimension, each from a short training."""
    points = []
    for number, dims in enumerate(DIMENSIONS):
        if progress:
            progress("latent dimension", number / len(DIMENSIONS))
        schedule = Schedule(SCOUT_STEPS, BATCH, rate=AUTOENCODER_RATE)
        config = _autoencoder_config(table, dims)
        trained = train_autoencoder(config, training, schedule, rate_weight=RATE_WEIGHT, seed=seed)
        points.append(DimensionPoint(dims, trained.preview_loss, trained.latent_bits))
    return tuple(points)


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
    """Widths and steps by the symbols that the model will code: a weight has to pay for its bits."""
    coded = sum(table.coded) * table.rows_served / max(1, -(-sum(table.coded) // GROUP_SYMBOLS))
    state, hidden = next((s, h) for least, s, h in SIZES if coded >= least)
    epochs_steps = int(EPOCHS * len(table.symbols) / BATCH)
    return ModelSize(state, hidden, min(max(epochs_steps, LEAST_STEPS), MOST_STEPS))


def split_groups(coded: Sequence[bool]) -> list[tuple[int, ...]]:
    """Positions cut into runs of at most GROUP_SYMBOLS coded ones, as even as can be."""
    total = sum(coded)
    if not total:
        return []
    count = -(-total // GROUP_SYMBOLS)
    before = np.cumsum([0, *coded[:-1]])  # coded positions in front of each
    of_group = np.minimum(before * count // total, count - 1)
    return [tuple(np.flatnonzero(of_group == g).tolist()) for g in range(count)]


def _fit_group(
    symbols: np.ndarray,
    alphabets: tuple[int, ...],
    coded: tuple[bool, ...],
    size: ModelSize,
    training: TrainingTable,
    table: SymbolTable,
    seed: int,
    stage: str,
    progress: Progress | None,
) -> tuple[FrozenGroup, tuple[CurvePoint, ...]]:
    """A context group with the copy candidates that pay, trained and frozen."""
    if progress:
        progress(stage, 0.0)
    candidates = sorted(find_candidates(symbols, alphabets, coded, block_rows=table.block_starts))
    features = [copy_features(key, p, symbols, table.block_starts) for p, key in candidates]
    none = np.zeros((len(symbols), 0), np.int16)
    group = GroupTable(
        symbols,
        np.stack([v for v, _ in features], 1) if features else none,
        np.stack([c for _, c in features], 1) if features else none,
    )
    config = ContextConfig(alphabets, coded, tuple(candidates), size.state, size.hidden)
    schedule = Schedule(size.steps, BATCH)
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
    return AutoencoderConfig(table.alphabets, (LATENT_LEVELS,) * dims, table.heads, PREVIEW_HIDDEN)


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
