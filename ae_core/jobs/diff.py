"""What changed between two snapshots of an archive."""

from __future__ import annotations

from collections.abc import Mapping

from ae_core.archive.format import Manifest
from ae_core.archive.log import commits_after
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.store import Store
from ae_core.errors import UsageError
from ae_core.jobs.listing import logged_commit
from ae_core.jobs.results import Difference, PartitionChange
from ae_core.records import layer_sizes, table_info


def diff_archive(url: str, before: int, after: int, *, store: Store | None = None) -> Difference:
    """The partitions that came, went and changed from snapshot `before` to snapshot `after`, and by which commits.

    Raises
    ------
    UsageError
        When there is no such snapshot, or they are the wrong way round.
    SnapshotExpired
        When gc has taken what one of them needs.
    Corrupt
    """
    if before > after:
        raise UsageError(f"snapshot {before} comes after {after}: name the earlier one first")
    old, new = (open_snapshot(url, number=number, store=store) for number in (before, after))
    changed = [
        partition
        for partition in dict.fromkeys((*new.partitions, *old.partitions))
        if old.state.partitions.get(partition) != new.state.partitions.get(partition)
    ]
    commits = commits_after(new.archive, new.state, before)
    models_before, models_after = _models(old), _models(new)
    changes = tuple(_change(old, new, partition) for partition in changed)
    return Difference(
        archive=new.archive.store.url,
        before=before,
        after=after,
        commits=tuple(logged_commit(new.archive, logged, new.state.condemned) for logged in commits),
        partitions=changes,
        models_added=tuple(model for model in models_after if model not in models_before),
        models_removed=tuple(model for model in models_before if model not in models_after),
        bytes_before=sum(change.bytes_before for change in changes),
        bytes_after=sum(change.bytes_after for change in changes),
    )


def _models(snapshot: Snapshot) -> Mapping[str, int]:
    """SHA-256 -> bytes of one copy."""
    return {ref.sha256: ref.length for ref in snapshot.state.shared.values() if ref.kind == "model"}


def _change(old: Snapshot, new: Snapshot, partition: str) -> PartitionChange:
    was = old.manifest(partition) if partition in old.state.partitions else None
    now = new.manifest(partition) if partition in new.state.partitions else None
    bounds_before, types_before = _table(old, was)
    bounds_after, types_after = _table(new, now)
    both = was is not None and now is not None
    return PartitionChange(
        partition=partition,
        change="added" if was is None else "removed" if now is None else "changed",
        commit=new.state.changed.get(partition),
        rows_before=was.rows if was else 0,
        rows_after=now.rows if now else 0,
        bytes_before=_size(old, was),
        bytes_after=_size(new, now),
        layers_before=tuple(layer_sizes(was)) if was else (),
        layers_after=tuple(layer_sizes(now)) if now else (),
        bounds=_differences(bounds_before, bounds_after) if both else (),
        columns=_differences(types_before, types_after) if both else (),
    )


def _size(snapshot: Snapshot, manifest: Manifest | None) -> int:
    if manifest is None:
        return 0
    return sum(layer_sizes(manifest).values()) + snapshot.state.partitions[manifest.partition].length


def _table(snapshot: Snapshot, manifest: Manifest | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Bound and type of every column, in words."""
    if manifest is None:
        return {}, {}
    info = table_info(snapshot, manifest)
    bounds = {name: str(bound) for name, bound in info.policy.bounds.items()}
    return bounds, {field.name: str(field.type) for field in info.schema}


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"{name}: {before.get(name, 'none')} to {after.get(name, 'none')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )
