"""The overflow proof holds where it says yes, and says no one step later."""

from dataclasses import replace

import numpy as np
import pytest
from frozen_models import random_group, random_symbols

from ae_core.coder import blocks, rans
from ae_core.errors import ModelError
from ae_core.kernels import reference
from ae_core.kernels.bounds import check_bounds, group_bounds
from ae_core.kernels.frozen import Candidate, FrozenGroup


def extreme_group(seed: int, w: int = 4094, v: int = 1900) -> FrozenGroup:
    """Every table at the greatest values that its bound allows."""
    rng = np.random.default_rng(seed)

    def at_ends(value: int, *shape: int) -> np.ndarray:
        return (value * rng.choice([-1, 1], shape)).astype(np.int16)

    alphabets, H, h = (20, 3, 40), 16, 4
    return FrozenGroup(
        alphabets=alphabets,
        coded=(True,) * 3,
        T=at_ends(32767, sum(alphabets), H),
        c0=np.full(H, 2**29, np.int32) * rng.choice([-1, 1], H).astype(np.int32),
        b0=np.full(H, 2**29, np.int32) * rng.choice([-1, 1], H).astype(np.int32),
        M=at_ends(32767, H, H),
        W=tuple(at_ends(w, H, h) for _ in alphabets),
        bw=tuple(at_ends(32000, h) for _ in alphabets),
        V=tuple(at_ends(v, h, k) for k in alphabets),
        bv=tuple(at_ends(30, k).astype(np.int32) for k in alphabets),
        candidates=(Candidate(2, (0,), np.full(9, 40_000, np.int32), at_ends(100, h)),),
    )


@pytest.mark.parametrize("seed", range(6))
def test_models_at_the_limit_do_not_overflow(seed):
    group = extreme_group(seed)
    check_bounds(group)
    symbols = random_symbols(seed, 60, group.alphabets)
    data = blocks.encode_block(group, symbols)
    assert data == rans.encode_reference(reference.intervals(group, symbols))
    rebuilt = np.zeros_like(symbols)
    blocks.decode_block(group, data, rebuilt)
    assert np.array_equal(rebuilt, symbols)


def test_models_over_a_limit_are_refused_by_name():
    group = extreme_group(0)
    with pytest.raises(ModelError, match="w_sum"):
        check_bounds(extreme_group(0, w=4096))
    with pytest.raises(ModelError, match="logit"):
        check_bounds(extreme_group(0, v=2057))
    with pytest.raises(ModelError, match=r"\|u\|"):
        check_bounds(replace(group, c0=np.full(16, 2**30, np.int32)))
    with pytest.raises(ModelError, match=r"\|s\|"):
        check_bounds(replace(group, b0=np.full(16, -(2**30), np.int32)))


def test_two_candidates_may_name_one_symbol_so_their_boosts_add_up():
    candidate = Candidate(0, (), np.full(9, 1_100_000, np.int32), np.zeros(20, np.int16))
    group = random_group(0, (5,))
    check_bounds(replace(group, candidates=(candidate,)))
    with pytest.raises(ModelError, match="logit"):
        check_bounds(replace(group, candidates=(candidate, candidate)))
    assert group_bounds(replace(group, candidates=(candidate, candidate))).logit > 2_200_000
