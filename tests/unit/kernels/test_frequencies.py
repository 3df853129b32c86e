"""Frequencies are exact integers: they sum to 2^16, are never 0, follow the logits and never change."""

import numpy as np
import pytest

from ae_core.kernels.frequencies import DISTANCE_LIMIT, cumulative, exponentials


@pytest.mark.parametrize("size", [1, 2, 16, 53, 256, 257, 320, 512])
@pytest.mark.parametrize("spread", [0, 100, 5_000, 2_000_000])
def test_every_symbol_gets_a_slot_and_all_slots_are_given_away(size, spread):
    logits = np.random.default_rng(size).integers(-spread, spread + 1, size)
    cum = cumulative(logits)
    assert cum[0] == 0
    assert cum[-1] == 65536
    assert (np.diff(cum) >= 1).all()


def test_greater_logits_get_no_less():
    logits = np.sort(np.random.default_rng(0).integers(-4000, 4000, 100))
    assert (np.diff(exponentials(logits)) >= 0).all()


def test_exponentials_are_those_of_real_arithmetic_within_three_in_a_thousand():
    logits = -np.arange(0, 3000)
    real = 32768 * np.exp(logits / 512.0)
    assert np.abs(exponentials(logits) - real).max() < 0.003 * 32768


def test_intermediates_fit_31_bits():
    assert DISTANCE_LIMIT * 369 < 2**31
    assert all(((65536 - size) << 15) < 2**31 for size in (1, 2, 512))


def test_pinned_values():
    assert exponentials(np.array([0, -1, -100, -512, -4096, -60000])).tolist() == [32768, 32726, 27024, 12075, 11, 0]
    assert cumulative(np.array([0, -300, 200])).tolist() == [0, 21585, 33629, 65536]
