"""Who takes part: each actor does what a command does, with the very functions that the command calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pyarrow as pa

from ae_core.archive import expire, gc, retire, stage
from ae_core.archive.commit import Committed, append
from ae_core.archive.format import Manifest, SourceFile, TableRecord, table_bytes
from ae_core.archive.log import Archive, open_archive, read_state
from ae_core.archive.names import partition_folder
from ae_core.archive.originals import Intent, Original
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.archive.state import State
from ae_core.errors import SnapshotExpired
from tests.faults.simulation.world import SimLake, SimStore, Violation

PARTITIONS = ("month=1", "month=2")
WRITER = "simulation"
MODELS = (b"one model", b"another model")
TABLE = table_bytes(TableRecord(pa.schema([]).serialize().to_pybytes(), {}))
NO_RETENTION = gc.Retention(snapshots=1, days=0.0, orphan_days=0.0)
SHORT_RETENTION = gc.Retention(snapshots=3, days=0.0, orphan_days=0.0)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class World:
    """What the actors share; `acknowledged` are commits that somebody was told about."""

    store: SimStore
    lake: SimLake
    random: Random
    acknowledged: list[Committed] = field(default_factory=list)
    intent_first: bool = True

    def open(self) -> Archive:
        return open_archive(self.store.url, store=self.store)

    def pause(self, _: float) -> None:
        self.store.scheduler.step()

    def told(self, done: Committed) -> Committed:
        self.acknowledged.append(done)
        return done

    def pick(self, state: State) -> str | None:
        return self.random.choice(sorted(state.partitions)) if state.partitions else None


def content_of(snapshot: Snapshot, manifest: Manifest, layer: str = "residuals") -> bytes:
    """The "decoded" partition: its model is read too, as a decoder would."""
    if snapshot.model(manifest) not in MODELS:
        raise Violation("a partition is served with a model that nobody made")
    (payload,) = snapshot.payloads(manifest, layer)
    return payload


def compress(world: World) -> None:
    """Survey, stage, verify in the store, look at the source again, commit."""
    archive = world.open()
    state = read_state(archive)
    pid = world.random.choice(PARTITIONS)
    source = world.lake.look(pid)
    if source is None:
        return
    token, content = source
    before = state.partitions.get(pid)
    if before is not None and Snapshot(archive, state).manifest(pid).sources[0].sha256 == sha(content):
        return
    model = stage.put_shared(archive, state, "model", world.random.choice(MODELS))
    table = stage.put_shared(archive, state, "table", TABLE)
    folder = partition_folder(pid)
    layers = stage.put_layers(archive, folder, {"latents": [content[:4]], "residuals": [content]})
    manifest = Manifest(
        archive=archive.marker.archive,
        partition=pid,
        keys={},
        table=table.sha256,
        model=model.sha256,
        block_rows=(1,),
        layers=layers,
        sources=(SourceFile(pid, 1, len(content), token, "", sha(content)),),
        digest=sha(content),
        certificate={},
    )
    proposal = Proposal(shared=(model, table)) + stage.put_partition(archive, folder, manifest)
    staged = open_snapshot(world.store.url, store=world.store).with_proposal(proposal)
    if content_of(staged, staged.manifest(pid)) != content or world.lake.look(pid) != source:
        return
    key = sha(f"{pid} {sha(content)} {before.sha256 if before else ''}".encode())
    world.told(
        append(archive, lambda _: proposal, op_key=key, since=state.head, writer=WRITER, tries=8, pause=world.pause)
    )


def collect(world: World, retention: gc.Retention = NO_RETENTION) -> None:
    gc.collect(world.open(), retention, writer=WRITER, pause=world.pause)


def drop(world: World) -> None:
    archive = world.open()
    state = read_state(archive)
    pid = world.pick(state)
    if pid is not None:
        world.told(retire.drop(archive, state, [pid], reason="test", only_copy=False, writer=WRITER, pause=world.pause))


def fade(world: World) -> None:
    archive = world.open()
    state = read_state(archive)
    pid = world.pick(state)
    if pid is None:
        return
    manifest = Snapshot(archive, state).manifest(pid)
    if manifest.layer("residuals") is None:
        return
    preview = content_of(Snapshot(archive, state), manifest, "latents")
    proposal = retire.stage_faded(archive, [retire.Fading(manifest, sha(preview))], kept={"latents"})
    staged = open_snapshot(world.store.url, store=world.store).with_proposal(proposal)
    faded = staged.manifest(pid)
    if sha(content_of(staged, faded, "latents")) != faded.digest:
        raise Violation("a faded partition decodes to something else")
    report = stage.put_report(archive, {"faded": pid})
    world.told(
        retire.commit_faded(
            archive, state, proposal, report=report, reason="", only_copy=False, writer=WRITER, pause=world.pause
        )
    )


def expire_originals(world: World) -> None:
    """Carry out what earlier runs began, then begin with a partition and carry that out."""
    archive = world.open()
    finish_expiry(world)
    state = read_state(archive)
    pid = world.pick(state)
    source = None if pid is None else world.lake.look(pid)
    if pid is None or source is None:
        return
    token, content = source
    snapshot = Snapshot(archive, state)
    manifest = snapshot.manifest(pid)
    if manifest.layer("residuals") is None or manifest.sources[0].sha256 != sha(content):
        return
    snapshot.check_objects(pid)
    if content_of(snapshot, manifest) != content:
        raise Violation("a committed partition decodes to other data than its source")
    original = Original(pid, len(content), token, sha(content))
    if not world.intent_first:  # a mutant
        world.lake.remove(original, "")
        return
    intent = Intent(pid, state.partitions[pid].sha256, "lake", (original,))
    world.told(expire.intend(archive, state, [intent], report=None, writer=WRITER, pause=world.pause))
    finish_expiry(world)


def finish_expiry(world: World) -> None:
    archive = world.open()
    for pid, held in sorted(read_state(archive).only_copies.items()):
        if held.open:
            expire.carry_out(archive, pid, world.lake, replica=None, writer=WRITER, pause=world.pause)


def change_source(world: World) -> None:
    """The lake's owner rewrites files."""
    for _ in range(world.random.randint(1, 3)):
        world.lake.scheduler.step()
        world.lake.write(world.random.choice(PARTITIONS))
        for _ in range(world.random.randint(0, 30)):
            world.lake.scheduler.step()


def read(world: World) -> None:
    """Pin a snapshot and read all of it, slowly: the data of that snapshot, or that it has expired."""
    snapshot = open_snapshot(world.store.url, store=world.store)
    for _ in range(world.random.randint(1, 3)):
        for pid in snapshot.partitions:
            try:
                manifest = snapshot.manifest(pid)
                layer = "latents" if manifest.layer("residuals") is None else "residuals"
                found = content_of(snapshot, manifest, layer)
            except SnapshotExpired:
                return
            if sha(found) != manifest.digest:
                raise Violation(f"a reader of snapshot {snapshot.number} got other data")


ACTORS: tuple[Callable[[World], None], ...] = (
    compress,
    compress,
    collect,
    drop,
    fade,
    expire_originals,
    change_source,
    read,
)
