"""Tables described by a few numbers: random types, values, bounds, blocks and partitions, the same every time.

Hypothesis draws and shrinks the recipe, numpy makes the cells from its seeds: thousands of tables in minutes, and a
failing one is a few lines of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa

from ae_core.policy import Policy, ResolvedPolicy, load_policy, resolve
from tests.types.catalogue import from_storage
from tests.types.judge import as_float, cells, element_kind

Rng = np.random.Generator
_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_UNIONS = [
    pa.sparse_union([pa.field("n", pa.int64()), pa.field("s", pa.string())]),
    pa.dense_union([pa.field("n", pa.int64()), pa.field("s", pa.string())]),
]
NUMBERS = [
    *(getattr(pa, f"{sign}int{bits}")() for bits in (8, 16, 32, 64) for sign in ("", "u")),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal32(5, 2),
    pa.decimal64(18, 3),
    pa.decimal128(9, 0),
    pa.decimal128(38, 10),
    pa.decimal128(5, -2),
    pa.decimal256(76, 38),
]
TIMES = [
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit) for unit in _DAY),
    pa.timestamp("us", "Europe/Vienna"),
    *(pa.duration(unit) for unit in _DAY),
]
VECTORS = [pa.list_(pa.float32(), 3), pa.fixed_shape_tensor(pa.int16(), [2, 3])]
SCALARS = NUMBERS + TIMES
LOSSY = SCALARS + VECTORS
EXACT = [
    pa.bool_(),
    pa.null(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.binary(3),
    pa.binary(0),
    pa.string_view(),
    pa.binary_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint16(), pa.large_binary(), ordered=True),
    pa.dictionary(pa.int32(), pa.float64()),
    pa.dictionary(pa.uint64(), pa.int32()),
    pa.list_(pa.float64()),
    pa.large_list(pa.int8()),
    pa.list_view(pa.int16()),
    pa.list_(pa.string_view()),
    pa.list_(pa.int32(), 2),
    pa.struct([("a", pa.int64()), ("b", pa.string())]),
    pa.struct([]),
    pa.map_(pa.string(), pa.float32()),
    pa.list_(pa.struct([("x", pa.float16()), ("l", pa.list_(pa.bool_()))])),
    pa.list_(pa.dictionary(pa.int8(), pa.string())),
    pa.uuid(),
    pa.json_(),
    pa.bool8(),
    pa.fixed_shape_tensor(pa.int32(), [2]),
    pa.month_day_nano_interval(),
    pa.run_end_encoded(pa.int32(), pa.int64()),
    *_UNIONS,
]
KINDS = LOSSY + EXACT
FORMS = ("exact", "abs", "range", "pointwise", "spread", "ulp")
SHAPES = ("any", "few", "constant", "null", "runs", "steps", "key")
CODERS = ("as planned", "plain", "mixing")


@dataclass(frozen=True)
class ColumnRecipe:
    """One column.

    kind : place in KINDS; shape : how its cells repeat; form and amount : its bound; coder : what it is moved to.
    """

    kind: int
    shape: str
    form: str
    amount: str
    seed: int
    nulls: bool
    sensitive: bool
    coder: str

    @property
    def type(self) -> pa.DataType:
        """Its Arrow type."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Recipe:
    """A table and what is done with it.

    seen : rows of the sample that the plan is made from; block : rows of a block; parts : rows at which partitions and
    files are cut; network : whether random frozen weights code the columns that a plan gives to a network.
    """

    rows: int
    seen: int
    block: int
    columns: tuple[ColumnRecipe, ...]
    seed: int
    network: bool

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe behind a line."""
        record = json.loads(text)
        return cls(**{**record, "columns": tuple(ColumnRecipe(**column) for column in record["columns"])})


AMOUNTS = st.one_of(
    st.sampled_from(["0", "0.3", "0.5", "1", "3.5", "25", "0.001", "1e-18", "2.5", "1e30", "1e300", "1e-300", "0.01"]),
    st.builds(lambda m, e: f"{m}e{e}", st.integers(1, 9), st.integers(-20, 22)),
    st.integers(1, 60).map(lambda n: str(Decimal(1) / Decimal(2) ** n)),
)


@st.composite
def column_recipes(draw: st.DrawFn, kinds: range = range(len(KINDS))) -> ColumnRecipe:
    """One column of any kind; types that can be lossy come more often."""
    lossy = [kind for kind in kinds if kind < len(LOSSY)]
    kind = draw(st.one_of(st.sampled_from(lossy), st.sampled_from(kinds)) if lossy else st.sampled_from(kinds))
    return ColumnRecipe(
        kind=kind,
        shape=draw(st.sampled_from(SHAPES)),
        form=draw(st.sampled_from(FORMS)) if kind < len(LOSSY) else "exact",
        amount=draw(AMOUNTS),
        seed=draw(st.integers(0, 9999)),
        nulls=draw(st.booleans()),
        sensitive=draw(st.integers(0, 7)) == 7,
        coder=draw(st.sampled_from(CODERS)),
    )


@st.composite
def recipes(draw: st.DrawFn, most_rows: int = 700) -> Recipe:
    """Any table."""
    columns = draw(st.lists(column_recipes(), max_size=5))
    sizes = [n for n in (0, 1, 2, 3, 17, 90, 400, 700, 2500) if n <= most_rows]
    rows = draw(st.sampled_from(sizes)) if columns else 0  # a Parquet file without columns has no rows
    return Recipe(
        rows=rows,
        seen=draw(st.sampled_from(sorted({0, min(rows, 1), rows // 2, rows}))),
        block=draw(st.sampled_from(sorted({1 if rows < 20 else rows, max(1, rows // 3), max(1, rows), 64}))),
        columns=tuple(columns),
        seed=draw(st.integers(0, 9999)),
        network=draw(st.booleans()),
    )


# --- cells ---------------------------------------------------------------------------------------------


def table_of(recipe: Recipe) -> pa.Table:
    """The table of a recipe, with odd names and metadata."""
    arrays = [column_of(column, recipe.rows) for column in recipe.columns]
    fields = [
        pa.field(
            name_of(place),
            array.type,
            nullable=column.nulls or array.null_count > 0 or pa.types.is_null(array.type),
            metadata={b"k": b"\xff"} if place % 2 else None,
        )
        for place, (column, array) in enumerate(zip(recipe.columns, arrays, strict=True))
    ]
    schema = pa.schema(fields, {b"table": b"\x00meta"})
    if not fields:
        return schema.empty_table()
    return pa.table(arrays, schema=schema)


def name_of(place: int) -> str:
    """The name of a recipe's column."""
    return f"c{place}. '😀" if place else ""


