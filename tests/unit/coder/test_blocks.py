"""Block streams: pinned bytes, hostile bytes, degenerate shapes, and the same integers on any processor."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from frozen_models import random_group, random_symbols

from ae_core.coder import blocks, rans
from ae_core.errors import Corrupt

ROOT = Path(__file__).parents[3]
ALPHABETS = (5, 1, 300, 17, 53, 2)
KEYS = ((2, ()), (3, (0,)), (4, (0, 2)), (4, (3,)), (5, (0, 1, 2, 3)))


def decoded(group, data, symbols):
    out = np.where(np.array(group.coded), 0, symbols).astype(np.uint16)
    blocks.decode_block(group, data, out)
    return out


def digest():
    group, symbols = random_group(5, ALPHABETS, keys=KEYS, width=40, hidden=35), random_symbols(6, 3000, ALPHABETS)
    data = blocks.encode_block(group, symbols)
    assert np.array_equal(decoded(group, data, symbols), symbols)
    parts = [symbols[:1200], symbols[1200:1300], symbols[1300:]]
    together = [np.zeros_like(part) for part in parts]
    blocks.decode_blocks(group, [blocks.encode_block(group, part) for part in parts], together)
    assert all(np.array_equal(found, part) for found, part in zip(together, parts, strict=True))
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("cpu", ["generic", pytest.param("haswell", marks=pytest.mark.full)])
def test_bytes_are_equal_on_lesser_processors(cpu, tmp_path):
    paths = [str(ROOT), str(Path(__file__).parent), str(Path(__file__).parents[1] / "kernels")]
    code = f"import sys, json; sys.path[:0] = {paths!r}; import test_blocks; print(json.dumps(test_blocks.digest()))"
    features = {"generic": "", "haswell": "+sse4.2,+avx,+avx2"}[cpu]
    settings = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout) == digest()


def small():
    group = random_group(1, (5, 40, 3), coded=(True, True, False), keys=((1, (0,)),))
    symbols = random_symbols(1, 40, group.alphabets)
    return group, symbols, blocks.encode_block(group, symbols)


def test_cut_streams_are_refused():
    group, symbols, data = small()
    for size in range(len(data)):
        with pytest.raises(Corrupt):
            decoded(group, data[:size], symbols)
    with pytest.raises(Corrupt):
        decoded(group, data + bytes(4), symbols)
    with pytest.raises(Corrupt):
        decoded(group, data + b"\1", symbols)


def test_flipped_bits_are_refused_unless_other_symbols_have_that_very_stream():
    group, symbols, data = small()
    lawful = 0
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            try:
                rebuilt = decoded(group, bytes(damaged), symbols)
            except Corrupt:
                continue
            assert blocks.encode_block(group, rebuilt) == bytes(damaged)
            lawful += 1
    assert lawful < 8 * len(data) / 10


def test_another_number_of_rows_is_refused():
    group, symbols, data = small()
    for rows in (0, 1, 39):
        with pytest.raises(Corrupt):
            decoded(group, data, symbols[:rows])
    with pytest.raises(Corrupt):
        decoded(group, data, np.concatenate([symbols, symbols[:1]]))


def test_symbols_outside_their_alphabet_are_refused():
    group, symbols, data = small()
    for position in range(3):
        wrong = symbols.copy()
        wrong[7, position] = group.alphabets[position]
        with pytest.raises(Corrupt):
            blocks.encode_block(group, wrong)
    with pytest.raises(Corrupt):
        blocks.decode_block(group, data, wrong)


def test_nothing_costs_nothing():
    one = random_group(0, (1, 1, 4), coded=(True, True, False))
    symbols = random_symbols(0, 50, one.alphabets)
    assert blocks.encode_block(one, symbols) == b""
    assert np.array_equal(decoded(one, b"", symbols), symbols)
    group = random_group(0, (5, 9))
    assert blocks.encode_block(group, np.zeros((0, 2), np.uint16)) == b""
    assert decoded(group, b"", np.zeros((0, 2), np.uint16)).shape == (0, 2)
    assert blocks.symbol_bits(one, symbols).shape == (50, 2)
    assert not blocks.symbol_bits(one, symbols).any()


def test_blocks_in_lockstep_are_checked_one_by_one():
    group, symbols, data = small()
    parts = [symbols, symbols[:7], symbols[:0]]
    streams = [blocks.encode_block(group, part) for part in parts]
    with pytest.raises(Corrupt, match=f"{len(streams[1]) - 4} bytes ends early"):
        blocks.decode_blocks(group, [data, streams[1][:-4], streams[2]], [part.copy() for part in parts])
    with pytest.raises(Corrupt, match="does not end"):
        blocks.decode_blocks(group, [data, data, streams[2]], [part.copy() for part in parts])
    with pytest.raises(Corrupt):
        blocks.decode_blocks(group, [data, streams[1], data], [part.copy() for part in parts])
    blocks.decode_blocks(group, [], [])
    with pytest.raises(ValueError, match="argument 2 is longer"):
        blocks.decode_blocks(group, streams[:2], [part.copy() for part in parts])


def test_read_only_and_strided_symbols_encode_alike():
    group, symbols, data = small()
    symbols.flags.writeable = False
    assert blocks.encode_block(group, symbols) == data
    assert blocks.encode_block(group, np.asfortranarray(symbols)) == data
    with pytest.raises(ValueError, match="writable"):
        blocks.decode_block(group, data, symbols)


def test_symbol_bits_are_the_streams_bytes():
    group, symbols, data = small()
    assert abs(blocks.symbol_bits(group, symbols).sum() / 8 - len(data)) < 12


def test_pinned_words():
    intervals = [(0, 1), (1, 65535), (40000, 1000), (65535, 1), (0, 65536), (7, 3)] * 2
    packed = np.array([cum | (f - 1) << 16 for cum, f in intervals], np.uint32)
    assert rans.encode(packed) == rans.encode_reference(intervals)
    assert rans.encode(packed).hex() == "00009a9dee0000009b465ba80000f18bffff0900"
