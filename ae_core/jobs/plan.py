"""What a compress run has to do: which partitions are new or changed, with reasons, and what the policy comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa

from ae_core.archive.reader import Snapshot
from ae_core.errors import DataWouldBeLost, LakeError, PolicyError
from ae_core.extremes import column_ranges, has_range
from ae_core.jobs import setbacks
from ae_core.jobs.changes import Action, Verdict, judge
from ae_core.jobs.checks import check_checks
from ae_core.jobs.choice import in_order, too_young
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult, PartitionOutcome
from ae_core.jobs.target import HeldTable, find_snapshot, held_table
from ae_core.lake import LakePartition, file_sha256, list_partitions, rebuilt_from, schema
from ae_core.policy import Limit, Policy, family, load_policy, resolve
from ae_core.records import TableInfo, layer_sizes, select_manifests

_NOT_TAKEN: Mapping[str, Literal["waiting", "left", "set aside", "skipped"]] = {
    "wait": "waiting",
    "left": "left",
    "set aside": "set aside",
    "rebuilt": "skipped",
}


@dataclass(frozen=True)
class Group:
    """Partitions due that share a schema, and so a table record and a model.

    `policy` has the rules of the columns that this schema has, `held` is the archive's record for both, if any.
    """

    schema: pa.Schema
    policy: Policy
    due: tuple[LakePartition, ...]
    held: HeldTable | None


@dataclass(frozen=True)
class Survey:
    """A lake seen against an archive: every chosen partition with its verdict, those due in groups of one schema.

    Partitions that are due and left for a later run by the request's limit are counted in `left`; `unreadable` are
    those due whose files have no schema to go by, with the reason.
    """

    partitions: tuple[tuple[LakePartition, Verdict], ...]
    snapshot: Snapshot | None
    groups: tuple[Group, ...]
    left: int = 0
    unreadable: tuple[tuple[LakePartition, LakeError], ...] = ()

    @property
    def due(self) -> tuple[LakePartition, ...]:
        """The partitions to compress, in the order in which they are taken."""
        return tuple(partition for group in self.groups for partition in group.due)

    def of(self, action: Action) -> list[LakePartition]:
        """The partitions with this verdict."""
        return [partition for partition, verdict in self.partitions if verdict.action == action]

    @property
    def nothing_due(self) -> bool:
        """Whether there is nothing to compress, and nothing that should be and cannot."""
        return not self.groups and not self.unreadable

    @property
    def refused(self) -> tuple[tuple[LakePartition, DataWouldBeLost], ...]:
        """The partitions that changed and may not be compressed, because the archive holds their only copy."""
        return tuple((p, DataWouldBeLost(f"{p.id}: {v.reason}")) for p, v in self.partitions if v.action == "refuse")


def survey(request: CompressRequest, *, now: datetime | None = None) -> Survey:
    """Look at lake and archive; nothing is written and nothing is trained.

    Parameters
    ----------
    now
        The time that ages are counted to; this moment if None.

    Raises
    ------
    LakeError, PolicyError, UsageError
        When the lake, the policy or the archive's place cannot be used as asked.
    DataWouldBeLost
        When a partition is to be compressed again whose original is gone.
    Corrupt
        When the archive is damaged.
    """
    partitions = list_partitions(request.lake, list(request.where))
    policy = policy_for(request, partitions[0])
    snapshot = find_snapshot(request.archive)
    if request.recompress and snapshot is not None:
        _refuse_gone(request, snapshot, partitions)
    failed = {} if snapshot is None else setbacks.read(snapshot)
    now = now or datetime.now(UTC)
    judged = [(partition, _judge(request, partition, snapshot, failed, now)) for partition in partitions]
    due = in_order([partition for partition, verdict in judged if verdict.action == "compress"], request.order)
    taken = due[: request.limit]
    groups, unreadable = _groups(policy, taken or partitions[:1], snapshot)
    if not taken:
        groups, unreadable = (), ()  # made all the same: a policy that does not fit is refused on every run
    place = {partition.id for partition in due[len(taken) :]}
    late = Verdict("left", f"left for the next run: this one takes {request.limit}")
    judged = [(partition, late if partition.id in place else verdict) for partition, verdict in judged]
    return Survey(tuple(judged), snapshot, groups, len(due) - len(taken), unreadable)


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


def resolve_table(request: CompressRequest, group: Group) -> TableInfo:
    """The table's record: the archive's own where it has one, else the policy resolved against the lake.

    A range is that of all partitions of the lake that have the group's schema, archived ones included.
    """
    if group.held is not None:
        return group.held.info
    ranged = ranged_columns(group.policy, group.schema)
    ranges = {}
    if ranged:
        alike = [one for one in list_partitions(request.lake) if _has_schema(one, group.schema)]
        ranges = column_ranges(alike, ranged)
    return TableInfo(group.schema, group.policy, resolve(group.policy, group.schema, ranges))


def _groups(
    policy: Policy, due: Sequence[LakePartition], snapshot: Snapshot | None
) -> tuple[tuple[Group, ...], tuple[tuple[LakePartition, LakeError], ...]]:
    """The partitions by schema, in the order of their first ones, and those without a readable one.

    A rule may name a column that only some of the partitions have, but not one that none has.
    """
    found: list[tuple[pa.Schema, list[LakePartition]]] = []
    unreadable: list[tuple[LakePartition, LakeError]] = []
    for partition in due:
        try:
            own = schema(partition)
        except LakeError as error:
            unreadable.append((partition, error))
            continue
        alike = next((members for known, members in found if known.equals(own)), None)
        if alike is None:
            found.append((own, [partition]))
        else:
            alike.append(partition)
    if unreadable and not found and snapshot is None:
        raise unreadable[0][1]
    every = {name for known, _ in found for name in known.names}
    groups = []
    for known, members in found:
        rules = {
            name: rule
            for name, rule in policy.columns.items()
            if name in known.names or name in policy.partition_keys or name not in every
        }
        own_policy = policy.model_copy(update={"columns": rules}).without_checks()
        resolve(own_policy, known, {})  # refuses a column or a loss that does not exist, before any value is read
        check_checks(policy.checks, known, members[0].keys)
        held = None if snapshot is None else held_table(snapshot, known, own_policy)
        groups.append(Group(known, own_policy, tuple(members), held))
    return tuple(groups), tuple(unreadable)


def _has_schema(partition: LakePartition, wanted: pa.Schema) -> bool:
    try:
        return bool(schema(partition).equals(wanted))
    except LakeError:
        return False


def _refuse_gone(request: CompressRequest, snapshot: Snapshot, partitions: Sequence[LakePartition]) -> None:
    archived = {manifest.partition for manifest in select_manifests(snapshot, list(request.where))}
    gone = sorted(archived - {partition.id for partition in partitions})
    if gone:
        raise DataWouldBeLost(
            f"{request.lake}: the original of {gone[0]}{' and others' if gone[1:] else ''} is gone, so it cannot be "
            "compressed again; choose partitions that are there with --where"
        )


def ranged_columns(policy: Policy, columns: pa.Schema) -> list[str]:
    """Columns whose bound is relative to their range, so that it has to be known."""
    names = []
    for field in columns:
        rule = policy.columns.get(field.name)
        kind = family(field.type)
        limit: Limit | None
        limit = rule.bound if rule is not None else None if kind == "other" else policy.default.get(kind)
        if limit is not None and limit.kind in ("range", "psnr") and has_range(field.type):
            names.append(field.name)
    return names


def nothing_to_do(request: CompressRequest, found: Survey) -> CompressResult:
    """The result of a run that finds every partition archived and unchanged.

    Raises
    ------
    DataWouldBeLost
        When one changed, and the archive holds the only copy of what it was.
    """
    for _, error in found.refused:
        raise error
    return CompressResult(
        lake=request.lake,
        archive=request.archive,
        dry_run=False,
        head=None if found.snapshot is None else found.snapshot.number,
        models=(),
        partitions=unchanged(found),
        commits=(),
        left=found.left,
        seconds=0.0,
    )


def unchanged(found: Survey) -> tuple[PartitionOutcome, ...]:
    """The outcomes of the partitions that are left alone."""
    outcomes = []
    for partition, verdict in found.partitions:
        if verdict.action in _NOT_TAKEN:
            action = _NOT_TAKEN[verdict.action]
            outcomes.append(PartitionOutcome(partition.id, action, verdict.reason, source_bytes=partition.size))
        if verdict.action != "skip" or found.snapshot is None:
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


def _judge(
    request: CompressRequest,
    partition: LakePartition,
    snapshot: Snapshot | None,
    failed: Mapping[str, setbacks.Setback],
    now: datetime,
) -> Verdict:
    archived = snapshot is not None and partition.id in snapshot.state.partitions
    recorded = snapshot.manifest(partition.id).sources if snapshot is not None and archived else None
    verdict = judge(partition, recorded, file_sha256)
    if verdict.action == "skip" and not request.recompress:
        return verdict
    if verdict.action == "skip":
        verdict = Verdict("compress", "asked to be compressed again")
    if (uid := rebuilt_from(partition)) is not None:
        return Verdict("rebuilt", f"rebuilt from archive {uid}, not an original: a second loss would come on top")
    if snapshot is not None and partition.id in snapshot.state.only_copies:
        return Verdict(
            "refuse",
            f"{verdict.reason}, but the originals that were archived are deleted and the archive holds their only "
            "copy: give the new data a partition of its own, or give up the old (latentlake drop --only-copy-accepted)",
        )
    young = None if request.older_than_days is None else too_young(partition, request.older_than_days, now)
    if young is not None:
        return Verdict("wait", young)
    aside = setbacks.set_aside(failed.get(partition.id), partition)
    return Verdict("set aside", aside) if aside is not None else verdict


def in_lake_order(outcomes: Sequence[PartitionOutcome], found: Survey) -> tuple[PartitionOutcome, ...]:
    """The outcomes in the lake's order."""
    place = {partition.id: index for index, (partition, _) in enumerate(found.partitions)}
    return tuple(sorted(outcomes, key=lambda outcome: place[outcome.partition]))
