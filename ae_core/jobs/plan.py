"""What a compress run has to do: which partitions are new or changed, with reasons, and what the policy comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ae_core.archive.reader import Snapshot
from ae_core.errors import PolicyError
from ae_core.jobs.changes import Verdict, judge
from ae_core.jobs.checks import check_checks
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult, PartitionOutcome
from ae_core.jobs.target import HeldTable, find_snapshot, held_table
from ae_core.lake import LakePartition, column_ranges, common_schema, file_sha256, has_range, list_partitions
from ae_core.policy import Limit, Policy, family, load_policy, resolve
from ae_core.records import TableInfo, layer_sizes


@dataclass(frozen=True)
class Survey:
    """A lake seen against an archive: every chosen partition with its verdict.

    `schema` is that of all chosen partitions; `held` the archive's record for this schema and policy, if any.
    """

    partitions: tuple[tuple[LakePartition, Verdict], ...]
    schema: pa.Schema
    snapshot: Snapshot | None
    held: HeldTable | None

    @property
    def due(self) -> tuple[LakePartition, ...]:
        """The partitions to compress."""
        return tuple(partition for partition, verdict in self.partitions if verdict.compress)


def survey(request: CompressRequest) -> Survey:
    """Look at lake and archive; nothing is written and nothing is trained.

    Raises
    ------
    LakeError, PolicyError, UsageError
        When the lake, the policy or the archive's place cannot be used as asked.
    Corrupt
        When the archive is damaged.
    """
    partitions = list_partitions(request.lake, list(request.where))
    schema = common_schema(partitions)
    policy = policy_for(request, partitions[0])
    resolve(policy, schema, {})  # refuses a column or a loss that does not exist, before any value is read
    snapshot = find_snapshot(request.archive)
    check_checks(policy, schema, partitions[0].keys)
    held = None if snapshot is None else held_table(snapshot, schema, policy.without_checks())
    judged = tuple((partition, _judge(partition, snapshot)) for partition in partitions)
    return Survey(judged, schema, snapshot, held)


def policy_for(request: CompressRequest, partition: LakePartition) -> Policy:
    """The request's policy with the lake's partition keys filled in.

    Raises
    ------
    PolicyError
        When the policy names other keys than the lake has.
    """
    policy = load_policy(request.policy + "\n")
    keys = tuple(partition.keys)
    if policy.partition_keys and policy.partition_keys != keys:
        raise PolicyError(
            f"policy: partition_keys {list(policy.partition_keys)} are not those of {request.lake}, "
            f"which are {list(keys)}"
        )
    return policy.model_copy(update={"partition_keys": keys})


def resolve_table(request: CompressRequest, found: Survey) -> TableInfo:
    """The table's record: the archive's own where it has one, else the policy resolved against the whole lake."""
    if found.held is not None:
        return found.held.info
    first = found.partitions[0][0]
    policy = policy_for(request, first).without_checks()
    ranged = ranged_columns(policy, found.schema)
    ranges = column_ranges(list_partitions(request.lake), ranged) if ranged else {}
    return TableInfo(found.schema, policy, resolve(policy, found.schema, ranges))


def ranged_columns(policy: Policy, schema: pa.Schema) -> list[str]:
    """Columns whose bound is relative to their range, so that it has to be known."""
    names = []
    for field in schema:
        rule = policy.columns.get(field.name)
        kind = family(field.type)
        limit: Limit | None
        limit = rule.bound if rule is not None else None if kind == "other" else policy.default.get(kind)
        if limit is not None and limit.kind == "range" and has_range(field.type):
            names.append(field.name)
    return names


def nothing_to_do(request: CompressRequest, found: Survey) -> CompressResult:
    """The result of a run that finds every partition archived and unchanged."""
    return CompressResult(
        lake=request.lake,
        archive=request.archive,
        dry_run=False,
        head=None if found.snapshot is None else found.snapshot.number,
        model=None,
        partitions=unchanged(found),
        commits=(),
        seconds=0.0,
    )


def unchanged(found: Survey) -> tuple[PartitionOutcome, ...]:
    """The outcomes of the partitions that are left alone."""
    outcomes = []
    for partition, verdict in found.partitions:
        if verdict.compress or found.snapshot is None:
            continue
        manifest = found.snapshot.manifest(partition.id)
        length = found.snapshot.state.partitions[partition.id].length
        outcomes.append(
            PartitionOutcome(
                partition=partition.id,
                action="unchanged",
                reason=verdict.reason,
                rows=manifest.rows,
                source_bytes=partition.size,
                archive_bytes=sum(layer_sizes(manifest).values()) + length,
            )
        )
    return tuple(outcomes)


def _judge(partition: LakePartition, snapshot: Snapshot | None) -> Verdict:
    if snapshot is None or partition.id not in snapshot.state.partitions:
        return judge(partition, None, file_sha256)
    return judge(partition, snapshot.manifest(partition.id).sources, file_sha256)


def order(outcomes: Sequence[PartitionOutcome], found: Survey) -> tuple[PartitionOutcome, ...]:
    """The outcomes in the lake's order."""
    place = {partition.id: index for index, (partition, _) in enumerate(found.partitions)}
    return tuple(sorted(outcomes, key=lambda outcome: place[outcome.partition]))
