"""Partitions added up: the figures of the whole follow from those of the parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ae_core.report.summary import merge_losses, summarise

from .helpers import flights_report, measure, within


def test_merged_losses_agree_with_measuring_the_whole():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 1000, 3_000)
    original = pa.table({"x": pa.array(x, mask=rng.random(3_000) < 0.1)})
    rebuilt = pa.table({"x": pa.array(x + rng.integers(-3, 4, 3_000), mask=original["x"].is_null().to_numpy())})
    whole = measure(original, rebuilt, {"x": within(3)}).columns[0]
    cuts = [(0, 500), (500, 1_700), (2_200, 800)]
    parts = [measure(original.slice(*c), rebuilt.slice(*c), {"x": within(3)}).columns[0] for c in cuts]
    merged = merge_losses(parts)
    for exact in ("rows", "nulls", "changed", "outside", "max_error", "max_ratio"):
        assert getattr(merged, exact) == getattr(whole, exact)
    for close in ("mean_error", "rmse", "bias", "total", "mean_change"):
        assert getattr(merged, close) == pytest.approx(getattr(whole, close), rel=2e-3, abs=2e-3)
    assert merged.wasserstein >= whole.wasserstein * 0.999  # an upper bound


def test_summary_adds_rows_bytes_and_distributions():
    certificates, details = flights_report(partitions=3)
    table = summarise(certificates, details)
    assert (table.rows, table.arrow, table.stored.total) == (1_350, 300_000, 9_000)
    delay = table.columns[0]
    assert delay.coded.after == 2_100
    valid = delay.loss.rows - delay.loss.nulls
    assert sum(delay.errors.errors) == valid
    shown = delay.histogram
    assert len(shown.original) <= 64
    for side in (0, 1):
        counts = (shown.original, shown.rebuilt)[side]
        assert sum(counts) + shown.below[side] + shown.above[side] == valid
    assert table.worst_rows[0][1].score == max(row.score for d in details.values() for row in d.worst_rows)
    assert delay.preview.naive_error > delay.preview.mean_error


def test_summary_without_page_data_still_has_the_figures():
    certificates, _ = flights_report(partitions=2)
    table = summarise(certificates, {})
    assert table.verdict.passed
    assert all(column.errors is None and column.histogram is None for column in table.columns)
