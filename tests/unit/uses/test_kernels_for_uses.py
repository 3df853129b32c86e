"""Drawing and weighing variants use the coder's own frequencies: the slow reference says what these are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ae_core.coder.blocks import decode_block, draw_block, encode_block
from ae_core.coder.variants import variant_bits
from ae_core.errors import Corrupt
from ae_core.kernels import reference
from tests.unit.kernels.frozen_models import random_group, random_symbols

ALPHABETS = (5, 7, 1, 4, 20)
CODED = (False, True, True, True, True)
KEYS = ((1, (0,)), (3, (0, 1)), (4, ()), (4, (1, 3)))


@pytest.fixture(scope="module")
def group():
    return random_group(3, ALPHABETS, coded=CODED, keys=KEYS)


def test_variants_cost_what_the_reference_says_of_a_block_that_ends_with_them(group) -> None:
    symbols = random_symbols(1, 40, ALPHABETS)
    symbols[:, 2] = 0
    row_of = np.array([0, 0, 7, 7, 7, 7, 7, 39])  # more than go in lockstep, first and last row
    variants = random_symbols(2, len(row_of), ALPHABETS)
    variants[:, 2] = 0
    variants[2] = symbols[7]  # the row itself
    bits = variant_bits(group, symbols, variants, row_of)
    for row, variant, found in zip(row_of, variants, bits, strict=True):
        block = np.concatenate([symbols[:row], variant[None], symbols[row + 1 :]])
        coded = sum(1 for size, c in zip(ALPHABETS, CODED, strict=True) if c and size > 1)
        mine = reference.intervals(group, block)[row * coded : (row + 1) * coded]
        assert found == pytest.approx(sum(16 - np.log2(f) for _, f in mine), abs=1e-9)


def test_variants_outside_of_their_alphabet_are_refused(group) -> None:
    symbols = random_symbols(1, 4, ALPHABETS)
    bad = symbols[:1].copy()
    bad[0, 1] = 7
    with pytest.raises(Corrupt, match="alphabet"):
        variant_bits(group, symbols, bad, np.array([1]))


def test_a_draw_is_a_block_of_the_model_that_keeps_what_was_given(group) -> None:
    symbols = random_symbols(5, 300, ALPHABETS)
    given = symbols[:, 0].copy()
    draw_block(group, symbols, np.random.default_rng(1))
    assert (symbols[:, 0] == given).all()
    assert (symbols < np.array(ALPHABETS)).all()
    again = symbols.copy()
    again[:, 1:] = 0
    decode_block(group, encode_block(group, symbols), again)
    assert (again == symbols).all()


def test_draws_come_as_often_as_the_frequencies_say() -> None:
    group = random_group(11, (6, 9), sharpness=20)
    group = replace(group, M=np.zeros_like(group.M))  # rows that know nothing of each other
    shares = np.zeros((6, 9))
    for x in range(6):
        found: list[np.ndarray] = []

        def note(row: int, position: int, cum: np.ndarray, x: int = x, found: list[np.ndarray] = found) -> int:
            found.append(np.diff(cum) / 65536)
            return x if position == 0 else 0

        reference.walk(group, np.zeros((1, 2), np.uint16), note)
        shares[x] = found[0][x] * found[1]
    drawn = np.zeros((60_000, 2), np.uint16)
    draw_block(group, drawn, np.random.default_rng(0))
    counts = np.bincount(drawn[:, 0] * 9 + drawn[:, 1], minlength=54).reshape(6, 9)
    expected = shares * len(drawn)
    usable = expected > 5
    chi2 = float(((counts - expected)[usable] ** 2 / expected[usable]).sum())
    assert chi2 < usable.sum() + 5 * np.sqrt(2 * usable.sum())


def test_equal_seeds_draw_equal_rows(group) -> None:
    drawn = []
    for seed in (1, 1, 2):
        symbols = np.zeros((50, len(ALPHABETS)), np.uint16)
        draw_block(group, symbols, np.random.default_rng(seed))
        drawn.append(symbols)
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
