"""What must hold for any table of a recipe: every promise, by every way that its cells are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import ae_core
from ae_core.archive.digest import partition_digest
from ae_core.codec import Codec
from ae_core.columns import build_plan, check_block, read_plan, write_plan
from ae_core.dataset import preview_names
from ae_core.pipeline import StoredBlock, decode_blocks, encode_block, encode_blocks, preview_blocks
from ae_core.policy import ResolvedPolicy, resolve
from ae_core.records import with_metadata
from ae_core.report.losses import LossAccumulator
from tests.properties.codecs import random_codec
from tests.properties.recipes import LOSSY, Recipe, finite_range, name_of, policy_of, table_of
from tests.types.judge import Allowed, judge
from tests.types.lakes import decode, promises


def run(recipe: Recipe) -> None:
    """Encode and decode the table of a recipe in blocks; AssertionError where a promise is broken."""
    table = table_of(recipe)
    written, policy = policy_of(recipe, table)
    assert type(written).model_validate(written.model_dump(mode="json")) == written
    assert ResolvedPolicy.from_json(policy.to_json()) == policy
    blocks = [table.slice(first, recipe.block) for first in range(0, recipe.rows, recipe.block)]
    plan = build_plan(table.schema, [table.slice(0, recipe.seen)] if recipe.seen else [], policy)
    assert write_plan(read_plan(write_plan(plan))[0]) == write_plan(plan)
    coders = {name: column.coder for name, column in zip(table.column_names, recipe.columns, strict=True)}
    made = random_codec(plan, coders, network=recipe.network, seed=recipe.seed)
    codec = Codec.from_bytes(made.to_bytes())
    assert codec.to_bytes() == made.to_bytes()
    _check(codec, policy, blocks)


def _check(codec: Codec, policy: ResolvedPolicy, blocks: Sequence[pa.Table]) -> None:
    encoded = encode_blocks(codec, blocks)
    assert [encode_block(codec, block) for block in blocks[:2]] == encoded[:2]
    stored = [
        StoredBlock(found.latents, found.residuals, block.num_rows)
        for found, block in zip(encoded, blocks, strict=True)
    ]
    rebuilt = decode_blocks(codec, stored)
    promised: dict[str, Allowed] = {name: (bound.kind, bound.value) for name, bound in policy.bounds.items()}
    schema = codec.plan.schema
    losses = LossAccumulator(schema, policy.bounds)
    for original, table in zip(blocks, rebuilt, strict=True):
        judge(original, table, promised)
        check_block(policy, original, table)
        losses.add(original, with_metadata(table, original.schema))
    loss = losses.finish()
    assert all(column.outside == 0 for column in loss.columns), [(c.name, c.outside) for c in loss.columns]
    assert all((column.max_ratio or 0) <= 1 and not math.isnan(column.max_ratio or 0) for column in loss.columns)
    assert partition_digest(schema, rebuilt) == partition_digest(schema, decode_blocks(codec, stored))
    names = list(codec.plan.index_of)
    for asked in (names[:1], names[1::2]):
        if asked:
            for part, whole in zip(decode_blocks(codec, stored, asked), rebuilt, strict=True):
                judge(whole.select(asked), part, {})
    if codec.network is not None and blocks:
        for preview, block in zip(preview_blocks(codec, stored), blocks, strict=True):
            assert preview.num_rows == block.num_rows
            assert preview.column_names == list(preview_names(codec))
            preview.validate(full=True)


def run_lake(recipe: Recipe, work: Path) -> None:
    """The table of a recipe through Parquet files, archive and Parquet files, cut into partitions, files and groups."""
    whole = storable(table_of(recipe))
    columns = [column for place, column in enumerate(recipe.columns) if name_of(place) in whole.column_names]
    written, _ = policy_of(replace(recipe, columns=tuple(columns)), whole)
    cuts = sorted({0, recipe.seen, recipe.seen + min(3, recipe.rows - recipe.seen), recipe.rows})
    parts = [whole.slice(a, b - a) for a, b in pairwise(cuts)] or [whole]
    for number, part in enumerate(parts):
        home = work / "lake" / f"p={number}"
        home.mkdir(parents=True)
        half = part.num_rows // 2 if number else 0
        files = [part.slice(0, half), part.slice(half)] if half else [part]
        for place, file in enumerate(files):
            pq.write_table(file, home / f"part-{place}.parquet", row_group_size=recipe.block)
    policy = work / "policy.yaml"
    policy.write_text(written.to_yaml(), encoding="utf-8")
    ae_core.compress(str(work / "lake"), str(work / "archive"), policy=str(policy))
    trips = decode(work / "lake", work / "archive", work / "out")
    promised = promises(ae_core.open_archive(str(work / "archive")))
    read = pa.concat_tables(trip.original.replace_schema_metadata() for trip in trips)
    ranges = {name: finite_range(read[name]) for name, column in zip(read.column_names, columns, strict=True)
              if column.type in LOSSY}  # fmt: skip
    wanted = resolve(written, read.schema, ranges).bounds
    assert promised == {name: (bound.kind, bound.value) for name, bound in wanted.items()}, "a range is not the lake's"
    for trip in trips:
        judge(trip.original, trip.rebuilt, promised)


def storable(table: pa.Table) -> pa.Table:
    """The columns that Parquet holds, and the values of those that it holds in another unit."""
    kept = []
    for place, name in enumerate(table.column_names):
        try:
            pq.write_table(table.select([place]), pa.BufferOutputStream())
        except (pa.ArrowException, NotImplementedError, OSError):
            continue
        kept.append(name)
    return table.select(kept)
