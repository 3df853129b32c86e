"""Partitions that failed before: noted in the archive's log, so that one bad partition does not fail every night.

A partition whose files are the same as in three failed runs is set aside, the others go on. It is tried again once
its files change, or when it is asked for with `recompress`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ae_core.archive.commit import append
from ae_core.archive.fields import canonical_json, sha256_hex
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.names import new_uid
from ae_core.archive.reader import Snapshot
from ae_core.archive.stage import Proposal, put_report
from ae_core.jobs.target import writer_name
from ae_core.lake import LakePartition
from ae_core.records import reports

TRIES = 3
KIND = "setbacks"
"""Of the reports that record failures, and the note of their commits."""


@dataclass(frozen=True)
class Setback:
    """How often a partition failed in a row with the same files, and why it did the last time."""

    source: str
    count: int
    reason: str


def read(snapshot: Snapshot) -> dict[str, Setback]:
    """The partitions that failed since they were last committed."""
    found: dict[str, Setback] = {}
    for number, report in reports(snapshot):
        if report.get("kind") != KIND:
            continue
        for partition, (source, reason) in report.get("partitions", {}).items():
            if snapshot.state.changed.get(partition, -1) > number:
                continue
            before = found.get(partition)
            alike = before is not None and before.source == source
            found[partition] = (
                replace(before, count=before.count + 1, reason=reason)
                if before is not None and alike
                else Setback(source, 1, reason)
            )
    return found


def set_aside(setback: Setback | None, partition: LakePartition) -> str | None:
    """Why a partition is not tried again; None where it is."""
    if setback is None or setback.count < TRIES or setback.source != source_of(partition):
        return None
    return f"set aside after {setback.count} failures, until its files change or --recompress: {setback.reason}"


def is_last(setback: Setback | None, partition: LakePartition) -> bool:
    """Whether one more failure sets the partition aside."""
    return setback is not None and setback.count == TRIES - 1 and setback.source == source_of(partition)


def record(archive: str, failed: Sequence[tuple[LakePartition, str]]) -> None:
    """Note the partitions that failed in a run, each with its reason.

    Raises
    ------
    NotCommitted, StoreUnsafe
        When the note could not be committed; then the failures are not counted.
    """
    opened = open_archive(archive)
    partitions: Mapping[str, list[str]] = {one.id: [source_of(one), reason] for one, reason in failed}
    report = put_report(opened, {"kind": KIND, "partitions": partitions})
    append(
        opened,
        lambda _: Proposal(report=report),
        op_key=sha256_hex(f"setbacks {new_uid()}".encode()),
        since=read_state(opened).head,
        writer=writer_name(),
        note=KIND,
    )


def source_of(partition: LakePartition) -> str:
    """SHA-256 of the names, sizes and version tokens of its files."""
    return sha256_hex(canonical_json([[file.name, file.size, file.token] for file in partition.files]))
