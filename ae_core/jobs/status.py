"""How a lake stands: what is archived, what is due, what failed, and what all that saves."""

from __future__ import annotations

from ae_core.certificates import read_certificate
from ae_core.errors import LatentlakeError
from ae_core.jobs.listing import totals_of
from ae_core.jobs.plan import survey
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import LakeStatus, Totals
from ae_core.jobs.target import find_snapshot
from ae_core.records import TableInfo, select_manifests, table_info

_GB = 1e9


def lake_status(name: str, request: CompressRequest, next_run: str | None, prices: tuple[float, float]) -> LakeStatus:
    """Look at a lake and its archive; nothing is written.

    Parameters
    ----------
    next_run
        When the next run is due, as it shall be shown; None where none is scheduled.
    prices
        Of a gigabyte stored for a month, and of an hour of computing.

    What keeps the lake or the archive from being read stands in `problems`, so that one lake does not hide the others.
    """
    problems: list[str] = []
    archived, seconds = 0, 0.0
    totals: Totals | None = None
    try:
        snapshot = find_snapshot(request.archive)
        if snapshot is not None:
            manifests = select_manifests(snapshot)
            archived, totals = len(manifests), totals_of(snapshot, manifests)
            infos: dict[str, TableInfo] = {}
            for manifest in manifests:
                if manifest.table not in infos:
                    infos[manifest.table] = table_info(snapshot, manifest)
                certificate = read_certificate(manifest, infos[manifest.table])
                seconds += sum(certificate.seconds.values())
    except LatentlakeError as error:
        problems.append(str(error))
    pending = waiting = aside = pending_bytes = 0
    try:
        found = survey(request)
        due = [partition for partition, verdict in found.partitions if verdict.action == "compress"]
        pending, pending_bytes = len(due) + found.left, sum(partition.size for partition in due)
        held = [(partition.id, verdict.reason) for partition, verdict in found.partitions if verdict.action == "wait"]
        failed = [f"{partition}: {reason}" for partition, reason in held if reason.startswith("set aside")]
        aside, waiting = len(failed), len(held) - len(failed) - found.left
        problems += failed
        problems += [str(error) for _, error in found.unreadable]
    except LatentlakeError as error:
        problems.append(str(error))
    saved = 0 if totals is None else totals.source_bytes - totals.archive_bytes
    return LakeStatus(
        lake=name,
        archive=request.archive,
        archived=archived,
        source_bytes=0 if totals is None else totals.source_bytes,
        archive_bytes=0 if totals is None else totals.archive_bytes,
        pending=pending,
        pending_bytes=pending_bytes,
        waiting=waiting,
        set_aside=aside,
        seconds=seconds,
        saved_a_month=saved / _GB * prices[0],
        spent=seconds / 3600 * prices[1],
        next_run=next_run,
        problems=tuple(problems),
    )
