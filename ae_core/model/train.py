"""Training of the autoencoder and of the context models; float torch, on the CPU or a GPU.

Schedule (measured on tables of 10^5 rows and more): Adam with betas (0.9, 0.98), a high rate held constant for half of
the steps and then lowered linearly to 1 %, straight-through rounding of weights and hidden units from 60 % of the steps
on, and an MDL term that charges every weight its bits (`ContextModel.weight_bits`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ae_core.kernels.frozen import PreviewHead
from ae_core.model.autoencoder import (
    LATENT_STEP,
    VALUE_SCALE,
    AutoencoderConfig,
    Batch,
    ContextConfig,
    ContextModel,
    PreviewDecoder,
    TableEncoder,
    round_to,
)

Progress = Callable[[str, float], None]  # (what, share done)
BETAS = (0.9, 0.98)
MDL_EVERY = 4  # the weights' bits change slowly: charged every fourth step, four times as strong
COPIES = 2  # an archive stores its model twice
SMOOTH = 0.5  # standard deviations up to which a numeric error counts squared
PRICE_GAIN = 0.01  # of the logarithm of the price of latents, a step: it settles within about a hundred
MOST_RAISED = 2.0  # times its least price: latents of short rows, or of few, would soon say nothing
MEASURE_ROWS = 8192  # rows of each kind behind a point of a training curve


@dataclass(frozen=True)
class TrainingTable:
    """The sample that a model is trained on, as integers."""

    symbols: np.ndarray  # (rows, P) uint16
    codes: np.ndarray  # (rows, C) int32, preview targets
    first_of_block: np.ndarray  # (rows,) bool
    held_out: np.ndarray  # (rows,) bool: never trained on, for the curve of unseen rows

    @property
    def previous(self) -> np.ndarray:
        """Row before each row (rows,) int64; itself at a block's first row."""
        rows = np.arange(len(self.symbols))
        return np.where(self.first_of_block, rows, rows - 1)


@dataclass(frozen=True)
class CurvePoint:
    """A point of a training curve on rows that were trained on (seen) and on rows held out (unseen).

    Stage "autoencoder": mean preview loss of a column, about 1 for its mean or its frequencies; others: bits a row.
    """

    stage: str
    epoch: float
    seen: float
    unseen: float


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    batch: int = 512
    rate: float = 16e-3
    warm_up: int = 100
    hold: float = 0.5
    round_from: float = 0.6
    price_from: float = 0.3

    def at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, then linear to 1 %."""
        up = min(1.0, (step + 1) / max(1, min(self.warm_up, self.steps // 10)))
        fall = (step / self.steps - self.hold) / (1 - self.hold)
        return self.rate * up * (1.0 if fall <= 0 else 1 - 0.99 * fall)


class LatentRate(nn.Module):
    """Bits of latents under a logistic density around a linear prediction from the row before.

    It stands in for the coded prior while the encoder learns (logistic densities: Ballé et al., 2018).
    """

    def __init__(self, latent_levels: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("middle", torch.tensor([(level - 1) / 2 for level in latent_levels]))
        self.centre = nn.Parameter(torch.zeros(len(latent_levels)))
        self.follow = nn.Parameter(torch.zeros(len(latent_levels)))
        self.log_scale = nn.Parameter(torch.ones(len(latent_levels)))

    def forward(self, z: Tensor, z_prev: Tensor) -> Tensor:
        """Bits a row, (rows,), of noisy latents z (rows, d) after z_prev."""
        mean = self.middle + self.centre + self.follow * (z_prev - self.middle)
        scale = self.log_scale.clamp(-3, 4).exp()
        p = torch.sigmoid((z + 0.5 - mean) / scale) - torch.sigmoid((z - 0.5 - mean) / scale)
        return -torch.log2(p.clamp_min(1e-6)).sum(1)


class PreviewLoss:
    """Mean loss of a column, each scaled so that predicting its mean, or its frequencies, costs about 1."""

    def __init__(self, heads: tuple[PreviewHead, ...], codes: np.ndarray, device: torch.device) -> None:
        self.columns = [
            _OrdinalTarget(head, codes[:, c], device) if head.ordinal else _CategoricalTarget(head, codes[:, c], device)
            for c, head in enumerate(heads)
        ]

    def __call__(self, outputs: list[Tensor], rows: Tensor) -> Tensor:
        """Losses (columns,) of the heads' outputs for these rows of the table."""
        return torch.stack([column(out, rows) for column, out in zip(self.columns, outputs, strict=True)])


