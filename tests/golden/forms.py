"""What no lake asks a writer for by itself: every form of the format that the other golden archives lack, in one.

Column plan, network and mixing plan are made by hand, so that each form is there. All else goes the writer's own way,
the verification before each commit included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from ae_core import fitting
from ae_core.codec import Codec, symbol_columns
from ae_core.columns import ColumnPlan, TablePlan, build_plan, plain
from ae_core.columns import table as column_table
from ae_core.columns.derived import Linear, Lookup, combine
from ae_core.columns.domain import NumberCode, make_domain
from ae_core.columns.numeric import IntGrid
from ae_core.columns.packing import pack_bytes
from ae_core.jobs import commit, encode, sampling, verify_worker
from ae_core.kernels.frozen import FrozenGroup, PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.lake import LakePartition
from ae_core.mixing.plan import ColumnModel, MixingPlan, Tap
from ae_core.policy import ResolvedPolicy
from ae_core.varints import write_varint
from tests.unit.kernels.frozen_models import random_encoder, random_group, random_preview

BLOCK_ROWS = 260
ROWS = {1: 450, 2: 270, 3: 5}
POLICY = """\
version: 1
partition_keys: [month]
default: {float: exact, integer: exact}
columns:
  half_near: {bound: {abs: 0.25}, sensitive: true}
  half_share: {pointwise: 0.05}
  single_near: {range: 0.01}
