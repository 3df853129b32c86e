"""The seven rules of the protocol, each taken out in turn: the simulation has to notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

from ae_core.archive import commit, gc
from ae_core.archive.commit import Committed
from ae_core.archive.log import read_state
from ae_core.archive.state import State
from ae_core.archive.store import NameTaken, OutcomeUnknown
from tests.faults.simulation.run import Setup


@dataclass(frozen=True)
class Mutant:
    """A rule that is removed: code that is patched, and what is different in the world."""

    patch: Callable[[], Any] = nullcontext
    setup: Setup | None = None


def _believes_created(store, name, data, op_key, deadline, pause) -> bool:
    """No read-back: what the store says is taken for true."""
    try:
        store.create(name, data)
    except (NameTaken, OutcomeUnknown):
        return False
    return True


def _believes_conflict(store, name, data, op_key, deadline, pause) -> bool:
    """A conflict is taken for another writer's, though the answer to our own request may have been lost."""
    try:
        store.create(name, data)
    except (NameTaken, OutcomeUnknown):
        return False
    return store.read(name, len(data)) == data


def _without_commit(archive, build, **_: Any) -> Committed:
    """gc works out what is garbage, and deletes it without saying so first."""
    state = read_state(archive)
    build(state)
    return Committed(state.head, "")


@contextmanager
def _forgetful() -> Iterator[None]:
    """Its own commit behind a lost answer is not recognised: neither by reading it back, nor by its operation."""
    with (
        mock.patch.object(commit, "_place", _believes_conflict),
        mock.patch.object(State, "done", return_value=None),
    ):
        yield


@contextmanager
def _one_pass() -> Iterator[None]:
    """gc without its commit would find the same garbage for ever in a listing that it took once."""
    seen: set[str] = set()
    real = gc._condemn

    def once(*args: Any, **kwargs: Any) -> tuple[str, ...]:
        names = tuple(name for name in real(*args, **kwargs) if name not in seen)
        seen.update(names)
        return names

    with mock.patch.object(gc, "append", _without_commit), mock.patch.object(gc, "_condemn", once):
        yield


def _nothing(*_: Any) -> None:
    """The check left out."""


MUTANTS: Mapping[str, Mutant] = {
    "create-once: the store overwrites, and nothing is read back": Mutant(
        lambda: mock.patch.object(commit, "_place", _believes_created), Setup(lies=True)
    ),
    "read-back after a conflict": Mutant(_forgetful),
    "condemn in the log before deleting": Mutant(_one_pass),
    "a writer checks what was condemned since it looked": Mutant(
        lambda: mock.patch.object(commit, "_refuse_condemned", _nothing)
    ),
    "drop refuses an only copy": Mutant(lambda: mock.patch.object(commit, "_refuse_only_copy", _nothing)),
    "the intent of an expiry in the log": Mutant(setup=Setup(intent_first=False)),
    "deletion on condition of the version": Mutant(setup=Setup(unconditional=True)),
}
