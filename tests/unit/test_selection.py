"""Selections: what --where and --rows mean, and that nonsense is refused in one line."""

from __future__ import annotations

import pytest

from ae_core.errors import UsageError
from ae_core.selection import RowRange, parse_rows, parse_where, selected


@pytest.mark.parametrize(
    ("texts", "keys", "expected"),
    [
        (["month=3"], {"month": "3"}, True),
        (["month=3"], {"month": "03"}, True),
        (["month>=3", "month<10"], {"month": "9"}, True),
        (["month>=3", "month<10"], {"month": "10"}, False),
        (["month!=3"], {"month": "3"}, False),
        (["origin == JFK"], {"origin": "JFK"}, True),
        (["day>=2024-02"], {"day": "2024-10"}, True),
    ],
)
def test_where_compares_numbers_as_numbers_and_text_as_text(texts, keys, expected):
    assert selected(parse_where(texts), keys) is expected


def test_mapping_is_equality():
    assert selected(parse_where({"month": 3}), {"month": "3"})


@pytest.mark.parametrize("text", ["month", "=3", "", "3"])
def test_malformed_where_is_a_usage_error(text):
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse_where([text])


def test_unknown_key_names_the_known_ones():
    with pytest.raises(UsageError, match="known keys: month"):
        selected(parse_where(["year=3"]), {"month": "3"})


def test_rows():
    assert parse_rows("5:10") == RowRange(5, 10)
    assert parse_rows(":10") == RowRange(0, 10)
    assert parse_rows("5:") == RowRange(5, None)
    assert parse_rows(None).clip(7) == (0, 7)
    assert RowRange(5, 100).clip(7) == (5, 7)
    assert RowRange(9, None).clip(7) == (7, 7)


@pytest.mark.parametrize("text", ["5", "a:b", "-1:3", "7:3", "1:2:3"])
def test_malformed_rows_is_a_usage_error(text):
    with pytest.raises(UsageError):
        parse_rows(text)
