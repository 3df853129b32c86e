"""A replica: the same objects under the same names, so that the head commit has the same SHA-256.

Objects first, then the commits that name them, in order: the replica is an archive at every moment, and a copy that was
interrupted goes on where it stood. A replica that is a prefix of its source is advanced; one that has a history of its
own is refused. What the source has condemned is not copied, so snapshots that expired there have expired here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ae_core.archive.commit import leave_witness, place
from ae_core.archive.fields import MAX_COMMIT
from ae_core.archive.format import ObjectRef, read_manifest
from ae_core.archive.log import Archive, commits_after, open_archive, read_log, read_state
from ae_core.archive.names import MARKER, TEMPORARY, WITNESSES, commit_name, witnessed
from ae_core.archive.repair import put_back
from ae_core.archive.state import Logged
from ae_core.archive.store import NameTaken, OutcomeUnknown, Store, open_store
from ae_core.errors import ArchiveDamaged, CommitConflict, Corrupt, DataWouldBeLost, OutputExists
from ae_core.threads import ordered_map

WRITERS = 4
"""Objects that are copied at once; of each no more than a piece is in memory."""

Progress = Callable[[int, int], None]
"""Called with the bytes copied or found so far, and in all (as far as known)."""


@dataclass(frozen=True)
class Copied:
    """What a copy did; `head` and `head_sha256` are those of both archives now, sizes are of what was stored."""

    head: int
    head_sha256: str
    commits: int
    objects: int
    bytes: int
    found: int


def copy_archive(
    source_url: str,
    target_url: str,
    *,
    threads: int = 0,
    progress: Progress | None = None,
    source: Store | None = None,
    target: Store | None = None,
) -> Copied:
    """Make or advance a replica of the archive at `source_url`.

    Raises
    ------
    UsageError, OutputExists
        If there is no archive, or the target holds something else.
    DataWouldBeLost
        If the target is another archive, has commits of its own, or is ahead of the source.
    Corrupt
        If the source is damaged in what has to be copied, or the target's log is; what was copied stays.
    StoreUnsafe
        If commits are not safe at the target.
    CommitConflict
        If somebody else wrote to the target meanwhile.
    """
    archive = open_archive(source_url, store=source)
    log = read_log(archive)
    replica = _open_replica(archive, target or open_store(target_url, create=True))
    done = _common(archive, log, replica, read_log(replica))
    seen = set(filter(None, (witnessed(entry.name) for entry in replica.store.list(WITNESSES))))
    for logged in log[:done]:  # a copy that was killed between a commit and its witness
        if (logged.commit.number, logged.sha256) not in seen:
            leave_witness(replica.store, logged.commit.number, logged.sha256)
    run = _Run(archive, replica, threads or WRITERS, progress, _size(archive.store))
    start = done
    while done < len(log):
        try:
            done = run.advance(log, done)
        except Corrupt:
            later = commits_after(archive, read_state(archive), len(log) - 1)
            if not later:
                raise
            log += later  # gc gave up meanwhile what was missed, or something that matters no longer
    head = log[-1] if log else None
    return Copied(
        head=len(log) - 1,
        head_sha256=head.sha256 if head else archive.marker_sha256,
        commits=len(log) - start,
        objects=run.objects,
        bytes=run.bytes,
        found=run.found,
    )


def _open_replica(archive: Archive, store: Store) -> Archive:
    """The replica, with the source's marker if there is nothing yet."""
    store.probe()
    data = archive.store.read(MARKER, MAX_COMMIT)
    if data is None:
        raise ArchiveDamaged(f"{MARKER}: missing from {archive.store.url}")
    if store.read(MARKER, MAX_COMMIT) is None:
        if any(entry.size is None or not entry.name.startswith(f"{TEMPORARY}/") for entry in store.list("")):
            raise OutputExists(f"{store.url} is not empty and no archive; a replica needs a place of its own")
        with suppress(NameTaken, OutcomeUnknown):
            store.create(MARKER, data)
    replica = open_archive(store.url, store=store)
    if replica.marker_sha256 != archive.marker_sha256:
        raise DataWouldBeLost(
            f"{store.url} is another archive than {archive.store.url}; nothing was copied, choose another place"
        )
    return replica


