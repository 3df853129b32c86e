"""The log of commits read back: which are there, that their chain holds, and the state they add up to.

The listing only says where to start: commits after the highest listed one are asked for by name until one is missing,
so a stale listing can never hide a commit. A gap is damage and is never skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.format import Commit, Marker, ObjectRef, SharedRef, read_commit, read_marker
from ae_core.archive.level import Level
from ae_core.archive.names import COMMITS, MARKER, commit_name, commit_number
from ae_core.archive.originals import OnlyCopy
from ae_core.archive.store import Store, open_store
from ae_core.errors import ArchiveDamaged, UsageError


@dataclass(frozen=True)
class Archive:
    """A store that holds an archive, with its marker; `marker_sha256` is the parent of commit 0."""

    store: Store
    marker: Marker
    marker_sha256: str


@dataclass(frozen=True)
class Logged:
    """A commit as it stands in the log; `sha256` is that of its file, which `sha256sum` prints too."""

    commit: Commit
    sha256: str
    length: int


@dataclass(frozen=True)
class State:
    """What the log says up to a commit: partition -> manifest, SHA-256 -> shared object, names that are dead.

    `only_copies` are the partitions whose originals are about to be deleted, or of which some are gone.
    `level` is that of the commit; None if there is none.
    """

    commits: tuple[Logged, ...] = ()
    partitions: Mapping[str, ObjectRef] = field(default_factory=dict)
    shared: Mapping[str, SharedRef] = field(default_factory=dict)
    condemned: frozenset[str] = frozenset()
    only_copies: Mapping[str, OnlyCopy] = field(default_factory=dict)
    level: Level | None = None

    @property
    def head(self) -> int:
        """Number of the newest commit; -1 if there is none."""
        return len(self.commits) - 1

    def done(self, op_key: str) -> Logged | None:
        """The commit that did the operation `op_key`, if any."""
        return next((logged for logged in self.commits if logged.commit.op_key == op_key), None)


def level_of(archive: Archive, state: State) -> Level:
    """What it takes to read the archive in that state, and to write to it."""
    return state.level or archive.marker.level


def open_archive(url: str, *, store: Store | None = None) -> Archive:
    """The archive at `url`.

    Raises
    ------
    UsageError
        If there is none.
    Corrupt, UnsupportedFormat
        If its marker is damaged, or asks for a newer release.
    """
    store = store or open_store(url)
    data = store.read(MARKER, MAX_COMMIT)
    if data is None:
        if any(commit_number(entry.name) is not None for entry in store.list(COMMITS)):
            raise ArchiveDamaged(
                f"{MARKER}: missing from {store.url}, though commits are there; restore it from a copy"
            )
        raise UsageError(f"no archive at {store.url}: {MARKER} is missing")
    return Archive(store, read_marker(data, MARKER), sha256_hex(data))


def read_state(archive: Archive, *, number: int | None = None, known: State | None = None) -> State:
    """The state at commit `number` (the newest if None), the chain checked from the marker on.

    Parameters
    ----------
    known
        An earlier state of the same archive: only the commits after it are read.

    Raises
    ------
    UsageError
        If the log does not reach `number`.
    ArchiveDamaged, Corrupt, UnsupportedFormat
        If a commit is missing or damaged, or needs a newer release.
    """
    if number is not None and number < 0:
        raise UsageError(f"there is no snapshot {number}: snapshots are counted from 0")
    known = known or State()
    listed = (commit_number(entry.name) for entry in archive.store.list(COMMITS))
    top = max((n for n in listed if n is not None), default=-1)
    commits = list(known.commits)
    while number is None or len(commits) <= number:
        logged = _read_next(archive, commits, required=len(commits) <= top)
        if logged is None:
            break
        commits.append(logged)
    if number is not None and number >= len(commits):
        raise UsageError(f"there is no snapshot {number}: the newest is {len(commits) - 1}")
    return _advance(known, commits if number is None else commits[: number + 1])


def _read_next(archive: Archive, commits: list[Logged], *, required: bool) -> Logged | None:
    """The commit after `commits`; None if there is none and none is `required`."""
    number = len(commits)
    name = commit_name(number)
    data = archive.store.read(name, MAX_COMMIT)
    if data is None:
        if required:
            raise ArchiveDamaged(f"{name}: missing, though later commits are there; restore it from a copy")
        return None
    commit = read_commit(data, name)
    parent = commits[-1].sha256 if commits else archive.marker_sha256
    if commit.number != number or commit.parent != parent:
        raise ArchiveDamaged(f"{name}: does not continue the log (is it from another archive?)")
    return Logged(commit, sha256_hex(data), len(data))


def _advance(known: State, commits: list[Logged]) -> State:
    """`known` with the changes of the commits after it; from scratch if `commits` ends earlier."""
    if len(commits) < len(known.commits):
        known = State()
    partitions, shared, condemned = dict(known.partitions), dict(known.shared), set(known.condemned)
    only_copies = dict(known.only_copies)
    for logged in commits[len(known.commits) :]:
        commit = logged.commit
        for change in commit.changes:
            if change.manifest is None:
                partitions.pop(change.partition, None)
            else:
                partitions[change.partition] = change.manifest
        shared.update((ref.sha256, ref) for ref in commit.shared)
        condemned.update(commit.condemned)
        _follow_originals(only_copies, commit)
    alive = {sha: ref for sha, ref in shared.items() if not condemned.intersection(ref.names)}
    level = commits[-1].commit.level if commits else None
    return State(tuple(commits), partitions, alive, frozenset(condemned), only_copies, level)


def _follow_originals(only_copies: dict[str, OnlyCopy], commit: Commit) -> None:
    """What a commit says about originals; a partition that is removed leaves nothing to be the only copy of."""
    for change in commit.changes:
        if change.manifest is None:
            only_copies.pop(change.partition, None)
    for intent in commit.intents:
        only_copies[intent.partition] = OnlyCopy(commit.number, intent)
    for expired in commit.expired:
        held = only_copies.get(expired.partition)
        if held is None or held.number != expired.intent:
            continue
        if expired.gone:
            only_copies[expired.partition] = replace(held, expired=expired)
        else:
            del only_copies[expired.partition]
