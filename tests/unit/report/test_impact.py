"""Two answers of a query are matched by what their rows are known by, and every number in them is compared."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest

from ae_core.report.impact import CheckOutcome, compare, judge


def answer(**columns):
    return pa.table(columns)


def test_groups_are_matched_whatever_their_order_and_place():
    before = answer(avg=[1.0, 2.0, 3.0], carrier=["AA", "UA", None])
    after = answer(avg=[3.0, 2.5, 1.0], carrier=[None, "UA", "AA"])
    found = compare(before, after)
    assert (found.rows, found.same_rows) == (3, True)
    (column,) = found.columns
    assert (column.column, column.absolute, column.relative, column.row) == ("avg", 0.5, 0.25, "carrier=UA")


def test_whole_numbers_are_keys_where_nothing_else_is():
    before = answer(n=[10, 20, 20], month=[1, 2, 3], avg=[1.0, 2.0, 3.0])
    after = answer(n=[20, 11, 20], month=[3, 1, 2], avg=[3.0, 1.0, 2.0])
    changes = {column.column: column.absolute for column in compare(before, after).columns}
    assert changes == {"n": 1.0, "avg": 0.0}


def test_one_row_and_rows_without_a_key_are_compared_in_order():
    assert compare(answer(n=[5]), answer(n=[7])).columns[0].absolute == 2
    assert compare(answer(x=[1.5, 0.5]), answer(x=[0.5, 1.0])).columns[0].absolute == 0.5
    assert compare(answer(x=[1.5, 0.5]), answer(x=[0.5])).only_before == 1


@pytest.mark.parametrize(
    ("one", "two", "change"),
    [
        (math.nan, math.nan, 0),
        (None, None, 0),
        (math.inf, math.inf, 0),
        (None, 1.0, math.inf),
        (1.0, math.nan, math.inf),
        (math.inf, -math.inf, math.inf),
    ],
)
def test_a_value_that_comes_or_goes_is_an_infinite_change(one, two, change):
    assert compare(answer(x=pa.array([one], pa.float64())), answer(x=pa.array([two], pa.float64()))).columns[
        0
    ].absolute == pytest.approx(change)


def test_top_rows_that_differ_are_counted():
    found = compare(answer(k=["a", "b"], n=[2, 1]), answer(k=["a", "c"], n=[2, 1]))
    assert (found.rows, found.only_before, found.only_after) == (1, 1, 1)


def test_answers_of_other_columns_are_refused():
    with pytest.raises(ValueError, match="columns"):
        compare(answer(x=[1]), answer(y=[1]))


def test_tolerances_are_kept_to_the_last_digit():
    sums = compare(
        answer(k=["a"], s=pa.array([Decimal(10**30)], pa.decimal128(38, 0))),
        answer(k=["a"], s=pa.array([Decimal(10**30 + 1)], pa.decimal128(38, 0))),
    )
    assert not judge("c", "q", "exact", None, sums, shown=True).passed
    assert judge("c", "q", "abs", Fraction(1), sums, shown=True).passed
    assert judge("c", "q", "rel", Fraction(1, 10**30), sums, shown=True).passed
    assert not judge("c", "q", "rel", Fraction(1, 10**31), sums, shown=True).passed
    zero = compare(answer(s=[0.0]), answer(s=[0.1]))
    assert judge("c", "q", "rel", Fraction(10), zero, shown=True).worst == math.inf


def test_a_failed_check_names_the_row_unless_values_are_withheld():
    found = compare(answer(who=["Ann"], x=[1.0]), answer(who=["Ann"], x=[9.0]))
    assert "who=Ann" in judge("c", "q", "abs", Fraction(1), found, shown=True).problem
    hidden = judge("c", "q", "abs", Fraction(1), found, shown=False)
    assert "Ann" not in hidden.problem
    assert "off by 8" in hidden.problem
    assert CheckOutcome.from_dict(hidden.to_dict()) == hidden
