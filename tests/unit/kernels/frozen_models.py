"""Random frozen models and symbols for tests of kernels and coder."""

from __future__ import annotations

import numpy as np

from ae_core.kernels.frozen import Candidate, FrozenEncoder, FrozenGroup, FrozenPreview, PreviewHead


def random_group(
    seed: int,
    alphabets: tuple[int, ...],
    *,
    coded: tuple[bool, ...] | None = None,
    keys: tuple[tuple[int, tuple[int, ...]], ...] = (),
    width: int = 24,
    hidden: int = 20,
    sharpness: int = 60,
    inner: int = 30,
) -> FrozenGroup:
    """A group with every weight random, within the bounds of int32 arithmetic; W fits int8 where inner <= 42."""
    rng = np.random.default_rng(seed)
    coded = coded or (True,) * len(alphabets)

    def weights(spread: int, *shape: int) -> np.ndarray:
        return np.clip(np.round(rng.normal(0, spread, shape)), -3 * spread, 3 * spread).astype(np.int16)

    sizes = [k for k, c in zip(alphabets, coded, strict=True) if c]
    return FrozenGroup(
        alphabets=alphabets,
        coded=coded,
        T=weights(40, sum(alphabets), width),
        c0=weights(40, width).astype(np.int32),
        b0=weights(40, width).astype(np.int32),
        M=weights(12, width, width),
        W=tuple(weights(inner, width, hidden) for _ in sizes),
        bw=tuple(weights(30, hidden) for _ in sizes),
        V=tuple(weights(sharpness, hidden, k) for k in sizes),
        bv=tuple(weights(sharpness, k).astype(np.int32) for k in sizes),
        candidates=tuple(
            Candidate(p, key, weights(900, 9).astype(np.int32) + 900, weights(20, hidden)) for p, key in keys
        ),
    )


def random_symbols(seed: int, rows: int, alphabets: tuple[int, ...]) -> np.ndarray:
    """Symbols with repeats, so that copy candidates hit, miss and run; uint16 (rows, positions)."""
    rng = np.random.default_rng(seed)
    pool = np.stack([rng.integers(0, k, max(rows // 3, 1)) for k in alphabets], axis=1)
    out = pool[rng.integers(0, len(pool), rows)]
    noise = rng.random(out.shape) < 0.1
    fresh = np.stack([rng.integers(0, k, rows) for k in alphabets], axis=1)
    return np.where(noise, fresh, out).astype(np.uint16)


def random_preview(seed: int, levels: tuple[int, ...], hidden: int, heads: tuple[PreviewHead, ...]) -> FrozenPreview:
    """A preview decoder with random weights whose ordinal outputs and special logits take both sides."""
    rng = np.random.default_rng(seed)
    outputs = sum(head.outputs for head in heads)
    return FrozenPreview(
        levels=levels,
        P=rng.integers(-120, 121, (sum(levels), hidden)).astype(np.int16),
        b=rng.integers(-60, 200, hidden).astype(np.int16),
        V=rng.integers(-20, 21, (hidden, outputs)).astype(np.int16),
        bv=rng.integers(-300, 300, outputs).astype(np.int16),
        heads=heads,
    )


def random_encoder(seed: int, alphabets: tuple[int, ...], levels: tuple[int, ...]) -> FrozenEncoder:
    """An encoder whose latents spread over their levels and beyond, so that both ends clamp."""
    rng = np.random.default_rng(seed)
    return FrozenEncoder(
        alphabets=alphabets,
        E=rng.integers(-90, 91, (sum(alphabets), len(levels))).astype(np.int16),
        bias=np.array([8 * n for n in levels], np.int32),
        levels=levels,
    )
