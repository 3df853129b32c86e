"""Drawings stay drawings whatever the figures are."""

from __future__ import annotations

import re

import pytest

from ae_core.report.records import ColumnDetail, PairedHistogram
from ae_core.report.svg import distributions, error_histogram, nice_ticks, over_partitions, rate_distortion


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 1, [0, 0.5, 1]), (0, 0.23, [0, 0.1, 0.2]), (-7, 12, [-5, 0, 5, 10]), (3, 3, [3]), (0, 5e-324, [0])],
)
def test_ticks_are_round(low, high, wanted):
    assert nice_ticks(low, high, 4) == pytest.approx(wanted)


@pytest.mark.parametrize("exponent", [-1074, -1000, 0, 900, 1023])
def test_distributions_of_the_ends_of_a_double(exponent):
    drawn = distributions(PairedHistogram(exponent, 1, (3, 4), (4, 3)), "double", "x")
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_no_peak_is_lost_in_a_line_over_thousands_of_partitions():
    values = [1.0] * 5_000
    values[1_234] = 9.0
    drawn = over_partitions(values, ("a", "b"), "x", spelt=str)
    heights = {float(y) for y in re.findall(r"[0-9.]+ ([0-9.]+)", drawn[drawn.index("M54") :])}
    assert len(drawn) < 20_000
    assert min(heights) < 30
    assert over_partitions([None, float("inf")], ("a", "b"), "x", spelt=str) == ""


def test_bars_and_lines_lie_within_their_drawings():
    bars = error_histogram(ColumnDetail("x", (5, 9, 4), 1, 1), "±1", "errors <of> x")
    assert "errors &lt;of&gt; x" in bars
    assert len(re.findall("<rect", bars)) == 3
    points = rate_distortion([("exact", 9e6, 9.5e6), ("1 %", 4e6, 5e6)], 12e6, "x")
    for x, width in re.findall(r'x="([0-9.]+)"(?: y="[0-9.]+" width="([0-9.]+)")?', bars + points):
        assert 0 <= float(x) <= 320 - float(width or 0)
