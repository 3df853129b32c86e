"""No filter passes over a partition with a matching row, whatever the columns hold; what is out of range it does."""

from __future__ import annotations

import datetime as dt
import json
import math
import operator
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_core.archive.fields import canonical_json
from ae_core.errors import Corrupt
from ae_core.policy import Bound
from ae_core.ranges import RANGES, Ranges, is_ranged, read_ranges
from ae_core.scan import not_excluded, within

UTC = dt.UTC
LONG = st.text(st.sampled_from("aé\ud7ff\ue000\U0010ffff"), min_size=15, max_size=18)
TEXTS = LONG | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
KINDS = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32) | st.sampled_from([0.0, -0.0, math.nan]),
    pa.float64(): st.floats() | st.sampled_from([0.0, -0.0, math.nan]),
    pa.decimal128(9, 2): st.decimals(-9_999_999, 9_999_999, places=2),
    pa.decimal256(50, 3): st.decimals(-(10**40), 10**40, places=3),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("ms", "UTC"): st.integers(-(10**13), 10**13).map(
        lambda ms: dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(milliseconds=ms)
    ),
    pa.time64("us"): st.times(),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.bool_(): st.booleans(),
    pa.duration("s"): st.integers(-9, 9).map(lambda s: dt.timedelta(seconds=s)),
    pa.dictionary(pa.int32(), pa.string()): TEXTS,
}
COMPARED = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


def array(values, kind):
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    return pa.array(values, kind)


def stored(table, bounds=None, blocks=2):
    """What is read back of the ranges of a table that came in some blocks."""
    ranges = Ranges(table.schema, bounds or {})
    step = max(1, -(-table.num_rows // blocks))
    for start in range(0, table.num_rows, step):
        ranges.add(table.slice(start, step))
    return json.loads(canonical_json(ranges.finish()))


@st.composite
def cases(draw, kind):
    """A table of one column x, and a filter on it."""
    values = draw(st.lists(KINDS[kind] | st.none(), max_size=4))
    table = pa.table({"x": array(values, kind)})
    scalar = kind.value_type if pa.types.is_dictionary(kind) else kind
    x, wanted = pc.field("x"), None
    for _ in range(draw(st.integers(1, 2))):
        near = [value for value in values if value is not None]
        value = pa.scalar(draw((st.sampled_from(near) if near else KINDS[kind]) | KINDS[kind]), scalar)
        part = draw(st.sampled_from(COMPARED))(x, value)
        part = draw(st.just(part) | st.sampled_from([x.is_null(), x.is_valid(), x.isin(pa.array([value]))]))
        part = ~part if draw(st.booleans()) else part
        joined = draw(st.sampled_from([operator.and_, operator.or_]))
        wanted = part if wanted is None else joined(wanted, part)
    return table, wanted


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
@settings(max_examples=150)
def test_no_matching_row_is_passed_over(kind, data):
    table, wanted = data.draw(cases(kind))
    try:
        matching = ds.dataset(table).scanner(filter=wanted).to_table().num_rows
    except pa.ArrowNotImplementedError:
        return  # no such comparison: there is no answer to agree with
    ranges = read_ranges(stored(table), table.schema, "here")
    kept = not_excluded([within(ranges, list(table.schema))], table.schema, wanted)
    assert kept == [0] or not matching


@pytest.mark.parametrize("kind", [kind for kind in KINDS if is_ranged(kind)], ids=str)
@given(data=st.data())
@settings(max_examples=25)
def test_what_is_beyond_the_range_is_passed_over(kind, data):
    strategy = KINDS[kind].filter(lambda value: value == value)  # no NaN, which has no place in a range
    values = data.draw(st.lists(strategy, min_size=2, max_size=8))
    table = pa.table({"x": pa.array(values, kind)})
    ranges = read_ranges(stored(table), table.schema, "here")
    if "x" not in ranges:  # nothing is above the greatest character
        assert pa.types.is_string(kind) or pa.types.is_large_string(kind)
        return
    low, high = ranges["x"]
    x = pc.field("x")
    for wanted, places in ((x < low, []), (x > high, []), (x == low, [0]), ((x >= low) & (x <= high), [0])):
        assert not_excluded([within(ranges, list(table.schema))], table.schema, wanted) == places


def test_ranges_are_of_the_values_and_short():
    long = "a" * 40
    table = pa.table(
        {
            "n": pa.array([5, None, -3], pa.int32()),
            "f": [1.23456789, -1.23456789, None],
            "nan": [1.0, float("nan"), 2.0],
            "wide": [float("inf"), 1.0, 0.0],
            "text": [long, "z" * 40, None],
            "none": pa.nulls(3, pa.int8()),
            "secret": [1, 2, 3],
            "when": pa.array([0, 86_400_000, None], pa.timestamp("ms")),
            "money": pa.array([Decimal("1.50"), Decimal("-2.25"), None]),
        }
    )
    found = stored(table, {"secret": Bound("exact", sensitive=True)})
    assert found == {
        RANGES: [
            [-3, 5], [-1.23457, 1.23457], None, [0, "inf"], ["a" * 16, "z" * 15 + "{"], None, None, [0, 86_400_000],
            ["-2.25", "1.50"],
        ]
    }  # fmt: skip
    assert stored(pa.table({"b": [True]})) == {}
    assert read_ranges({}, table.schema, "here") == {}


@pytest.mark.parametrize(
    "listed",
    [[], 7, [[1]], [[1, 2, 3]], [["a", "b"]], [[None, 1]], [[1.5, 2]], [{"a": 1}], [[2**70, 2**71]], [[True, 2]]],
)
def test_malformed_ranges_are_damage(listed):
    with pytest.raises(Corrupt, match="no readable ranges"):
        read_ranges({RANGES: listed}, pa.schema([("x", pa.int64())]), "month=1")
