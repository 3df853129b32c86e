"""The figures of a certificate against hand-computed examples, and against each other."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from ae_core.report.losses import ERROR_BINS, LossAccumulator
from ae_core.report.records import pack

from .helpers import EXACT, FakeBound, measure, measure_column, within


def test_figures_of_a_small_integer_column():
    loss = measure_column(pa.array([0, 10, 20, None, 40]), pa.array([1, 10, 18, None, 40]), within(2))
    assert (loss.rows, loss.nulls, loss.changed, loss.outside) == (5, 1, 2, 0)
    assert (loss.max_error, loss.max_ratio) == (2.0, 1.0)
    assert loss.mean_error == 0.75  # (1 + 0 + 2 + 0) / 4
    assert loss.bias == -0.25
    assert loss.rmse == pytest.approx(math.sqrt(5 / 4), rel=1e-3)
    assert loss.rmse >= math.sqrt(5 / 4)
    assert (loss.range, loss.total, loss.sum_change, loss.mean_change) == (40.0, 70.0, -1.0, -0.25)
    assert (loss.min_change, loss.max_change) == (1.0, 0.0)
    assert (loss.distinct, loss.distinct_change, loss.distinct_estimated) == (4, 0, False)
    assert loss.wasserstein == pytest.approx(0.75 / 40, rel=1e-3)
    assert loss.psnr == pytest.approx(20 * math.log10(40 / math.sqrt(1.25)), rel=1e-3)
    assert loss.exact_share == 0.6


def test_errors_are_rounded_up_never_down():
    loss = measure_column(pa.array([0.0]), pa.array([0.123411]), within(1))
    assert loss.max_error == 0.1235
    assert loss.max_ratio == 0.1235


def test_a_float_error_equal_to_the_bound_is_inside_and_one_ulp_more_is_outside():
    at = measure_column(pa.array([0.0]), pa.array([0.5]), within("1/2"))
    assert (at.max_ratio, at.outside) == (1.0, 0)
    past = measure_column(pa.array([0.0]), pa.array([np.nextafter(0.5, 1)]), within("1/2"))
    assert (past.max_ratio, past.outside) == (1.001, 1)


def test_the_exact_remainder_decides_where_the_rounded_difference_equals_the_bound():
    """1 + 2^-60 rounds to 1 in float64; only exact arithmetic sees that it exceeds the bound."""
    loss = measure_column(pa.array([-(2.0**-60)]), pa.array([1.0]), within(1))
    assert loss.outside == 1
    assert loss.max_ratio == 1.001
    inside = measure_column(pa.array([2.0**-60]), pa.array([1.0]), within(1))
    assert (inside.outside, inside.max_ratio) == (0, 1.0)


def test_integer_extremes_do_not_wrap():
    low, high = -(2**63), 2**63 - 1
    loss = measure_column(pa.array([low, high]), pa.array([high, low]), within(10))
    assert loss.outside == 2
    assert loss.max_error == 1.845e19
    big = measure_column(pa.array([2**64 - 1], pa.uint64()), pa.array([0], pa.uint64()), within(2**64 - 2))
    assert big.outside == 1


def test_float_extremes_do_not_overflow():
    loss = measure_column(pa.array([-1.7e308]), pa.array([1.7e308]), within(1))
    assert loss.outside == 1
    assert loss.max_ratio == math.inf or loss.max_ratio > 3e308 or math.isinf(loss.max_ratio)


@pytest.mark.parametrize(
    ("original", "rebuilt"),
    [
        (None, 1.0),
        (1.0, None),
        (math.nan, 1.0),
        (1.0, math.nan),
        (math.inf, -math.inf),
        (math.inf, 1.0),
        (math.nan, None),
    ],
)
def test_a_changed_null_nan_or_infinity_is_always_outside(original, rebuilt):
    pair = pa.array([original, 2.0], pa.float64()), pa.array([rebuilt, 2.0], pa.float64())
    for bound in (within(10**9), FakeBound("pointwise", Fraction(1))):
        loss = measure_column(*pair, bound)
        assert (loss.changed, loss.outside) == (1, 1)


def test_equal_specials_are_equal():
    cells = pa.array([math.nan, math.inf, -math.inf, None, 3.0], pa.float64())
    loss = measure_column(cells, pa.array([math.nan, math.inf, -math.inf, None, 3.5], pa.float64()), within(1))
    assert (loss.changed, loss.outside, loss.max_error) == (1, 0, 0.5)
    assert loss.mean_error == 0.5


def test_exact_float_columns_compare_bits():
    loss = measure_column(pa.array([0.0, 1.0]), pa.array([-0.0, 1.0]), EXACT)
    assert (loss.changed, loss.outside) == (1, 1)
    bounded = measure_column(pa.array([0.0, 1.0]), pa.array([-0.0, 1.0]), within(1))
    assert (bounded.changed, bounded.outside) == (0, 0)


def test_pointwise_bounds_are_relative_to_each_cell():
    bound = FakeBound("pointwise", Fraction(1, 10))
    loss = measure_column(pa.array([100.0, -1.0, 0.0]), pa.array([110.0, -1.05, 0.0]), bound)
    assert (loss.max_ratio, loss.outside) == (1.0, 0)
    worse = measure_column(pa.array([100.0, 0.0]), pa.array([110.5, 0.001]), bound)
    assert (worse.max_ratio, worse.outside) == (math.inf, 2)


@pytest.mark.parametrize("width", [pa.decimal128(38, 2), pa.decimal256(60, 2)])
def test_decimals_are_compared_as_integers(width):
    original = pa.array([Decimal("1.00"), None, Decimal("-123456789012345678901234567890.12")], width)
    rebuilt = pa.array([Decimal("1.05"), None, Decimal("-123456789012345678901234567890.07")], width)
    loss = measure_column(original, rebuilt, within("1/20"))
    assert (loss.max_error, loss.max_ratio, loss.outside, loss.changed) == (0.05, 1.0, 0, 2)
    assert measure_column(original, rebuilt, within("49/1000")).outside == 2


def test_times_are_measured_in_their_unit():
    original = pa.array([dt.datetime(2013, 1, 1, 5, 0), None], pa.timestamp("s"))
    rebuilt = pa.array([dt.datetime(2013, 1, 1, 5, 2), None], pa.timestamp("s"))
    loss = measure_column(original, rebuilt, within(120))
    assert (loss.max_error, loss.max_ratio, loss.outside, loss.total) == (120.0, 1.0, 0, None)


@pytest.mark.parametrize(
    "cells",
    [
        (["a", None, "b"], ["a", None, "c"]),
        ([True, None, False], [True, None, True]),
        ([[1, 2], None, [3]], [[1, 2], None, [4]]),
        ([b"a", None, b"b"], [b"a", None, b"c"]),
        ([{"k": 1}, None, {"k": 2}], [{"k": 1}, None, {"k": 3}]),
    ],
)
def test_other_types_count_unequal_cells(cells):
    loss = measure_column(pa.array(cells[0]), pa.array(cells[1]), EXACT)
    assert (loss.rows, loss.nulls, loss.changed, loss.outside) == (3, 1, 1, 1)
    assert loss.max_error is None


def test_dictionaries_with_other_layouts_are_equal():
    one = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), ["a", "b"])
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), ["b", "a"])
    assert measure_column(one, other, EXACT).changed == 0


def test_without_a_bound_accuracy_and_the_naive_guess_are_measured():
    """A preview promises nothing; it is compared with the column's mean and mode."""
    original = pa.table({"n": [0, 0, 0, 8], "c": ["a", "a", "b", None]})
    rebuilt = pa.table({"n": [0, 1, 0, 6], "c": ["a", "b", "b", "a"]})
    loss = measure(original, rebuilt, {})
    number, category = loss.columns
    assert (number.outside, number.max_ratio, number.mean_error) == (0, None, 0.75)
    assert number.naive_error == 3.0  # mean 2: distances 2, 2, 2, 6
    assert (category.outside, category.changed, category.exact_share, category.naive_share) == (0, 2, 0.5, 0.5)


