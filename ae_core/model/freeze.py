"""Float modules to frozen integers: the only bridge from training to coding.

Training has already rounded every weight to its step (straight-through), so freezing loses nothing but the last ulp.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ae_core.kernels.frozen import Candidate, FrozenEncoder, FrozenGroup, FrozenPreview, PreviewHead
from ae_core.model.autoencoder import (
    LATENT_STEP,
    STATE_STEP,
    WEIGHT_STEP,
    AutoencoderConfig,
    ContextModel,
    PreviewDecoder,
    TableEncoder,
)

T_LIMIT = 2**13 - 1  # |T| below this keeps the state's sum inside int32 (kernels/bounds.py proves it from the tables)
INT16 = 2**15 - 1
LOGIT_BUDGET = 2**20  # of the 2^21 that a logit may reach (kernels/bounds.py); the rest is for the copy boosts
BOOST_LIMIT = 2**13  # in weight steps: 2^17 logit units, a factor of e^256
GATE_BUDGET = 2**17
BOOST_UNIT = 16  # boosts are learned in weight steps of 2^-5 and stored in logit units of 2^-9


def freeze_encoder(encoder: TableEncoder, config: AutoencoderConfig, dims: tuple[int, ...]) -> FrozenEncoder:
    """The encoder's tables of these dimensions, in sixteenths of a level."""
    at = list(dims)
    return FrozenEncoder(
        alphabets=config.alphabets,
        E=_integers(encoder.E, LATENT_STEP, T_LIMIT).astype(np.int16)[:, at],
        bias=_integers(encoder.bias, LATENT_STEP, 2**24)[at],
        levels=tuple(config.latent_levels[d] for d in dims),
    )


def freeze_preview(preview: PreviewDecoder, heads: tuple[PreviewHead, ...], dims: tuple[int, ...]) -> FrozenPreview:
    """The preview decoder of these dimensions, its heads side by side.

    A dimension that is left out says the same for every row: its most central level moves into the bias.
    """
    V = np.concatenate([_integers(w, WEIGHT_STEP, INT16) for w in preview.heads], 1)
    bv = np.concatenate([_integers(w, WEIGHT_STEP, INT16) for w in preview.biases])
    P, b = _integers(preview.P, STATE_STEP, T_LIMIT), _integers(preview.b, STATE_STEP, T_LIMIT)
    levels = preview.config.latent_levels
    tables = np.split(P, np.cumsum(levels)[:-1])
    for d, level in enumerate(levels):
        if d not in dims:
            b = b + tables[d][level // 2]
    return FrozenPreview(
        levels=tuple(levels[d] for d in dims),
        P=np.concatenate([tables[d] for d in dims]).astype(np.int16),
        b=np.clip(b, -T_LIMIT, T_LIMIT).astype(np.int16),
        V=V.astype(np.int16),
        bv=bv.astype(np.int16),
        heads=heads,
    )


def freeze_context(model: ContextModel) -> FrozenGroup:
    """One context group."""
    W, bw = _integers(model.W, WEIGHT_STEP, INT16), _integers(model.bw, WEIGHT_STEP, INT16)
    boost = _integers(model.boost, WEIGHT_STEP, BOOST_LIMIT)
    gate = _within(_integers(model.gate, WEIGHT_STEP, INT16).T, GATE_BUDGET).T
    return FrozenGroup(
        alphabets=model.config.alphabets,
        coded=model.config.coded,
        T=_integers(model.T, STATE_STEP, T_LIMIT).astype(np.int16),
        c0=_integers(model.c0, STATE_STEP, T_LIMIT),
        b0=_integers(model.b0, STATE_STEP, T_LIMIT),
        M=_integers(model.M, WEIGHT_STEP, INT16).astype(np.int16),
        W=tuple(w.astype(np.int16) for w in W),
        bw=tuple(w[0].astype(np.int16) for w in bw),
        V=tuple(_within(_integers(w, WEIGHT_STEP, INT16), LOGIT_BUDGET).astype(np.int16) for w in model.V),
        bv=tuple(_integers(w, WEIGHT_STEP, INT16) for w in model.bv),
        candidates=tuple(
            Candidate(position, key, boost[i] * BOOST_UNIT, gate[i].astype(np.int16))
            for i, (position, key) in enumerate(model.config.candidates)
        ),
    )


def _integers(w: Tensor, step: float, limit: int) -> np.ndarray:
    """w / step, rounded half to even as `round_to` does, clipped to ±limit; int32."""
    values = np.rint(w.detach().double().numpy() / step)
    return np.clip(values, -limit, limit).astype(np.int32)


def _within(weights: np.ndarray, budget: int) -> np.ndarray:
    """Input-first weights whose outputs cannot exceed the budget for any hidden activation (at most 255 each).

    Outputs that would are scaled down, so that an extreme model costs bytes instead of breaking the integers' bounds.
    """
    reach = 255 * np.abs(weights.astype(np.int64)).sum(0)
    scale = np.minimum(1.0, budget / np.maximum(reach, 1))
    return np.where(scale < 1, np.trunc(weights * scale), weights).astype(np.int32)