class _OrdinalTarget:
    """A smooth absolute error in standard deviations, and the log loss of the specials."""

    def __init__(self, head: PreviewHead, codes: np.ndarray, device: torch.device) -> None:
        values = np.minimum(codes, head.levels - 1) * (VALUE_SCALE / max(1, head.levels - 1))
        special = np.maximum(codes - head.levels + 1, 0)  # 0: a value
        known = values[special == 0]
        spread = float(known.std()) if len(known) else 0.0
        self.scale = 1 / spread if spread > VALUE_SCALE / 2**16 else 0.0  # a constant teaches nothing
        off = np.abs(known - np.median(known)) * self.scale if len(known) else np.zeros(1)
        constant = np.where(off < SMOOTH, off**2 / (2 * SMOOTH), off - SMOOTH / 2).mean()  # what the median costs
        self.weight = 1 / max(float(constant), 0.05)
        self.specials = head.specials
        self.values = torch.from_numpy(values).float().to(device)
        self.special = torch.from_numpy(np.where(special > head.specials, -1, special).astype(np.int64)).to(device)

    def __call__(self, out: Tensor, rows: Tensor) -> Tensor:
        special = self.special[rows]
        error = (out[:, 0] - self.values[rows]) * self.scale * (special == 0)
        loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=SMOOTH) * self.weight
        if self.specials:
            logits = torch.cat([torch.zeros_like(out[:, :1]), out[:, 1:]], 1)
            loss = loss + F.cross_entropy(logits, special, ignore_index=-1, reduction="sum") / len(rows)
        return loss


class _CategoricalTarget:
    """The log loss of every digit over the column's entropy."""

    def __init__(self, head: PreviewHead, codes: np.ndarray, device: torch.device) -> None:
        digits, rest = [], np.minimum(codes, head.levels - 1)
        for radix in head.radices[:0:-1]:
            rest, digit = np.divmod(rest, radix)
            digits.append(digit)
        beyond = codes - head.levels  # specials, then the escape, which no preview shows
        high = np.where(beyond < 0, rest, np.where(beyond < head.specials, head.radices[0] + beyond, -1))
        targets = [high, *(np.where(beyond < 0, digit, -1) for digit in digits[::-1])]
        self.scale = 1 / max(sum(_entropy(target[target >= 0]) for target in targets), 0.1)
        self.targets = [torch.from_numpy(target.astype(np.int64)).to(device) for target in targets]
        self.widths = [head.radices[0] + head.specials, *head.radices[1:]]

    def __call__(self, out: Tensor, rows: Tensor) -> Tensor:
        loss, at = out.new_zeros(()), 0
        for target, width in zip(self.targets, self.widths, strict=True):
            logits = out[:, at : at + width]
            loss = loss + F.cross_entropy(logits, target[rows], ignore_index=-1, reduction="sum") / len(rows)
            at += width
        return loss * self.scale


@dataclass(frozen=True)
class TrainedAutoencoder:
    """An encoder and its preview decoder, still float."""

    encoder: TableEncoder
    preview: PreviewDecoder
    curve: tuple[CurvePoint, ...]
    preview_loss: float
    latent_bits: float  # a row, under the stand-in density
    rate_weight: float  # what a latent bit cost at the end


class RatePrice:
    """What a latent bit costs: `least`, and more for as long as a row's latents take more than `most_bits`.

    Dual ascent on a constrained rate (Rezende and Viola, 2018, "Taming VAEs").
    """

    def __init__(self, least: float, most_bits: float) -> None:
        self.least, self._most_bits, self._raised = least, math.log(most_bits), 0.0

    @property
    def weight(self) -> float:
        """Preview loss of the mean column that a bit has to save."""
        return self.least * math.exp(self._raised)

    def see(self, bits: float) -> None:
        """Take notice of the bits that a batch's rows took."""
        raised = self._raised + PRICE_GAIN * (math.log(max(bits, 1e-3)) - self._most_bits)
        self._raised = min(max(0.0, raised), math.log(MOST_RAISED))


