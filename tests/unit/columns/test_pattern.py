"""Texts of one shape: numbers in their order, back to the letter, and anything else is an escape."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_core.columns.domain import make_domain
from ae_core.columns.pattern import PatternCode, find_pattern

STAMPS = [f"2017-{m:02}-{d:02} {h:02}:{s:02}" for m in (1, 2, 12) for d in (1, 9, 31) for h in (0, 23) for s in (0, 59)]


def domain_of(code, specials=("null", "escape")):
    return make_domain(code.levels, True, specials)


def test_texts_in_order_are_numbers_in_order_and_come_back():
    array = pa.array(STAMPS)
    code = find_pattern(array)
    assert [(f.start, f.length, f.radix) for f in code.fields] == [(5, 2, 13), (8, 2, 32), (11, 2, 24), (14, 2, 60)]
    codes = code.encode(array, domain_of(code))
    assert (np.diff(codes) > 0).all()
    assert code.decode(codes, domain_of(code), pa.string()).equals(array)


def test_letters_are_told_by_their_place_among_those_seen():
    array = pa.array([f"N{c}-{i:03}" for c in "AXB" for i in (7, 41, 300)])
    code = find_pattern(array)
    assert code.fields[0].letters == "ABX"
    assert code.decode(code.encode(array, domain_of(code)), domain_of(code), pa.string()).equals(array)


@pytest.mark.parametrize("odd", ["2017-01-03", "2018-01-03 00:00", "2017-13-01 00:00", "2017-01-0x 00:00", "", "ü" * 8])
def test_other_texts_and_nulls_are_no_numbers(odd):
    code = find_pattern(pa.array(STAMPS))
    domain = domain_of(code)
    codes = code.encode(pa.array([odd, None, STAMPS[0]]), domain)
    assert codes.tolist() == [domain.escape, domain.code_of("null"), codes[2]]
    assert codes[2] < domain.levels
    assert code.decode(codes, domain, pa.string()).to_pylist() == [None, None, STAMPS[0]]


def test_no_shape_is_found_where_there_is_none():
    for words in (["a", "bb", "ccc"], ["same"] * 5, [None], [], [f"{i:015}" for i in (1, 2)], ["ü1", "ü2"]):
        assert find_pattern(pa.array(words, pa.string())) is None


def test_a_record_gives_the_code_back_and_a_wrong_one_is_refused():
    code = find_pattern(pa.array(STAMPS))
    assert PatternCode.from_json(code.to_json()) == code
    for wrong in (
        ["ab", [1, 2, 5]],
        ["ab", [0, 1, 11]],
        ["ab", [0, "aa"]],
        ["ab", [1, 1, 5], [0, 1, 5]],
        ["ü", [0, 1, 2]],
    ):
        with pytest.raises(ValueError, match="no writer"):
            PatternCode.from_json(wrong)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 999), min_size=2, max_size=40, unique=True),
    st.lists(st.one_of(st.none(), st.text(max_size=9)), max_size=5),
    st.sampled_from([pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]),
)
def test_any_texts_come_back_or_are_escapes(numbers, others, kind):
    shaped = pa.array([f"id-{n:03}#{'ab'[n % 2]}" for n in numbers])
    code = find_pattern(shaped)
    array = pa.concat_arrays([shaped, pa.array(others, pa.string())]).cast(kind)
    domain = domain_of(code)
    codes = code.encode(array, domain)
    back = code.decode(codes, domain, kind)
    assert (codes[: len(numbers)] < domain.levels).all()
    for cell, code_of_cell, found in zip(array.to_pylist(), codes.tolist(), back.to_pylist(), strict=True):
        assert found == (cell if code_of_cell < domain.levels else None)
        assert (code_of_cell == domain.code_of("null")) == (cell is None)
    assert code.encode(array.slice(1), domain).tolist() == codes[1:].tolist()
