"""Garbage collection in two phases through the log: names are condemned by a commit first, and deleted only then.

Garbage is what no retained snapshot reaches: what older snapshots alone refer to, and leftovers of writers that were
stopped. A writer that relies on a condemned name gives up at its commit (`commit.refuse_conflict`), a reader of a
snapshot that needs one gets `SnapshotExpired`. A run that is killed is finished by the next one, which deletes whatever
was condemned and is still there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ae_core.archive.commit import append
from ae_core.archive.format import Manifest, ObjectRef, read_manifest
from ae_core.archive.log import Archive, commits_after, read_state
from ae_core.archive.names import CHECKPOINTS, FOLDERS, PARTITIONS, REPORTS, TEMPORARY, commit_name, folder_of, new_uid
from ae_core.archive.stage import Proposal
from ae_core.archive.state import Logged, State, advance
from ae_core.archive.store import Listed
from ae_core.errors import ArchiveDamaged, Corrupt

DAY = 86_400.0
_FOLDERS = tuple(f"{folder}/" for folder in (PARTITIONS, REPORTS, CHECKPOINTS, *FOLDERS.values()))
_CONDEMN_BYTES = 800_000  # of names in one commit, which may have 1 MiB in all


@dataclass(frozen=True)
class Retention:
    """What gc keeps: the last `snapshots` and all that were the newest within the last `days`.

    What no commit names is spared for `orphan_days`: it may belong to a writer at work. That is a courtesy (the log
    decides), so that a long run does not have to start again.
    """

    snapshots: int = 10
    days: float = 7.0
    orphan_days: float = 1.0


@dataclass(frozen=True)
class Garbage:
    """What can go, largest concern first: `oldest` is the first snapshot that stays readable.

    `expired` is reached by older snapshots alone, `orphans` by no commit, `condemned` was given up by an earlier run
    that did not come to its end, `unfinished` are writes that were never completed.
    """

    oldest: int
    expired: tuple[Listed, ...]
    orphans: tuple[Listed, ...]
    condemned: tuple[Listed, ...]
    unfinished: tuple[Listed, ...]

    @property
    def new(self) -> tuple[Listed, ...]:
        """What has to be condemned before it may go."""
        return self.expired + self.orphans

    @property
    def all(self) -> tuple[Listed, ...]:
        """Everything that can go."""
        return self.condemned + self.unfinished + self.new


@dataclass(frozen=True)
class Collected:
    """What a run did: the commits that condemned, and what was deleted."""

    commits: tuple[int, ...]
    deleted: tuple[Listed, ...]
    oldest: int


@dataclass
class _Reach:
    """Manifests that were read already: a retry after a lost race reads the new ones only."""

    archive: Archive
    manifests: dict[str, Manifest] = field(default_factory=dict)
    commits: tuple[Logged, ...] = ()

    def log(self, state: State) -> tuple[Logged, ...]:
        """Every commit up to the state's head, no checkpoint used: older snapshots count too."""
        self.commits += commits_after(self.archive, state, len(self.commits) - 1)
        return self.commits

    def manifest(self, ref: ObjectRef) -> Manifest:
        if ref.sha256 not in self.manifests:
            try:
                data = self.archive.store.get(ref.name, ref.length, ref.sha256)
                self.manifests[ref.sha256] = read_manifest(data, ref.name)
            except Corrupt as damage:
                raise ArchiveDamaged(
                    f"{damage}; what it refers to is unknown, so nothing is deleted: mend it first (latentlake verify)"
                ) from None
        return self.manifests[ref.sha256]


def find(archive: Archive, retention: Retention | None = None) -> Garbage:
    """What a run would delete now; nothing is changed.

    Raises
    ------
    ArchiveDamaged
        If a manifest that is kept cannot be read.
    """
    listed = _listed(archive)
    return _sort(_Reach(archive), read_state(archive), listed, archive.store.clock(), retention or Retention())


