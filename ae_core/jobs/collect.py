"""gc: what no retained snapshot needs is condemned in the log, and then deleted."""

from __future__ import annotations

from collections.abc import Sequence

from ae_core.archive import gc
from ae_core.archive.log import open_archive
from ae_core.archive.store import Listed
from ae_core.errors import UsageError
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.retire_results import GcResult, Removed
from ae_core.jobs.target import writer_name


def collect(
    archive: str,
    *,
    dry_run: bool = False,
    snapshots: int = 10,
    days: float = 7.0,
    orphan_days: float = 1.0,
    progress: Progress = silent,
) -> GcResult:
    """Delete what no retained snapshot needs.

    Parameters
    ----------
    snapshots, days : the last `snapshots` are kept, and all that were the newest within the last `days`.
    orphan_days : leftovers of writers are kept as long, because the writer may still be at work.

    Raises
    ------
    UsageError
        When there is no such archive, or the newest snapshot itself would not be kept.
    Corrupt
        When something that is kept cannot be read: nothing is deleted then.
    NotCommitted, StoreUnsafe
        When nothing could be condemned or deleted; run again, nothing that is needed is lost.
    """
    if snapshots < 1 or days < 0 or orphan_days < 0:
        raise UsageError("at least one snapshot is kept, and no negative number of days")
    opened = open_archive(archive)
    retention = gc.Retention(snapshots, days, orphan_days)
    if dry_run:
        found = gc.find(opened, retention)
        return _result(opened.store.url, True, found.oldest, (), found.all, found)
    found = gc.find(opened, retention)
    done = gc.collect(
        opened, retention, writer=writer_name(), progress=lambda count, total: progress("delete", count, total)
    )
    return _result(opened.store.url, False, done.oldest, done.commits, done.deleted, found)


def _result(
    url: str, dry_run: bool, oldest: int, commits: Sequence[int], gone: Sequence[Listed], found: gc.Garbage
) -> GcResult:
    why = {entry.name: "only older snapshots need it" for entry in found.expired}
    why |= {entry.name: "given up by an earlier run" for entry in found.condemned}
    why |= {entry.name: "a write that was never finished" for entry in found.unfinished}
    return GcResult(
        archive=url,
        dry_run=dry_run,
        oldest_snapshot=oldest,
        commits=tuple(commits),
        objects=tuple(
            Removed(entry.name, entry.size or 0, why.get(entry.name, "no commit names it")) for entry in gone
        ),
        bytes=sum(entry.size or 0 for entry in gone),
    )
