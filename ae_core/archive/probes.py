"""What a store has to prove before anything is committed to it, each proof on objects of its own that are removed.

Commits rest on three properties: a name is created once, also when several ask at the same moment; what was written
is read at once; and it is listed at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from ae_core.archive.contract import NameTaken, OutcomeUnknown, Store
from ae_core.archive.names import TEMPORARY, new_uid
from ae_core.errors import StoreUnsafe

RACERS = 8
_SMALL = 64


def prove(store: Store) -> None:
    """Nothing, if the store is safe to commit to.

    Raises
    ------
    StoreUnsafe
        If it is not; the message says which property is missing.
    """
    for proof in (create_once, create_in_a_race, read_after_write, list_after_write):
        problem = proof(store)
        if problem is not None:
            raise StoreUnsafe(f"{store.url}: {problem} (latentlake doctor shows more)")


def create_once(store: Store) -> str | None:
    """What is wrong with creating a name twice, one after the other; None if the second is refused."""
    with _object(store) as name:
        _made(store, name, b"one")
        with contextlib.suppress(NameTaken, OutcomeUnknown):
            store.create(name, b"two")
            return "an object that exists can be created again, so commits could be lost"
        return _kept(store, name, b"one")


def create_in_a_race(store: Store, racers: int = RACERS) -> str | None:
    """What is wrong when several create one name at the same moment; None if exactly one of them has it."""
    with _object(store) as name:
        barrier = Barrier(racers)

        def race(racer: int) -> bool | None:
            """True if it was told that it won, False that it lost, None if it was told nothing."""
            barrier.wait()
            try:
                store.create(name, b"racer %d" % racer)
            except NameTaken:
                return False
            except OutcomeUnknown:
                return None
            return True

        with ThreadPoolExecutor(racers) as pool:
            told = list(pool.map(race, range(racers)))
        winners = [racer for racer, won in enumerate(told) if won]
        if len(winners) > 1:
            return f"{len(winners)} of {racers} that created one object at the same moment were told that they had it"
        if winners:
            return _kept(store, name, b"racer %d" % winners[0])
        held = store.read(name, _SMALL)
        return None if held in [b"racer %d" % racer for racer in range(racers)] else "nobody won a race for an object"


def read_after_write(store: Store) -> str | None:
    """What is wrong with reading what was just written; None if it is there as it is."""
    with _object(store) as name:
        if store.read(name, _SMALL) is not None:
            return "an object is there that was never written"
        _made(store, name, b"written")
        return _kept(store, name, b"written")


def list_after_write(store: Store) -> str | None:
    """What is wrong with listing what was just written; None if it is there."""
    with _object(store) as name:
        before = {entry.name for entry in store.list(TEMPORARY)}
        _made(store, name, b"listed")
        after = {entry.name for entry in store.list(TEMPORARY)}
        return None if name in after - before else "an object that was just stored is not listed"


def _kept(store: Store, name: str, data: bytes) -> str | None:
    return None if store.read(name, _SMALL) == data else "an object that was just stored is not read as it is"


def _made(store: Store, name: str, data: bytes) -> None:
    """Create an object, whatever the answer says: the reading that follows tells."""
    with contextlib.suppress(NameTaken, OutcomeUnknown):
        store.create(name, data)


@contextlib.contextmanager
def _object(store: Store) -> Iterator[str]:
    """A name for one proof, removed afterwards as far as the store lets it go."""
    name = f"{TEMPORARY}/probe-{new_uid()}"
    try:
        yield name
    finally:
        with contextlib.suppress(StoreUnsafe):
            store.delete(name)