"""
LEVELS = (9, 6)
PLAIN = ("half_share", "few_floats", "few_numbers", "cycle", "planes", "few_words", "message", "page")
MIXED = ("single_near", "serial", "far", "deep", "flat", "guided", "again", "near")
DOMAINS = {"deep": 60_000, "again": 3_000}
KEYS = {"of_two": ("a", "b"), "of_three": ("a", "b", "c")}


def table(month: int, rows: int) -> pa.Table:
    """The second month breaks what the first one teaches."""
    random = np.random.default_rng(300 + month)
    a, b, c = random.integers(0, 4, rows), random.integers(0, 3, rows), np.arange(rows) // 40 % 3
    walk = np.cumsum(random.integers(-3, 4, rows)) + 30_000
    texts = np.random.default_rng(1)  # of both months
    words = np.array(["".join(texts.choice(list("abcdefgh"), 11)) for _ in range(40)])
    floats, numbers = texts.normal(0, 1, 30), texts.integers(-(2**62), 2**62, 30)
    planes = [(texts.integers(0, 256, period), shift) for period, shift in ((7, 48), (11, 24), (13, 0))]
    cycle = np.resize(texts.integers(0, 2**31, 90), rows)
    odd = texts.choice([0.0, 1.5, -2.5, np.nan, np.inf, -np.inf, -0.0], 5000)[:rows]
    told = month == 1
    columns: dict[str, pa.Array] = {
        "a": pa.array(a, pa.uint8()),
        "b": pa.array(np.array(["low", "middle", "high"])[b]),
        "c": pa.array(c, pa.uint16()),
        "of_two": pa.array(np.array(["x", "y", "z", "u"])[(a * 2 + b) % 4]),
        "of_three": pa.array((a + b * c) % 7 if told else random.integers(0, 7, rows), pa.int8()),
        "sum": pa.array(3 * a + 7 * c + 5 if told else c * 0 + 9, pa.uint32(), mask=a == 3 if told else None),
        "odd": pa.array(odd, mask=np.arange(rows) % 19 == 3),
        "half_near": pa.array(random.normal(0, 9, rows).astype(np.float16)),
        "half_share": pa.array(random.normal(0, 9, rows).astype(np.float16)),
        "half_tenths": pa.array((random.integers(0, 99, rows) / 10).astype(np.float16)),
        "single_near": pa.array(random.normal(0, 9, rows).astype(np.float32)),
        "serial": pa.array([f"{'ABCD'[x]}-{n:05}" for x, n in zip(a, walk * 3, strict=True)]),
        "number": pa.array([f"{'ABC'[x % 3]}{n:06}" for x, n in zip(a, walk * 7, strict=True)]),
        "far": pa.array(walk * 1_000_003 + random.integers(0, 9, rows), pa.int64()),
        "deep": pa.array(walk, pa.int32()),
        "flat": pa.array((walk + c) // 8 % 16, pa.int16()),
        "guided": pa.array(walk // 4 % 200, pa.int16()),
        "again": pa.array(np.repeat(b, 5)[:rows] * 60, pa.int16()),
        "near": pa.array(a * 40 + b, pa.int16(), mask=np.arange(rows) % 31 == 7),
        "few_floats": pa.array(random.choice(floats, rows)),
        "few_numbers": pa.array(random.choice(numbers, rows)),
        "cycle": pa.array(cycle, pa.int64()),
        "planes": pa.array(sum(part[np.arange(rows) % len(part)] << shift for part, shift in planes), pa.int64()),
        "few_words": pa.array(random.choice(words, rows)),
        "message": pa.array(["message"] + [f"m{n}" for n in random.integers(0, 99, rows - 1)]),
        "page": pa.array(["page"] + [f"p{n}" for n in random.integers(0, 99, rows - 1)]),
        "long": pa.array([f"long {n}" if n else None for n in a], pa.large_string()),
        "raw": pa.array([bytes([n, 0, n]) for n in a], pa.binary()),
        "long_raw": pa.array([bytes([n]) * n for n in a], pa.large_binary()),
        "seconds": pa.array(a * 60 + b, pa.int32()).cast(pa.time32("ms")),
        "time": pa.array(walk * 1000, pa.int64()).cast(pa.time64("us")),
        "date": pa.array(walk // 9, pa.int32()).cast(pa.date32()),
        "deep_decimal": pa.array([f"{n}" * 6 if n % 5 else None for n in walk.tolist()]).cast(pa.decimal128(38, 2)),
        "huge": pa.array([str(int(n) ** 12) for n in walk]).cast(pa.decimal256(70, 1)),
        "pairs": pa.array([None if x == 1 else [x, None] for x in a.tolist()], pa.list_(pa.int8(), 2)),
        "lists": pa.array([[[y] * y] for y in b.tolist()], pa.large_list(pa.list_(pa.int16()))),
        "map": pa.array(
            [None if x == 2 else [("k", x), ("", None)][:y] for x, y in zip(a.tolist(), b.tolist(), strict=True)],
            pa.map_(pa.string(), pa.int8()),
        ),
        "tensor": pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int8(), [1, 2], dim_names=["y", "x"], permutation=[1, 0]),
            pa.array([[x, 1] for x in a.tolist()], pa.list_(pa.int8(), 2)),
        ),
        "uuid": pa.array([int(n).to_bytes(16, "big") for n in walk], pa.binary(16)).cast(pa.uuid()),
        "ordered": pa.DictionaryArray.from_arrays(pa.array(b, pa.int8()), ["s", "m", "l"], ordered=True),
        "names": pa.array([f"{x}, {y} ({n})" for x, y, n in zip(*names_of(random, rows), strict=True)]),
    }
    return pa.table(columns).replace_schema_metadata({"month": str(month)})


def names_of(random: np.random.Generator, rows: int) -> tuple[list[str], list[str], list[int]]:
    """Last names, first names and years: texts that mixing makes smaller than other coders do."""
    last, first = ["Müller", "Smith", "Garcia", "Jones", "Cook"], ["Ann", "Mary", "John", "Francis"]
    return (
        random.choice(last, rows).tolist(),
        random.choice(first, rows).tolist(),
        random.integers(1950, 2000, rows).tolist(),
    )


def columns_by_hand(plan: TablePlan, sample: pa.Table) -> TablePlan:
    """The plan with each column under the coder that it is there for."""
    for name in (*PLAIN, *(column.name for column in plan.columns if column.coder == "vector")):
        plan = plan.with_coder(name, "plain", "by hand")
    columns = {column.name: replace(column, derived=None) for column in plan.columns}
    for name in MIXED:
        columns[name] = replace(columns[name], coder="mixing")
    columns["number"] = replace(columns["number"], coder="plain")
    for name, levels in DOMAINS.items():
        code = NumberCode(IntGrid(0, levels - 1, 1, 0, 0), 0, None)
        columns[name] = replace(columns[name], domain=make_domain(levels, True, ("escape",)), code=code)
    for name, keys in KEYS.items():
        columns[name] = replace(columns[name], coder="lookup", derived=lookup(plan, columns, name, keys, sample))
    places = tuple(plan.index_of[name] for name in ("a", "c"))
    columns["sum"] = replace(columns["sum"], coder="linear", derived=Linear(places, (3, 7)))
    rest = ("seconds", "date", "time")
    columns |= {name: replace(columns[name], coder="network") for name in rest}
    return TablePlan(plan.schema, tuple(columns.values()))


def lookup(plan: TablePlan, columns: dict[str, ColumnPlan], name: str, keys: Sequence[str], sample: pa.Table) -> Lookup:
    """A table of what the sample shows."""

    def codes(one: str) -> np.ndarray:
        column = columns[one]
        assert column.code is not None
        assert column.domain is not None
        return column.code.encode(sample.column(one).combine_chunks(), column.domain)

    sizes = tuple(columns[key].domain.size for key in keys)
    place = combine([codes(key) for key in keys], sizes, sample.num_rows)
    places, first = np.unique(place, return_index=True)
    return Lookup(tuple(plan.index_of[key] for key in keys), sizes, places, codes(name)[first].astype(np.int64))


def mixing_by_hand(plan: TablePlan) -> MixingPlan:
    """Models of every mode, with every kind of feature and reference."""
    listed = symbol_columns(plan)
    at = {plan.columns[index].name: place for place, (index, _) in enumerate(listed)}
    a, b, c, odd = (at[name] for name in ("a", "b", "c", "odd"))

    def model(name: str, residual: bool, contexts: Any, **more: Any) -> ColumnModel:
        return ColumnModel(at[name], residual, contexts, **more)

    before, same = (-1,), (a, b, c, odd)
    models = (
        model("serial", True, (((8, a, ()),), ((4, 0, before),)), taps=(Tap(at["serial"], (a,), 4096),)),
        model("deep", False, (((0, 0, before),), ((1, 0, (-2,)), (8, a, ())), ())),
        model(
            "flat", False, (((2, 0, ()), (6, 0, ())), ((3, 0, before), (4, 0, (c,))), ((5, 0, ()), (7, 0, (a, b)))),
            taps=(Tap(at["deep"], (), 512), Tap(at["flat"], (a, b, c), 1024)), selector=(8, c, ()),
        ),
        model(
            "guided", True, (((9, at["deep"], ()),), ((10, at["deep"], before), (5, 0, ()))), constant=-3 << 12,
            taps=(Tap(at["guided"], same, 2048), Tap(at["guided"], before, 2048)), selector=(9, at["serial"], ()),
        ),
        model("again", False, (((0, 0, (b,)),), ((7, 0, before),)), again=before),
        model(
            "near", False, (((2, 3, ()),), ((0, 0, (a, b)),)), again=(a, b), constant=80 << 12,
            taps=(Tap(at["near"], before, -64), Tap(a, (-2,), 4096)),
        ),
        model("far", True, (((3, 0, (-2,)),), ()), again=(c,), taps=(Tap(at["far"], before, 4096),)),
        model("single_near", True, (((6, 0, ()),),), constant=1 << 40),
    )  # fmt: skip
    return MixingPlan(tuple(one.levels for _, one in listed), tuple(one.size for _, one in listed), models)


def network_by_hand(plan: TablePlan) -> Network:
    """Random weights; copy candidates of none to four keys."""
    alphabets = tuple(symbol.alphabet for symbol in plan.symbols)
    positions = plan.context_positions
    known = tuple(alphabets[p] for p in positions)
    coded = tuple(plan.symbols[p].coded for p in positions)
    last = len(LEVELS) + len(positions) - 1
    keys = ((last - 2, ()), (last - 2, (1,)), (last - 1, (0, 2)), (last - 1, (2, 3, 4)), (last, (1, 2, 3, 4)))
    group = random_group(1, (*LEVELS, *known), coded=(False, False, *coded), keys=keys, width=6, hidden=4, sharpness=20)
    domains = [plan.columns[index].domain for index in plan.domain_columns]
    heads = tuple(PreviewHead(d.shown, len(d.specials) - 1, d.radices, d.ordinal) for d in domains if d is not None)
    return Network(
        encoder=random_encoder(2, alphabets, LEVELS),
        preview=random_preview(3, LEVELS, 4, heads),
        prior=random_group(4, LEVELS, width=4, hidden=4, sharpness=20),
        groups=(ContextGroup(positions, without_boost_0(group)),),
    )


def without_boost_0(group: FrozenGroup) -> FrozenGroup:
    """A candidate of class 0 adds nothing, and its boost is not stored."""
    kept = (np.where(np.arange(9) == 0, 0, one.boost).astype(np.int32) for one in group.candidates)
    return replace(
        group, candidates=tuple(replace(one, boost=boost) for one, boost in zip(group.candidates, kept, strict=True))
    )


def train(schema: pa.Schema, sample: Sequence[pa.Table], policy: ResolvedPolicy, **_: Any) -> tuple[Codec, Any]:
    """In place of training."""
    whole = pa.concat_tables(sample).combine_chunks()
    plan = columns_by_hand(build_plan(schema, sample, policy), whole)
    return Codec(plan, network_by_hand(plan), None, mixing_by_hand(plan)), SimpleNamespace(to_dict=dict)


def pack(array: pa.Array) -> bytes:
    """In place of the plain coders' choice, for two columns that no coder would store so."""
    first, field = array[0].as_py() if len(array) else None, pa.field("c", array.type)
    if first == "message":
        raw = plain._write_message(array, field)
        return bytes([3]) + write_varint(len(raw)) + pack_bytes(raw)
    if first == "page":
        return bytes([4]) + plain._write_parquet(array, field)
    return plain.pack_array(array)


def prove(
    archive: str, proposal: str, sources: Sequence[LakePartition], *, threads: int = 0, checks: Sequence[Any] = ()
) -> Any:
    """The verification in this process, which knows the short blocks."""
    request = verify_worker.VerifyRequest(archive, proposal, tuple(sources), threads, tuple(checks))
    return verify_worker.prove(request)


@contextmanager
def by_hand() -> Iterator[None]:
    """Within it `ae_core.compress` writes these forms."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(fitting, "train_codec", train))
        stack.enter_context(patch.object(column_table, "pack_array", pack))
        stack.enter_context(patch.object(commit, "prove_apart", prove))
        for module in (encode, sampling):
            stack.enter_context(patch.object(module, "block_rows", lambda _: BLOCK_ROWS))
        yield
