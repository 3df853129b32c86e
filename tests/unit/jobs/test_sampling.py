"""The training sample covers every part of the lake and stays within its budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ae_core.jobs.sampling import choose_blocks
from ae_core.lake import BLOCK_ROWS, block_rows


def test_a_year_of_flights_is_taken_whole():
    rows = [28_000] * 12
    assert choose_blocks(rows, 19) == [(month, 0, 28_000) for month in range(12)]


def test_large_lakes_are_spread():
    places = choose_blocks([10 * BLOCK_ROWS] * 10, 100, cells=10 * BLOCK_ROWS * 100)
    assert len(places) == 10
    assert {place[0] for place in places} == set(range(10))


@given(st.lists(st.integers(0, 300_000), max_size=30), st.integers(1, 2000), st.integers(1, 10_000_000))
def test_budget_and_places(rows, columns, cells):
    places = choose_blocks(rows, columns, cells=cells)
    budget = max(1, cells // columns)
    assert bool(places) == bool(sum(rows))
    assert all(0 < take <= min(budget, block_rows(columns)) for _, _, take in places)
    assert all(block * block_rows(columns) + take <= rows[partition] for partition, block, take in places)
    assert sum(take for _, _, take in places) <= budget
    assert places == sorted(places)