def test_correlation_change_names_the_pair():
    a = np.arange(100.0)
    original = pa.table({"a": a, "b": a * 2, "c": a % 7})
    rebuilt = original.set_column(1, "b", pa.array(-a * 2))
    loss = measure(original, rebuilt, {})
    assert loss.correlation_change == 2.0
    assert loss.correlation_pair == ("a", "b")
    assert measure(original, original, {}).correlation_change == 0.0
    assert measure(original.select(["a"]), original.select(["a"]), {}).correlation_change is None


def _random_pair(rows: int) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(7)
    hidden = rng.random(rows) < 0.03
    floats = np.exp(rng.normal(0, 3, rows))
    ints = rng.integers(-(2**40), 2**40, rows)
    codes = rng.integers(0, 6000, rows)
    original = pa.table(
        {
            "f": pa.array(floats, mask=hidden),
            "g": pa.array(rng.normal(0, 1, rows).astype(np.float32)),
            "i": pa.array(ints),
            "s": pa.array([f"n{c}" for c in codes]),
        }
    )
    rebuilt = pa.table(
        {
            "f": pa.array(floats + rng.uniform(-0.5, 0.5, rows), mask=hidden),
            "g": pa.array((original["g"].to_numpy() + rng.uniform(-0.1, 0.1, rows)).astype(np.float32)),
            "i": pa.array(ints + rng.integers(-5, 6, rows)),
            "s": original["s"],
        }
    )
    return original, rebuilt


def test_streaming_equals_one_shot():
    """Cutting the rows into blocks changes nothing: figures, histograms and worst rows are the same."""
    original, rebuilt = _random_pair(20_000)
    bounds = {"f": within("1/2"), "g": FakeBound("pointwise", Fraction(1, 5)), "i": within(5), "s": EXACT}
    whole = measure(original, rebuilt, bounds)
    parts = measure(original, rebuilt, bounds, block=1_537)
    assert pack(parts) == pack(whole)
    assert parts.columns == whole.columns


