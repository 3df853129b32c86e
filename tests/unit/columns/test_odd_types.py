"""Types and tables that once could not be planned, compared or measured."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from ae_core.columns import build_plan, check_block, decode_columns, encode_columns
from ae_core.columns.check import cells_within
from ae_core.columns.same import equal_cells
from ae_core.errors import BoundViolated
from ae_core.kernels.frozen import PreviewHead
from ae_core.policy import Bound, ResolvedPolicy

LISTS = [
    (pa.list_(pa.float64()), [[1.0], [], None, [2.0, None]]),
    (pa.list_(pa.string_view()), [["a"], [], None, ["b", None]]),
    (pa.list_view(pa.string_view()), [["a"], [], None, ["b", None]]),
    (pa.map_(pa.string(), pa.int8()), [[("a", 1)], [], None, [("b", None), ("c", 3)]]),
    (pa.list_(pa.int8(), 2), [[1, 2], [None, 3], None, [4, 5]]),
]


@pytest.mark.parametrize(("kind", "cells"), LISTS, ids=lambda value: str(value))
def test_lists_are_compared_row_by_row_with_views_inside(kind: pa.DataType, cells: list) -> None:
    whole = pa.array([*cells, *cells], kind)
    for start in range(4):
        assert equal_cells(whole[start:], pa.array([*cells, *cells], kind)[start:]).all()
    other = pa.array([cells[3], *cells[1:], None, cells[1], cells[0], cells[3]], kind)
    assert equal_cells(whole, other).tolist() == [False, True, True, True, False, True, False, True]
    assert equal_cells(whole[3:], other[3:]).tolist() == [True, False, True, False, True]


def test_a_payload_inside_a_list_view_counts() -> None:
    one, other = (np.array([0x7FF8000000000000 + payload], np.uint64).view(np.float64) for payload in (1, 2))
    lists = [pa.ListViewArray.from_arrays([0], [1], pa.array(cells)) for cells in (one, other)]
    assert equal_cells(lists[0], lists[0]).all()
    assert not equal_cells(*lists).any()


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(9, pa.int32()),
        pa.nulls(9, pa.string()),
        pa.nulls(9, pa.binary(3)),
        pa.array([math.nan, None, math.inf] * 3),
    ],
    ids=["numbers", "text", "bytes", "NaN"],
)
def test_a_column_without_a_value_has_a_head_for_its_preview(column: pa.Array) -> None:
    """Such a column beside others that a network codes kept the whole table from being compressed."""
    table = pa.table({"x": column})
    policy = ResolvedPolicy({"x": Bound("exact")})
    plan = build_plan(table.schema, [table], policy)
    domain = plan.columns[0].domain
    assert domain is not None
    PreviewHead(domain.shown, len(domain.specials) - 1, domain.radices, domain.ordinal)
    encoded = encode_columns(plan, table)
    check_block(policy, table, decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide))


def test_a_sample_without_blocks_has_no_sums() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("c", pa.int32())])
    plan = build_plan(schema, [], ResolvedPolicy(dict.fromkeys(schema.names, Bound("exact"))))
    assert len(plan.columns) == 3


# --- the check, right at the bound -----------------------------------------------------------------------


def verdict(kind: pa.DataType, bound: Bound, original: object, rebuilt: object) -> bool:
    return bool(cells_within(bound, pa.array([original], kind), pa.array([rebuilt], kind))[0])


@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("ns"), pa.duration("us")])
def test_int64_is_not_rounded_to_doubles(kind: pa.DataType) -> None:
    top, bound = 2**63 - 1, Bound("abs", Fraction(2**53))
    cells = [pa.array([cell], pa.int64()).view(kind) for cell in (top, top - 2**53, top - 2**53 - 1, -top - 1)]
    assert [bool(cells_within(bound, cells[0], cell)[0]) for cell in cells] == [True, True, False, False]
    assert not cells_within(Bound("abs", Fraction(2**64 - 2)), cells[0], cells[3])[0]
    assert cells_within(Bound("abs", Fraction(2**64 - 1)), cells[0], cells[3])[0]


def test_uint64_is_not_rounded_to_doubles() -> None:
    top = 2**64 - 1
    assert verdict(pa.uint64(), Bound("abs", Fraction(1000)), top, top - 1000)
    assert not verdict(pa.uint64(), Bound("abs", Fraction(1000)), top, top - 1001)
    tiny = Bound("pointwise", Fraction(1000, top))
    assert verdict(pa.uint64(), tiny, top, top - 1000)
    assert not verdict(pa.uint64(), tiny, top, top - 1001)
    assert not verdict(pa.uint64(), tiny, 0, 1)


@pytest.mark.parametrize(("kind", "digits"), [(pa.decimal128(38, 10), 38), (pa.decimal256(76, 38), 76)], ids=str)
def test_decimals_of_many_digits_are_whole_or_wrong(kind: pa.DataType, digits: int) -> None:
    """Beyond 64 bits a decimal is stored exactly: a last digit that differs is a fault, whatever the bound."""
    whole = Decimal((0, (9,) * digits, -kind.scale))
    near = Decimal((0, (*(9,) * (digits - 1), 8), -kind.scale))
    bound = Bound("abs", Fraction(1))
    assert verdict(kind, bound, whole, whole)
    assert not verdict(kind, bound, whole, near)


def test_decimals_within_64_bits_are_judged_in_their_own_unit() -> None:
    kind, bound = pa.decimal128(38, 10), Bound("abs", Fraction(3, 10**10))
    first = Decimal(2**63 - 1).scaleb(-10)
    assert verdict(kind, bound, first, Decimal(2**63 - 4).scaleb(-10))
    assert not verdict(kind, bound, first, Decimal(2**63 - 5).scaleb(-10))
    assert not verdict(kind, Bound("abs", Fraction(299, 10**12)), first, Decimal(2**63 - 4).scaleb(-10))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("value", [1.0, 1024.5, -3.25, 6e-5])
def test_a_float_one_ulp_beyond_its_bound_is_noticed(kind: pa.DataType, value: float) -> None:
    dtype = np.dtype(kind.to_pandas_dtype())
    cell = np.array([value], dtype)
    for steps in (1, 2, 7):
        y = cell
        for _ in range(steps):
            y = np.nextafter(y, np.array([np.inf], dtype))
        beyond = np.nextafter(y, np.array([np.inf], dtype))
        limit = abs(Fraction(float(cell[0])) - Fraction(float(y[0])))
        for bound in (Bound("abs", limit), Bound("pointwise", limit / abs(Fraction(float(cell[0]))))):
            assert cells_within(bound, pa.array(cell, kind), pa.array(y, kind))[0]
            assert not cells_within(bound, pa.array(cell, kind), pa.array(beyond, kind))[0]
            assert bound.value is not None
            hair = Bound(bound.kind, bound.value * (1 - Fraction(1, 10**40)))
            assert not cells_within(hair, pa.array(cell, kind), pa.array(y, kind))[0]


def test_zero_stays_zero_under_a_relative_bound_and_infinity_itself() -> None:
    table = pa.table({"x": [0.0, math.inf, math.nan, None, 5e-324]})
    policy = ResolvedPolicy({"x": Bound("pointwise", Fraction(9, 10))})
    check_block(policy, table, table)
    for wrong in ([5e-324, math.inf, math.nan, None, 5e-324], [0.0, 1e308, math.nan, None, 5e-324],
                  [0.0, math.inf, 0.0, None, 5e-324], [0.0, math.inf, math.nan, None, 0.0]):  # fmt: skip
        with pytest.raises(BoundViolated):
            check_block(policy, table, pa.table({"x": wrong}))
