"""What a compress run would do, and about how many bytes it would take; nothing is written or trained."""

from __future__ import annotations

from ae_core.archive.reader import Snapshot
from ae_core.columns import build_plan
from ae_core.jobs.plan import Group, Survey, resolve_table, survey
from ae_core.jobs.profile import plain_bytes
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import DryRun, PartitionDecision
from ae_core.jobs.sampling import read_sample, row_counts
from ae_core.records import layer_sizes

SAMPLE_CELLS = 500_000


def dry_run(request: CompressRequest) -> DryRun:
    """Each partition with the reason why it is or is not compressed, and an estimate of its bytes.

    Raises
    ------
    LatentlakeError
        As the run itself, for a lake, policy or archive that cannot be used as asked.
    """
    found = survey(request)
    per_row = {
        partition.id: rate
        for group in found.groups
        for rate in [bytes_per_row(request, found, group)]
        for partition in group.due
    }
    decisions = []
    for partition, verdict in found.partitions:
        rows = sum(row_counts(partition))
        decisions.append(
            PartitionDecision(
                partition=partition.id,
                action=verdict.action,
                reason=verdict.reason,
                rows=rows,
                source_bytes=partition.size,
                estimated_bytes=round(per_row[partition.id] * rows) if partition.id in per_row else None,
            )
        )
    head = None if found.snapshot is None else found.snapshot.number
    return DryRun(request.lake, request.archive, dry_run=True, head=head, partitions=tuple(decisions))


def bytes_per_row(request: CompressRequest, found: Survey, group: Group) -> float:
    """Layer bytes per row: what the archive's partitions took, else what plain coders take on a small sample.

    The second is an upper estimate: a trained model is only used where it needs less.
    """
    past = None if group.held is None or found.snapshot is None else _past(found.snapshot)
    if past is not None:
        return past
    sample = read_sample(group.due, cells=SAMPLE_CELLS)
    rows = sum(block.num_rows for block in sample)
    plan = build_plan(group.schema, sample, resolve_table(request, group).policy)
    return sum(plain_bytes(plan, sample).values()) / max(1, rows)


def _past(snapshot: Snapshot) -> float | None:
    manifests = [snapshot.manifest(partition) for partition in snapshot.partitions]
    rows = sum(manifest.rows for manifest in manifests)
    return sum(sum(layer_sizes(manifest).values()) for manifest in manifests) / rows if rows else None