def column_of(column: ColumnRecipe, rows: int) -> pa.Array:
    """The cells of one column."""
    rng = np.random.default_rng(column.seed)
    kind = column.type
    if column.shape == "null" and _can_be_null(kind):
        return pa.nulls(rows, kind)
    if column.shape == "steps" and kind in SCALARS:
        return _steps(kind, rng, rows, nulls=column.nulls)
    size = {"constant": 1, "few": 4, "runs": 4, "key": 2}.get(column.shape, max(1, rows))
    pool: list[Any] = [_cell(kind, rng) for _ in range(size)]
    if column.shape in ("runs", "key"):
        order = np.sort(rng.integers(0, size, rows))
    else:
        order = rng.integers(0, size, rows) if column.shape != "any" else np.arange(rows)
    found = [pool[place] for place in order]
    if column.nulls and _can_be_null(kind):
        found = [None if gone else cell for gone, cell in zip(rng.random(rows) < 0.2, found, strict=True)]
    return make_array(kind, found)


def _can_be_null(kind: pa.DataType) -> bool:
    return not pa.types.is_union(kind)


def _storage_range(kind: pa.DataType) -> tuple[int, int]:
    types = pa.types
    if types.is_decimal(kind):
        return 1 - 10**kind.precision, 10**kind.precision - 1
    if types.is_time(kind):
        return 0, _DAY[kind.unit] - 1
    if types.is_unsigned_integer(kind):
        return 0, 2**kind.bit_width - 1
    return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1


