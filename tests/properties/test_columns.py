"""Columns through plan, codes, streams and back: within the bound by fractions, exact cells by their bits.

The checks here share no code with the package: values are compared as fractions and bit patterns.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from ae_core.columns import (
    TablePlan,
    build_plan,
    check_block,
    decode_columns,
    dependencies,
    encode_columns,
    given_symbols,
    preview_columns,
    read_plan,
    write_plan,
)
from ae_core.policy import Bound, ResolvedPolicy

FEWER = settings(max_examples=max(12, settings.default.max_examples // 4))

SIGNED = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
UNSIGNED = [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
DECIMALS = [
    pa.decimal32(5, 2),
    pa.decimal64(18, 3),
    pa.decimal128(9, 0),
    pa.decimal128(38, 10),
    pa.decimal128(5, -2),
    pa.decimal256(60, 4),
]
TEMPORAL = [
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    pa.timestamp("ns", "Europe/Vienna"),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
]
TEXT = [
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.binary(3),
    pa.string_view(),
    pa.binary_view(),
]
NESTED = [
    pa.list_(pa.float64()),
    pa.large_list(pa.int8()),
    pa.list_(pa.int32(), 2),
    pa.struct([("a", pa.int64()), ("b", pa.string())]),
    pa.map_(pa.string(), pa.int16()),
    pa.list_(pa.struct([("x", pa.float32())])),
]
DICTIONARIES = [
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint16(), pa.binary()),
    pa.dictionary(pa.int32(), pa.float64()),
    pa.dictionary(pa.int64(), pa.string(), ordered=True),
]
OTHER = [pa.bool_(), pa.null(), pa.uuid()]
ALL = SIGNED + UNSIGNED + FLOATS + DECIMALS + TEMPORAL + TEXT + NESTED + DICTIONARIES + OTHER
LOSSY = [kind for kind in SIGNED + UNSIGNED + FLOATS + DECIMALS + TEMPORAL if not pa.types.is_decimal256(kind)]

DAY = {"s": 86400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def whole(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers with a taste for the ends and for small clusters."""
    near = st.integers(max(low, -40), min(high, 40))
    ends = st.sampled_from(sorted({low, min(low + 1, high), max(high - 1, low), high}))
    return st.one_of(near, near, ends, st.integers(low, high))


def cells_of(kind: pa.DataType) -> st.SearchStrategy:
    """Python values (storage integers for temporal types) of a type."""
    types = pa.types
    if types.is_integer(kind):
        info = np.iinfo(kind.to_pandas_dtype())
        return whole(int(info.min), int(info.max))
    if types.is_floating(kind):
        width = kind.bit_width
        tame = st.integers(-50, 50).map(lambda n: n / 4)
        return st.one_of(tame, tame, st.floats(width=width), st.sampled_from([0.0, -0.0, float("nan"), float("inf")]))
    if types.is_decimal(kind):
        top = 10 ** min(kind.precision, 37) - 1
        return whole(-top, top).map(lambda n: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -kind.scale)))
    if types.is_date64(kind):
        return whole(-(10**6), 10**6).map(lambda n: n * 86_400_000)
    if types.is_date32(kind):
        return whole(-(2**31), 2**31 - 1)
    if types.is_time(kind):
        return whole(0, DAY[kind.unit] - 1)
    if types.is_temporal(kind):
        return whole(-(2**63), 2**63 - 1)
    if types.is_boolean(kind):
        return st.booleans()
    if types.is_null(kind):
        return st.none()
    if types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if isinstance(kind, pa.UuidType):
        return st.binary(min_size=16, max_size=16)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return st.one_of(st.sampled_from(["", "a", "b", "ä€😀"]), st.text(max_size=8))
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return st.one_of(st.sampled_from([b"", b"\x00", b"\xff"]), st.binary(max_size=8))
    if types.is_dictionary(kind):
        return cells_of(kind.value_type)
    if types.is_struct(kind):
        return st.fixed_dictionaries({f.name: st.one_of(st.none(), cells_of(f.type)) for f in kind.fields})
    if types.is_map(kind):
        return st.lists(st.tuples(cells_of(kind.key_type), st.one_of(st.none(), cells_of(kind.item_type))), max_size=3)
    size = kind.list_size if types.is_fixed_size_list(kind) else None
    return st.lists(st.one_of(st.none(), cells_of(kind.value_type)), min_size=size or 0, max_size=size or 3)


