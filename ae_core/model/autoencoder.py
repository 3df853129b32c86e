"""The whole network in one file: an autoencoder with integer latents and an autoregressive decoder.

    row ──► encoder ──► z (d small integers) ──► preview decoder ──► every column, approximately
    x_1..x_P            │  latents.parquet                     (one shot, from z alone)
                        ▼
              context model  p(x_j | z, x_1..x_{j-1}, row before) ──► rANS ──► residuals.parquet

    p(row | before) = p(z | before) · Π_j p(x_j | z, x_1..x_{j-1}, before)

The encoder is additive, z_d = round(bias_d + Σ_p E[x_p]_d), so that each z mixes all columns.  The latents are the
first positions of the context model: known before it starts, they join its state like any other symbol.

The context model's state is a sum of table rows, as in NADE (Larochelle & Murray, 2011), so that each decoded cell adds
one row.  Its place beside the latents follows PixelVAE (Gulrajani et al., 2016), the table setting DeepSqueeze
(Ilkhechi et al., 2020).  Copy candidates ("the value at the last row with the same key") raise one logit each.

Everything is float here, with the fixed-point steps of the frozen integers (kernels/frozen.py) applied by
straight-through rounding in the last part of training; model/freeze.py turns the result into integers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ae_core.kernels.frozen import PreviewHead

STATE_STEP = 1 / 16  # T, b0, c0 and the hidden units
WEIGHT_STEP = 1 / 32  # M, W, bw, V, bv, gates and boosts
HIDDEN_MAX = 255 / 16  # hidden units are clamped to 0..255 steps
LATENT_STEP = 1 / 16  # encoder tables, in latent levels
VALUE_SCALE = 16.0  # an ordinal preview head says 0 for the lowest and 16 for the highest level


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shapes of the encoder and the preview decoder."""

    alphabets: tuple[int, ...]  # K of every symbol position
    latent_levels: tuple[int, ...]  # L_d, alphabet of each latent
    heads: tuple[PreviewHead, ...]  # one a column that has a domain
    known: tuple[bool, ...]  # columns that side streams tell: their heads learn, but the latents do not serve them
    hidden: int = 32


@dataclass(frozen=True)
class ContextConfig:
    """Shapes of one context group."""

    alphabets: tuple[int, ...]  # K of every position, given ones too
    coded: tuple[bool, ...]
    candidates: tuple[tuple[int, tuple[int, ...]], ...]  # (position, key positions), sorted
    state: int = 64
    hidden: int = 48


