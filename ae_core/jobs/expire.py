"""expire: originals that the archive holds leave the lake, step by step and only where everything speaks for it.

A run takes every chosen partition one step further: compared in full and recorded in the log, then (after the policy's
wait) deleted on condition of the version and the outcome recorded. It can be killed anywhere and run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ae_core.archive import expire as log_steps
from ae_core.archive.format import Manifest
from ae_core.archive.log import Archive, open_archive, read_state
from ae_core.archive.originals import Intent, Original
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal, put_report
from ae_core.errors import Corrupt, DataWouldBeLost, LakeError, LatentlakeError, UsageError
from ae_core.jobs.apart import prove_apart
from ae_core.jobs.chosen import Rules, chosen
from ae_core.jobs.encode import versions
from ae_core.jobs.expire_notes import write_notes
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.retire_results import ExpiredPartition, ExpireResult, OriginalFate
from ae_core.jobs.target import writer_name
from ae_core.lake import LakePartition, file_sha256, list_partitions, rebuilt_from, refresh
from ae_core.originals import Lake, open_originals
from ae_core.remote.places import locate
from ae_core.retirement import DAY, HOUR, NO_REPLICA, Retire
from ae_core.selection import Where

BATCH = 16
"""Partitions that are compared and recorded together: what a crash can cost."""

_BEFORE = "its originals were deleted before"

Opener = Callable[[str, float], Lake]


def expire(
    lake: str,
    archive: str,
    *,
    where: Where = None,
    partitions: Sequence[str] = (),
    policy: str | Retire | None = None,
    dry_run: bool = True,
    threads: int = 0,
    progress: Progress = silent,
    opener: Opener | None = None,
) -> ExpireResult:
    """Take the originals of the chosen partitions one step further out of the lake.

    Parameters
    ----------
    policy : rules, or a policy file whose `retire` block counts, instead of those recorded with the partitions.
    dry_run : look, but neither compare in full nor record or delete anything.
    opener : how the originals of a lake are reached, for tests.

    Raises
    ------
    UsageError
        When lake or archive are not there, or nothing satisfies `where`.
    DataWouldBeLost
        When no original may be deleted in that lake at all.
    NotCommitted, StoreUnsafe
        When a record did not land; nothing was deleted without one.
    """
    run = _Run(lake, archive, where, partitions, policy, threads, progress, opener or _open)
    if any(source.lake != lake for source in run.sources.values()):
        raise DataWouldBeLost(f"{lake}: a Delta table deletes its files itself (DELETE, VACUUM); expire never does")
    if dry_run:
        rows = [run.look(manifest) for manifest in run.manifests]
    else:
        run.snapshot.archive.store.probe()
        rows = run.go()
    order = {manifest.partition: place for place, manifest in enumerate(run.manifests)}
    rows.sort(key=lambda row: order[row.partition])
    return ExpireResult(lake, run.snapshot.archive.store.url, dry_run, tuple(rows))


def _open(lake: str, wait: float) -> Lake:
    return open_originals(lake, wait=wait)


@dataclass(frozen=True)
class _Due:
    """A partition whose originals may go: what the lake shows of it, and what the intent will say."""

    manifest: Manifest
    source: LakePartition
    intent: Intent


class _Refused(Exception):
    """Why the originals of a partition may not be deleted."""


class _Run:
    """One run over a lake and its archive."""

    def __init__(
        self,
        lake: str,
        archive: str,
        where: Where,
        partitions: Sequence[str],
        policy: str | Retire | None,
        threads: int,
        progress: Progress,
        opener: Opener,
    ) -> None:
        self.snapshot = open_snapshot(archive)
        self.manifests = chosen(self.snapshot, where, partitions)
        self.rules = Rules(self.snapshot, policy)
        self.age = log_steps.ages(self.snapshot.archive)
        self.lake_url = lake
        self.lake = lake_id(lake)
        self.sources = {source.id: source for source in _list(lake)}
        self._archive_url = archive
        self._threads = threads
        self._progress = progress
        self._opener = opener
        self._commits = self.snapshot.state.changed

    def go(self) -> list[ExpiredPartition]:
        """Everything that can be done now."""
        rows, due = [], []
        for manifest in self.manifests:
            held = self.snapshot.state.only_copies.get(manifest.partition)
            if held is not None and held.open:
                rows.append(self._carry_out(manifest))
                continue
            if held is not None:
                rows.append(self._row(manifest, "done", _BEFORE))
                continue
            try:
                due.append(self._due(manifest))
            except _Refused as why:
                rows.append(self._row(manifest, "refused", str(why)))
        for start in range(0, len(due), BATCH):
            rows += self._record(due[start : start + BATCH])
        if any(row.action in ("expired", "kept") for row in rows):
            self._write_notes()
        return rows

    def look(self, manifest: Manifest) -> ExpiredPartition:
        """What the next run would do with a partition."""
        held = self.snapshot.state.only_copies.get(manifest.partition)
        if held is not None and held.open:
            return self._waiting(manifest) or self._row(manifest, "due", "its wait is over: originals would be deleted")
        if held is not None:
            return self._row(manifest, "done", _BEFORE)
        try:
            self._due(manifest)
        except _Refused as why:
            return self._row(manifest, "refused", str(why))
        return self._row(manifest, "due", "would be compared in full with its originals and recorded")

    # --- E1 to E3: compare and record --------------------------------------------------------------

    def _due(self, manifest: Manifest) -> _Due:
        """What all the cheap checks leave over; the full comparison comes after them."""
        name = manifest.partition
        rules = self.rules.of(manifest)
        if rules.pinned:
            raise _Refused("its policy says pinned")
        if not rules.expire.enabled:
            raise _Refused("its policy does not enable expire (retire: {expire: {enabled: true, ...}})")
        age = self.age(self._commits[name])
        if age < rules.expire.grace:
            raise _Refused(
                f"it was committed {age / DAY:.1f} days ago, its policy waits {rules.expire.grace / DAY:g} days"
            )
        if manifest.layer("residuals") is None:
            raise _Refused("it has faded: the archive holds a preview alone")
        source = self.sources.get(name)
        if source is None:
            raise _Refused("its originals are not in the lake")
        if locate(self.lake_url).local and not Path(locate(self.lake_url).path).is_dir():
            raise _Refused("LAKE is a single file: originals are only deleted below the folder of a lake")
        intent = self._intent(manifest, source)
        self._check_replica(rules, intent)
        return _Due(manifest, source, intent)

    def _intent(self, manifest: Manifest, source: LakePartition) -> Intent:
        """The files as they are now, which have to be, byte for byte, those that were compressed."""
        recorded = {file.name: file for file in manifest.sources}
        if {file.name for file in source.files} != recorded.keys():
            raise _Refused("its files are not those that were compressed: compress it again")
        found = []
        try:
            for file in source.files:
                sha256 = file_sha256(source, file)
                if sha256 != recorded[file.name].sha256:
                    again = rebuilt_from(source)
                    what = "was rebuilt from an archive" if again else "is not the version that was compressed"
                    raise _Refused(f"{source.path_of(file)} {what}")
                found.append(Original(source.path_of(file), file.size, file.token, sha256))
            if refresh(source) != source:
                raise _Refused("its files changed while they were read: run again")
        except LakeError as error:
            raise _Refused(str(error)) from None
        ref = self.snapshot.state.partitions[manifest.partition]
        return Intent(manifest.partition, ref.sha256, self.lake, tuple(found))

    def _check_replica(self, rules: Retire, intent: Intent) -> None:
        try:
            replica = self._replica(rules)
            problem = replica and log_steps.not_held(Snapshot(replica, read_state(replica)), intent)
        except LatentlakeError as error:
            problem = str(error)
        if problem:
            raise _Refused(f"replica {rules.expire.replica}: {problem}")

    def _replica(self, rules: Retire) -> Archive | None:
        """The replica that the policy names, which has to be this very archive in another place; None for none."""
        url = rules.expire.replica
        if url is None or url == NO_REPLICA:
            return None
        found = open_archive(url)
        own = self.snapshot.archive
        if locate(url).spot == locate(self._archive_url).spot:
            raise LakeError("it is the archive itself")
        if found.marker_sha256 != own.marker_sha256:
            raise LakeError("it is another archive")
        return found

    def _record(self, due: Sequence[_Due]) -> list[ExpiredPartition]:
        """Compare in a fresh process what is committed with the originals, then record the intents in one commit."""
        self._progress("compare", 0, len(due))
        proofs = prove_apart(
            self._archive_url, Proposal().to_json(), [one.source for one in due], threads=self._threads
        )
        self._progress("compare", len(due), len(due))
        rows, good = [], []
        for one, proof in zip(due, proofs, strict=True):
            problem = proof.problem or _changed(one.source)
            if problem:
                rows.append(self._row(one.manifest, "refused", f"it is not what its originals are: {problem}"))
            else:
                good.append(one)
        if not good:
            return rows
        archive = self.snapshot.archive
        seen = [{"manifest": one.intent.manifest, "partition": one.intent.partition} for one in good]
        report = put_report(archive, {"kind": "originals compared", "partitions": seen, "versions": versions()})
        done = log_steps.intend(
            archive, self.snapshot.state, [one.intent for one in good], report=report, writer=writer_name()
        )
        for one in good:
            wait = self.rules.of(one.manifest).expire.wait
            reason = f"originals are deleted by a run after {_hours(wait)}"
            rows.append(self._row(one.manifest, "recorded", reason, commit=done.number))
        return rows

    # --- E4 to E6: delete and record ---------------------------------------------------------------

    def _waiting(self, manifest: Manifest) -> ExpiredPartition | None:
        """The row of a partition that nothing can be done about yet."""
        held = self.snapshot.state.only_copies[manifest.partition]
        if held.intent.lake != self.lake:
            return self._row(manifest, "refused", f"its originals are those of {held.intent.lake}, not of this lake")
        left = self.rules.of(manifest).expire.wait - self.age(held.number)
        return self._row(manifest, "waiting", f"originals are deleted after {_hours(left)}") if left > 0 else None

    def _carry_out(self, manifest: Manifest) -> ExpiredPartition:
        waiting = self._waiting(manifest)
        if waiting is not None:
            return waiting
        rules = self.rules.of(manifest)
        originals = self._opener(self.lake_url, rules.expire.wait)
        archive = self.snapshot.archive
        problem = _forbidden(rules)
        replica = None
        if problem is None:
            try:
                replica = self._replica(rules)
            except (Corrupt, UsageError) as error:
                problem = f"replica {rules.expire.replica}: {error}"
        held = self.snapshot.state.only_copies[manifest.partition]
        done = log_steps.carry_out(
            archive, manifest.partition, originals, problem=problem, replica=replica, writer=writer_name()
        )
        files = tuple(OriginalFate(path, fate or "set aside") for path, fate in done.fates)
        if done.commit is None:
            reason = f"in quarantine; deleted by a run after {_hours(rules.expire.wait)}"
            return self._row(manifest, "set aside", reason, files=files)
        originals.clear(log_steps.key_of(archive, held.number))
        gone = all(fate in ("deleted", "absent") for _, fate in done.fates)
        reason = done.problem or ("" if gone else "files that are not the version that was compressed were kept")
        return self._row(manifest, "expired" if gone else "kept", reason, files=files, commit=done.commit)

    def _write_notes(self) -> None:
        originals = self._opener(self.lake_url, DAY)
        write_notes(originals, open_snapshot(self._archive_url), self.lake)

    def _row(
        self,
        manifest: Manifest,
        action: Literal["refused", "due", "recorded", "waiting", "set aside", "expired", "kept", "done"],
        reason: str,
        *,
        files: Iterable[OriginalFate] = (),
        commit: int | None = None,
    ) -> ExpiredPartition:
        return ExpiredPartition(manifest.partition, action, reason, tuple(files), commit)


def lake_id(lake: str) -> str:
    """How an intent names a lake: an absolute path, or the URL as it was given."""
    place = locate(lake)
    return str(Path(place.path).resolve()) if place.local else lake.rstrip("/")


def _forbidden(rules: Retire) -> str | None:
    """Why the policy as it is now does not let originals go, though it did when the intent was recorded."""
    if rules.pinned:
        return "its policy says pinned now"
    return None if rules.expire.enabled else "its policy does not enable expire any more"


def _list(lake: str) -> list[LakePartition]:
    """The lake's partitions; none where all have gone."""
    try:
        return list_partitions(lake)
    except LakeError as error:
        if "the lake is empty" in str(error):
            return []
        raise


def _changed(source: LakePartition) -> str | None:
    try:
        return None if refresh(source) == source else "they changed while they were compared; run again"
    except LakeError as error:
        return str(error)


def _hours(seconds: float) -> str:
    return f"{seconds / DAY:.1f} days" if seconds >= 2 * DAY else f"{seconds / HOUR:.1f} hours"