def make_array(kind: pa.DataType, cells: list) -> pa.Array:
    """The array of Python values; temporal types from their storage integers."""
    types = pa.types
    if types.is_temporal(kind):
        raw = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array(cells, raw).view(kind)
    if types.is_float16(kind):
        with np.errstate(over="ignore"):
            return pa.array([None if cell is None else np.float16(cell) for cell in cells], kind)
    if types.is_dictionary(kind):
        return _dictionary(make_array(kind.value_type, cells), kind)
    return pa.array(cells, kind)


def _dictionary(values: pa.Array, kind: pa.DataType) -> pa.Array:
    encoded = values.dictionary_encode()
    indices = encoded.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=kind.ordered)


@st.composite
def columns(draw: st.DrawFn, kinds: list[pa.DataType], rows: int) -> pa.Array:
    """A column of a type: constant, all null, a few values over and over, or anything."""
    kind = draw(st.sampled_from(kinds))
    shape = draw(st.sampled_from(["any", "few", "constant", "null", "runs"]))
    cell = cells_of(kind) if draw(st.booleans()) else st.one_of(st.none(), cells_of(kind))
    if shape == "null":
        return make_array(kind, [None] * rows)
    pool = draw(st.lists(cell, min_size=1, max_size=1 if shape == "constant" else 6 if shape != "any" else rows or 1))
    if shape == "runs":
        return make_array(kind, sorted((pool * rows)[:rows], key=repr))
    order = draw(st.randoms(use_true_random=False))
    return make_array(kind, [pool[order.randrange(len(pool))] for _ in range(rows)])


BOUNDS = st.one_of(
    st.just(Bound("exact")),
    st.sampled_from([Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(7, 2), Fraction(25), Fraction(1, 1000)]).map(
        lambda e: Bound("abs", e)
    ),
    st.builds(lambda m, e: Bound("abs", Fraction(m) * Fraction(10) ** e), st.integers(1, 9), st.integers(-12, 18)),
    st.sampled_from([Fraction(1, 100), Fraction(1, 3), Fraction(1, 10**6), Fraction(2)]).map(
        lambda r: Bound("pointwise", r)
    ),
)


def bound_for(draw: st.DrawFn, kind: pa.DataType) -> Bound:
    bound = draw(BOUNDS) if kind in LOSSY else Bound("exact")
    return Bound(bound.kind, bound.value, draw(st.integers(0, 5)) == 0)


