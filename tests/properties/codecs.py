"""Codecs without training: any plan's columns under random frozen weights, mixing models and plain coders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ae_core.codec import Codec, symbol_columns
from ae_core.columns import ColumnPlan, TablePlan
from ae_core.columns.derived import Lookup
from ae_core.kernels.frozen import PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.mixing import MixingPlan
from ae_core.mixing.plan import (
    AGAINST,
    BUCKET,
    CHANGE,
    COARSE,
    ENERGY,
    FRACTION,
    GUESS,
    NOW,
    OWN,
    RESIDUAL,
    RUN,
    ColumnModel,
    Feature,
    Reference,
    Tap,
)
from ae_core.vector_types import vector_shape
from ae_core.vectors import FrozenVectors, VectorCoder, cells_of
from ae_core.vectors.network import LATENT_LEVELS, MOST_LEVELS
from tests.unit.kernels.frozen_models import random_encoder, random_group, random_preview

LEVELS = (16, 7)


def random_codec(plan: TablePlan, coders: Mapping[str, str], *, network: bool, seed: int) -> Codec:
    """A codec for the plan.

    Parameters
    ----------
    coders : by column, "plain" or "mixing" where it should leave the coder that was planned for it.
    network : whether what is left to a network gets one; else these columns go to plain coders.
    """
    rng = np.random.default_rng(seed)
    columns = list(plan.columns)
    keys = {key for column in columns if isinstance(column.derived, Lookup) for key in column.derived.keys}
    for index, column in enumerate(columns):
        coder = coders.get(column.name, "as planned")
        if column.coder == "network" and (coder == "as planned" and not network):
            coder = "plain"
        if column.coder in ("network", "mixing") and coder in ("plain", "mixing") and column.derived is None:
            moved = replace(column, coder=coder, reason="drawn")  # type: ignore[arg-type]
            if moved.numbered and column.quantiser is not None and index not in keys:
                moved = replace(moved, domain=None, code=None)
            columns[index] = moved
        if column.elements is not None and coder == "plain":
            columns[index] = plan.with_coder(column.name, "plain", "drawn").columns[index]
    plan = TablePlan(plan.schema, tuple(columns))
    coded = any(symbol.coded for symbol in plan.symbols)
    return Codec(
        plan,
        random_network(plan, rng) if coded else None,
        None if coded else "nothing for a network",
        random_mixing(plan, rng),
        {index: random_vectors(column, rng) for index, column in enumerate(plan.columns) if _has_codes(column)},
    )


def _has_codes(column: ColumnPlan) -> bool:
    return column.elements is not None and column.elements.coder == "mixing"


def random_vectors(column: ColumnPlan, rng: np.random.Generator) -> VectorCoder:
    """A coder for a vector column, with an autoencoder or not."""
    assert column.elements is not None
    assert column.elements.domain is not None
    shape, domain = vector_shape(column.type), column.elements.domain
    length, network, latents = int(np.prod(shape)), None, None
    known = [length]
    if domain.levels <= MOST_LEVELS and rng.integers(2):
        network = _autoencoder(shape, domain.levels, rng)
        levels = (LATENT_LEVELS,) * network.dims
        models = (_model(place, list(range(place)), LATENT_LEVELS, rng) for place in range(network.dims))
        latents = MixingPlan(levels, levels, tuple(models))
        known.append(domain.levels)
    model = _model(len(known), list(range(len(known))), domain.levels, rng)
    elements = MixingPlan((*known, domain.levels), (*known, domain.size), (model,))
    return VectorCoder(shape, domain.levels, domain.size, elements, network, latents)


def _autoencoder(shape: tuple[int, ...], levels: int, rng: np.random.Generator) -> FrozenVectors:
    cells, d, hidden = cells_of(shape), int(rng.integers(1, 3)), int(rng.integers(1, 5))
    inputs, size = cells.around * d, cells.size

    def some(*dims: int) -> np.ndarray:
        return rng.integers(-2000, 2000, dims)

    tensors = {
        "mean": rng.integers(0, levels, size), "scale": rng.integers(1, max(2, levels // 2), size), "E": some(size, d),
        "e": some(d) << 14, "P": some(inputs, hidden), "p": some(hidden), "D": some(inputs, size),
        "V": some(hidden, size), "b": some(size),
    }  # fmt: skip
    return FrozenVectors({k: v.astype(np.int16 if k in "EPDV" else np.int32) for k, v in tensors.items()})


def random_network(plan: TablePlan, rng: np.random.Generator) -> Network:
    """Random weights for the plan's symbols, in one or two context groups."""
    alphabets = tuple(symbol.alphabet for symbol in plan.symbols)
    domains = [domain for index in plan.domain_columns if (domain := plan.columns[index].domain) is not None]
    heads = tuple(PreviewHead(d.shown, len(d.specials) - 1, d.radices, d.ordinal) for d in domains)
    positions = plan.context_positions
    cut = int(rng.integers(len(positions)))
    parts = [part for part in (positions[:cut], positions[cut:]) if part]
    return Network(
        encoder=random_encoder(int(rng.integers(99)), alphabets, LEVELS),
        preview=random_preview(int(rng.integers(99)), LEVELS, 6, heads),
        prior=random_group(int(rng.integers(99)), LEVELS, width=8, hidden=6),
        groups=tuple(_group(plan, part, rng) for part in parts),
    )


