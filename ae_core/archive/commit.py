"""Making an archive and appending to its log: the only place where something becomes visible.

A commit is one create-if-absent of the next number. Who loses the race reads what came in between, gives up if it
concerns the same things, and otherwise tries the next number. No lock, no lease, no clock decides anything.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.format import Commit, Marker, ObjectRef, commit_bytes, marker_bytes, read_commit
from ae_core.archive.level import Level, newest
from ae_core.archive.log import Archive, commits_after, level_of, open_archive, read_state
from ae_core.archive.names import MARKER, WITNESSES, checkpoint_name, commit_name, new_uid, witness_name, witnessed
from ae_core.archive.stage import Proposal
from ae_core.archive.state import MAX_CHECKPOINT, State, checkpoint_bytes
from ae_core.archive.store import NameTaken, OutcomeUnknown, Store, open_store
from ae_core.errors import (
    ArchiveDamaged,
    CommitConflict,
    CommitUnknown,
    DataWouldBeLost,
    NotCommitted,
    OutputExists,
    StoreDenied,
    StoreUnreachable,
    StoreUnsafe,
)

TRIES = 60
DEADLINE = 120.0
"""Seconds that one commit object may take."""
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 2.0


@dataclass(frozen=True)
class Committed:
    """The commit that holds the changes; `again` if an earlier run of the same operation had made it."""

    number: int
    sha256: str
    again: bool = False


def create_archive(url: str, *, writer: str, store: Store | None = None) -> Archive:
    """A new, empty archive at `url`, after the store has proved that commits are safe there.

    Raises
    ------
    OutputExists
        If the place holds anything already.
    StoreUnsafe
        If the store does not honour create-if-absent.
    """
    store = store or open_store(url, create=True)
    store.probe()
    if any(entry.size is None or not entry.name.startswith("_tmp/") for entry in store.list("")):
        raise OutputExists(f"{store.url} is not empty; an archive needs a place of its own")
    marker = marker_bytes(Marker(new_uid(), writer, newest()))
    try:
        store.create(MARKER, marker)
    except (NameTaken, OutcomeUnknown):
        found = store.read(MARKER, MAX_COMMIT)  # our own, if only the answer was lost
        if found is None:
            raise CommitUnknown(
                f"{store.url}: the store gave no answer while the archive was made; run again"
            ) from None
        if found != marker:
            raise OutputExists(f"{store.url}: another process has just made an archive there; run again") from None
    return open_archive(url, store=store)


def append(
    archive: Archive,
    build: Callable[[State], Proposal],
    *,
    op_key: str,
    since: int,
    writer: str,
    note: str = "",
    level: Level | None = None,
    tries: int = TRIES,
    deadline: float = DEADLINE,
    pause: Callable[[float], None] = time.sleep,
) -> Committed:
    """Commit what `build` proposes on top of the newest state, once for every `op_key`.

    Parameters
    ----------
    build
        Called with the newest state before each try, so that what depends on it can be worked out anew.
    op_key
        Names the operation: SHA-256 of all that determines it. A commit that holds it already is returned as it is.
    since
        Head of the log before the first upload: a later commit that touches the same partitions, or condemns
        something that the proposal relies on, makes this one give up.
    level
        What the archive is raised to; what it has, if None.
    deadline
        Seconds to wait for the outcome of one commit object.

    Raises
    ------
    UnsupportedFormat
        If the archive has a feature that this release does not know how to keep right.
    CommitConflict
        If another writer's commit stands against this one; nothing was changed.
    DataWouldBeLost
        If the only copy of a partition would be changed or removed without that being accepted.
    NotCommitted
        If the race was lost `tries` times, or the commit is too large.
    CommitUnknown
        If the store did not say in time whether the commit landed; run again, `op_key` recognises it.
    ArchiveDamaged
        If the newest commits went missing: nothing is written over what a replica still has.
    StoreUnsafe
        If the store turns out not to honour create-if-absent.
    """
    uid = new_uid()
    state = _whole_state(archive)
    checkpoint = _put_checkpoint(archive, state)
    for attempt in range(tries):
        done = state.done(op_key)
        if done is not None:
            return _committed(archive, done, uid)
        kept = level_of(archive, state)
        kept.check_writable(archive.store.url)
        proposal = build(state)
        refuse_conflict(proposal, archive, state, since)
        commit = _commit(archive, state, proposal, uid=uid, op_key=op_key, writer=writer, note=note)
        data = commit_bytes(with_checkpoint(replace(commit, level=level or kept), state, checkpoint))
        if len(data) > MAX_COMMIT:
            raise NotCommitted(
                f"a commit of {len(data)} bytes is too large ({MAX_COMMIT} at most): use smaller batches"
            )
        if _place(archive.store, commit_name(state.head + 1), data, op_key, deadline, pause):
            leave_witness(archive.store, state.head + 1, sha256_hex(data))
            _refuse_overwriting(archive.store, state.head + 1, sha256_hex(data))
            return Committed(state.head + 1, sha256_hex(data))
        _back_off(attempt, pause)
        state = read_state(archive, known=state)
    raise NotCommitted(f"{archive.store.url}: {tries} tries lost to other writers; nothing is lost, run again")


def _whole_state(archive: Archive) -> State:
    """The newest state, if no commit that was acknowledged is missing at its end."""
    state = read_state(archive)
    newest = max((number for number, _ in _witnesses(archive.store)), default=-1)
    if newest > state.head:
        state = read_state(archive, known=state)  # somebody has just committed
    if newest > state.head:
        raise ArchiveDamaged(
            f"{archive.store.url}: {commit_name(newest)} was there and is missing; nothing was written "
            "(latentlake verify --repair-from REPLICA brings it back)"
        )
    return state


def _refuse_overwriting(store: Store, number: int, sha256: str) -> None:
    """Nothing, if no other commit of that number was acknowledged: a store may start to overwrite what is there."""
    others: list[tuple[int, str]] = []
    with contextlib.suppress(StoreUnreachable, StoreDenied):  # it did land, whether or not this can be asked
        others = [(found, other) for found, other in _witnesses(store) if found == number and other != sha256]
    if others:
        raise StoreUnsafe(
            f"{store.url}: {commit_name(number)} was another writer's and was overwritten by this one's: the store no "
            "longer honours create-if-absent; stop all writers, then latentlake doctor and verify there"
        )


def _witnesses(store: Store) -> Iterator[tuple[int, str]]:
    """Number and SHA-256 of every commit that a writer saw in its place."""
    return filter(None, (witnessed(entry.name) for entry in store.list(WITNESSES)))


def refuse_conflict(proposal: Proposal, archive: Archive, state: State, since: int) -> None:
    """Nothing, if `proposal` may follow the commits after `since`.

    Raises
    ------
    CommitConflict
    DataWouldBeLost
        If it changes or removes a partition whose originals are going or gone, and does not say that this is accepted.
    """
    _refuse_changed(proposal, archive, state, since)
    _refuse_condemned(proposal, state)
    _refuse_only_copy(proposal, state)
    _refuse_stale(proposal, state)


def _refuse_changed(proposal: Proposal, archive: Archive, state: State, since: int) -> None:
    """A partition of ours that another commit changed, or recorded an intent or its end for, since we looked."""
    mine = _concerned(proposal)
    for logged in commits_after(archive, state, since):
        both = sorted(mine & _concerned(logged.commit))
        if both:
            raise CommitConflict(
                f"partition {both[0]} was changed by commit {logged.commit.number} meanwhile; "
                "nothing was changed, run again"
            )


def _concerned(commit: Proposal | Commit) -> set[str]:
    """The partitions that a commit says anything about."""
    changed = {change.partition for change in commit.changes}
    return changed | {i.partition for i in commit.intents} | {e.partition for e in commit.expired}


def _refuse_condemned(proposal: Proposal, state: State) -> None:
    """What the proposal relies on and gc has given up: such a name is dead for good."""
    held = state.shared.keys() | {ref.sha256 for ref in proposal.shared}
    dead = state.condemned & (proposal.names | {name for ref in proposal.shared for name in ref.names})
    if dead or not proposal.needs <= held:
        lost = min(dead) if dead else min(proposal.needs - held)
        raise CommitConflict(
            f"{lost}, which this commit relies on, was given up meanwhile; nothing was changed, run again"
        )


def _refuse_only_copy(proposal: Proposal, state: State) -> None:
    """The last copy of a partition is never changed or removed unless its owner said so."""
    only = sorted({change.partition for change in proposal.changes} & state.only_copies.keys())
    if only and not proposal.only_copy:
        raise DataWouldBeLost(
            f"partition {only[0]} is the only copy: commit {state.only_copies[only[0]].number} recorded that its "
            "originals are deleted; nothing was changed (to remove it for good: latentlake drop --only-copy-accepted)"
        )


def _refuse_stale(proposal: Proposal, state: State) -> None:
    """An intent for another manifest than the head's; the end of an intent that is not open."""
    for intent in proposal.intents:
        serves = state.partitions.get(intent.partition)
        if serves is None or serves.sha256 != intent.manifest or intent.partition in state.only_copies:
            raise CommitConflict(
                f"partition {intent.partition} is not what was verified; nothing was changed, run again"
            )
    for expired in proposal.expired:
        held = state.only_copies.get(expired.partition)
        if held is None or not held.open or held.number != expired.intent:
            raise CommitConflict(f"partition {expired.partition} has no open intent {expired.intent}; run again")


