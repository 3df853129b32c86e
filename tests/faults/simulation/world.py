"""The simulated world: a scheduler that steps actors one call at a time, an object store with faults, a lake.

Every call of the store and of the lake gives the turn back to the scheduler first, which picks who goes on, kills
somebody, or lets a delayed request arrive. All chance comes from one seeded generator, so a seed is a schedule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import greenlet

from ae_core.archive.names import checked
from ae_core.archive.originals import Fate, Original
from ae_core.archive.store import Listed, NameTaken, OutcomeUnknown, check_object
from ae_core.errors import Corrupt, LatentlakeError, StoreUnsafe

KILL = 0.006
LOST_ANSWER = 0.15
STALE_LISTING = 0.20


class Killed(BaseException):
    """kill -9: no handler may catch it."""


class Violation(Exception):
    """The protocol broke a promise."""


@dataclass
class Scheduler:
    """Runs actors, one step of one of them at a time."""

    random: Random
    now: float = 1_000_000.0
    steps: int = 0
    killed: int = 0
    faults: bool = True
    delayed: list[Callable[[], None]] = field(default_factory=list)

    def step(self) -> None:
        """Called by an actor before anything that others can see."""
        self.steps += 1
        self.now += 1.0
        current = greenlet.getcurrent()
        if current.parent is not None:
            current.parent.switch()

    def chance(self, share: float) -> bool:
        """Whether a fault of this probability happens now."""
        return self.faults and self.random.random() < share

    def run(self, actors: list[Callable[[], None]]) -> None:
        """Every actor until it ends, is killed or gives up; then what was delayed arrives.

        Some are much faster than others, and some begin when others have ended: fair turns would explore little.
        """
        live = [greenlet.greenlet(_giving_up(actor)) for actor in actors]
        pace = {actor: self.random.choice((1, 1, 5, 25)) for actor in live}
        while live:
            (actor,) = self.random.choices(live, [pace[one] for one in live])
            if actor and self.chance(KILL):  # a greenlet is true once it has started
                self.killed += 1
                actor.throw(Killed)
            else:
                actor.switch()
            if actor.dead:
                live.remove(actor)
            if self.delayed and self.random.random() < 0.1:
                self.delayed.pop(self.random.randrange(len(self.delayed)))()
        while self.delayed:
            self.delayed.pop()()


def _giving_up(actor: Callable[[], None]) -> Callable[[], None]:
    """The actor, which ends at the first error that the project raises on purpose; a bug goes through."""

    def run() -> None:
        try:
            actor()
        except (LatentlakeError, Killed):
            return

    return run


class SimStore:
    """A store in memory that loses answers, delays requests and lists what was there a moment ago.

    `lies` makes it overwrite what exists and say "created".
    """

    url = "simulated"

    def __init__(self, scheduler: Scheduler, *, lies: bool = False) -> None:
        self.scheduler = scheduler
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.lies = lies
        self._before: list[tuple[str, int, float]] = []

    def create(self, name: str, data: bytes) -> None:
        self.scheduler.step()
        if self.scheduler.chance(LOST_ANSWER):
            if self.scheduler.random.random() < 0.3:
                self.scheduler.delayed.append(lambda: self._put(name, data))
                raise OutcomeUnknown(name)
            taken = not self._put(name, data)
            raise NameTaken(name) if taken or self.scheduler.random.random() < 0.5 else OutcomeUnknown(name)
        if not self._put(name, data):
            raise NameTaken(name)

    def _put(self, name: str, data: bytes) -> bool:
        if name in self.objects and not self.lies:
            return False
        self.objects[checked(name)] = (data, self.scheduler.now)
        return True

    def put_new(self, name: str, data: bytes) -> None:
        self.scheduler.step()
        if not self._put(name, data):
            raise StoreUnsafe(name)

    def read(self, name: str, limit: int) -> bytes | None:
        self.scheduler.step()
        found = self.objects.get(name)
        return None if found is None else found[0]

    def get(self, name: str, length: int, sha256: str) -> bytes:
        self.scheduler.step()
        if name not in self.objects:
            raise Corrupt(f"{name}: missing")
        return check_object(self.objects[name][0], name, length, sha256)

    def get_range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        self.scheduler.step()
        if name not in self.objects:
            raise Corrupt(f"{name}: missing")
        return check_object(self.objects[name][0][offset : offset + length], name, length, sha256)

    def digest(self, name: str) -> tuple[int, str] | None:
        self.scheduler.step()
        found = self.objects.get(name)
        return None if found is None else (len(found[0]), hashlib.sha256(found[0]).hexdigest())

    def size(self, name: str) -> int | None:
        self.scheduler.step()
        found = self.objects.get(name)
        return None if found is None else len(found[0])

    def list(self, prefix: str) -> Iterator[Listed]:
        self.scheduler.step()
        now = [(name, len(data), at) for name, (data, at) in self.objects.items()]
        shown = self._before if self.scheduler.chance(STALE_LISTING) else now
        self._before = now
        return iter([Listed(*entry) for entry in shown if entry[0].startswith(prefix)])

    def delete(self, name: str) -> None:
        self.scheduler.step()
        self.objects.pop(name, None)

    def clock(self) -> float:
        self.scheduler.step()
        return self.scheduler.now

    def probe(self) -> None:
        self.scheduler.step()


@dataclass
class SimLake:
    """Partition -> (version token, content). `deleted` is what expiry took away, with what it meant to take."""

    scheduler: Scheduler
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    deleted: list[tuple[str, bytes, str]] = field(default_factory=list)
    versions: int = 0
    unconditional: bool = False

    def write(self, partition: str) -> None:
        """A new version of a partition."""
        self.versions += 1
        self.files[partition] = (f"t{self.versions}", f"{partition} version {self.versions}".encode())

    def look(self, partition: str) -> tuple[str, bytes] | None:
        """Token and content now."""
        self.scheduler.step()
        return self.files.get(partition)

    def remove(self, file: Original, key: str) -> Fate | None:
        """See `expire.Originals`: one conditional request, whose answer may be lost."""
        self.scheduler.step()
        found = self.files.get(file.path)
        if found is None:
            return "absent"
        if found[0] != file.token and not self.unconditional:
            return "changed"
        self.deleted.append((file.path, found[1], file.sha256))
        del self.files[file.path]
        return "deleted"

    def keep(self, file: Original, key: str) -> Fate:
        """See `expire.Originals`."""
        self.scheduler.step()
        return "kept" if file.path in self.files else "absent"
