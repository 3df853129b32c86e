"""The numbers that a plan lists are the column's own: no cast on the way there may make others of them."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_core.columns.choose import plan_column
from ae_core.columns.domain import NumberCode
from ae_core.columns.storage import legal_range, storage_per_unit
from ae_core.policy import Bound
from tests.types.catalogue import from_storage
from tests.types.judge import cells

NUMBERS = [
    pa.int8(), pa.int64(), pa.uint64(), pa.decimal32(9, 2), pa.decimal64(18, 3), pa.decimal128(38, 0),
    pa.decimal128(38, 10), pa.date32(), pa.time64("ns"), pa.timestamp("ns"), pa.timestamp("us", tz="UTC"),
    pa.duration("ns"),
]  # fmt: skip


def numbers_of_a_type(kind: pa.DataType, cells: list[int]) -> pa.Array:
    """An array whose unscaled integers these are, brought into what the type holds."""
    if pa.types.is_decimal(kind):
        top, unit = 10**kind.precision - 1, Decimal(1).scaleb(-kind.scale)
        with localcontext(prec=80):
            return pa.array([Decimal(max(min(cell, top), -top)) * unit for cell in cells], kind)
    low, high = legal_range(kind)
    move = 2**63 if kind == pa.uint64() else 0
    return from_storage(kind, [max(min(cell, high), low) + move for cell in cells])


@settings(max_examples=150)
@given(
    kind=st.sampled_from(NUMBERS),
    ends=st.lists(st.sampled_from([0, 1, 2**31, 2**63 - 1, 2**63, 2**64, 2**64 + 5, 3 * 2**64, 10**38]), min_size=1),
    shift=st.integers(-3, 3),
    often=st.integers(1, 40),
    bound=st.sampled_from([Bound("exact"), Bound("abs", Fraction(2)), Bound("pointwise", Fraction(1, 16))]),
)
def test_a_domain_holds_numbers_near_those_of_the_sample(kind, ends, shift, often, bound):
    """A decimal beyond 64 bits once left its low 64 bits in the list, a number that the column never had."""
    array = numbers_of_a_type(kind, [sign * (end + shift) for end in ends for sign in (1, -1)] * often)
    column = plan_column(pa.field("x", kind), array, bound)
    if column.domain is None or column.domain.wide:
        return
    assert isinstance(column.code, NumberCode)
    known = [cell for cell in cells(array) if -(2**63) <= cell < 2**64]
    near = Fraction(0) if bound.value is None else bound.value * storage_per_unit(kind)
    for cell in cells(column.code.values(column.domain, kind)):
        if bound.kind == "pointwise":
            near = bound.value * abs(cell) * 2
        assert not known or min(known) - near <= cell <= max(known) + near
        assert column.code.listed is None or not known or min(abs(cell - other) for other in known) <= near
    assert known or column.domain.levels == 1  # a preview needs one
