"""Each way of breaking the guarantee is noticed by the tests that say they protect it.

A mutant is one small change of the code. Tests of the suite, run while it lasts, have to fail; one that survives means
that a test is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ae_core import dataset, pipeline
from ae_core.archive import digest
from ae_core.archive.store import open_store
from ae_core.columns import build_plan, check, decode_columns, domain, encode_columns, numeric
from ae_core.columns import table as column_table
from ae_core.columns.derived import Linear
from ae_core.errors import BoundViolated, LatentlakeError
from ae_core.jobs import deep
from ae_core.jobs.verify import verify
from ae_core.policy import Bound, ResolvedPolicy
from tests.golden import test_golden as golden
from tests.properties import test_archive_digest as digest_tests
from tests.unit import test_pipeline as pipeline_tests
from tests.unit import test_policy as policy_tests
from tests.unit.columns import test_check as check_tests

Patch = pytest.MonkeyPatch


# --- parts of the suite ----------------------------------------------------------------------------


def blocks() -> None:
    """What is encoded comes back within its bounds, cells that no code holds among them."""
    for model in (pipeline_tests.codec(), pipeline_tests.plain_codec()):
        pipeline_tests.test_blocks_come_back_within_their_bounds(model, rows=300, seed=1)


def outliers() -> None:
    test_cells_outside_of_a_grid_are_exact()


def archives() -> None:
    """Golden archives give the very cells, types and metadata."""
    for folder in golden.FOLDERS:
        golden.test_today_s_code_rebuilds_the_very_cells_and_digests(folder)


def checking() -> None:
    check_tests.test_the_unbroken_codec_passes()
    check_tests.test_a_lost_null_is_noticed()
    check_tests.test_a_new_null_is_noticed()
    check_tests.test_a_lost_row_another_type_and_lost_metadata_are_noticed()
    check_tests.test_the_sign_of_zero_and_the_payload_of_nan_count_where_exact()
    for name in EDGES:
        test_the_check_refuses_what_is_a_hair_outside(name)


def digests() -> None:
    digest_tests.test_pinned()
    digest_tests.test_bytes_under_a_null_do_not_count()
    digest_tests.test_floats_count_by_their_bits()
    digest_tests.test_types_names_order_and_nullability_count_but_metadata_does_not()


def deep_checks() -> None:
    with Patch.context() as patch:
        test_a_deep_check_notices_other_cells(patch)


def policies() -> None:
    policy_tests.test_each_form_of_bound_resolves_to_an_exact_fraction()


# --- tests that a surviving mutant asked for --------------------------------------------------------

BIG = 2**60 + 4
EDGES = {
    "floats": (Bound("abs", Fraction(1, 4)), [1.0, 4.0], [1.25, 4.25]),
    "floats, relatively": (Bound("pointwise", Fraction(1, 4)), [1.0, 4.0], [1.25, 5.0]),
    "integers": (Bound("abs", Fraction(2**50)), [8, BIG], [8 + 2**50, BIG + 2**50]),
    "integers, relatively": (Bound("pointwise", Fraction(1, 4)), [8, BIG], [10, BIG // 4 * 5]),
}


@pytest.mark.parametrize("name", list(EDGES))
def test_the_check_refuses_what_is_a_hair_outside(name: str) -> None:
    bound, cells, edge = EDGES[name]
    policy, table = ResolvedPolicy({"x": bound}), pa.table({"x": cells})
    check.check_block(policy, table, pa.table({"x": edge}))
    for place in range(2):
        outside: list[Any] = list(edge)
        outside[place] = np.nextafter(edge[place], 9.0) if name.startswith("floats") else edge[place] + 1
        with pytest.raises(BoundViolated):
            check.check_block(policy, table, pa.table({"x": outside}))


def test_cells_outside_of_a_grid_are_exact() -> None:
    policy = ResolvedPolicy({"x": Bound("abs", Fraction(5))})
    sample = pa.table({"x": np.arange(1000)})
    plan = build_plan(sample.schema, [sample], policy).with_coder("x", "plain", "measured")
    block = pa.table({"x": [-1, 0, 999, 1004, 1010, 2**63 - 1, -(2**63)]})
    encoded = encode_columns(plan, block)
    check.check_block(policy, block, decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide))


def test_a_deep_check_notices_other_cells(monkeypatch: Patch) -> None:
    swap_rows(monkeypatch)
    for folder in golden.FOLDERS:
        url = str(folder / "archive")
        result = verify(url, deep=True, threads=1, store=open_store(url))  # a fresh process would not be broken
        previews = sum(one.fullest == "preview" for one in dataset.open_archive(url).partitions())
        assert (result.ok, result.decoded) == (False, previews)


# --- mutants ---------------------------------------------------------------------------------------


def off_by_one(kind: Any) -> Callable[[Patch], None]:
    """The quantiser rebuilds one level too high."""
    real = kind.rebuild
    return lambda patch: patch.setattr(kind, "rebuild", lambda self, levels: real(self, levels + 1))


def unit_too_high(patch: Patch) -> None:
    real = numeric.IntGrid.rebuild
    patch.setattr(numeric.IntGrid, "rebuild", lambda self, levels: real(self, levels) + 1)


def all_within(kind: Any) -> Callable[[Patch], None]:
    """The quantiser takes every cell for one that it keeps within its bound."""
    real = kind.quantise

    def quantise(self: Any, cells: Any) -> Any:
        levels, ok = real(self, cells)
        return levels, np.ones_like(ok)

    return lambda patch: patch.setattr(kind, "quantise", quantise)


def swap_rows(patch: Patch) -> None:
    real = pipeline.decode_columns

    def swapped(*args: Any, **named: Any) -> pa.Table:
        table = real(*args, **named)
        order = np.arange(table.num_rows)
        order[:2] = order[:2][::-1]
        # types without `take` (map, lists of structs) need none: two slices do
        return pa.concat_tables([table.slice(int(place), 1) for place in order[:2]] + [table.slice(2)])

    patch.setattr(pipeline, "decode_columns", swapped)


def lose_metadata(patch: Patch) -> None:
    real = pipeline.decode_columns
    patch.setattr(pipeline, "decode_columns", lambda *a, **k: real(*a, **k).replace_schema_metadata())


def lose_a_column_s_metadata(patch: Patch) -> None:
    def bare(table: pa.Table, schema: pa.Schema) -> pa.Table:
        fields = [field.remove_metadata() for field in schema]
        return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, schema.metadata))

    patch.setattr(dataset, "with_metadata", bare)


def forget_nulls(patch: Patch) -> None:
    real = domain._write
    patch.setattr(domain, "_write", lambda kind, cells, valid: real(kind, cells, None))


def negative_zero(patch: Patch) -> None:
    patch.setitem(domain._FLOAT_SPECIALS, "-0", 0.0)


def ignore_rests(patch: Patch) -> None:
    real = Linear.sum
    patch.setattr(Linear, "sum", lambda self, inputs, rows: real(self, inputs, rows) * (self.coefficients[0] != 100))


def widen(name: str) -> Callable[[Patch], None]:
    """The check allows a hair more than the bound."""
    real = getattr(check, name)
    more = Fraction(2**48 + 1, 2**48)

    def loose(x: Any, y: Any, bound: Any, *rest: Any) -> Any:
        return real(x, y, bound + 1 if isinstance(bound, int) else bound * more, *rest)

    return lambda patch: patch.setattr(check, name, loose)


def resolve_wider(patch: Patch) -> None:
    real = policy_tests.resolve

    def wider(*args: Any) -> ResolvedPolicy:
        bounds = real(*args).bounds
        return ResolvedPolicy({n: Bound(b.kind, b.value and b.value * 2, b.sensitive) for n, b in bounds.items()})

    patch.setattr(policy_tests, "resolve", wider)


MUTANTS: dict[str, tuple[Callable[[Patch], None], Callable[[], None]]] = {
    "an integer is one unit too high": (unit_too_high, blocks),
    "integers are one level too high": (off_by_one(numeric.IntGrid), blocks),
    "floats are one level too high": (off_by_one(numeric.FloatGrid), archives),
    "decimals are one level too high": (off_by_one(numeric.FloatDecimal), archives),
    "bits of floats are one level too high": (off_by_one(numeric.FloatBits), archives),
    "integers are never outside their bound": (all_within(numeric.IntGrid), outliers),
    "floats are never outside their bound": (all_within(numeric.FloatGrid), blocks),
    "exceptions are skipped": (lambda p: p.setattr(column_table, "_fill", lambda base, *_: base), blocks),
    "misses of lookups are skipped": (lambda p: p.setattr(column_table, "unpack_misses", lambda _, c, __: c), archives),
    "the inputs of a sum are skipped": (ignore_rests, archives),
    "nulls are dropped": (forget_nulls, blocks),
    "-0 becomes 0": (negative_zero, archives),
    "two rows are swapped": (swap_rows, blocks),
    "metadata of the schema are lost": (lose_metadata, blocks),
    "metadata of a column are lost": (lose_a_column_s_metadata, archives),
    "the check allows floats a hair more": (widen("floats_within"), checking),
    "the check allows integers one unit more": (widen("ints_within"), checking),
    "the check allows integers a hair more, relatively": (widen("ints_pointwise"), checking),
    "the check allows floats a hair more, relatively": (widen("floats_pointwise"), checking),
    "the check looks at no cell": (lambda p: p.setattr(check, "cells_within", lambda *_: np.array([True])), checking),
    "policies resolve to twice the bound": (resolve_wider, policies),
    "the digest does not look at nulls": (lambda p: p.setattr(digest, "_validity", lambda _: None), digests),
    "the digest does not look at types": (lambda p: p.setattr(digest, "type_key", lambda _: "any"), digests),
    "a deep check does not compare digests": (
        lambda p: p.setattr(deep, "_digest", lambda one, _: one.manifest.digest), deep_checks
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_plans() -> Any:
    """Plans keep tables of rebuilt cells: none that a mutant made may outlive it."""
    pipeline_tests.plan.cache_clear()
    pipeline_tests.codec.cache_clear()
    yield
    pipeline_tests.plan.cache_clear()
    pipeline_tests.codec.cache_clear()


@pytest.mark.parametrize(
    "part", [blocks, outliers, archives, checking, digests, deep_checks, policies], ids=lambda f: f.__name__
)
def test_without_a_mutant_nothing_is_noticed(part: Callable[[], None]) -> None:
    part()


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_mutant_is_noticed(name: str) -> None:
    mutate, notices = MUTANTS[name]
    with Patch.context() as patch:
        mutate(patch)
        with pytest.raises((AssertionError, LatentlakeError, pytest.fail.Exception, pa.ArrowException, ValueError)):
            notices()