def _commit(
    archive: Archive, state: State, proposal: Proposal, *, uid: str, op_key: str, writer: str, note: str
) -> Commit:
    return Commit(
        number=state.head + 1,
        parent=state.sha256 or archive.marker_sha256,
        uid=uid,
        op_key=op_key,
        writer=writer,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        changes=proposal.changes,
        shared=tuple(ref for ref in proposal.shared if state.shared.get(ref.sha256) != ref),
        report=proposal.report,
        condemned=proposal.condemned,
        intents=proposal.intents,
        expired=proposal.expired,
        note=note,
        reason=proposal.reason,
        only_copy=proposal.only_copy,
    )


def _committed(archive: Archive, number: int, uid: str) -> Committed:
    """The commit of that number, which the log holds."""
    name = commit_name(number)
    data = archive.store.read(name, MAX_COMMIT)
    if data is None:
        raise ArchiveDamaged(f"{name}: missing, though later commits are there; verify the archive")
    return Committed(number, sha256_hex(data), again=read_commit(data, name).uid != uid)


def _put_checkpoint(archive: Archive, state: State) -> ObjectRef | None:
    """The state as a checkpoint that the next commit may name, if one is due; after a lost race it still is true."""
    if not state.checkpoint_due:
        return None
    data = checkpoint_bytes(state, archive.marker.archive)
    if len(data) > MAX_CHECKPOINT:
        return None
    sha256 = sha256_hex(data)
    ref = ObjectRef(checkpoint_name(state.head, sha256), len(data), sha256)
    archive.store.put_new(ref.name, data)
    return ref


