"""One seed is one schedule: a cast of actors, run to the end, then the promises checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from functools import lru_cache, partial
from operator import add
from random import Random
from unittest import mock

from ae_core.archive import fields, log, names, stage
from ae_core.archive import state as states
from ae_core.archive.commit import create_archive
from ae_core.archive.layers import layer_bytes
from ae_core.archive.log import read_log, read_state
from ae_core.archive.reader import Snapshot
from ae_core.archive.state import State, advance
from ae_core.errors import LatentlakeError
from tests.faults.simulation import actors
from tests.faults.simulation.actors import World, content_of, sha
from tests.faults.simulation.world import Scheduler, SimLake, SimStore, Violation


@dataclass
class Setup:
    """What a mutant changes in the world, beside the code that it patches."""

    lies: bool = False
    unconditional: bool = False
    intent_first: bool = True


@dataclass
class Counts:
    """What a number of schedules amounted to."""

    schedules: int = 0
    steps: int = 0
    kills: int = 0
    commits: int = 0
    deleted: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*map(add, astuple(self), astuple(other)))


@contextmanager
def quick(random: Random) -> Iterator[None]:
    """Random names from the seed; pure functions that cost a millisecond remember what they made or take less care."""
    compress = fields.brotli.compress
    with ExitStack() as stack:
        stack.enter_context(
            mock.patch.object(names.secrets, "token_hex", lambda n: f"{random.getrandbits(8 * n):0{2 * n}x}")
        )
        stack.enter_context(mock.patch.object(log, "READERS", 1))  # the scheduler alone decides who goes on
        stack.enter_context(mock.patch.object(states, "CHECKPOINT_EVERY", 4))
        stack.enter_context(mock.patch.object(stage, "layer_bytes", _remembered_layer))
        stack.enter_context(mock.patch.object(fields.brotli, "compress", lambda data, **_: compress(data, quality=1)))
        yield


_remember = lru_cache(4096)(lambda payloads: layer_bytes(payloads))


def _remembered_layer(payloads):
    return _remember(tuple(payloads))


def run(seed: int, setup: Setup | None = None, counts: Counts | None = None) -> None:
    """Run the schedule of a seed.

    Raises
    ------
    Violation
        If a promise was broken.
    """
    setup = setup or Setup()
    random = Random(seed)
    with quick(random):
        scheduler = Scheduler(random)
        store = SimStore(scheduler, lies=setup.lies)
        lake = SimLake(scheduler, unconditional=setup.unconditional)
        world = World(store, lake, random, intent_first=setup.intent_first)
        scheduler.faults = False
        create_archive(store.url, writer=actors.WRITER, store=store)
        for pid in actors.PARTITIONS:
            lake.write(pid)
        for _ in range(random.randint(1, 3)):
            actors.compress(world)
        scheduler.faults = True
        cast = random.sample(actors.ACTORS, random.randint(3, 5))
        scheduler.run([partial(actor, world) for actor in cast])
        scheduler.faults = False
        _check(world)
        for finish in (actors.finish_expiry, actors.collect):  # the next run completes what was left
            _promised(lambda finish=finish: finish(world), "the next run does not complete")
        _check(world)
        _check_finished(world)
    if counts is not None:
        counts.schedules += 1
        counts.steps += scheduler.steps
        counts.kills += scheduler.killed
        counts.commits += len(world.acknowledged)
        counts.deleted += len(lake.deleted)


def _promised(action: Callable[[], object], words: str) -> object:
    try:
        return action()
    except LatentlakeError as error:
        raise Violation(f"{words}: {error}") from error


def _check(world: World) -> None:
    """I2, I3, I7, I8 and the conditional deletion."""
    archive = world.open()
    state = _promised(lambda: read_state(archive), "the archive does not open")
    commits = _promised(lambda: read_log(archive), "the log does not hold from its start")
    if replace(state, recent=()) != replace(advance(State(), commits), recent=()):
        raise Violation("a checkpoint says other things than the commits")
    for done in world.acknowledged:
        if done.number > state.head or commits[done.number].sha256 != done.sha256:
            raise Violation(f"commit {done.number} was acknowledged and is not in the log")
    keys = [logged.commit.op_key for logged in commits]
    if len(set(keys)) != len(keys):
        raise Violation("an operation was committed twice")
    snapshot = Snapshot(archive, state)
    held = {}
    for pid in state.partitions:
        _promised(lambda pid=pid: snapshot.check_objects(pid), "the head refers to what is not there")
        manifest = snapshot.manifest(pid)
        if manifest.layer("residuals") is not None:
            held[pid] = _promised(lambda m=manifest: content_of(snapshot, m), "a partition cannot be read")
            if sha(held[pid]) != manifest.sources[0].sha256:
                raise Violation(f"{pid} decodes to other data than its source")
    for pid, content, meant in world.lake.deleted:
        if sha(content) != meant:
            raise Violation(f"an edited original of {pid} was removed")
        if held.get(pid) != content:
            raise Violation(f"the original of {pid} is gone and the archive does not hold it")


def _check_finished(world: World) -> None:
    """After an undisturbed run nothing is left to do."""
    state = read_state(world.open())
    if state.condemned & world.store.objects.keys():
        raise Violation("condemned objects are still there after gc")
    if any(held.open for held in state.only_copies.values()):
        raise Violation("an intent is still open after expire")
