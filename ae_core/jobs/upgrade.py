"""Raising an archive to the newest format and features of this release: one commit, no data is rewritten."""

from __future__ import annotations

from ae_core.archive.commit import append
from ae_core.archive.fields import canonical_json, sha256_hex
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.jobs.care_results import UpgradeResult
from ae_core.jobs.target import writer_name


def upgrade_archive(url: str) -> UpgradeResult:
    """Commit that the archive is of this release's level from now on; nothing where it is already.

    Raises
    ------
    UnsupportedFormat
        When the archive needs a newer release, be it only to write to it.
    NotCommitted, StoreUnsafe
        When the commit did not land; the archive stays as it was.
    """
    snapshot = open_snapshot(url)
    level = snapshot.level
    level.check_writable(url)
    raised = level.raised()
    if raised == level:
        return _result(url, snapshot, None)
    snapshot.archive.store.probe()
    key = sha256_hex(canonical_json({"archive": snapshot.archive.marker.archive, "upgrade": raised.to_json()}))
    done = append(
        snapshot.archive,
        lambda _: Proposal(),
        op_key=key,
        since=snapshot.number,
        writer=writer_name(),
        note="upgrade",
        level=raised,
    )
    return _result(url, open_snapshot(url, number=done.number), done.number, before=snapshot)


def _result(url: str, now: Snapshot, commit: int | None, before: Snapshot | None = None) -> UpgradeResult:
    level = now.level
    return UpgradeResult(
        archive=url,
        before=(before or now).level.format,
        after=level.format,
        requires=level.requires,
        optional=level.optional,
        reader=level.reader,
        commit=commit,
    )
