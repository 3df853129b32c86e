"""Packed tensors come back exactly, cost about their entropy, and hostile bytes never do harm."""

import json
import zlib

import numpy as np
import pytest
from frozen_models import random_encoder, random_group, random_preview

from ae_core.coder.weights import pack_tensors, unpack_tensors
from ae_core.errors import Corrupt, LatentlakeError
from ae_core.kernels.frozen import PreviewHead
from ae_core.kernels.storage import from_tensors, to_tensors


def same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].dtype == two[name].dtype, name
        assert one[name].shape == two[name].shape, name
        assert np.array_equal(one[name], two[name]), name


@pytest.mark.parametrize("seed", range(4))
def test_tensors_of_any_shape_and_size_of_weight_come_back(seed):
    rng = np.random.default_rng(seed)
    tensors = {
        "plain": rng.integers(-50, 50, (30, 17)).astype(np.int16),
        "extreme": rng.choice(np.array([-32768, 32767, 0, 1], np.int16), (9, 5)),
        "wide": rng.integers(-(2**31) + 1, 2**31, 40).astype(np.int32),
        "zero": np.zeros((200, 64), np.int8),
        "empty": np.zeros((0, 7), np.int16),
        "flat": np.zeros((7, 0), np.int32),
        "scalar": np.array(-5, np.int32),
        "cube": rng.integers(-3, 3, (3, 4, 5)).astype(np.int8),
    }
    same(unpack_tensors(pack_tensors(tensors)), tensors)
    assert unpack_tensors(pack_tensors({})) == {}


def test_weights_cost_no_more_than_their_entropy_given_their_rows_scale():
    rng = np.random.default_rng(0)
    scales = np.exp(rng.normal(1.5, 1.0, (800, 1)))
    weights = np.round(rng.laplace(0, scales, (800, 64))).astype(np.int16)
    decay = np.exp(-1 / scales)
    chance = (1 - decay) / (1 + decay) * decay ** np.abs(weights)
    ideal = -np.log2(chance).sum() / 8
    assert len(pack_tensors({"w": weights})) < 1.06 * ideal


@pytest.mark.parametrize(
    "model",
    [
        random_group(3, (5, 1, 300, 7), coded=(True, True, True, False), keys=((0, ()), (2, (0, 1)))),
        random_group(3, (5, 2), coded=(False, False)),
        random_preview(1, (4, 9), 12, (PreviewHead(7, 1, (7,), True), PreviewHead(300, 2, (5, 64), False))),
        random_encoder(2, (3, 300), (8, 8, 2)),
    ],
)
def test_frozen_models_survive_storage(model):
    meta, tensors = to_tensors(model)
    rebuilt = from_tensors(json.loads(json.dumps(meta)), unpack_tensors(pack_tensors(tensors)))
    assert type(rebuilt) is type(model)
    meta_2, tensors_2 = to_tensors(rebuilt)
    assert meta_2 == meta
    same(tensors_2, tensors)


def test_damaged_structures_are_typed_errors():
    meta, tensors = to_tensors(random_group(3, (5, 2), keys=((1, (0,)),)))
    lawful = {("given", ()), ("candidates", ())}
    for name in meta:
        for wrong in (None, (), "x", -1, ((9, 9),), 10**30):
            if (name, wrong) not in lawful:
                with pytest.raises(LatentlakeError):
                    from_tensors({**meta, name: wrong}, tensors)
    for name in tensors:
        with pytest.raises(LatentlakeError):
            from_tensors(meta, {k: v for k, v in tensors.items() if k != name})
        with pytest.raises(LatentlakeError):
            from_tensors(meta, {**tensors, name: tensors[name].reshape(-1)[:-1]})


def test_every_cut_and_every_flipped_byte_is_an_error_or_lawful_tensors():
    packed = pack_tensors({"w": np.arange(-40, 40, dtype=np.int16).reshape(8, 10), "b": np.ones(3, np.int32)})
    with pytest.raises(Corrupt):
        unpack_tensors(packed + b"\0")
    damaged = [packed[:size] for size in range(len(packed))]
    for at in range(len(packed)):
        damaged += [packed[:at] + bytes([packed[at] ^ flip]) + packed[at + 1 :] for flip in (1, 128, 255)]
    refused = 0
    for data in damaged:
        try:
            assert sum(tensor.size for tensor in unpack_tensors(data).values()) == 83
        except Corrupt:
            refused += 1
    assert refused > len(damaged) // 2


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b'[["w","h",[-1]]]',
        b'[["w","h",[16777217]]]',
        b'[["w","h",[4096,4096,2]]]',
        b'[["w","h",[4]],["w","h",[4]]]',
        b'[["w","x",[4]]]',
        b'[["w","h",[true]]]',
        b"[" * 100_000,
        b'["' + b"a" * (1 << 21) + b'"]',
    ],
)
def test_lying_headers_are_refused_before_memory_is_taken(header):
    body = zlib.compress(header)
    with pytest.raises(Corrupt):
        unpack_tensors(len(body).to_bytes(4, "little") + body + bytes(64))