def with_checkpoint(commit: Commit, state: State, checkpoint: ObjectRef | None) -> Commit:
    """The commit that names the checkpoint in place of the one before, if one is due."""
    if checkpoint is None or not state.checkpoint_due:
        return commit
    before = () if state.checkpoint is None else (state.checkpoint.name,)
    return replace(commit, checkpoint=checkpoint, condemned=commit.condemned + before)


def _place(store: Store, name: str, data: bytes, op_key: str, deadline: float, pause: Callable[[float], None]) -> bool:
    """Whether the commit `name` is ours; False if another writer has the number.

    Nothing is taken from the answer alone: the object is read back and compared, which finds our own commit behind a
    lost answer, and a store that lets one writer overwrite another.
    """
    end = time.monotonic() + deadline
    unknown = f"{store.url}: whether {name} landed is unknown; run again (operation {op_key})"
    attempt = 0
    while True:
        created = False
        found = None
        try:
            with contextlib.suppress(NameTaken, OutcomeUnknown):
                store.create(name, data)
                created = True
            found = store.read(name, MAX_COMMIT)
        except StoreUnreachable:
            pass
        except (StoreUnsafe, StoreDenied) as error:
            if attempt == 0 and not created:
                raise  # the first request was refused, so nothing is under way
            raise CommitUnknown(f"{unknown}: {error}") from None
        if found == data:
            return True
        if found is not None and not created:
            return False
        if found is not None:
            raise StoreUnsafe(f"{store.url}: {name} was overwritten by another writer; run latentlake doctor there")
        if time.monotonic() > end:
            raise CommitUnknown(unknown)
        _back_off(attempt, pause)
        attempt += 1


def place(store: Store, name: str, data: bytes, op_key: str) -> bool:
    """Whether a commit that was made elsewhere is the one of that name here now.

    Raises
    ------
    CommitUnknown, StoreUnsafe
        As of `append`.
    """
    return _place(store, name, data, op_key, DEADLINE, time.sleep)


def leave_witness(store: Store, number: int, sha256: str) -> None:
    """An empty object by which `verify` notices that the newest commit went missing; nothing else depends on it."""
    with contextlib.suppress(StoreUnsafe, CommitUnknown):
        store.put_new(witness_name(number, sha256), b"")


def _back_off(attempt: int, pause: Callable[[float], None]) -> None:
    """Full jitter under a doubling ceiling."""
    pause(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))))
