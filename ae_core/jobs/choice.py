"""Which of the partitions that are due a run takes: old enough, in which order, how many."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from ae_core.lake import LakePartition

Order = Literal["lake", "newest", "oldest", "largest"]
"""`lake` is the natural order of the ids; the others go by the partitions' days or bytes."""

GROUP_BYTES = 8 << 20
GROUP_PARTITIONS = 64
"""Most source bytes and partitions that one task takes together."""

_DAYS = ("date", "dt", "ds", "day", "event_date", "ymd")
_ISO = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")


def last_day(keys: Mapping[str, str]) -> date | None:
    """The last day that a partition's keys stand for; None where they name no day, month or year.

    Understood are a key of a whole date (`date`, `dt`, `ds`, `day`, `event_date` or `ymd`, as 2013-12-01 or 20131201)
    and the keys `year`, `month`, `day`, from the left as far as they are there.
    """
    named = {key.lower(): value for key, value in keys.items()}
    for key in _DAYS:
        found = _ISO.fullmatch(named.get(key, ""))
        if found:
            return _date(*map(int, found.groups()))
    parts = []
    for key in ("year", "month", "day"):
        if not re.fullmatch(r"\d{1,4}", named.get(key, "")):
            break
        parts.append(int(named[key]))
    if not parts or parts[0] < 1000:
        return None
    year, month = parts[0], parts[1] if len(parts) > 1 else 12
    if not 1 <= month <= 12:
        return None
    return _date(year, month, parts[2] if len(parts) > 2 else monthrange(year, month)[1])


def changed_at(partition: LakePartition) -> datetime | None:
    """When the newest of its files was written; None where the store does not tell."""
    times = [file.mtime for file in partition.files]
    if not times or any(time is None for time in times):
        return None
    return datetime.fromtimestamp(max(time for time in times if time is not None), UTC)


def too_young(partition: LakePartition, older_than_days: float, now: datetime) -> str | None:
    """Why a partition has to wait, or None where it is old enough.

    Its age counts from the end of the last day that its keys stand for, where they do, else from the time at which its
    newest file was written. One whose age cannot be told waits: too late costs less than too early.
    """
    day = last_day(partition.keys)
    since = (
        changed_at(partition) if day is None else datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
    )
    if since is None:
        return "its age is not known: neither its keys nor its files tell"
    age = (now - since) / timedelta(days=1)
    if age >= older_than_days:
        return None
    what = "its files were written" if day is None else f"its last day, {day}, ended"
    return f"{what} {max(age, 0.0):.1f} days ago, due after {older_than_days:g}"


def in_order(partitions: Sequence[LakePartition], order: Order) -> list[LakePartition]:
    """The partitions as a run takes them; equal ones stay in the lake's order."""
    if order == "largest":
        return sorted(partitions, key=lambda partition: -partition.size)
    if order in ("newest", "oldest"):
        return sorted(partitions, key=_age_key, reverse=order == "newest")
    return list(partitions)


def _age_key(partition: LakePartition) -> datetime:
    day = last_day(partition.keys)
    if day is not None:
        return datetime.combine(day, datetime.min.time(), UTC)
    return changed_at(partition) or datetime.fromtimestamp(0, UTC)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def in_groups(partitions: Sequence[LakePartition], workers: int) -> list[list[LakePartition]]:
    """The partitions in runs of neighbours that one task takes: what a scheduler costs is paid once for each.

    Large partitions stand alone, and there are at least four groups a worker while there are as many partitions.
    """
    most = max(1, min(GROUP_PARTITIONS, len(partitions) // (4 * workers)))
    groups: list[list[LakePartition]] = []
    size = 0
    for partition in partitions:
        if groups and len(groups[-1]) < most and size + partition.size <= GROUP_BYTES:
            groups[-1].append(partition)
            size += partition.size
        else:
            groups.append([partition])
            size = partition.size
    return groups
