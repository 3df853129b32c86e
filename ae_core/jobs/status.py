"""How a lake stands: what is archived, what is due, what failed, and what all that saves."""

from __future__ import annotations

import math

from ae_core.certificates import read_certificate
from ae_core.errors import LatentlakeError
from ae_core.jobs.care_results import LakeStatus
from ae_core.jobs.listing import totals_of
from ae_core.jobs.plan import survey
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import Totals
from ae_core.jobs.target import find_snapshot
from ae_core.records import TRAINING_CPU, TableInfo, select_manifests, table_info, training_reports

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
    archived, seconds, training = 0, 0.0, 0.0
    totals: Totals | None = None
    snapshot = None
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
                seconds += certificate.seconds.get("cpu", 0.0)
            training = sum(float(one.get(TRAINING_CPU, 0.0)) for one in training_reports(snapshot).values())
    except LatentlakeError as error:
        problems.append(str(error))
    pending = waiting = aside = pending_bytes = next_partitions = next_bytes = gone = 0
    try:
        found = survey(request)
        due, late = found.of("compress"), found.of("left")
        next_partitions, next_bytes = len(due), sum(one.size for one in due)
        pending, pending_bytes = len(due) + len(late), sum(one.size for one in (*due, *late))
        waiting, aside = len(found.of("wait")), len(found.of("set aside"))
        problems += [
            f"{one.id}: {verdict.reason}" for one, verdict in found.partitions if verdict.action == "set aside"
        ]
        problems += [str(error) for _, error in found.refused]
        if snapshot is not None:
            gone = len(snapshot.state.partitions.keys() - {one.id for one, _ in found.partitions})
        problems += [str(error) for _, error in found.unreadable]
    except LatentlakeError as error:
        problems.append(str(error))
    seconds_left = None
    if totals is not None and totals.source_bytes:
        seconds_left = seconds * pending_bytes / totals.source_bytes
    saved = 0 if totals is None else totals.source_bytes - totals.archive_bytes
    return LakeStatus(
        lake=name,
        archive=request.archive,
        archived=archived,
        source_bytes=0 if totals is None else totals.source_bytes,
        archive_bytes=0 if totals is None else totals.archive_bytes,
        pending=pending,
        pending_bytes=pending_bytes,
        next_partitions=next_partitions,
        next_bytes=next_bytes,
        seconds_left=seconds_left,
        runs_left=_runs_left(request, pending, seconds_left),
        gone=gone,
        waiting=waiting,
        set_aside=aside,
        seconds=seconds,
        training_seconds=training,
        saved_a_month=saved / _GB * prices[0],
        spent=(seconds + training) / 3600 * prices[1],
        next_run=next_run,
        problems=tuple(problems),
    )


def _runs_left(request: CompressRequest, pending: int, seconds: float | None) -> int | None:
    """Runs that the pending partitions take, by the request's limits; hours are counted as if one core worked."""
    if not pending:
        return 0
    by_count = 1 if request.limit is None else math.ceil(pending / request.limit)
    if request.max_hours is None:
        return by_count
    return None if seconds is None else max(by_count, math.ceil(seconds / 3600 / request.max_hours))