class _Round(torch.autograd.Function):
    """Rounding whose gradient is the identity (straight-through; Bengio et al., 2013)."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, step: float) -> Tensor:
        return torch.mul(w, 1 / step).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def round_to(w: Tensor, step: float) -> Tensor:
    """w rounded to multiples of step, a power of two, with the gradient of the identity."""
    rounded: Tensor = _Round.apply(w, step)
    return rounded


class TableEncoder(nn.Module):
    """symbols -> latents: z = clamp(round(bias + Σ_p E[x_p]), 0, L−1)."""

    def __init__(self, config: AutoencoderConfig, random: torch.Generator) -> None:
        super().__init__()
        d = len(config.latent_levels)
        self.register_buffer("offsets", _offsets(config.alphabets))
        self.register_buffer("top", torch.tensor([float(level - 1) for level in config.latent_levels]))
        self.E = nn.Parameter(torch.randn(sum(config.alphabets), d, generator=random) * 0.3)  # (ΣK, d) in levels
        self.bias = nn.Parameter(torch.tensor([(level - 1) / 2 for level in config.latent_levels]))  # (d,)

    def forward(self, x: Tensor, step: float | None) -> Tensor:
        """Latents before rounding and clamping, (rows, d), of symbols x (rows, P); `step` rounds the tables."""
        E, bias = (self.E, self.bias) if step is None else (round_to(self.E, step), round_to(self.bias, step))
        return bias + F.embedding(x + self.offsets, E).sum(1)


class PreviewDecoder(nn.Module):
    """latents -> every column at once: h = clamp(ReLU(b + Σ_d P_d[z_d])), heads linear in h."""

    def __init__(self, config: AutoencoderConfig, random: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("offsets", _offsets(config.latent_levels))
        self.register_buffer("top", torch.tensor([level - 1 for level in config.latent_levels]))
        n, hp = sum(config.latent_levels), config.hidden
        start = torch.cat([torch.linspace(-1, 1, level) for level in config.latent_levels])
        self.P = nn.Parameter(
            start[:, None] * torch.randn(n, hp, generator=random).sign() * torch.rand(1, hp, generator=random)
            + 0.05 * torch.randn(n, hp, generator=random)
        )
        self.b = nn.Parameter(torch.rand(hp, generator=random))
        self.heads = nn.ParameterList()
        self.biases = nn.ParameterList()
        for head in config.heads:
            self.heads.append(nn.Parameter(torch.randn(hp, head.outputs, generator=random) * (0.5 / hp**0.5)))
            self.biases.append(nn.Parameter(torch.zeros(head.outputs)))

    def hidden(self, z: Tensor, rounding: bool) -> Tensor:
        """Hidden units (rows, hp) of latents z (rows, d).

        Between two levels the tables are interpolated; at a level, half of what lies between its neighbours stands in
        for the derivative, so that the encoder learns from rounded latents too.
        """
        P = round_to(self.P, STATE_STEP) if rounding else self.P
        low = z.detach().floor().long()
        high = torch.minimum(low + 1, self.top)
        here, above = F.embedding(low + self.offsets, P), F.embedding(high + self.offsets, P)
        if rounding:
            below = F.embedding((low - 1).clamp_min(0) + self.offsets, P)
            s = here + (z - z.detach())[:, :, None] * ((above - below) / 2).detach()
        else:
            s = here + (z - low)[:, :, None] * (above - here)
        b = round_to(self.b, STATE_STEP) if rounding else self.b
        h = (b + s.sum(1)).clamp(0, HIDDEN_MAX)
        return round_to(h, STATE_STEP) if rounding else h

    def forward(self, z: Tensor, rounding: bool) -> list[Tensor]:
        """Head outputs, one (rows, width) tensor a column."""
        h = self.hidden(z, rounding)
        unmoved = h.detach()
        out = []
        for V, bv, known in zip(self.heads, self.biases, self.config.known, strict=True):
            if rounding:
                V, bv = round_to(V, WEIGHT_STEP), round_to(bv, WEIGHT_STEP)
            out.append(torch.addmm(bv, unmoved if known else h, V))
        return out


class ContextModel(nn.Module):
    """One context group: the autoregressive decoder over its positions.

    All tensors carry positions first, (P, rows, ·), because each position has its own weights.
    """

    def __init__(self, config: ContextConfig, random: torch.Generator) -> None:
        super().__init__()
        self.config = config
        H, h = config.state, config.hidden
        self.coded = [j for j, coded in enumerate(config.coded) if coded]
        ks = config.alphabets
        self.register_buffer("offsets", _offsets(ks))
        prefix = torch.zeros(len(self.coded), len(ks))
        for row, j in enumerate(self.coded):
            prefix[row, :j] = 1
        self.register_buffer("prefix", prefix)  # (Jc, P): which positions precede a coded one
        self.T = nn.Parameter(torch.randn(sum(ks), H, generator=random) * 0.1)
        self.c0 = nn.Parameter(torch.zeros(H))
        self.b0 = nn.Parameter(torch.zeros(H))
        self.M = nn.Parameter(torch.randn(H, H, generator=random) * (1 / H**0.5))
        self.W = nn.Parameter(torch.randn(len(self.coded), H, h, generator=random) * (1.2 / H**0.5))
        self.bw = nn.Parameter(torch.zeros(len(self.coded), 1, h))
        self.V = nn.ParameterList(
            [nn.Parameter(torch.randn(h, ks[j], generator=random) * (0.5 / h**0.5)) for j in self.coded]
        )
        self.bv = nn.ParameterList([nn.Parameter(torch.zeros(ks[j])) for j in self.coded])
        n = len(config.candidates)
        self.boost = nn.Parameter(torch.linspace(0, 4, 9).repeat(n, 1))  # (candidates, classes); class 0 never counts
        self.gate = nn.Parameter(torch.zeros(n, h))
        self.register_buffer("boost_rows", torch.arange(n) * 9)
        owners = [position for position, _ in config.candidates]  # sorted
        self.candidates_of = {j: (bisect_left(owners, j), bisect_right(owners, j)) for j in self.coded}

    def forward(self, batch: Batch, rounding: bool) -> Tensor:
        """Bits of every coded position: (rows, Jc)."""
        q = round_to if rounding else _identity
        T = q(self.T, STATE_STEP)
        before = F.embedding(batch.x_prev + self.offsets, T).sum(1) * batch.has_prev[:, None]
        u = (q(self.c0, STATE_STEP) + before).clamp(0, HIDDEN_MAX)
        base = q(self.b0, STATE_STEP) + u @ q(self.M, WEIGHT_STEP)  # (rows, H)
        emb = F.embedding((batch.x + self.offsets).t().contiguous(), T)  # (P, rows, H)
        P, rows, H = emb.shape
        s = (self.prefix @ emb.view(P, rows * H)).view(-1, rows, H) + base  # (Jc, rows, H)
        h = torch.baddbmm(q(self.bw, WEIGHT_STEP), s, q(self.W, WEIGHT_STEP)).clamp(0, HIDDEN_MAX)  # (Jc, rows, h)
        h = q(h, STATE_STEP)
        boosts = q(self.boost, WEIGHT_STEP).flatten()[batch.copy_class + self.boost_rows] * (batch.copy_class > 0)
        gates, hidden = q(self.gate, WEIGHT_STEP), h.unbind(0)
        bits = []
        for i, j in enumerate(self.coded):
            first, end = self.candidates_of[j]
            V, bv = q(self.V[i], WEIGHT_STEP), q(self.bv[i], WEIGHT_STEP)
            if first == end:
                logits = torch.addmm(bv, hidden[i], V)
            else:  # the gates are further outputs of the same layer
                out = hidden[i] @ torch.cat([V, gates[first:end].t()], 1)
                raised = (out[:, len(bv) :] + boosts[:, first:end]) * (batch.copy_class[:, first:end] > 0)
                logits = (out[:, : len(bv)] + bv).scatter_add(1, batch.copy_value[:, first:end], raised)
            bits.append(F.cross_entropy(logits, batch.x[:, j], reduction="none"))
        return torch.stack(bits, 1) * (1 / math.log(2))

    def weight_bits(self) -> Tensor:
        """Estimated bits of all stored weights: a two-sided geometric code per tensor row group (codec note 3)."""
        parts = [(self.T[a:b], STATE_STEP) for a, b in _spans(self.config.alphabets)]
        parts += [(w, WEIGHT_STEP) for w in (*self.V, *self.W, self.M)]
        total: Tensor = sum(
            (p.numel() * torch.log2(1 + 3.26 * p.abs().mean() / step) for p, step in parts), start=torch.zeros(())
        )
        return total


@dataclass(frozen=True)
class Batch:
    """A batch of rows of one context group."""

    x: Tensor  # (rows, P) int64 symbols
    x_prev: Tensor  # (rows, P) symbols of the row before
    has_prev: Tensor  # (rows,) 0.0 at a block's first row
    copy_value: Tensor  # (rows, candidates) int64, 0 where there is none
    copy_class: Tensor  # (rows, candidates) int64


def _identity(w: Tensor, step: float) -> Tensor:
    return w


def _offsets(sizes: tuple[int, ...]) -> Tensor:
    return torch.tensor([0, *sizes[:-1]]).cumsum(0)


def _spans(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [(end - size, end) for end, size in zip(ends, sizes, strict=True)]