def train_autoencoder(
    config: AutoencoderConfig,
    table: TrainingTable,
    schedule: Schedule,
    *,
    rate_weight: float,
    most_bits: float,
    seed: int,
    progress: Progress | None = None,
) -> TrainedAutoencoder:
    """Encoder and preview decoder for the mean preview loss of a column + price · latent bits a row.

    The price is `rate_weight`, and rises for as long as the latents of a row take more than `most_bits`.
    """
    random, rng, device = torch.Generator().manual_seed(seed), np.random.default_rng(seed), best_device()
    encoder, preview = TableEncoder(config, random).to(device), PreviewDecoder(config, random).to(device)
    rate = LatentRate(config.latent_levels).to(device)
    loss_of = PreviewLoss(config.heads, table.codes, device)
    x = _tensor(table.symbols, device)
    previous = table.previous
    parameters = [*encoder.parameters(), *preview.parameters(), *rate.parameters()]
    optimiser = torch.optim.Adam(parameters, betas=BETAS, fused=True)
    seen, unseen = _measured_rows(table, rng)

    def run(rows: np.ndarray, rounding: bool) -> tuple[Tensor, Tensor]:
        at, before = torch.from_numpy(rows).to(device), torch.from_numpy(previous[rows]).to(device)
        E_rounding = LATENT_STEP if rounding else None
        z = _clamped(encoder(x[at], E_rounding), encoder.top)
        with torch.no_grad():
            z_prev = _clamped(encoder(x[before], E_rounding), encoder.top).round()
        noisy = z + torch.rand(z.shape, generator=random).to(device) - 0.5
        told = round_to(z, 1.0) if rounding else torch.minimum(noisy.clamp_min(0), encoder.top)
        return loss_of(preview(told, rounding), at), rate(noisy, z_prev)

    def measure() -> tuple[float, float, float]:
        with torch.no_grad():
            (a, bits), (b, _) = run(seen, True), run(unseen, True)
        return float(a[unknown].mean()), float(b[unknown].mean()), float(bits.mean())

    unknown = ~torch.tensor(config.known) | all(config.known)
    curve = []
    price = RatePrice(rate_weight, most_bits)
    batches = _batches(np.flatnonzero(~table.held_out), schedule, rng)
    for step, rows in enumerate(batches):
        _set_rate(optimiser, schedule.at(step))
        losses, each = run(rows, step >= schedule.round_from * schedule.steps)
        bits = each.mean()
        # first find what is worth saying, then say it briefly
        weight = price.weight * min(1.0, 2 * step / schedule.steps)
        loss = losses.sum() + weight * int(unknown.sum()) * bits
        if step >= schedule.price_from * schedule.steps:
            price.see(float(bits.detach()))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % max(1, schedule.steps // 12) == 0:
            a, b, _ = measure()
            curve.append(CurvePoint("autoencoder", step * schedule.batch / len(x), a, b))
            if progress:
                progress("autoencoder", step / schedule.steps)
    a, b, latent_bits = measure()
    curve.append(CurvePoint("autoencoder", schedule.steps * schedule.batch / len(x), a, b))
    return TrainedAutoencoder(encoder.cpu(), preview.cpu(), tuple(curve), b, latent_bits, price.weight)


@dataclass(frozen=True)
class GroupTable:
    """Everything that one context group is trained on."""

    symbols: np.ndarray  # (rows, P) uint16, given positions too
    copy_value: np.ndarray  # (rows, candidates) int16
    copy_class: np.ndarray  # (rows, candidates) int8


def train_context(
    config: ContextConfig,
    group: GroupTable,
    table: TrainingTable,
    schedule: Schedule,
    *,
    rows_served: int,
    seed: int,
    stage: str,
    progress: Progress | None = None,
) -> tuple[ContextModel, tuple[CurvePoint, ...]]:
    """A context model for bits of the data + bits of its own weights, over the rows that it will serve."""
    rng, device = np.random.default_rng(seed), best_device()
    model = ContextModel(config, torch.Generator().manual_seed(seed)).to(device)
    optimiser = torch.optim.Adam(model.parameters(), betas=BETAS, fused=True)
    x = _tensor(group.symbols, device)
    values, classes = _tensor(np.maximum(group.copy_value, 0), device), _tensor(group.copy_class, device)
    previous = torch.from_numpy(table.previous).to(device)
    has_prev = torch.from_numpy(~table.first_of_block).float().to(device)
    seen, unseen = _measured_rows(table, rng)

    def bits(rows: np.ndarray, rounding: bool) -> Tensor:
        at = torch.from_numpy(rows).to(device)
        batch = Batch(x[at], x[previous[at]], has_prev[at], values[at], classes[at])
        result: Tensor = model(batch, rounding).sum(1).mean()
        return result

    def measure() -> tuple[float, float]:
        with torch.no_grad():
            return float(bits(seen, True)), float(bits(unseen, True))

    curve = []
    batches = _batches(np.flatnonzero(~table.held_out), schedule, rng)
    for step, rows in enumerate(batches):
        _set_rate(optimiser, schedule.at(step))
        loss = bits(rows, step >= schedule.round_from * schedule.steps)
        if step % MDL_EVERY == 0:
            loss = loss + model.weight_bits() * (COPIES * MDL_EVERY / rows_served)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % max(1, schedule.steps // 10) == 0:
            curve.append(CurvePoint(stage, step * schedule.batch / len(x), *measure()))
            if progress:
                progress(stage, step / schedule.steps)
    curve.append(CurvePoint(stage, schedule.steps * schedule.batch / len(x), *measure()))
    return model.cpu(), tuple(curve)


def best_device() -> torch.device:
    """A GPU where torch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _entropy(symbols: np.ndarray) -> float:
    p = np.bincount(symbols) / max(1, len(symbols))
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _clamped(z: Tensor, top: Tensor) -> Tensor:
    """z within its levels; the gradient flows on outside, so that a saturated latent can come back."""
    return z + (torch.minimum(z.clamp_min(0), top) - z).detach()


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _measured_rows(table: TrainingTable, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows behind the curves: seen, unseen (the seen ones again where nothing is held out)."""
    seen, unseen = np.flatnonzero(~table.held_out), np.flatnonzero(table.held_out)
    if not len(unseen):
        unseen = seen
    return rng.permutation(seen)[:MEASURE_ROWS], rng.permutation(unseen)[:MEASURE_ROWS]


def _batches(rows: np.ndarray, schedule: Schedule, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """`schedule.steps` batches of rows, every row once before any twice."""
    order, at = rng.permutation(rows), 0
    for _ in range(schedule.steps):
        if at + schedule.batch > len(order):
            order, at = np.concatenate([order[at:], rng.permutation(rows)]), 0
        yield order[at : at + schedule.batch]
        at += schedule.batch
