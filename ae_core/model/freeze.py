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
BOOST_UNIT = 16  # boosts are learned in weight steps of 2^-5 and stored in logit units of 2^-9


def freeze_encoder(encoder: TableEncoder, config: AutoencoderConfig) -> FrozenEncoder:
    """The encoder's tables in sixteenths of a level."""
    return FrozenEncoder(
        alphabets=config.alphabets,
        E=_integers(encoder.E, LATENT_STEP, T_LIMIT).astype(np.int16),
        bias=_integers(encoder.bias, LATENT_STEP, 2**24),
        levels=config.latent_levels,
    )


def freeze_preview(preview: PreviewDecoder, heads: tuple[PreviewHead, ...]) -> FrozenPreview:
    """The preview decoder, its heads side by side."""
    V = np.concatenate([_integers(w, WEIGHT_STEP, INT16) for w in preview.heads], 1)
    bv = np.concatenate([_integers(w, WEIGHT_STEP, INT16) for w in preview.biases])
    return FrozenPreview(
        levels=preview.config.latent_levels,
        P=_integers(preview.P, STATE_STEP, T_LIMIT).astype(np.int16),
        b=_integers(preview.b, STATE_STEP, T_LIMIT).astype(np.int16),
        V=V.astype(np.int16),
        bv=bv.astype(np.int16),
        heads=heads,
    )


def freeze_context(model: ContextModel) -> FrozenGroup:
    """One context group."""
    W, bw = _integers(model.W, WEIGHT_STEP, INT16), _integers(model.bw, WEIGHT_STEP, INT16)
    boost, gate = _integers(model.boost, WEIGHT_STEP, INT16), _integers(model.gate, WEIGHT_STEP, INT16)
    return FrozenGroup(
        alphabets=model.config.alphabets,
        coded=model.config.coded,
        T=_integers(model.T, STATE_STEP, T_LIMIT).astype(np.int16),
        c0=_integers(model.c0, STATE_STEP, T_LIMIT),
        b0=_integers(model.b0, STATE_STEP, T_LIMIT),
        M=_integers(model.M, WEIGHT_STEP, INT16).astype(np.int16),
        W=tuple(w.astype(np.int16) for w in W),
        bw=tuple(w[0].astype(np.int16) for w in bw),
        V=tuple(_integers(w, WEIGHT_STEP, INT16).astype(np.int16) for w in model.V),
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
