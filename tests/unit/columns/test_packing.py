"""Plain streams give back what they were given, and hostile ones a typed error: no crash, no flood of memory."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given

from ae_core.columns.packing import join_parts, pack_bytes, pack_ints, split_parts, unpack_bytes, unpack_ints
from ae_core.columns.plain import pack_array, unpack_array
from ae_core.columns.same import same_cells
from ae_core.columns.words import pack_words, unpack_words
from ae_core.errors import Corrupt
from ae_core.varints import read_varint, write_varint

INT64 = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
EXTREMES = np.array([-(2**63), 2**63 - 1, 0, -1, 1], np.int64)
SHAPES = {
    "constant": np.full(5000, -7),
    "runs": np.repeat(np.arange(40) - 20, 100),
    "narrow": np.arange(3000) * 7919 % 251,
    "wide": np.cumsum(np.arange(3000)) * 10**12,
    "extremes": np.tile(EXTREMES, 30),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_integers_of_every_shape_come_back(shape: str) -> None:
    values = SHAPES[shape]
    assert (unpack_ints(pack_ints(values), len(values)) == values).all()


@given(st.lists(INT64, max_size=80))
def test_any_integers_come_back(values: list[int]) -> None:
    cells = np.array(values, np.int64)
    assert unpack_ints(pack_ints(cells), len(cells)).tolist() == values


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_parts_and_bytes_come_back(parts: list[bytes]) -> None:
    assert split_parts(join_parts(parts), len(parts)) == parts
    assert [unpack_bytes(pack_bytes(part), len(part)) for part in parts] == parts


@given(st.integers(0, 2**70 - 1))
def test_lengths_come_back(value: int) -> None:
    assert read_varint(write_varint(value), 0) == (value, len(write_varint(value)))


def test_a_bomb_is_refused_at_the_size_that_was_promised() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 28))
    for tag in range(5):
        with pytest.raises(Corrupt):
            unpack_bytes(bytes([tag]) + bomb, 100)


ARRAYS = {
    "ints": pa.array([1, None, 3] * 50, pa.int16()),
    "wide": pa.array([2**64 - 1, 0, None] * 50, pa.uint64()),
    "floats": pa.array([1.5, None, float("nan"), -0.0] * 50),
    "half": pa.array(np.arange(200).astype(np.float16)),
    "text": pa.array(["a", None, "ß" * 9, ""] * 50),
    "fixed": pa.array([b"ab", None, b"cd"] * 50, pa.binary(2)),
    "nested": pa.array([[1], None, [], [2, None]] * 50),
    "struct": pa.array([{"a": 1.5}, None, {"a": None}] * 50),
    "empty text": pa.array([""] * 70),
    "null": pa.nulls(90),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_whole_sliced_and_empty(name: str) -> None:
    array = ARRAYS[name]
    field = pa.field("x", array.type)
    for part in (array, array[3:70], array[5:6], array[:0]):
        assert same_cells(unpack_array(pack_array(part), field, len(part)), part)


@pytest.mark.parametrize("name", ARRAYS)
def test_damaged_arrays_are_corrupt_or_valid_but_never_a_crash(name: str) -> None:
    array = ARRAYS[name]
    field, data = pa.field("x", array.type), pack_array(array)
    rng = np.random.default_rng(5)
    damaged = [data[:cut] for cut in range(0, len(data), max(1, len(data) // 60))]
    for _ in range(150):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        damaged.append(bytes(changed))
    for hostile in damaged:
        try:
            back = unpack_array(hostile, field, len(array))
        except Corrupt:
            continue
        back.validate(full=True)
        assert back.type == array.type
        assert len(back) == len(array)


@given(st.lists(st.text(max_size=6), unique=True, max_size=60))
def test_words_come_back_in_their_order(words: list[str]) -> None:
    array = pa.array(words, pa.string())
    assert unpack_words(pack_words(array), pa.string(), len(words)).equals(array)


def test_sorted_words_share_their_beginnings() -> None:
    words = pa.array([f"N{number:05d}AA" for number in range(4000)])
    assert len(pack_words(words)) < 400
