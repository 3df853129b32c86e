"""The log of commits read back: which are there, that their chain holds, and the state they add up to.

The listing only says where to start: commits after the highest listed one are asked for by name until one is missing,
so a stale listing can never hide a commit. A gap is damage and is never skipped. A commit may name a checkpoint, the
whole state at an earlier commit: then only the commits after that one are read. A checkpoint that is missing or
damaged is passed over, since the commits before it say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.format import Commit, Marker, ObjectRef, read_commit, read_marker
from ae_core.archive.level import Level
from ae_core.archive.names import COMMITS, MARKER, commit_name, commit_number
from ae_core.archive.state import Logged, State, advance, read_checkpoint
from ae_core.archive.store import Store, open_store
from ae_core.errors import ArchiveDamaged, Corrupt, LatentlakeError, UsageError
from ae_core.threads import ordered_map

READERS = 16
"""Commits that are read at once: a store far away answers each of them late."""


@dataclass(frozen=True)
class Archive:
    """A store that holds an archive, with its marker; `marker_sha256` is the parent of commit 0."""

    store: Store
    marker: Marker
    marker_sha256: str


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
                f"{MARKER}: missing from {store.url}, though commits are there; "
                "restore it: latentlake verify ARCHIVE --repair-from REPLICA"
            )
        raise UsageError(f"no archive at {store.url}: {MARKER} is missing")
    return Archive(store, read_marker(data, MARKER), sha256_hex(data))


def read_state(archive: Archive, *, number: int | None = None, known: State | None = None) -> State:
    """The state at commit `number` (the newest if None), the chain checked from the marker or a checkpoint on.

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
    top = newest_listed(archive.store)
    seen: dict[int, _File] = {}
    if known is None or (number is not None and number < known.head):
        known = _newest_checkpoint(archive, top if number is None else min(number, top), seen)
    state = advance(known, _follow(archive, known, number, top, seen))
    if number is not None and number > state.head:
        raise UsageError(f"there is no snapshot {number}: the newest is {state.head}")
    return state


def read_log(archive: Archive, *, number: int | None = None) -> tuple[Logged, ...]:
    """Every commit up to `number` (the newest if None), the chain checked from the marker on; no checkpoint is used.

    Raises
    ------
    UsageError, ArchiveDamaged, Corrupt, UnsupportedFormat
        As of `read_state`.
    """
    top = newest_listed(archive.store)
    last = top if number is None else min(number, top)
    seen = {back: _File(data) for back, data in _stored(archive.store, range(last + 1))}
    commits = tuple(_follow(archive, State(), number, top, seen))
    if number is not None and number >= len(commits):
        raise UsageError(f"there is no snapshot {number}: the newest is {len(commits) - 1}")
    return commits


def commits_after(archive: Archive, state: State, since: int) -> tuple[Logged, ...]:
    """The commits after number `since` up to the state's head, which has to be one of `archive`.

    Raises
    ------
    ArchiveDamaged, Corrupt
    """
    if state.head <= since:
        return ()
    if since >= state.head - len(state.recent):
        return state.recent[since - state.head :]
    return read_log(archive, number=state.head)[since + 1 :]


def newest_listed(store: Store) -> int:
    """Number of the newest commit that a listing shows; there may be newer ones. -1 if it shows none."""
    listed = (commit_number(entry.name) for entry in store.list(COMMITS))
    return max((n for n in listed if n is not None), default=-1)


@dataclass(frozen=True)
class _File:
    """A commit's file that was read already, and what it says if it was parsed."""

    data: bytes
    commit: Commit | None = None


def _newest_checkpoint(archive: Archive, number: int, seen: dict[int, _File]) -> State:
    """The state of the last checkpoint that commit `number` or one before it names; what is read goes to `seen`."""
    for back, data in _stored(archive.store, range(number, -1, -1)):
        try:
            commit = read_commit(data, commit_name(back))
        except LatentlakeError:
            break  # reading forwards meets it again, and says what it means
        seen[back] = _File(data, commit)
        if commit.checkpoint is not None:
            with suppress(Corrupt):
                return _checkpoint(archive, commit.checkpoint, back)
    return State()


def _checkpoint(archive: Archive, ref: ObjectRef, named_by: int) -> State:
    state = read_checkpoint(archive.store.get(ref.name, ref.length, ref.sha256), ref, archive.marker.archive)
    if state.head >= named_by:
        raise Corrupt(f"{ref.name}: tells of commits after the one that names it")
    return state


def _stored(store: Store, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """The files of these commits, as far as they can be read without a miss; nothing is checked here."""

    def read(number: int) -> tuple[int, bytes | None]:
        try:
            return number, store.read(commit_name(number), MAX_COMMIT)
        except Corrupt:
            return number, None

    for number, data in ordered_map(read, numbers, threads=READERS):
        if data is None:
            return
        yield number, data


def _follow(archive: Archive, known: State, number: int | None, top: int, seen: dict[int, _File]) -> Iterator[Logged]:
    """The commits after `known` up to `number`, or until one is missing that nothing says should be there."""
    last, parent = known.head, known.sha256 or archive.marker_sha256
    while number is None or last < number:
        logged = _read_next(archive, last + 1, parent, seen.pop(last + 1, None), required=last + 1 <= top)
        if logged is None:
            return
        yield logged
        last, parent = logged.commit.number, logged.sha256


def _read_next(archive: Archive, number: int, parent: str, seen: _File | None, *, required: bool) -> Logged | None:
    """Commit `number`, which has to follow `parent`; None if there is none and none is `required`."""
    name = commit_name(number)
    data = archive.store.read(name, MAX_COMMIT) if seen is None else seen.data
    if data is None:
        if required:
            raise ArchiveDamaged(
                f"{name}: missing, though later commits are there; "
                "restore it: latentlake verify ARCHIVE --repair-from REPLICA"
            )
        return None
    commit = seen.commit if seen is not None and seen.commit is not None else read_commit(data, name)
    if commit.number != number or commit.parent != parent:
        raise ArchiveDamaged(f"{name}: does not continue the log (is it from another archive?)")
    return Logged(commit, sha256_hex(data), len(data))
