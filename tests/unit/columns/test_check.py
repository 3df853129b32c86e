"""check_block notices what a broken codec would do: off by one, a skipped exception, a lost null, another type."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ae_core.columns import build_plan, check_block, decode_columns, encode_columns
from ae_core.columns.domain import NumberCode
from ae_core.columns.numeric import FloatGrid, IntGrid
from ae_core.errors import BoundViolated
from ae_core.policy import Bound, ResolvedPolicy

RNG = np.random.default_rng(11)
TABLE = pa.table(
    {
        "i": pa.array(RNG.integers(-500, 500, 900), mask=RNG.random(900) < 0.1),
        "exact": pa.array(RNG.integers(0, 90, 900)),
        "f": pa.array(RNG.normal(size=900) * 10),
        "s": pa.array(RNG.choice(["a", "b", "c"], 900)),
    }
)
POLICY = ResolvedPolicy(
    {"i": Bound("abs", Fraction(5)), "exact": Bound("exact"), "f": Bound("abs", Fraction(1, 10)), "s": Bound("exact")}
)
PLAN = build_plan(TABLE.schema, [TABLE], POLICY)


class OneOff(IntGrid):
    """An integer grid that rebuilds one unit too high."""

    def rebuild(self, levels):
        return super().rebuild(levels) + 1


class WrongStep(FloatGrid):
    """A float grid whose step is a thousandth too wide."""

    def rebuild(self, levels):
        return (self.offset + levels * (self.step * 1.001)).astype(f"f{self.width}")


def broken(name: str, kind: type) -> pa.Table:
    """What decoding gives with the quantiser of one column replaced after encoding."""
    encoded = encode_columns(PLAN, TABLE)
    columns = list(PLAN.columns)
    place = PLAN.index_of[name]
    code = columns[place].code
    assert isinstance(code, NumberCode)
    fields = vars(code.quantiser)
    columns[place] = replace(columns[place], code=NumberCode(kind(**fields), code.first, code.listed))
    return decode_columns(replace(PLAN, columns=tuple(columns)), encoded.symbols, encoded.streams, wide=encoded.wide)


def test_the_unbroken_codec_passes() -> None:
    encoded = encode_columns(PLAN, TABLE)
    check_block(POLICY, TABLE, decode_columns(PLAN, encoded.symbols, encoded.streams, wide=encoded.wide))


@pytest.mark.parametrize(("name", "kind"), [("i", OneOff), ("exact", OneOff), ("f", WrongStep)])
def test_a_quantiser_off_by_one_unit_is_noticed(name: str, kind: type) -> None:
    with pytest.raises(BoundViolated, match=f"'{name}'"):
        check_block(POLICY, TABLE, broken(name, kind))


def test_skipped_exceptions_are_noticed() -> None:
    plan = build_plan(TABLE.schema, [TABLE[:100].filter(pc.less(TABLE["exact"][:100], 40))], POLICY)
    encoded = encode_columns(plan, TABLE)
    assert encoded.exceptions["exact"] > 0
    rebuilt = decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide)
    check_block(POLICY, TABLE, rebuilt)
    forgetful = pc.if_else(pc.greater_equal(rebuilt["exact"], 40), 39, rebuilt["exact"])
    with pytest.raises(BoundViolated, match="exact"):
        check_block(POLICY, TABLE, rebuilt.set_column(1, TABLE.schema.field(1), forgetful))


def test_a_lost_null_is_noticed() -> None:
    with pytest.raises(BoundViolated, match="'i'"):
        check_block(POLICY, TABLE, TABLE.set_column(0, TABLE.schema.field(0), TABLE["i"].fill_null(0)))


def test_a_new_null_is_noticed() -> None:
    lost = pa.array(TABLE["f"].to_numpy(), mask=np.arange(900) == 17)
    with pytest.raises(BoundViolated, match="row 17"):
        check_block(POLICY, TABLE, TABLE.set_column(2, TABLE.schema.field(2), lost))


def test_a_lost_row_another_type_and_lost_metadata_are_noticed() -> None:
    wider = TABLE.set_column(3, "s", TABLE["s"].cast(pa.large_string()))
    for wrong in (TABLE[:-1], wider, TABLE.replace_schema_metadata({"a": "b"})):
        with pytest.raises(BoundViolated):
            check_block(POLICY, TABLE, wrong)


def test_the_sign_of_zero_and_the_payload_of_nan_count_where_exact() -> None:
    strange = np.array([0x7FF8000000000001, 0x8000000000000000, 0x7FF0000000000000], np.uint64).view(np.float64)
    original = pa.table({"x": strange})
    policy = ResolvedPolicy({"x": Bound("exact")})
    plan = build_plan(original.schema, [original], policy)
    encoded = encode_columns(plan, original)
    check_block(policy, original, decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide))
    for wrong in ([float("nan"), -0.0, float("inf")], [strange[0], 0.0, float("inf")]):
        with pytest.raises(BoundViolated):
            check_block(policy, original, pa.table({"x": np.array(wrong)}))


def test_an_error_names_the_row_and_never_the_value() -> None:
    wrong = TABLE.set_column(3, TABLE.schema.field(3), pa.array(["secret"] * 900))
    with pytest.raises(BoundViolated) as caught:
        check_block(POLICY, TABLE, wrong)
    assert "secret" not in str(caught.value)