@st.composite
def cases(draw: st.DrawFn, kinds: list[pa.DataType] = ALL) -> tuple[pa.Table, ResolvedPolicy, int]:
    """(table, policy, rows that the plan's sample sees)."""
    rows = draw(st.sampled_from([0, 1, 2, 7, 40, 150]))
    arrays = [draw(columns(kinds, rows)) for _ in range(draw(st.integers(1, 4)))]
    fields = [
        pa.field(
            f"c{i}. '😀",
            a.type,
            a.null_count > 0 or pa.types.is_null(a.type) or draw(st.booleans()),
            {b"k": b"v"} if i else None,
        )
        for i, a in enumerate(arrays)
    ]
    table = pa.table(arrays, schema=pa.schema(fields, {b"table": b"\x00meta"}))
    policy = ResolvedPolicy({f.name: bound_for(draw, f.type) for f in fields})
    return table, policy, draw(st.sampled_from([0, 1, rows // 2, rows]))


def storage(array: pa.Array | pa.ChunkedArray) -> list:
    """Cells as integers, fractions or bit patterns; None for null."""
    if isinstance(array, pa.ChunkedArray):
        return [cell for chunk in array.chunks for cell in storage(chunk)]
    kind = array.type
    if pa.types.is_dictionary(kind):
        return storage(array.cast(kind.value_type))
    if pa.types.is_temporal(kind):
        return array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()
    if pa.types.is_floating(kind):
        width = kind.bit_width // 8
        raw = array.buffers()[1]
        flat = np.frombuffer(raw, f"u{width}")[array.offset : array.offset + len(array)] if raw else []
        return [int(bits) if ok else None for bits, ok in zip(flat, array.is_valid().to_pylist(), strict=True)]
    return array.to_pylist()


def as_float(bits: int, width: int) -> float:
    return struct.unpack({16: "<e", 32: "<f", 64: "<d"}[width], bits.to_bytes(width // 8, "little"))[0]


def within(bound: Bound, kind: pa.DataType, original: object, rebuilt: object) -> bool:
    """One cell, by fractions."""
    if original is None or rebuilt is None or bound.value is None:
        return repr(original) == repr(rebuilt)
    if pa.types.is_floating(kind):
        original, rebuilt = as_float(original, kind.bit_width), as_float(rebuilt, kind.bit_width)
        if not np.isfinite(original):
            return repr(original) == repr(rebuilt)
        if not np.isfinite(rebuilt):
            return False
    x, y = Fraction(original), Fraction(rebuilt)
    return abs(x - y) <= (bound.value if bound.kind == "abs" else bound.value * abs(x))


def assert_kept(policy: ResolvedPolicy, original: pa.Table, rebuilt: pa.Table) -> None:
    assert rebuilt.schema.equals(original.schema, check_metadata=True)
    assert rebuilt.num_rows == original.num_rows
    rebuilt.validate(full=True)
    for name in original.column_names:
        kind = original.schema.field(name).type
        pairs = zip(storage(original[name]), storage(rebuilt[name]), strict=True)
        for row, (x, y) in enumerate(pairs):
            assert within(policy.bounds[name], kind, x, y), (name, kind, policy.bounds[name], row, x, y)


def round_trip(plan: TablePlan, policy: ResolvedPolicy, block: pa.Table) -> None:
    encoded = encode_columns(plan, block)
    for position, symbol in enumerate(plan.symbols):
        assert symbol.alphabet <= 256
        assert (encoded.symbols[:, position] < symbol.alphabet).all()
    known = given_symbols(plan, encoded.streams, block.num_rows)
    for position, symbol in enumerate(plan.symbols):
        if not symbol.coded:
            assert (known[:, position] == encoded.symbols[:, position]).all()
    rebuilt = decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide)
    assert_kept(policy, block, rebuilt)
    check_block(plan, block, rebuilt)
    check_block(policy, block, rebuilt)
    assert preview_columns(plan, encoded.shown, {}).num_rows == (block.num_rows if plan.domain_columns else 0)
    # a column alone needs only what `dependencies` names
    for name in block.column_names:
        positions, streams = dependencies(plan, [name])
        symbols = np.zeros_like(encoded.symbols)
        symbols[:, positions] = encoded.symbols[:, positions]
        part = decode_columns(
            plan, symbols, {s: encoded.streams[s] for s in streams if s in encoded.streams}, [name], encoded.wide
        )
        assert repr(storage(part[name])) == repr(storage(rebuilt[name]))


@given(cases())
def test_any_table_comes_back_within_its_policy(case: tuple[pa.Table, ResolvedPolicy, int]) -> None:
    """Any types, bounds and sample, the plan read back from its bytes, whole, in blocks and with columns moved out."""
    table, policy, seen = case
    plan = build_plan(table.schema, [table[:seen]], policy)
    again, _, _ = read_plan(write_plan(plan))
    assert write_plan(again) == write_plan(plan)
    round_trip(again, policy, table)
    round_trip(again, policy, table[1:5])
    for name in table.column_names[:2]:
        again = again.with_coder(name, "plain", "measured")
        round_trip(again, policy, table)


@pytest.mark.parametrize("kind", LOSSY, ids=str)
@given(data=st.data())
@FEWER
def test_every_lossy_type_keeps_every_bound(kind: pa.DataType, data: st.DataObject) -> None:
    """Each numeric and temporal type, with its extremes, under each form of bound."""
    rows = data.draw(st.sampled_from([3, 60, 400]))
    table = pa.table({"x": data.draw(columns([kind], rows))})
    policy = ResolvedPolicy({"x": data.draw(BOUNDS)})
    plan = build_plan(table.schema, [table[: data.draw(st.sampled_from([rows, rows // 2]))]], policy)
    round_trip(plan, policy, table)
    round_trip(plan.with_coder("x", "plain", "measured"), policy, table)
