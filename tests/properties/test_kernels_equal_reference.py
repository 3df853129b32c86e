"""The fast kernels compute the integers of the reference, on any model, table and block length."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "unit" / "kernels"))

from frozen_models import random_group, random_symbols

from ae_core.coder import blocks, rans
from ae_core.kernels import reference
from ae_core.kernels.bounds import check_bounds

ALPHABETS = st.one_of(st.integers(1, 20), st.sampled_from([1, 2, 15, 16, 17, 31, 53, 63, 64, 65, 105, 256, 257, 320]))


@st.composite
def models(draw):
    """A random group: 1..6 positions, some given, up to two candidates each, odd widths."""
    alphabets = tuple(draw(st.lists(ALPHABETS, min_size=1, max_size=6)))
    coded = tuple(draw(st.booleans()) or draw(st.booleans()) for _ in alphabets)
    keys = []
    for p in range(len(alphabets)):
        count = draw(st.integers(0, 2)) if coded[p] else 0
        subsets = st.lists(st.integers(0, p - 1), max_size=min(p, 4), unique=True) if p else st.just([])
        keys += [(p, tuple(draw(subsets))) for _ in range(count)]
    return random_group(
        draw(st.integers(0, 2**32)),
        alphabets,
        coded=coded,
        keys=tuple(keys),
        width=draw(st.sampled_from([1, 7, 16, 33, 64])),
        hidden=draw(st.sampled_from([1, 5, 16, 48, 70])),
        sharpness=draw(st.sampled_from([1, 20, 60])),
        inner=draw(st.sampled_from([30, 90])),
    )


@settings(max_examples=100, deadline=None)
@given(group=models(), rows=st.sampled_from([0, 1, 2, 9, 30]), seed=st.integers(0, 2**32))
def test_streams_equal_the_reference_and_decode_exactly(group, rows, seed):
    check_bounds(group)
    symbols = random_symbols(seed, rows, group.alphabets)
    intervals = reference.intervals(group, symbols)
    data = blocks.encode_block(group, symbols)
    assert data == rans.encode_reference(intervals)
    rebuilt = np.where(np.array(group.coded), 999, symbols).astype(np.uint16)
    blocks.decode_block(group, data, rebuilt)
    assert np.array_equal(rebuilt, symbols)
    network = [c and k > 1 for c, k in zip(group.coded, group.alphabets, strict=True)]
    bits = blocks.symbol_bits(group, symbols)
    expected = np.array([16 - np.log2(f) for _, f in intervals]).reshape(rows, sum(network))
    assert np.allclose(bits[:, [n for n, c in zip(network, group.coded, strict=True) if c]], expected, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(group=models(), rows=st.lists(st.sampled_from([0, 1, 2, 9, 30]), max_size=6), seed=st.integers(0, 2**32))
def test_blocks_code_together_as_they_do_alone(group, rows, seed):
    check_bounds(group)
    symbols = [random_symbols(seed + b, count, group.alphabets) for b, count in enumerate(rows)]
    data = [blocks.encode_block(group, block) for block in symbols]
    together = blocks.intervals_of_blocks(group, symbols)
    assert [rans.encode(intervals.reshape(-1)) for intervals in together] == data
    rebuilt = [np.where(np.array(group.coded), 999, block).astype(np.uint16) for block in symbols]
    blocks.decode_blocks(group, data, rebuilt)
    assert all(np.array_equal(found, block) for found, block in zip(rebuilt, symbols, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    group=models(),
    rows=st.lists(st.sampled_from([0, 1, 25]), min_size=2, max_size=4),
    data=st.binary(max_size=120),
    seed=st.integers(0, 2**32),
)
def test_any_bytes_among_good_blocks_decode_as_they_do_alone(group, rows, data, seed):
    symbols = [random_symbols(seed + b, count, group.alphabets) for b, count in enumerate(rows)]
    streams = [data, *(blocks.encode_block(group, block) for block in symbols[1:])]
    alone = symbols[0].copy()
    try:
        blocks.decode_block(group, data, alone)
    except blocks.Corrupt:
        with pytest.raises(blocks.Corrupt):
            blocks.decode_blocks(group, streams, [block.copy() for block in symbols])
        return
    rebuilt = [block.copy() for block in symbols]
    blocks.decode_blocks(group, streams, rebuilt)
    assert all(np.array_equal(found, block) for found, block in zip(rebuilt, [alone, *symbols[1:]], strict=True))


@settings(max_examples=100, deadline=None)
@given(group=models(), rows=st.sampled_from([0, 1, 25]), data=st.binary(max_size=120), seed=st.integers(0, 2**32))
def test_any_bytes_decode_to_an_error_or_to_what_encodes_to_them(group, rows, data, seed):
    symbols = random_symbols(seed, rows, group.alphabets)
    try:
        blocks.decode_block(group, data, symbols)
    except blocks.Corrupt:
        return
    assert (symbols < np.array(group.alphabets)).all()
    assert blocks.encode_block(group, symbols) == data
