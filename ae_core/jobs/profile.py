"""A look at a lake's columns: what each may lose, with reasons, which coder it would get, and predicted sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ae_core.columns import TablePlan, build_plan, encode_columns
from ae_core.errors import OutputExists
from ae_core.extremes import column_ranges, has_range
from ae_core.jobs.findings import FEW_VALUES, Findings, dependence, look
from ae_core.jobs.plan import ranged_columns
from ae_core.jobs.planpage import plan_page
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import policy_text
from ae_core.jobs.results import ColumnProposal, LakeProfile, RangePrediction
from ae_core.jobs.sampling import read_sample, row_counts
from ae_core.jobs.use_rows import new_file
from ae_core.lake import LakePartition, common_schema, list_partitions
from ae_core.policy import Bound, ColumnRule, Limit, Policy, ResolvedPolicy, family, load_policy, resolve
from ae_core.selection import Where
from ae_core.threads import ordered_map
from ae_core.vector_types import element_type
from ae_core.weighing import TableTrial, plain_trial

PROFILE_CELLS = 2_000_000
LADDER_CELLS = 200_000
LADDER = ("0", "0.001", "0.01", "0.05")
TRIED_DIMENSIONS = 3
_QUANTILES = (
    ("0.1 %", 0.001),
    ("1 %", 0.01),
    ("25 %", 0.25),
    ("50 %", 0.5),
    ("75 %", 0.75),
    ("99 %", 0.99),
    ("99.9 %", 0.999),
)
_FREQUENT = 5
PROPOSED_RANGE = "0.001"


@dataclass(frozen=True)
class Seen:
    """What a sample shows of a column: counts, and the extremes as text."""

    nulls: int
    distinct: int
    minimum: str | None
    maximum: str | None
    findings: Findings
    quantiles: dict[str, float]
    frequent: tuple[tuple[str, int], ...]


def profile_lake(
    lake: str,
    *,
    policy: str | None = None,
    range_: str | float | None = None,
    where: Where = None,
    html: str | None = None,
    train: bool = True,
    progress: Progress = silent,
) -> LakeProfile:
    """Profile the lake's columns; with neither policy nor range, propose a policy.

    Networks are trained on a small sample for some bounds, which takes most of a minute; nothing is archived.

    Parameters
    ----------
    train : without it sizes are those of coders that need no training, which takes seconds.
    html : file to write the findings and the rate–distortion picture to; it must not exist.

    Raises
    ------
    LakeError, PolicyError
        When the lake cannot be read, or the given policy does not fit it.
    OutputExists
        When `html` is there already.
    """
    if html is not None and Path(html).exists():
        raise OutputExists(f"{html} exists already and is never overwritten; choose another name")
    partitions = list_partitions(lake, where)
    schema = common_schema(partitions)
    sample = read_sample(partitions, cells=PROFILE_CELLS)
    seen = {field.name: _look(field, sample) for field in schema}
    given = policy is not None or range_ is not None
    text = policy_text(policy, range_) if given else propose(schema, partitions[0], seen)
    resolved = _resolve(text, schema, partitions)
    plan = build_plan(schema, sample, resolved)
    sizes = plain_bytes(plan, sample)
    rows = sum(sum(row_counts(partition)) for partition in partitions)
    sampled = sum(block.num_rows for block in sample)
    profile = LakeProfile(
        lake=lake,
        partitions=len(partitions),
        rows=rows,
        source_bytes=sum(partition.size for partition in partitions),
        sample_rows=sampled,
        predicted_bytes=round(sum(sizes.values()) * rows / max(1, sampled)),
        policy=text,
        columns=tuple(
            _proposal(column, resolved.bounds[column.name], seen[column.name], sizes[column.name], given=given)
            for column in plan.columns
        ),
        warnings=tuple(w for name, one in seen.items() for w in one.findings.warnings(name, resolved.bounds[name])),
        by_range=tuple(_predictions(schema, partitions, seen, rows, progress, train=train)) if sampled else (),
        html=html,
    )
    if html is not None:
        with new_file(html) as path:
            path.write_text(plan_page(profile), encoding="utf-8")
    return profile


def _predictions(
    schema: pa.Schema,
    partitions: Sequence[LakePartition],
    seen: dict[str, Seen],
    rows: int,
    progress: Progress,
    *,
    train: bool,
) -> Iterator[RangePrediction]:
    """Bytes of the archive with every measurement within some shares of its range, from short trainings."""
    sample = read_sample(partitions, cells=LADDER_CELLS)
    measured = [
        field.name
        for field in schema
        if family(field.type) in ("integer", "float", "decimal")
        and not (seen[field.name].findings.identifier or seen[field.name].findings.constant)
    ]
    ranges = column_ranges(partitions, measured) if measured else {}
    policies = []
    for width in LADDER:
        limit = Limit("range", Fraction(width)) if float(width) else Limit("exact")
        rules = {name: ColumnRule(bound=limit) for name in measured}
        policies.append(resolve(Policy(version=1, columns=rules), schema, ranges))
    progress("short trainings", 0, len(LADDER))
    for place, (width, found) in enumerate(
        zip(LADDER, _trials(schema, sample, policies, rows, train=train), strict=True)
    ):
        progress("short trainings", place + 1, len(LADDER))
        yield RangePrediction(
            range=float(width),
            bytes=found.bytes,
            columns=dict(found.columns),
            plain_bytes=found.plain_bytes,
            coder=found.coder,
            latents=found.latent_bytes,
            model=found.model_bytes,
            preview_error=None if found.error is None else found.error.numeric / 100,
            preview_accuracy=None if found.error is None else found.error.accuracy / 100,
        )


def _trials(
    schema: pa.Schema, sample: Sequence[pa.Table], policies: Sequence[ResolvedPolicy], rows: int, *, train: bool
) -> Iterator[TableTrial]:
    if not train:
        return (plain_trial(build_plan(schema, sample, policy), sample, rows)[0] for policy in policies)
    from ae_core.trials import try_policies  # imports torch, which nobody waits for who asks about a column

    return try_policies(schema, sample, policies, rows_served=rows, dims=TRIED_DIMENSIONS)


def plain_bytes(plan: TablePlan, sample: Sequence[pa.Table]) -> dict[str, int]:
    """Bytes of each column in the sample by its best plain coder, or by its relation to others."""
    for column in plan.columns:
        if column.coder in ("network", "vector"):
            plan = plan.with_coder(column.name, "plain", column.reason)
    sizes = {column.name: 0 for column in plan.columns}
    for encoded in ordered_map(partial(encode_columns, plan), sample):
        for name, stream in encoded.streams.items():
            sizes[plan.columns[int(name.partition(":")[0])].name] += len(stream)
    return sizes


def propose(schema: pa.Schema, partition: LakePartition, seen: dict[str, Seen]) -> str:
    """YAML of a cautious policy: measured numbers within a thousandth of their range, all else exact, with reasons."""
    lines = [
        "# A cautious start: read it column by column. {abs: e} is in the column's own units, times take '2min'.",
        "version: 1",
        f"partition_keys: {yaml.safe_dump(list(partition.keys), default_flow_style=True).strip()}",
        "latents: auto",
        f"default: {{float: {{range: {PROPOSED_RANGE}}}, integer: exact, decimal: exact, temporal: exact}}",
        "columns:",
    ]
    for field in schema:
        rule, reason = _rule(field, seen[field.name])
        name = yaml.safe_dump({field.name: 0}, allow_unicode=True).rpartition(":")[0]
        lines.append(f"  {name}: {rule}  # {field.type}: {reason}")
    return "\n".join(lines) + "\n" if len(schema) else "\n".join(lines[:-1]) + "\n"


def _rule(field: pa.Field, seen: Seen) -> tuple[str, str]:
    """The bound proposed for a column, and why."""
    kind, found = family(field.type), seen.findings
    if kind != "other" and (found.identifier or found.money or found.constant):
        return "exact", "; ".join(found.lines)
    if kind == "float" and seen.distinct > FEW_VALUES and found.spread is not None:
        return f"{{abs: {found.spread * float(PROPOSED_RANGE):.2g}}}", "; ".join(found.lines)
    if kind == "float" and seen.distinct > FEW_VALUES:
        return f"{{range: {PROPOSED_RANGE}}}", "looks measured, within a thousandth of its range"
    reasons = {
        "float": f"only {seen.distinct} values in the sample, so exact costs little",
        "integer": "counts, codes and keys must not change; a measurement could take {abs: e}",
        "decimal": "decimals are often money",
        "temporal": "times are often keys; a measured time could take {abs: 1min}",
        "other": "has no lossy form",
    }
    if element_type(field.type) is not None:
        return "exact", "vectors; {abs: e} or {range: r} bounds each element"
    return "exact", reasons[kind]


def _proposal(column: Any, bound: Bound, seen: Seen, size: int, *, given: bool) -> ColumnProposal:
    return ColumnProposal(
        name=column.name,
        type=str(column.type),
        bound=str(bound),
        policy_reason="as your policy says" if given else _rule(pa.field(column.name, column.type), seen)[1],
        coder=column.coder,
        coder_reason=column.reason,
        nulls=seen.nulls,
        distinct=seen.distinct,
        minimum=None if bound.sensitive else seen.minimum,
        maximum=None if bound.sensitive else seen.maximum,
        sample_bytes=size,
        findings=tuple(filter(None, (*seen.findings.lines, dependence(column.coder, column.reason)))),
        quantiles={} if bound.sensitive else seen.quantiles,
        frequent=() if bound.sensitive else seen.frequent,
    )


def _resolve(text: str, schema: pa.Schema, partitions: Sequence[LakePartition]) -> ResolvedPolicy:
    policy = load_policy(text)
    resolve(policy, schema, {})
    ranged = ranged_columns(policy, schema)
    return resolve(policy, schema, column_ranges(partitions, ranged) if ranged else {})


def _look(field: pa.Field, sample: Sequence[pa.Table]) -> Seen:
    chunks = [chunk for block in sample for chunk in block.column(field.name).chunks]
    column = pa.chunked_array(chunks, field.type)
    try:
        distinct = pc.count_distinct(column, mode="only_valid").as_py()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        distinct = 0  # nested types: nothing to count cheaply
    low, high = None, None
    if has_range(field.type) and not pa.types.is_dictionary(field.type) and distinct:
        extremes = pc.min_max(column)
        low, high = (str(extremes[name]) for name in ("min", "max"))
    numbers = family(field.type) in ("integer", "float") and not pa.types.is_dictionary(field.type) and distinct > 0
    return Seen(
        column.null_count,
        distinct,
        low,
        high,
        look(field, column, distinct),
        _quantiles(column) if numbers else {},
        _frequent(column) if distinct else (),
    )


def _quantiles(column: pa.ChunkedArray) -> dict[str, float]:
    found = pc.quantile(column.cast(pa.float64()), [q for _, q in _QUANTILES]).to_pylist()
    return {name: value for (name, _), value in zip(_QUANTILES, found, strict=True) if value is not None}


def _frequent(column: pa.ChunkedArray) -> tuple[tuple[str, int], ...]:
    """The values that occur most, with their counts."""
    counts = pc.value_counts(pc.drop_null(column))
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])[:_FREQUENT]
    return tuple((str(one["values"]), one["counts"]) for one in counts.take(order).to_pylist())
