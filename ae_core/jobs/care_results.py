"""What the commands say that look after an archive: doctor, upgrade, status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorCheck:
    """One property of a store; `needed` for committing to it at all."""

    name: str
    needed: bool
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True)
class DoctorReport:
    """What a store was found to give. `safe`: an archive may be committed to it.

    `conditional_delete`: originals in it may be expired. `clock_skew`: seconds that its clock is ahead of this
    machine's; None where it could not be read. `identity` says whose credentials were used and never gives them away.
    """

    url: str
    protocol: str
    endpoint: str | None
    profile: str | None
    identity: str
    safe: bool
    conditional_delete: bool
    clock_skew: float | None
    checks: tuple[DoctorCheck, ...]
    seconds: float


@dataclass(frozen=True)
class UpgradeResult:
    """An archive's format before and after an upgrade; `commit` is the one that raised it, None if none was needed.

    `requires` are the features that a reader has to know, `optional` those that only a writer has to; `reader` is the
    first release that reads it, empty where the archive does not say.
    """

    archive: str
    before: int
    after: int
    requires: tuple[str, ...]
    optional: tuple[str, ...]
    reader: str
    commit: int | None


@dataclass(frozen=True)
class LakeStatus:
    """How a lake stands: sizes in bytes, `seconds` of CPU spent on encoding and `training_seconds` on the
    models that the archive holds, money by the prices that were given.

    `pending` partitions are due, and the next run takes `next_partitions` of them; `waiting` are too young, `set_aside`
    failed three times, `gone` are archived and no longer in the lake. `seconds_left` is what the pending ones are
    expected to take in CPU at the pace so far, `runs_left` how many runs with the lake's limits; None where nothing
    tells. `saved_a_month` is what the archived partitions cost less than their originals, once these are expired.
    """

    lake: str
    archive: str
    archived: int
    source_bytes: int
    archive_bytes: int
    pending: int
    pending_bytes: int
    next_partitions: int
    next_bytes: int
    seconds_left: float | None
    runs_left: int | None
    waiting: int
    set_aside: int
    gone: int
    seconds: float
    training_seconds: float
    saved_a_month: float
    spent: float
    next_run: str | None
    problems: tuple[str, ...]