def _common(archive: Archive, log: Sequence[Logged], replica: Archive, held: Sequence[Logged]) -> int:
    """Number of commits that both have, if the replica has no others."""
    for mine, theirs in zip(log, held, strict=False):
        if mine.sha256 != theirs.sha256:
            raise DataWouldBeLost(
                f"{replica.store.url} has a history of its own: its commit {theirs.commit.number} is not that of "
                f"{archive.store.url}; nothing was copied, choose another place"
            )
    if len(held) > len(log):
        raise DataWouldBeLost(
            f"{replica.store.url} is ahead: it has {len(held) - len(log)} commits after {len(log) - 1}, the newest of "
            f"{archive.store.url}; nothing was copied (the other way round: latentlake copy "
            f"{replica.store.url} {archive.store.url})"
        )
    return len(held)


def _size(store: Store) -> int:
    return sum(entry.size or 0 for entry in store.list(""))


@dataclass
class _Run:
    """A copy in progress."""

    archive: Archive
    replica: Archive
    threads: int
    progress: Progress | None
    total: int
    objects: int = 0
    bytes: int = 0
    found: int = 0
    seen: int = 0

    def advance(self, log: Sequence[Logged], done: int) -> int:
        """Copy the commits from number `done` on, up to the next snapshot that has not expired."""
        condemned = frozenset(name for logged in log for name in logged.commit.condemned)
        end = _whole_after(log, done, condemned)
        needed = self.needed(log[done:end], condemned)
        for ref, stored in ordered_map(lambda one: self.copy(*one), needed, threads=self.threads):
            self.objects += stored
            self.bytes += ref.length if stored else 0
            self.found += not stored
            self.count(ref.length)
        for logged in log[done:end]:
            self.put_commit(logged)
        return end

    def count(self, size: int) -> None:
        """That much more is in the replica."""
        self.seen += size
        if self.progress:
            self.progress(self.seen, max(self.seen, self.total))

    def needed(self, commits: Sequence[Logged], condemned: frozenset[str]) -> Iterator[tuple[ObjectRef, Sequence[str]]]:
        """Every object that the commits name, each once, with all names that its bytes have."""
        known = set(condemned)
        for logged in commits:
            commit = logged.commit
            for shared in commit.shared:
                for twin in shared.twins:
                    if twin.name not in known:
                        known.add(twin.name)
                        yield twin, shared.names
            manifests = [change.manifest for change in commit.changes]
            for ref in (*manifests, commit.report, commit.checkpoint):
                if ref is None or ref.name in known:
                    continue
                known.add(ref.name)
                yield ref, (ref.name,)
                if ref in manifests:
                    for file in self.layers(ref):
                        if file.name not in known:
                            known.add(file.name)
                            yield file, (file.name,)

    def layers(self, ref: ObjectRef) -> list[ObjectRef]:
        """The layer files of a manifest."""
        manifest = read_manifest(self.archive.store.get(ref.name, ref.length, ref.sha256), ref.name)
        return [layer.file for layer in manifest.layers]

    def copy(self, ref: ObjectRef, names: Sequence[str]) -> tuple[ObjectRef, bool]:
        """The object, and whether it had to be stored."""
        store = self.replica.store
        if _holds(store, ref):
            return ref, False
        damage: Corrupt | None = None
        for name in dict.fromkeys((ref.name, *names)):  # from whichever copy is whole
            try:
                # over what an interrupted copy left there, or one beside us: every name stands for one content
                put_back(store, ref, self.archive.store.pieces(name, ref.length, ref.sha256))
            except Corrupt as error:
                damage = damage or error
            else:
                return ref, True
        assert damage is not None
        raise damage

    def put_commit(self, logged: Logged) -> None:
        """The commit's file, byte for byte."""
        name = commit_name(logged.commit.number)
        data = self.archive.store.read(name, MAX_COMMIT)
        if data is None or len(data) != logged.length:
            raise ArchiveDamaged(f"{name}: changed in {self.archive.store.url} while it was copied; verify it")
        if not place(self.replica.store, name, data, logged.commit.op_key):
            raise CommitConflict(f"{self.replica.store.url}: somebody else has written {name}; run again")
        leave_witness(self.replica.store, logged.commit.number, logged.sha256)
        self.count(logged.length)


def _whole_after(log: Sequence[Logged], done: int, condemned: frozenset[str]) -> int:
    """One more than the number of the first commit from `done` on whose snapshot needs nothing that is condemned."""
    lost: set[str] = set()
    for number, logged in enumerate(log):
        for change in logged.commit.changes:
            lost.discard(change.partition)
            if change.manifest is not None and change.manifest.name in condemned:
                lost.add(change.partition)
        if number >= done and not lost:
            return number + 1
    return len(log)


def _holds(store: Store, ref: ObjectRef) -> bool:
    try:
        return store.digest(ref.name) == (ref.length, ref.sha256)
    except Corrupt:
        return False