def collect(
    archive: Archive,
    retention: Retention | None = None,
    *,
    writer: str,
    pause: Callable[[float], None] = time.sleep,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Collected:
    """Condemn what no retained snapshot reaches, then delete it, and what earlier runs condemned.

    Raises
    ------
    ArchiveDamaged
        If a manifest that is kept cannot be read.
    NotCommitted, StoreUnsafe
        As `commit.append`, and if a deletion is refused.
    """
    retention = retention or Retention()
    reach, listed, now = _Reach(archive), _listed(archive), archive.store.clock()
    state = read_state(archive)
    found = _sort(reach, state, listed, now, retention)
    waiting = {entry.name: entry for entry in (*found.condemned, *found.unfinished)}
    total, deleted = len(found.all), list[Listed]()
    commits: list[int] = []
    for entry in waiting.values():
        deleted.append(_delete(archive, entry))
        progress(len(deleted), total)
    while True:
        names = _condemn(reach, listed, now, retention, writer=writer, since=state.head, pause=pause, into=commits)
        if not names:
            break
        for name in names:  # only now, and exactly these
            deleted.append(_delete(archive, listed[name]))
            progress(len(deleted), max(total, len(deleted)))
    return Collected(tuple(commits), tuple(deleted), found.oldest)


class _NothingLeft(Exception):
    """Nothing has to be condemned any more."""


def _condemn(
    reach: _Reach,
    listed: Mapping[str, Listed],
    now: float,
    retention: Retention,
    *,
    writer: str,
    since: int,
    pause: Callable[[float], None],
    into: list[int],
) -> tuple[str, ...]:
    """The names that one commit condemned; none if there is nothing to condemn. `into` gets the commit's number."""
    chosen: tuple[str, ...] = ()

    def build(state: State) -> Proposal:
        nonlocal chosen  # worked out anew on every newer state: what became reachable is spared
        chosen = tuple(_as_many_as_fit(entry.name for entry in _sort(reach, state, listed, now, retention).new))
        if not chosen:
            raise _NothingLeft
        return Proposal(condemned=chosen)

    try:
        done = append(reach.archive, build, op_key=new_uid(), since=since, writer=writer, note="gc", pause=pause)
    except _NothingLeft:
        return ()
    into.append(done.number)
    return chosen


def _as_many_as_fit(names: Iterable[str]) -> Iterable[str]:
    room = _CONDEMN_BYTES
    for name in names:
        room -= len(name) + 3
        if room < 0:
            return
        yield name


def _delete(archive: Archive, entry: Listed) -> Listed:
    archive.store.delete(entry.name)
    return entry


def _listed(archive: Archive) -> dict[str, Listed]:
    """Every object of the archive by name; commits too, for their age."""
    return {entry.name: entry for entry in archive.store.list("") if entry.size is not None}


def oldest_kept(state: State, listed: Mapping[str, Listed], now: float, retention: Retention) -> int:
    """Number of the oldest snapshot that is kept; -1 for an archive without commits.

    A snapshot is as old as the commit after it, which ended it. A commit of unknown age counts as new, and a clock
    that went backwards makes everything young: it never leads to deletion.
    """
    oldest = max(0, state.head - max(1, retention.snapshots) + 1)
    while oldest > 0 and _age(listed.get(commit_name(oldest)), now) < retention.days * DAY:
        oldest -= 1
    return min(oldest, state.head)


def _age(entry: Listed | None, now: float) -> float:
    return 0.0 if entry is None or entry.modified is None else now - entry.modified


def _sort(reach: _Reach, state: State, listed: Mapping[str, Listed], now: float, retention: Retention) -> Garbage:
    """The garbage among `listed`, as `state` sees it."""
    oldest = oldest_kept(state, listed, now, retention)
    kept = _reachable(reach, state, oldest)
    known = _named_by_commits(reach.log(state))
    expired, orphans, condemned, unfinished = [], [], [], []
    for name, entry in sorted(listed.items()):
        if name in state.condemned:
            condemned.append(entry)
        elif name.startswith(f"{TEMPORARY}/"):
            if _age(entry, now) >= retention.orphan_days * DAY:
                unfinished.append(entry)
        elif name in kept or not name.startswith(_FOLDERS):
            continue
        elif name in known or folder_of(name) in known:
            expired.append(entry)
        elif _age(entry, now) >= retention.orphan_days * DAY:
            orphans.append(entry)
    return Garbage(oldest, tuple(expired), tuple(orphans), tuple(condemned), tuple(unfinished))


def _reachable(reach: _Reach, state: State, oldest: int) -> set[str]:
    """Names that a snapshot from `oldest` on refers to, and every report: the log speaks of them."""
    commits = reach.log(state)
    names = {logged.commit.report.name for logged in commits if logged.commit.report is not None}
    names |= {state.checkpoint.name} if state.checkpoint else set()
    recent = commits[max(oldest, 0) :]
    needed = {ref.sha256 for logged in recent for ref in logged.commit.shared}  # a new model serves nobody yet
    for ref in _manifests(commits, oldest):
        if ref.name in state.condemned:
            continue  # its snapshot expired under a shorter retention
        manifest = reach.manifest(ref)
        names |= {ref.name, *(layer.file.name for layer in manifest.layers)}
        needed |= {manifest.table} | ({manifest.model} if manifest.model else set())
    for logged in commits:
        names.update(name for ref in logged.commit.shared if ref.sha256 in needed for name in ref.names)
    return names


def _manifests(commits: Sequence[Logged], oldest: int) -> Sequence[ObjectRef]:
    """The manifests of all snapshots from `oldest` to the head."""
    first = advance(State(), commits[: oldest + 1]).partitions.values()
    later = (change.manifest for logged in commits[oldest + 1 :] for change in logged.commit.changes)
    return list(dict.fromkeys([*first, *(ref for ref in later if ref is not None)]))


def _named_by_commits(commits: Sequence[Logged]) -> set[str]:
    """Shared objects that a commit names, and the folders of the manifests that one names."""
    names = {name for logged in commits for ref in logged.commit.shared for name in ref.names}
    for logged in commits:
        names.update(folder_of(change.manifest.name) for change in logged.commit.changes if change.manifest is not None)
    return names
