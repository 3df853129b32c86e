"""A replica of an archive, digest for digest."""

from __future__ import annotations

import time

from ae_core.archive.copy import copy_archive
from ae_core.errors import UsageError
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.results import CopyResult


def copy(source: str, replica: str, *, threads: int = 0, progress: Progress = silent) -> CopyResult:
    """Make a replica of an archive, or bring an earlier one up to date; an interrupted copy goes on where it stood.

    Raises
    ------
    UsageError
        When there is no archive to copy, or the place holds something else.
    DataWouldBeLost
        When the replica is another archive, has a history of its own, or is ahead.
    Corrupt
        When something that has to be copied is damaged.
    StoreUnsafe, NotCommitted
        When the replica's store does not take it.
    """
    if source.rstrip("/") == replica.rstrip("/"):
        raise UsageError("SRC and DST are the same place: a replica needs a place of its own")
    start = time.perf_counter()
    done = copy_archive(source, replica, threads=threads, progress=lambda now, total: progress("copy", now, total))
    return CopyResult(
        source=source,
        replica=replica,
        head=done.head,
        head_sha256=done.head_sha256,
        commits=done.commits,
        objects=done.objects,
        bytes=done.bytes,
        found=done.found,
        seconds=time.perf_counter() - start,
    )
