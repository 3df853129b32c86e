"""The trained autoencoder is real: its latents carry the rows, and what is frozen is what was trained."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from ae_core.coder import blocks
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import FrozenEncoder
from ae_core.kernels.network import Network
from ae_core.kernels.preview import preview_codes
from ae_core.model import fit
from ae_core.model.fit import DimensionPoint, FitReport, SymbolTable, fit_network, knee, split_groups
from ae_core.model.train import MOST_RAISED, RatePrice, train_autoencoder
from ae_core.uses.previews import constant_preview, pca_preview, preview_error

from .tables import related_table


@pytest.fixture(scope="module")
def table() -> SymbolTable:
    return related_table()


@pytest.fixture(scope="module")
def fitted(table: SymbolTable) -> tuple[Network, FitReport]:
    return fit_network(table, seed=0)


def _loss(network: Network, table: SymbolTable, z: np.ndarray) -> float:
    """One figure of a preview's error: numeric error plus share of wrong categories, both in percent."""
    return preview_error(table.heads, table.codes, preview_codes(network.preview, z), 0).total


def test_preview_beats_mean_mode_and_pca_at_equal_bytes(fitted: tuple[Network, FitReport], table: SymbolTable) -> None:
    """The point of an autoencoder: fewer errors from its latents than from what costs as little."""
    network, _ = fitted
    z = encode_latents(network.encoder, table.symbols)
    ends = [*table.block_starts[1:], len(z)]
    size = sum(len(blocks.encode_block(network.prior, z[a:b])) for a, b in zip(table.block_starts, ends, strict=True))
    ours = preview_error(table.heads, table.codes, preview_codes(network.preview, z), size)
    constant = preview_error(table.heads, table.codes, constant_preview(table.heads, table.codes), 0)
    _, pca = pca_preview(table.heads, table.codes, size)
    assert ours.numeric < min(constant.numeric, pca.numeric)
    assert ours.accuracy > max(constant.accuracy, pca.accuracy)


def test_untrained_encoder_is_clearly_worse(fitted: tuple[Network, FitReport], table: SymbolTable) -> None:
    """Latents of a random encoder, under the trained decoder, say little: training made the latents."""
    network, _ = fitted
    shape = network.encoder.E.shape
    random = np.random.default_rng(1).integers(-64, 65, shape).astype(np.int16)
    untrained = FrozenEncoder(network.encoder.alphabets, random, network.encoder.bias, network.encoder.levels)
    trained_loss = _loss(network, table, encode_latents(network.encoder, table.symbols))
    assert _loss(network, table, encode_latents(untrained, table.symbols)) > 1.5 * trained_loss


def test_shuffled_latents_are_clearly_worse(fitted: tuple[Network, FitReport], table: SymbolTable) -> None:
    """The preview depends on the row's own latents, not on the average row."""
    network, _ = fitted
    z = encode_latents(network.encoder, table.symbols)
    shuffled = np.random.default_rng(1).permutation(z)
    assert _loss(network, table, shuffled) > 1.5 * _loss(network, table, z)


def test_latents_that_take_more_than_their_share_become_dearer(table: SymbolTable) -> None:
    """Left alone they take what they are worth; held to half of that they are dearer and fewer, not dead."""
    training = fit._training_table(table)
    config, schedule = fit._autoencoder_config(table, 3), fit.AUTOENCODER.schedule(len(table.symbols))
    train = partial(train_autoencoder, config, training, schedule, rate_weight=fit.RATE_WEIGHT, seed=0)
    free = train(most_bits=math.inf)
    held = train(most_bits=free.latent_bits / 2)
    assert free.rate_weight == fit.RATE_WEIGHT < held.rate_weight <= MOST_RAISED * fit.RATE_WEIGHT
    assert free.latent_bits / 4 < held.latent_bits < free.latent_bits * 0.9
    assert free.preview_loss < held.preview_loss < 1


