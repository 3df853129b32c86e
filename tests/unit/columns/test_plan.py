"""The plan: what it decides for each kind of column, what it stores, and what it refuses to read."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from ae_core.columns import (
    TablePlan,
    build_plan,
    check_block,
    decode_columns,
    encode_columns,
    preview_columns,
    read_plan,
    write_plan,
)
from ae_core.columns.derived import Linear, Lookup
from ae_core.columns.domain import NumberCode, codes_to_digits, digits_to_codes, make_domain
from ae_core.columns.numeric import FloatBits
from ae_core.columns.packing import unpack_bytes
from ae_core.errors import Corrupt, UsageError
from ae_core.policy import Bound, ResolvedPolicy
from ae_core.varints import read_varint, write_varint

RNG = np.random.default_rng(2)
ROWS = 3000
EXACT = Bound("exact")


def plan_of(array: pa.Array, bound: Bound = EXACT) -> TablePlan:
    table = pa.table({"x": array})
    policy = ResolvedPolicy({"x": bound})
    plan = build_plan(table.schema, [table], policy)
    encoded = encode_columns(plan, table)
    check_block(policy, table, decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide))
    return plan


@pytest.mark.parametrize("levels", [0, 1, 2, 250, 255, 256, 4043, 16_384, 63_000])
@pytest.mark.parametrize("specials", [("escape",), ("null", "nan", "+inf", "-inf", "-0", "escape")])
def test_codes_and_digits_are_one_to_one(levels: int, specials: tuple[str, ...]) -> None:
    domain = make_domain(levels, True, specials)
    codes = np.arange(domain.size, dtype=np.int32)
    digits = codes_to_digits(domain, codes)
    assert max(domain.alphabets) <= 256
    assert (digits < np.array(domain.alphabets)).all()
    assert (digits_to_codes(domain, digits) == codes).all()
    assert domain.escape == domain.size - 1


def test_digits_past_the_last_value_stand_for_an_escape() -> None:
    domain = make_domain(1000, True, ("escape",))
    past = np.array([[domain.radices[0] - 1, domain.radices[1] - 1]], np.uint16)
    assert digits_to_codes(domain, past)[0] == domain.escape


def test_integers_are_cut_into_steps_of_twice_the_bound_and_one() -> None:
    column = plan_of(pa.array(RNG.integers(-43, 1301, ROWS)), Bound("abs", Fraction("13.44"))).columns[0]
    assert column.domain is not None
    assert column.domain.levels == -(-1344 // 27)


def test_a_common_unit_shortens_the_domain() -> None:
    column = plan_of(pa.array(RNG.integers(0, 100, ROWS) * 3600 + 17, pa.timestamp("s"))).columns[0]
    assert column.domain is not None
    assert column.domain.levels == 100


def test_floats_that_are_decimals_become_integers() -> None:
    cells = np.round(RNG.integers(0, 400, ROWS) / 10, 1)
    exact = plan_of(pa.array(cells)).columns[0]
    assert exact.coder == "network"
    lossy = plan_of(pa.array(cells), Bound("abs", Fraction(1, 2))).columns[0]
    assert lossy.domain is not None
    assert lossy.domain.levels <= 46


def test_a_bound_below_a_floats_resolution_means_exact() -> None:
    cells = np.float32(1e6) + RNG.integers(0, 90, ROWS).astype(np.float32) * np.float32(0.0625)
    table = pa.table({"x": cells})
    policy = ResolvedPolicy({"x": Bound("abs", Fraction(1, 1000))})
    plan = build_plan(table.schema, [table], policy)
    encoded = encode_columns(plan, table)
    assert decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide).equals(table)
    assert encoded.exceptions["x"] == 0


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.float64()])
def test_random_identifiers_stay_out_of_the_plan(kind: pa.DataType) -> None:
    array = pa.array(RNG.permutation(10**6)[:ROWS] * 7919).cast(kind)
    plan = plan_of(array)
    assert plan.columns[0].coder == ("plain" if kind == pa.string() else "mixing")
    assert len(write_plan(plan)) < 500


def test_sensitive_values_never_enter_the_plan() -> None:
    names = pa.array(RNG.choice(["Ada Lovelace", "Alan Turing"], ROWS))
    marks = pa.array(np.where(RNG.random(ROWS) < 0.5, 123_456_789, 987_654_321))
    for array in (names, marks, marks.cast(pa.float64()), marks.cast(pa.timestamp("s"))):
        for bound in (Bound("exact", sensitive=True), Bound("abs", Fraction(5), sensitive=True)):
            if array is names and not bound.exact:
                continue
            plan = plan_of(array, bound)
            other = plan_of(array[:0], bound)
            assert plan.columns[0].coder == "plain"
            assert write_plan(plan) == write_plan(other)


def test_runs_are_given_and_known_before_the_network_starts() -> None:
    plan = plan_of(pa.array(np.sort(RNG.integers(0, 5, ROWS))))
    assert plan.columns[0].given
    assert [symbol.coded for symbol in plan.symbols] == [False]


def test_a_partition_key_in_the_files_is_given() -> None:
    tables = [pa.table({"month": np.full(9, month)}) for month in (1, 2, 3)]
    plan = build_plan(tables[0].schema, tables, ResolvedPolicy({"month": EXACT}), partition_keys=["month"])
    assert plan.columns[0].given


def test_a_preview_has_the_modelled_columns_and_takes_any_codes() -> None:
    table = pa.table({"n": RNG.integers(0, 9, ROWS), "s": RNG.choice(["a", "b"], ROWS), "c": ["k"] * ROWS})
    plan = build_plan(table.schema, [table], ResolvedPolicy(dict.fromkeys(table.column_names, EXACT)))
    encoded = encode_columns(plan, table)
    assert preview_columns(plan, encoded.shown, {}).equals(table)
    wild = preview_columns(plan, np.full((4, 3), 10**6, np.int32), {})
    assert wild["n"].null_count == 4
    assert wild["c"].to_pylist() == ["k"] * 4


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(UsageError, match="more than once"):
        build_plan(table.schema, [table], ResolvedPolicy({"x": EXACT}))


def test_a_block_of_another_schema_is_refused() -> None:
    plan = plan_of(pa.array([1, 2]))
    with pytest.raises(UsageError):
        encode_columns(plan, pa.table({"y": [1]}))


def test_a_column_that_is_not_there_is_refused() -> None:
    plan = plan_of(pa.array([1, 2, 1, 2]))
    with pytest.raises(UsageError, match="nosuch"):
        decode_columns(plan, np.zeros((0, len(plan.symbols)), np.uint16), {}, ["nosuch"])
    with pytest.raises(UsageError, match="nosuch"):
        plan.with_coder("nosuch", "plain", "")


def test_damaged_plans_are_corrupt_or_plans_but_never_a_crash() -> None:
    table = pa.table({"s": RNG.choice([f"w{i}" for i in range(300)], ROWS), "n": RNG.integers(0, 99, ROWS) ** 3})
    plan = build_plan(table.schema, [table], ResolvedPolicy({"s": EXACT, "n": EXACT}))
    data = write_plan(plan)
    for cut in range(0, len(data), 7):
        with pytest.raises(Corrupt):
            read_plan(data[:cut])
    for _ in range(300):
        changed = bytearray(data)
        changed[RNG.integers(len(data))] ^= 1 << RNG.integers(8)
        try:
            read_plan(bytes(changed))
        except Corrupt:
            continue


def test_plans_that_no_writer_makes_are_refused() -> None:
    table = pa.table({"a": RNG.integers(0, 5, ROWS), "b": RNG.integers(0, 5, ROWS)})
    plan = build_plan(table.schema, [table], ResolvedPolicy({"a": EXACT, "b": EXACT}))
    a, b = plan.columns
    assert a.domain is not None
    code = a.code
    assert isinstance(code, NumberCode)
    circle = [
        replace(column, coder="lookup", derived=Lookup((other,), (6,), np.arange(6), np.zeros(6, np.int64)))
        for column, other in ((a, 1), (b, 0))
    ]
    wrong = [
        circle,
        [replace(a, coder="linear", derived=Linear((0,), (1,))), b],
        [replace(a, domain=replace(a.domain, levels=10**9)), b],
        [replace(a, code=NumberCode(code.quantiser, 2**70, None)), b],
        [replace(a, code=NumberCode(FloatBits(0, 8), 0, None)), b],
        [replace(a, coder="lookup", derived=Lookup((), (), np.zeros(1, np.int64), np.array([99]))), b],
    ]
    for columns in wrong:
        with pytest.raises(Corrupt):
            read_plan(write_plan(TablePlan(table.schema, tuple(columns))))


def test_missing_streams_are_corrupt() -> None:
    words = pa.array(RNG.permutation(10**6)[:ROWS]).cast(pa.string())
    table = pa.table({"a": np.sort(RNG.integers(0, 5, ROWS)), "u": words})
    plan = build_plan(table.schema, [table], ResolvedPolicy({"a": EXACT, "u": EXACT}))
    encoded = encode_columns(plan, table)
    with pytest.raises(Corrupt):
        decode_columns(plan, encoded.symbols, {})
    with pytest.raises(Corrupt):
        decode_columns(plan, encoded.symbols, {"1:plain": b"\x09"})


def test_numbers_that_share_most_of_their_low_bits_make_a_plan_that_can_be_read() -> None:
    """The low bits that a wide column stores apart are limited; what a writer picks has to be what a reader takes."""
    cells = (RNG.permutation(10**6)[:ROWS] + 2**19) << np.int64(43)
    plan = plan_of(pa.array(cells), Bound("pointwise", Fraction(1, 10**7)))
    again, _, _ = read_plan(write_plan(plan))
    assert again.columns[0].domain == plan.columns[0].domain


def test_names_that_are_no_text_are_refused_however_deep():
    kind = pa.struct([pa.field("x", pa.list_(pa.field("name", pa.int8())))])
    table = pa.table({"s": pa.array([{"x": [1]}], kind)})
    data = write_plan(build_plan(table.schema, [table], ResolvedPolicy({"s": EXACT})))
    size, at = read_varint(data, 0)
    length, at = read_varint(data, at)
    head, rest = unpack_bytes(data[at : at + length], size), data[at + length :]
    read_plan(write_varint(size) + write_varint(size + 1) + b"\0" + head + rest)
    spoilt = head.replace(b"name", b"nam\xff", 1)
    with pytest.raises(Corrupt):
        read_plan(write_varint(size) + write_varint(size + 1) + b"\0" + spoilt + rest)
