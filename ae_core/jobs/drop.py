"""drop: partitions leave the archive, with a reason that stays in the log for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ae_core.archive import retire
from ae_core.archive.format import Manifest
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.errors import LakeError, UsageError
from ae_core.jobs.changes import judge
from ae_core.jobs.chosen import chosen
from ae_core.jobs.request import checked_note
from ae_core.jobs.retire_results import DroppedPartition, DropResult
from ae_core.jobs.target import writer_name
from ae_core.lake import LakePartition, file_sha256, list_partitions
from ae_core.records import layer_sizes
from ae_core.selection import Where


def drop(
    archive: str,
    *,
    reason: str,
    where: Where = None,
    partitions: Sequence[str] = (),
    lake: str | None = None,
    only_copy_accepted: bool = False,
    dry_run: bool = True,
) -> DropResult:
    """Remove the chosen partitions from the newest snapshot; the bytes go with gc, after the retention.

    Parameters
    ----------
    lake : where to look for the originals: a partition that they are missing of, or changed, counts as an only copy.
        Without it only those count whose originals this project deleted, or is about to.
    only_copy_accepted : drop only copies too. Else nothing at all is dropped while one is among the chosen: the
        result names them in `refused`.
    dry_run : change nothing, and tell what would go.

    Raises
    ------
    UsageError
        When nothing was chosen, or no reason is given.
    DataWouldBeLost, CommitConflict
        When a partition became an only copy, or changed, while this ran.
    """
    reason = checked_note(reason, "--reason")
    if not reason:
        raise UsageError("drop needs a reason: it stays in the log for ever")
    snapshot = open_snapshot(archive)
    manifests = chosen(snapshot, where, partitions, need="drop")
    originals = None if lake is None else {p.id: p for p in _list(lake)}
    rows = tuple(_row(snapshot, manifest, originals) for manifest in manifests)
    refused = () if only_copy_accepted else tuple(row.partition for row in rows if row.only_copy)
    commit = None
    if not dry_run and not refused:
        snapshot.archive.store.probe()
        done = retire.drop(
            snapshot.archive,
            snapshot.state,
            [row.partition for row in rows],
            reason=reason,
            only_copy=only_copy_accepted,
            writer=writer_name(),
        )
        commit = done.number
    return DropResult(snapshot.archive.store.url, dry_run, reason, rows, refused, commit)


def _list(lake: str) -> list[LakePartition]:
    try:
        return list_partitions(lake)
    except LakeError as error:
        if "the lake is empty" in str(error):
            return []
        raise


def _row(snapshot: Snapshot, manifest: Manifest, originals: Mapping[str, LakePartition] | None) -> DroppedPartition:
    name = manifest.partition
    held = snapshot.state.only_copies.get(name)
    why = ""
    if held is not None:
        why = "its originals were deleted" if held.expired else "its originals are about to be deleted"
    elif originals is not None and name not in originals:
        why = "its originals are not in the lake"
    elif originals is not None:
        verdict = judge(originals[name], manifest.sources, file_sha256)
        why = f"the lake holds other files: {verdict.reason}" if verdict.action == "compress" else ""
    size = sum(layer_sizes(manifest).values()) + snapshot.state.partitions[name].length
    return DroppedPartition(name, manifest.rows, size, only_copy=bool(why), why=why)