def _group(plan: TablePlan, positions: tuple[int, ...], rng: np.random.Generator) -> ContextGroup:
    symbols = [plan.symbols[position] for position in positions]
    coded = tuple(symbol.coded for symbol in symbols)
    own = [len(LEVELS) + place for place, is_coded in enumerate(coded) if is_coded]
    keys = tuple((place, key) for place in own[-1:] for key in ((), (0, 1)))
    frozen = random_group(
        int(rng.integers(99)),
        (*LEVELS, *(symbol.alphabet for symbol in symbols)),
        coded=(*(False for _ in LEVELS), *coded),
        keys=keys,
        width=8,
        hidden=6,
    )
    # boost[0] is never used and not stored
    candidates = tuple(
        replace(c, boost=np.where(np.arange(9) == 0, 0, c.boost).astype(np.int32)) for c in frozen.candidates
    )
    return ContextGroup(positions, replace(frozen, candidates=candidates))


def random_mixing(plan: TablePlan, rng: np.random.Generator) -> MixingPlan | None:
    """A model for every column under mixing, with contexts of columns that are known before it."""
    columns = symbol_columns(plan)
    coded = [place for place, (index, _) in enumerate(columns) if plan.columns[index].coder == "mixing"]
    if not coded:
        return None
    known = [place for place in range(len(columns)) if place not in coded]
    models = []
    for place in coded:
        models.append(_model(place, known, columns[place][1].levels, rng))
        known.append(place)
    levels = tuple(domain.levels for _, domain in columns)
    return MixingPlan(levels, tuple(domain.size for _, domain in columns), tuple(models))


def _model(column: int, known: list[int], levels: int, rng: np.random.Generator) -> ColumnModel:
    references: list[Reference] = [(-1,), (-2,), *((other,) for other in known)]

    def pick(things: list) -> object:  # type: ignore[type-arg]
        return things[int(rng.integers(len(things)))]

    guided = levels > 0 and bool(rng.integers(2))
    kinds = [OWN, COARSE, RUN] + ([GUESS, AGAINST, RESIDUAL, ENERGY, FRACTION] if guided else [])
    kinds += [NOW, BUCKET, CHANGE] if known else []

    def feature() -> Feature:
        kind = pick(kinds)
        if kind >= NOW:  # type: ignore[operator]
            return kind, pick(known), pick(references) if kind == CHANGE else ()  # type: ignore[return-value]
        return (kind, 0, () if kind in (GUESS, ENERGY, FRACTION) else pick(references))  # type: ignore[return-value]

    contexts = tuple(tuple(feature() for _ in range(int(rng.integers(3)))) for _ in range(1 + int(rng.integers(3))))
    selector = feature() if rng.integers(2) else None
    again = pick(references) if rng.integers(3) == 0 else None
    if not guided:
        return ColumnModel(column, False, contexts, selector, again=again)  # type: ignore[arg-type]
    taps = [Tap(column, pick(references), int(rng.integers(-9000, 9000)))]  # type: ignore[arg-type]
    if known:
        taps.append(Tap(pick(known), pick([(), (-1,)]), int(rng.integers(-(1 << 26), 1 << 26))))  # type: ignore[arg-type]
    residual = bool(rng.integers(2))
    return ColumnModel(column, residual, contexts, selector, int(rng.integers(-5000, 5000)), tuple(taps), again)  # type: ignore[arg-type]