def _steps(kind: pa.DataType, rng: Rng, rows: int, *, nulls: bool) -> pa.Array:
    """A random walk somewhere in the type's range: many values close together, which wide domains are for."""
    gone = rng.random(rows) < (0.1 if nulls else 0)
    if pa.types.is_floating(kind):
        width = kind.bit_width // 8
        with np.errstate(over="ignore"):
            walk = (np.cumsum(rng.normal(size=rows)) * 10.0 ** rng.integers(-3, 5)).astype(f"f{width}")
        bits = walk.view(f"u{width}").tolist()
        return from_storage(kind, [None if lost else cell for lost, cell in zip(gone, bits, strict=True)])
    low, high = _storage_range(kind)
    unit = _DAY["ms"] if pa.types.is_date64(kind) else 1
    stride = int(rng.choice([1, 7, 1000, 2**20])) if high > 2**31 else 1
    start = int(rng.choice([low, high - 1, (low + high) // 2, 0])) // unit
    walk = [start + int(step) * stride for step in np.cumsum(rng.integers(-9, 10, rows))]
    found = [min(high // unit, max(-(-low // unit), place)) * unit for place in walk]
    return from_storage(kind, [None if lost else cell for lost, cell in zip(gone, found, strict=True)])


def _cell(kind: pa.DataType, rng: Rng) -> Any:
    """One cell: storage integers for fixed widths, else Python values."""
    types = pa.types
    if types.is_floating(kind):
        return _float_bits(kind, rng)
    if kind in SCALARS:
        low, high = _storage_range(kind)
        unit = _DAY["ms"] if types.is_date64(kind) else 1
        choice = rng.integers(4)
        if choice == 0:
            value = int(rng.choice([low, low + 1, high - 1, high]))
        elif choice == 1:
            value = low + int.from_bytes(rng.bytes(40), "little") % (high - low + 1)
        else:
            value = min(high, max(low, int(rng.integers(-40, 41)) * unit))
        return min(high // unit, max(-(-low // unit), value // unit)) * unit
    return _WORDS(kind, rng)


def _float_bits(kind: pa.DataType, rng: Rng) -> int:
    width = kind.bit_width
    choice = rng.integers(5)
    if choice == 0:
        return int.from_bytes(rng.bytes(width // 8), "little")
    if choice == 1:
        mantissa = {16: 10, 32: 23, 64: 52}[width]
        infinity = ((1 << (width - 1 - mantissa)) - 1) << mantissa
        odd = [
            0,
            1,
            (1 << mantissa) - 1,
            1 << mantissa,
            infinity - 1,
            infinity,
            infinity + 1,
            infinity | 1 << mantissa - 1,
        ]
        return odd[rng.integers(len(odd))] | int(rng.integers(2)) << (width - 1)
    value = np.array([rng.integers(-50, 51) / 4 if choice == 2 else rng.normal() * 30], f"f{width // 8}")
    return int(value.view(f"u{width // 8}")[0])


def _WORDS(kind: pa.DataType, rng: Rng) -> Any:  # noqa: N802
    types = pa.types
    if types.is_boolean(kind):
        return bool(rng.integers(2))
    if types.is_null(kind):
        return None
    if isinstance(kind, pa.BaseExtensionType):
        return '{"n": 1}' if isinstance(kind, pa.JsonType) else _WORDS(kind.storage_type, rng)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _cell(kind.value_type, rng)
    if types.is_fixed_size_binary(kind):
        return rng.bytes(kind.byte_width)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return str(
            rng.choice(["", "a", "b", "ä€😀", "x" * 40, f"n{rng.integers(10**6):06}", f"row {rng.integers(99)}"])
        )
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return rng.bytes(int(rng.integers(0, 9)))
    if types.is_union(kind):
        return int(rng.integers(9)) if rng.integers(2) else "word"
    if types.is_interval(kind):
        return tuple(int(n) for n in rng.integers(-9, 10, 3))
    if types.is_struct(kind):
        return {field.name: _maybe(field.type, rng) for field in kind.fields}
    if types.is_map(kind):
        return [(_cell(kind.key_type, rng), _maybe(kind.item_type, rng)) for _ in range(rng.integers(3))]
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind) or types.is_fixed_size_list(kind):
        size = kind.list_size if types.is_fixed_size_list(kind) else int(rng.integers(4))
        return [_maybe(kind.value_type, rng) for _ in range(size)]
    return int(rng.integers(-9, 10))


def _maybe(kind: pa.DataType, rng: Rng) -> Any:
    """A cell inside of another, where numbers are Python's and not storage."""
    if rng.integers(5) == 0:
        return None
    found = _cell(kind, rng)
    return as_float(found, kind.bit_width // 8) if pa.types.is_floating(kind) else found


def make_array(kind: pa.DataType, found: list[Any]) -> pa.Array:
    """The array of such cells."""
    types = pa.types
    if kind in SCALARS:
        return from_storage(kind, found)
    if types.is_dictionary(kind):
        encoded = make_array(kind.value_type, found).dictionary_encode()
        room = 2 ** (kind.index_type.bit_width - 1)
        places = [None if place is None else place % room for place in encoded.indices.to_pylist()]
        indices = pa.array(places, kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=kind.ordered)
    if types.is_run_end_encoded(kind):
        if not found:
            return pa.RunEndEncodedArray.from_arrays(pa.array([], pa.int32()), pa.array([], kind.value_type))
        return pa.RunEndEncodedArray.from_arrays(
            pa.array(np.arange(1, len(found) + 1), pa.int32()), from_storage(kind.value_type, found)
        )
    if types.is_union(kind):
        return _union(kind, found)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, make_array(kind.storage_type, found))
    return pa.array(found, kind)


def _union(kind: pa.DataType, found: list[Any]) -> pa.Array:
    codes = pa.array([int(isinstance(cell, str)) for cell in found], pa.int8())
    numbers = [cell if not isinstance(cell, str) else None for cell in found]
    words = [cell if isinstance(cell, str) else None for cell in found]
    names = ["n", "s"]
    if kind.mode == "sparse":
        return pa.UnionArray.from_sparse(codes, [pa.array(numbers, pa.int64()), pa.array(words, pa.string())], names)
    offsets = pa.array([sum(type(c) is type(cell) for c in found[:at]) for at, cell in enumerate(found)], pa.int32())
    dense = [
        pa.array([n for n in numbers if n is not None], pa.int64()),
        pa.array([w for w in words if w], pa.string()),
    ]
    return pa.UnionArray.from_dense(codes, offsets, dense, names)


# --- policies ------------------------------------------------------------------------------------------


def finite_range(column: pa.ChunkedArray) -> tuple[Fraction, Fraction] | None:
    """Least and greatest finite value in the column's unit, exactly."""
    kind = column.type
    found = [cell for cell in cells(column) if cell is not None]
    if any(isinstance(cell, list) for cell in found):  # vectors: of all their elements
        found, kind = [cell for vector in found for cell in vector if cell is not None], element_kind(kind)
    values: list[Fraction]
    if pa.types.is_floating(kind):
        floats = [as_float(cell, kind.bit_width // 8) for cell in found]
        values = [Fraction(value) for value in floats if np.isfinite(value)]
    else:
        unit = Fraction(10) ** -kind.scale if pa.types.is_decimal(kind) else Fraction(1)
        values = [cell * unit for cell in found]
    return (min(values), max(values)) if values else None


def policy_of(recipe: Recipe, table: pa.Table) -> tuple[Policy, ResolvedPolicy]:
    """The policy as an owner would write it, and its bounds for this table."""
    rules: dict[str, object] = {}
    ranges: dict[str, tuple[Any, Any] | None] = {}
    for column, name in zip(recipe.columns, table.column_names, strict=True):
        if column.type in LOSSY:
            ranges[name] = finite_range(table.column(name))
        rules[name] = {"bound": _rule(column, ranges.get(name)), "sensitive": column.sensitive}
    policy = load_policy(json.dumps({"version": 1, "columns": rules}, ensure_ascii=False) + "\n")
    return policy, resolve(policy, table.schema, ranges)


def _rule(column: ColumnRecipe, span: tuple[Fraction, Fraction] | None) -> object:
    if column.form in ("abs", "pointwise", "range"):
        return {column.form: column.amount}
    makers: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
        "spread": lambda low, high: (high - low) * Fraction(1, 1 + column.seed),
        "ulp": lambda low, high: max(abs(low), abs(high)) * Fraction(1, 2 ** (column.seed % 60)),
    }
    if column.form == "exact" or span is None:
        return "exact"
    wanted = makers[column.form](*span)
    return {"abs": f"{Decimal(wanted.numerator) / Decimal(wanted.denominator):.20e}"}
