"""Making an archive and appending to its log: the only place where something becomes visible.

A commit is one create-if-absent of the next number. Who loses the race reads what came in between, gives up if it
concerns the same things, and otherwise tries the next number. No lock, no lease, no clock decides anything.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.format import Commit, Marker, commit_bytes, marker_bytes
from ae_core.archive.log import Archive, Logged, State, open_archive, read_state
from ae_core.archive.names import MARKER, commit_name, new_uid, witness_name
from ae_core.archive.stage import Proposal
from ae_core.archive.store import NameTaken, OutcomeUnknown, Store, open_store
from ae_core.errors import (
    CommitConflict,
    CommitUnknown,
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
    marker = marker_bytes(Marker(new_uid(), writer))
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
    deadline
        Seconds to wait for the outcome of one commit object.

    Raises
    ------
    CommitConflict
        If another writer's commit stands against this one; nothing was changed.
    NotCommitted
        If the race was lost `tries` times, or the commit is too large.
    CommitUnknown
        If the store did not say in time whether the commit landed; run again, `op_key` recognises it.
    StoreUnsafe
        If the store turns out not to honour create-if-absent.
    """
    uid = new_uid()
    state = read_state(archive)
    for attempt in range(tries):
        done = state.done(op_key)
        if done is not None:
            return Committed(done.commit.number, done.sha256, again=done.commit.uid != uid)
        proposal = build(state)
        refuse_conflict(proposal, state, since)
        data = commit_bytes(_commit(archive, state, proposal, uid=uid, op_key=op_key, writer=writer, note=note))
        if len(data) > MAX_COMMIT:
            raise NotCommitted(
                f"a commit of {len(data)} bytes is too large ({MAX_COMMIT} at most): use smaller batches"
            )
        if _place(archive.store, commit_name(state.head + 1), data, op_key, deadline, pause):
            _leave_witness(archive.store, state.head + 1, sha256_hex(data))
            return Committed(state.head + 1, sha256_hex(data))
        _back_off(attempt, pause)
        state = read_state(archive, known=state)
    raise NotCommitted(f"{archive.store.url}: {tries} tries lost to other writers; nothing is lost, run again")


def refuse_conflict(proposal: Proposal, state: State, since: int) -> None:
    """Nothing, if `proposal` may follow the commits after `since`.

    Raises
    ------
    CommitConflict
    """
    mine = {change.partition for change in proposal.changes}
    for logged in state.commits[since + 1 :]:
        both = sorted(mine & {change.partition for change in logged.commit.changes})
        if both:
            raise CommitConflict(
                f"partition {both[0]} was changed by commit {logged.commit.number} meanwhile; "
                "nothing was changed, run again"
            )
    held = state.shared.keys() | {ref.sha256 for ref in proposal.shared}
    dead = state.condemned & (proposal.names | {name for ref in proposal.shared for name in ref.names})
    if dead or not proposal.needs <= held:
        lost = min(dead) if dead else min(proposal.needs - held)
        raise CommitConflict(
            f"{lost}, which this commit relies on, was given up meanwhile; nothing was changed, run again"
        )


def _commit(
    archive: Archive, state: State, proposal: Proposal, *, uid: str, op_key: str, writer: str, note: str
) -> Commit:
    last: Logged | None = state.commits[-1] if state.commits else None
    return Commit(
        number=state.head + 1,
        parent=last.sha256 if last else archive.marker_sha256,
        uid=uid,
        op_key=op_key,
        writer=writer,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        changes=proposal.changes,
        shared=tuple(ref for ref in proposal.shared if state.shared.get(ref.sha256) != ref),
        report=proposal.report,
        condemned=proposal.condemned,
        note=note,
    )


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


def _leave_witness(store: Store, number: int, sha256: str) -> None:
    """An empty object by which `verify` notices that the newest commit went missing; nothing else depends on it."""
    with contextlib.suppress(StoreUnsafe, CommitUnknown):
        store.put_new(witness_name(number, sha256), b"")


def _back_off(attempt: int, pause: Callable[[float], None]) -> None:
    """Full jitter under a doubling ceiling."""
    pause(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))))
