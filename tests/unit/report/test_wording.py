"""Numbers in words never claim more than the figure."""

from __future__ import annotations

import pytest

from ae_core.report import wording
from ae_core.report.records import BoundRecord


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (0.3, "0.30 B"),
        (151, "151 B"),
        (999, "999 B"),
        (1_000, "1.00 kB"),
        (62_880_000, "62.9 MB"),
        (999_600, "1.00 MB"),
    ],
)
def test_sizes(value, text):
    assert wording.size(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100 %"), (0, "0 %"), (0.99999, "> 99.9 %"), (0.5, "50 %"), (1e-7, "< 0.001 %"), (None, "–"), (-0.02, "−2 %")],
)
def test_percentages_keep_all_and_nothing_for_all_and_nothing(share, text):
    assert wording.percent(share) == text


def test_at_most_rounds_up():
    assert wording.at_most(0.01201) == "1.3 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-1.5, "−1.5"),
        (12_345.6, "12,346"),
        (1.5e9, "1.5e9"),
        (0.00001234, "1.234e-5"),
        (float("inf"), "∞"),
        (None, "–"),
    ],
)
def test_numbers(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("record", "kind", "text"),
    [
        (BoundRecord("exact"), "int64", "exact"),
        (BoundRecord("none"), "int64", "none"),
        (BoundRecord("abs", "5/2"), "double", "±2.5"),
        (BoundRecord("abs", "1/3"), "double", "±0.3333"),
        (BoundRecord("abs", "120"), "timestamp[s, tz=UTC]", "±120 s"),
        (BoundRecord("abs", "2"), "date32[day]", "±2 days"),
        (BoundRecord("pointwise", "1/100"), "double", "±1 % of the value"),
    ],
)
def test_bounds(record, kind, text):
    assert wording.bound(record, kind) == text
