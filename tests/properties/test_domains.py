"""No cast makes other numbers of a column's own: not in a plan's lists, the check of the bound, or a certificate."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_core.columns.check import cells_within
from ae_core.columns.choose import plan_column
from ae_core.columns.domain import NumberCode
from ae_core.columns.storage import legal_range, storage_per_unit
from ae_core.policy import Bound
from ae_core.report.cells import compare_numbers, numbers_of
from tests.types.catalogue import from_storage
from tests.types.judge import cells, error, judge_cell

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


@settings(max_examples=100)
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


ENDS = st.sampled_from([0, 1, 3, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 2**64 + 5, 10**37, 10**38])
CELLS = st.builds(lambda end, sign, shift: sign * (end + shift), ENDS, st.sampled_from([1, -1]), st.integers(-4, 4))
LIMITS = st.one_of(
    st.fractions(Fraction(1, 99), 9),
    st.builds(lambda end, shift: Fraction(end + shift), ENDS, st.integers(0, 2)).filter(bool),
)


@settings(max_examples=120)
@given(
    kind=st.sampled_from(NUMBERS), pairs=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8),
    form=st.sampled_from(["abs", "pointwise"]), limit=LIMITS,
)  # fmt: skip
def test_the_check_and_the_certificate_agree_with_fractions(kind, pairs, form, limit):
    """Of any two numbers of a type, however far apart: within or not, and by how much they differ."""
    before, after = (numbers_of_a_type(kind, [pair[side] for pair in pairs]) for side in (0, 1))
    bound = Bound(form, limit)
    exact = [judge_cell(kind, (form, limit), x, y) for x, y in zip(cells(before), cells(after), strict=True)]
    inside = [min(x, y) >= -(2**63) and max(x, y) < 2**63 for x, y in zip(cells(before), cells(after), strict=True)]
    narrow = not pa.types.is_decimal(kind)
    same = [x == y for x, y in zip(cells(before), cells(after), strict=True)]
    # beyond 64 bits decimals are stored as they are: the check lets nothing else pass, whatever the bound
    wanted = [ok if narrow or fits else equal for ok, fits, equal in zip(exact, inside, same, strict=True)]
    assert cells_within(bound, before, after).tolist() == wanted
    found = compare_numbers(*(numbers_of(pa.chunked_array([side])) for side in (before, after)), kind=form, value=limit)
    assert found.outside == len(exact) - sum(exact)
    assert found.max_error == max(error(kind, x, y) for x, y in zip(cells(before), cells(after), strict=True))
    assert found.changed == len(same) - sum(same)