@pytest.mark.parametrize(("bits", "raised"), [(4.0, 1.0), (5.0, 1.0), (9.0, math.inf), (1e9, math.inf)])
def test_a_price_rises_above_the_most_bits_alone_and_never_without_end(bits: float, raised: float) -> None:
    price = RatePrice(0.05, 5.0)
    for _ in range(10_000):
        price.see(bits)
    assert price.weight == pytest.approx(0.05 * min(raised, MOST_RAISED))
    for _ in range(10_000):
        price.see(0.0)
    assert price.weight == 0.05


def test_latents_are_joint(fitted: tuple[Network, FitReport], table: SymbolTable) -> None:
    """At least half of the latent dimensions depend on three or more columns."""
    network, _ = fitted
    z = encode_latents(network.encoder, table.symbols)
    rng = np.random.default_rng(2)
    moved = np.zeros((z.shape[1], table.symbols.shape[1]), bool)
    for column in range(table.symbols.shape[1]):
        other = table.symbols.copy()
        other[:, column] = rng.permutation(other[:, column])
        moved[:, column] = (encode_latents(network.encoder, other) != z).mean(0) > 0.01
    assert z.shape[1] >= 2
    assert (moved.sum(1) >= 3).mean() >= 0.5


def test_training_repeats_itself(fitted: tuple[Network, FitReport], table: SymbolTable) -> None:
    """The same seed gives the same integers on the same machine, although trainings run side by side."""
    again, _ = fit_network(table, seed=0)
    assert np.array_equal(again.encoder.E, fitted[0].encoder.E)
    assert np.array_equal(again.groups[0].frozen.T, fitted[0].groups[0].frozen.T)


def test_frozen_bits_are_the_trained_bits(fitted: tuple[Network, FitReport], table: SymbolTable) -> None:
    """Freezing loses next to nothing: the integers' code length is what the last point of the curve says."""
    network, report = fitted
    z = encode_latents(network.encoder, table.symbols)
    symbols = np.concatenate([z, table.symbols], 1)
    ends = [*table.block_starts[1:], len(z)]
    bits = np.concatenate(
        [
            blocks.symbol_bits(network.groups[0].frozen, np.ascontiguousarray(symbols[a:b])).sum(1)
            for a, b in zip(table.block_starts, ends, strict=True)
        ]
    )
    last = [point for point in report.curve if point.stage == "context 1"][-1]
    assert bits.mean() == pytest.approx(last.seen, rel=0.03)


def test_threads_are_as_before(table: SymbolTable) -> None:
    """Training narrows torch to one thread and gives the caller's setting back."""
    before = torch.get_num_threads()
    fit_network(
        replace(table, symbols=table.symbols[:600], codes=table.codes[:600], block_starts=np.array([0])), seed=0
    )
    assert torch.get_num_threads() == before


def test_knee_is_where_more_stops_paying() -> None:
    """The corner of a curve that falls steeply and then flattens, not its end."""
    points = [
        DimensionPoint(2, 1.0, 1.0),
        DimensionPoint(3, 0.4, 2.0),
        DimensionPoint(4, 0.35, 3.0),
        DimensionPoint(6, 0.3, 6.0),
    ]
    assert knee(points) == 3


def test_knee_takes_the_fewest_where_more_never_helps() -> None:
    """Dimensions that do not lower the error are not bought."""
    assert knee([DimensionPoint(2, 0.5, 2.0), DimensionPoint(3, 0.5, 2.5), DimensionPoint(4, 0.6, 3.0)]) == 2


def test_groups_are_even_and_complete() -> None:
    """Wide tables are cut into groups of at most 64 coded symbols, each position in exactly one."""
    coded = [i % 7 != 0 for i in range(200)]
    groups = split_groups(coded, [True] * len(coded))
    assert [p for group in groups for p in group] == list(range(200))
    counts = [sum(coded[p] for p in group) for group in groups]
    assert max(counts) <= 64
    assert max(counts) - min(counts) <= 1
