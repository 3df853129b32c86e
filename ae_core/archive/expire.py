"""Originals leave the lake: intent in the log, a second wait, conditional deletion, outcome in the log.

From the intent on the partition is the only copy (`log.State.only_copies`), so a run that is killed anywhere is resumed
from the log alone; nothing is inferred from the absence of a file. How a file is looked at and deleted is the lake's
business (`Originals`); that the archive holds the data is proved before, by the caller, in a fresh process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ae_core.archive.commit import Committed, append
from ae_core.archive.format import ObjectRef
from ae_core.archive.log import Archive, read_state
from ae_core.archive.names import COMMITS, commit_name, new_uid
from ae_core.archive.originals import Expired, Fate, Intent, OnlyCopy, Original
from ae_core.archive.reader import Snapshot
from ae_core.archive.stage import Proposal
from ae_core.archive.state import State
from ae_core.errors import Corrupt, UsageError

Pause = Callable[[float], None]


class Originals(Protocol):
    """The files of a lake, as expiry sees them; `key` names the intent."""

    def remove(self, file: Original, key: str) -> Fate | None:
        """Delete the file if it is still that version; None if it was set aside and may be deleted in a later run."""
        ...

    def keep(self, file: Original, key: str) -> Fate:
        """Undo what `remove` has begun, as far as that can be done."""
        ...


@dataclass(frozen=True)
class Carried:
    """What became of an intent: the fate of each file (None: set aside, deleted by a later run), why files were kept.

    `commit` is the number of the commit that ended the intent; None while it is open.
    """

    partition: str
    fates: tuple[tuple[str, Fate | None], ...]
    problem: str | None
    commit: int | None


def ages(archive: Archive) -> Callable[[int], float]:
    """Seconds since commit n was stored, by the store's clock; 0 where the store does not tell.

    A clock that went backwards makes commits young: it can delay a deletion and never brings one forward.
    """
    stored = {entry.name: entry.modified for entry in archive.store.list(COMMITS)}
    now = archive.store.clock()

    def age(number: int) -> float:
        modified = stored.get(commit_name(number))
        return 0.0 if modified is None else now - modified

    return age


def intend(
    archive: Archive,
    state: State,
    intents: Sequence[Intent],
    *,
    report: ObjectRef | None,
    writer: str,
    pause: Pause = time.sleep,
) -> Committed:
    """Record that originals are about to be deleted, verified as of `state`.

    Raises
    ------
    CommitConflict
        If a partition changed since, was dropped, or is an only copy already.
    """
    proposal = Proposal(intents=tuple(intents), report=report)
    return append(
        archive, lambda _: proposal, op_key=new_uid(), since=state.head, writer=writer, note="expire", pause=pause
    )


def carry_out(
    archive: Archive,
    partition: str,
    originals: Originals,
    *,
    replica: Archive | None,
    writer: str,
    problem: str | None = None,
    pause: Pause = time.sleep,
) -> Carried:
    """Delete the originals that an open intent names, and record what became of them.

    The log is read anew: the head must still serve the manifest that was verified, with every object of it whole, here
    and in the replica. Else originals are kept, and the intent ends.

    Raises
    ------
    CommitConflict
        If the intent was ended by another run meanwhile.
    """
    state = read_state(archive)
    held = state.only_copies[partition]
    problem = problem or not_held(Snapshot(archive, state), held.intent)
    if problem is None and replica is not None:
        problem = not_held(Snapshot(replica, read_state(replica)), held.intent)
        problem = None if problem is None else f"replica {replica.store.url}: {problem}"
    key = key_of(archive, held.number)
    act = originals.remove if problem is None else originals.keep
    fates = [(file.path, act(file, key)) for file in held.intent.files]
    ended = _ended(partition, held, fates)
    if ended is None:
        return Carried(partition, tuple(fates), problem, None)
    done = append(
        archive,
        lambda _: Proposal(expired=(ended,)),
        op_key=new_uid(),
        since=state.head,
        writer=writer,
        note="expired",
        pause=pause,
    )
    return Carried(partition, tuple(fates), problem, done.number)


def key_of(archive: Archive, intent: int) -> str:
    """What names the intent of commit number `intent` among all that a lake may see."""
    return f"{archive.marker.archive}-{intent}"


def not_held(snapshot: Snapshot, intent: Intent) -> str | None:
    """Why a snapshot does not hold what the intent relies on, every object of it read; None if it does."""
    serves = snapshot.state.partitions.get(intent.partition)
    if serves is None or serves.sha256 != intent.manifest:
        return f"{intent.partition} is not the version that was verified"
    try:
        snapshot.check_objects(intent.partition)
    except (Corrupt, UsageError) as error:  # a store that gives no answer says nothing about the archive
        return str(error)
    return None


def _ended(partition: str, held: OnlyCopy, fates: Sequence[tuple[str, Fate | None]]) -> Expired | None:
    """The end of the intent; None while a file is set aside."""
    final = tuple((path, fate) for path, fate in fates if fate is not None)
    return Expired(partition, held.number, final) if len(final) == len(fates) else None
