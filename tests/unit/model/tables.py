"""A small table of symbols with structure that a model can learn, for tests of training."""

from __future__ import annotations

import numpy as np

from ae_core.kernels.frozen import PreviewHead
from ae_core.model.fit import SymbolTable


def related_table(rows: int = 6000, seed: int = 0) -> SymbolTable:
    """Five columns that follow two hidden causes: a slow one (the hour) and a category (the route)."""
    rng = np.random.default_rng(seed)
    hour = np.cumsum(rng.random(rows) < 0.02) % 24
    route = rng.choice(12, rows, p=rng.dirichlet(np.full(12, 2.0)))
    length = (route * 3 + rng.integers(0, 2, rows)) % 40
    delay = np.clip(hour + rng.integers(-1, 2, rows), 0, 29)
    cost = np.clip(length // 2 + delay // 3 + rng.integers(0, 2, rows), 0, 39)
    codes = np.stack([hour, route, length, delay, cost], 1).astype(np.int32)
    levels = (24, 12, 40, 30, 40)
    ordinal = (True, False, True, True, True)
    heads = tuple(PreviewHead(n, 0, (n,), o) for n, o in zip(levels, ordinal, strict=True))
    return SymbolTable(
        symbols=codes.astype(np.uint16),
        codes=codes,
        alphabets=tuple(n + 1 for n in levels),
        coded=(True,) * 5,
        context=(True,) * 5,
        heads=heads,
        known=(False,) * 5,
        block_starts=np.array([0, rows // 2], np.int64),
        rows_served=rows,
        plain_bits=200.0,  # so much that no latents are too many
    )
