"""Any text under mixing: the fast coder is the reference's and the reader's, comes back, and no bytes hurt it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ae_core.columns.letters import pack_letters, unpack_letters
from ae_core.columns.packing import pack_bytes, unpack_bytes
from ae_core.columns.plain import pack_array, unpack_array
from ae_core.columns.words import pack_words, unpack_words
from ae_core.errors import Corrupt
from ae_core.mixing import text_reference
from ae_core.mixing.text import MOST_TEXT, decode_text, encode_text
from tests.golden.reader.streams import Bytes

WORDS = st.sampled_from(["", "Smith", "smith, John", "2001-02-03", "São Paulo", "\x00", "a\nb", "N123AA", "N124AA"])
TEXTS = st.one_of(
    st.binary(max_size=200),
    st.lists(WORDS, max_size=30).map(lambda words: "\n".join(words).encode()),
    st.text("ab \n", max_size=300).map(str.encode),
)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(TEXTS, st.one_of(st.just(10), st.integers(0, 255)), st.integers(0, 255), st.integers(0, 1 << 20))
@example(b"", 10, 0, 0)
@example(b"a", 97, 0, 0)
@example(b"abcdefg" * 20, 10, 255, 3)
def test_reference_fast_and_reader_agree_and_texts_come_back(text, separator, byte, place):
    data = encode_text(text, separator)
    assert data == text_reference.encode_text(text, separator)
    assert decode_text(data, len(text)) == text
    assert Bytes(b"\4" + data).bytes(len(text)) == text

    hurt = bytearray(data)
    hurt[place % len(hurt)] = byte
    try:
        wrong = decode_text(bytes(hurt), len(text))
    except Corrupt:
        return
    assert len(wrong) == len(text)
    assert wrong == Bytes(b"\4" + bytes(hurt)).bytes(len(text))


@SLOW
@given(st.lists(st.binary(max_size=40), max_size=40), st.booleans())
def test_lists_of_bytes_come_back(listed, mixed):
    lengths = np.array([len(one) for one in listed], np.int64)
    packed_lengths, text = pack_letters(lengths, b"".join(listed), mixed=mixed)
    found, letters = unpack_letters(packed_lengths, text, len(listed))
    assert (found.tolist(), letters) == (lengths.tolist(), b"".join(listed))
    assert [bytes(one) for one in Bytes(packed_lengths).letters(Bytes(text).text(), len(listed))] == listed


@SLOW
@given(st.lists(st.one_of(st.none(), WORDS, st.text(max_size=20)), max_size=200))
def test_columns_and_word_lists_come_back(cells):
    array = pa.array(cells, pa.string())
    assert unpack_array(pack_array(array), pa.field("c", array.type), len(array)).equals(array)
    words = array.drop_null().unique()
    assert unpack_words(pack_words(words), words.type, len(words)).equals(words)


@pytest.mark.parametrize("size", [0, 1, 1 << 16, 1 << 20])
def test_columns_of_any_size_and_of_no_text_at_all_come_back(size):
    rng = np.random.default_rng(size)
    spread = np.minimum(rng.geometric(0.02, size), 255).astype(np.uint8).tobytes()
    cells = [spread[at : at + 24] for at in range(0, size, 24)]
    array = pa.array(cells, pa.binary())
    assert unpack_array(pack_array(array), pa.field("c", array.type), len(array)).equals(array)


def test_names_take_fewer_bytes_than_by_any_other_coder():
    rng = np.random.default_rng(3)
    first, last = ["Ann", "Mary", "John", "Francis"], ["Miller", "Smith", "Jones", "Fisher", "Cook"]
    lines = [f"{rng.choice(last)}, {rng.choice(first)} {rng.integers(1950, 2000)}\n" for _ in range(300)]
    text = "".join(lines).encode()
    assert len(encode_text(text, 10)) < 0.9 * len(pack_bytes(text))
    array = pa.array([line[:-1] for line in lines])
    assert len(pack_array(array)) < 0.9 * len(pack_bytes(text))


def test_a_text_is_refused_at_the_size_that_was_promised():
    for size in (MOST_TEXT + 1, 1 << 34, 1 << 50):
        with pytest.raises(Corrupt, match="of text in"):
            decode_text(b"\n", size)
        with pytest.raises(Corrupt):
            unpack_bytes(b"\4\n", size)
    with pytest.raises(Corrupt, match="of text in"):
        decode_text(b"", 1)
    with pytest.raises(Corrupt, match="behind the end"):
        decode_text(encode_text(b"some text", 10) + b"\1" * 8, 9)
    assert len(decode_text(b"\n", 1000)) == 1000


@pytest.mark.parametrize("text", [b"a\nb\nc", b"a\nb\n", b"", b"a\nb\nc\nd\n"])
def test_another_number_of_texts_than_cells_is_refused(text):
    with pytest.raises(Corrupt, match="another number of texts"):
        unpack_letters(b"", bytes([len(text), 0]) + text, 3)
