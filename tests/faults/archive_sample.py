"""A small archive whose "codec" is Arrow IPC: enough for every kind of object, and for decoding to be checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ae_core.archive import commit, log, names, stage
from ae_core.archive import format as f
from ae_core.archive.digest import partition_digest
from ae_core.archive.log import Archive
from ae_core.archive.reader import Snapshot
from ae_core.archive.state import State
from ae_core.archive.verify import Decoded

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("word", pa.string())])
BLOCK_ROWS = (16, 9)
WRITER = "test"
MODEL = b"the model of every partition" * 3


def blocks_of(pid: str, version: int) -> list[pa.Table]:
    """The data of one version of a partition."""
    tables = []
    for index, rows in enumerate(BLOCK_ROWS):
        seed = int.from_bytes(hashlib.sha256(f"{pid} {version} {index}".encode()).digest()[:3], "big")
        words = [None if (seed + row) % 5 == 0 else f"w{(seed * row) % 97}" for row in range(rows)]
        tables.append(pa.table([pa.array(range(seed, seed + rows)), pa.array(words, pa.string())], schema=SCHEMA))
    return tables


def _payload(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def stage_shared(archive: Archive, state: State) -> stage.Proposal:
    """Model and table record."""
    model = stage.put_shared(archive, state, "model", MODEL)
    record = f.TableRecord(SCHEMA.serialize().to_pybytes(), {"version": 1})
    return stage.Proposal(shared=(model, stage.put_shared(archive, state, "table", f.table_bytes(record))))


def stage_partition(archive: Archive, shared: stage.Proposal, pid: str, version: int = 0) -> stage.Proposal:
    """Everything of a partition but the commit."""
    model, table = shared.shared
    data = blocks_of(pid, version)
    folder = names.partition_folder(pid)
    layers = stage.put_layers(
        archive,
        folder,
        {
            "latents": [f"latents of {pid} {version} {i}".encode() for i in range(len(data))],
            "residuals": [_payload(block) for block in data],
        },
    )
    manifest = f.Manifest(
        archive=archive.marker.archive,
        partition=pid,
        keys={"month": pid},
        table=table.sha256,
        model=model.sha256,
        block_rows=BLOCK_ROWS,
        layers=layers,
        sources=(f.SourceFile(f"{pid}/part-0.parquet", sum(BLOCK_ROWS), 1234, "token", "2024", "0" * 64),),
        digest=partition_digest(SCHEMA, data),
        certificate={"columns": ["id", "word"], "max_error": [0, 0.25]},
    )
    return shared + stage.put_partition(archive, folder, manifest)


def write(archive: Archive, pids: Sequence[str], *, version: int = 0, op_key: str | None = None) -> commit.Committed:
    """Stage and commit partitions in one batch."""
    state = log.read_state(archive)
    shared = stage_shared(archive, state)
    proposal = stage.Proposal(report=stage.put_report(archive, {"verified": list(pids)}))
    for pid in pids:
        proposal = proposal + stage_partition(archive, shared, pid, version)
    key = op_key or hashlib.sha256(f"{pids} {version}".encode()).hexdigest()
    return commit.append(archive, lambda _: proposal, op_key=key, since=state.head, writer=WRITER)


def make(root: Path) -> Archive:
    """Three commits over three partitions; one partition has two versions."""
    archive = commit.create_archive(str(root), writer=WRITER)
    write(archive, ["month=1", "month=2"])
    write(archive, ["month=10"])
    write(archive, ["month=1"], version=1)
    return archive


VERSIONS = {"month=1": 1, "month=2": 0, "month=10": 0}
"""Version of every partition in the newest snapshot of `make`."""


def read_blocks(snapshot: Snapshot, pid: str) -> Iterator[pa.Table]:
    """The partition, decoded block by block."""
    manifest = snapshot.manifest(pid)
    schema = pa.ipc.read_schema(pa.BufferReader(snapshot.table(manifest).schema_ipc))
    assert schema.equals(SCHEMA)
    assert snapshot.model(manifest) == MODEL
    for payload in snapshot.payloads(manifest, "residuals"):
        yield pa.ipc.open_stream(payload).read_all()


def decode(snapshot: Snapshot, partitions: Sequence[str]) -> Iterator[Decoded]:
    """Callback of a deep verification."""
    for pid in partitions:
        yield Decoded(pid, partition_digest(SCHEMA, read_blocks(snapshot, pid)))


def files_of(root: Path) -> list[Path]:
    """Every file of an archive, sorted."""
    return sorted(path for path in root.rglob("*") if path.is_file())