def test_estimates_are_near_the_truth():
    original, rebuilt = _random_pair(20_000)
    loss = measure(original, rebuilt, {"f": within("1/2"), "i": within(5), "s": EXACT})
    text = loss.column("s")
    truth = len(original["s"].unique())
    assert text.distinct_estimated
    assert abs(text.distinct - truth) < 0.06 * truth
    assert text.distinct_change == 0
    g = loss.column("g")
    x, y = np.sort(original["g"].to_numpy()), np.sort(rebuilt["g"].to_numpy())
    assert g.wasserstein * g.range == pytest.approx(np.abs(x - y).mean(), abs=g.range / 2048)
    f = loss.column("f")
    assert abs(f.mean_change) <= f.wasserstein * f.range * 1.001 <= f.mean_error * 1.002


def test_error_histogram_counts_every_compared_cell():
    original, rebuilt = _random_pair(5_000)
    loss = measure(original, rebuilt, {"f": within("1/2")}, block=999)
    detail = loss.detail.columns[0]
    assert len(detail.errors) == ERROR_BINS
    assert sum(detail.errors) == loss.rows - loss.column("f").nulls
    shown = detail.histogram
    for side, tail in ((shown.original, 0), (shown.rebuilt, 1)):
        assert sum(side) + shown.below[tail] + shown.above[tail] == loss.rows - loss.column("f").nulls


def test_worst_rows_carry_absolute_row_numbers():
    original = pa.table({"x": pa.array(range(100)), "s": ["k"] * 100})
    moved = np.arange(100)
    moved[[17, 60]] += [2, -3]
    rebuilt = pa.table({"x": pa.array(moved), "s": ["k"] * 100})
    loss = measure(original, rebuilt, {"x": within(3), "s": EXACT}, block=16)
    assert [(w.row, w.original, w.rebuilt) for w in loss.detail.worst_rows] == [
        (60, (60, "k"), (57, "k")),
        (17, (17, "k"), (19, "k")),
    ]


CANARY = 918_273_645


def test_values_of_sensitive_columns_are_withheld():
    """Neither figures nor page data may contain a sensitive cell: only errors, counts and row numbers."""
    original = pa.table({"pay": [CANARY, CANARY + 7], "name": ["canary-anna", "canary-bert"], "n": [1, 5]})
    rebuilt = pa.table({"pay": [CANARY + 2, CANARY + 7], "name": ["canary-anna", "canary-bert"], "n": [2, 5]})
    bounds = {
        "pay": FakeBound("abs", Fraction(2), sensitive=True),
        "name": FakeBound("exact", sensitive=True),
        "n": within(1),
    }
    loss = measure(original, rebuilt, bounds)
    text = json.dumps(pack(loss))
    assert "canary" not in text
    assert "91827" not in text
    assert "9.18" not in text
    assert loss.detail.columns[0].withheld
    assert loss.detail.columns[0].histogram is None


def test_empty_and_all_null_columns():
    empty = pa.table({"a": pa.array([], pa.int32()), "b": pa.array([], pa.string())})
    assert measure(empty, empty, {"a": within(1), "b": EXACT}).outside == 0
    nothing = pa.array([None, None], pa.float32())
    loss = measure_column(nothing, nothing, within(1))
    assert (loss.nulls, loss.changed, loss.max_error, loss.distinct) == (2, 0, 0.0, 0)
    nulls = pa.array([None, None])
    assert measure_column(nulls, nulls, EXACT).nulls == 2


EVERY_TYPE = (
    *(pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.bool_(), pa.string(), pa.large_string(), pa.string_view()),
    *(pa.date32(), pa.date64(), pa.time32("s"), pa.time64("ns"), pa.timestamp("ns", "UTC"), pa.duration("ms")),
    *(pa.decimal32(5, 1), pa.decimal64(12, 1), pa.decimal128(10, 3), pa.binary(), pa.binary(4)),
    *(pa.list_(pa.int32()), pa.map_(pa.string(), pa.int8()), pa.dictionary(pa.int8(), pa.string())),
    pa.month_day_nano_interval(),
)


@pytest.mark.parametrize("kind", EVERY_TYPE, ids=str)
def test_every_type_is_measured(kind):
    column = pa.nulls(3, kind)
    table = pa.table({"x": column})
    assert measure(table, table, {"x": EXACT}).columns[0].changed == 0
    losses = LossAccumulator(table.schema, {})
    losses.add(table, table)
    assert losses.finish().columns[0].nulls == 3


def test_blocks_that_do_not_match_are_refused():
    table = pa.table({"x": [1, 2]})
    losses = LossAccumulator(table.schema, {})
    with pytest.raises(ValueError, match="1 rows, its original 2"):
        losses.add(table, table.slice(1))
    with pytest.raises(ValueError, match="'x' is missing"):
        losses.add(table, table.rename_columns(["y"]))
    with pytest.raises(ValueError, match="should be int64"):
        losses.add(table, table.cast(pa.schema([("x", pa.int32())])))
