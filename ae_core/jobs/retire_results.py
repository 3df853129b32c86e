"""What gc, drop, fade and expire did, or would do: plain records that become JSON documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Removed:
    """One object that gc deletes, by its name inside the archive, and why."""

    name: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class GcResult:
    """What gc deleted, or would; `oldest_snapshot` is the first that stays readable, `commits` those that condemned."""

    archive: str
    dry_run: bool
    oldest_snapshot: int
    commits: tuple[int, ...]
    objects: tuple[Removed, ...]
    bytes: int


@dataclass(frozen=True)
class DroppedPartition:
    """One partition that drop removes; `why` it counts as the only copy of its data, if it does."""

    partition: str
    rows: int
    bytes: int
    only_copy: bool
    why: str


@dataclass(frozen=True)
class DropResult:
    """What drop removed, or would; `refused` are only copies that keep all from being dropped."""

    archive: str
    dry_run: bool
    reason: str
    partitions: tuple[DroppedPartition, ...]
    refused: tuple[str, ...]
    commit: int | None


@dataclass(frozen=True)
class FadedPartition:
    """One partition that fade reduces to its latents; `lost_columns` are those that latents do not hold."""

    partition: str
    action: Literal["fade", "faded", "refused"]
    reason: str
    rows: int
    bytes_kept: int
    bytes_dropped: int
    lost_columns: tuple[str, ...]


@dataclass(frozen=True)
class FadeResult:
    """What fade did, or would; nothing is faded while a partition is refused."""

    archive: str
    dry_run: bool
    reason: str
    partitions: tuple[FadedPartition, ...]
    commit: int | None

    @property
    def refused(self) -> tuple[str, ...]:
        """The partitions that keep all from being faded."""
        return tuple(row.partition for row in self.partitions if row.action == "refused")


@dataclass(frozen=True)
class OriginalFate:
    """One original file: deleted, absent, changed, kept, or set aside until a later run."""

    path: str
    fate: str


@dataclass(frozen=True)
class ExpiredPartition:
    """What became of the originals of one partition, and why; `commit` recorded the intent or its end.

    `due` (dry run) would be verified and recorded now; `recorded` is an intent, carried out after the wait; `waiting`
    for that; `set aside` in quarantine; `expired` are deleted; `kept` where a file changed or the archive lacks it;
    `done` in an earlier run.
    """

    partition: str
    action: Literal["refused", "due", "recorded", "waiting", "set aside", "expired", "kept", "done"]
    reason: str
    files: tuple[OriginalFate, ...]
    commit: int | None


@dataclass(frozen=True)
class ExpireResult:
    """What an expire run did with the originals of a lake, or would do."""

    lake: str
    archive: str
    dry_run: bool
    partitions: tuple[ExpiredPartition, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """The partitions whose originals may not be deleted."""
        return tuple(row.partition for row in self.partitions if row.action == "refused")
