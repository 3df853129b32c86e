"""Partitions decoded completely to compare their digests, several at once; what cannot be decoded is narrowed down."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
from pydantic import TypeAdapter

from ae_core.archive.digest import PartitionDigest
from ae_core.archive.reader import Snapshot
from ae_core.archive.verify import Decoded
from ae_core.dataset import Archive, BlockTask, Partition, decoded
from ae_core.errors import Corrupt, LatentlakeError
from ae_core.jobs.fresh import fresh_environment

_NAMED = 10  # blocks that a message names


@dataclass(frozen=True)
class DecodeRequest:
    """What a fresh process is asked to decode: partitions of a snapshot of an archive."""

    archive: str
    snapshot: int
    partitions: tuple[str, ...]
    threads: int


def decode_partitions(snapshot: Snapshot, partitions: Sequence[str], *, threads: int = 0) -> Iterator[Decoded]:
    """The digest of each partition's rebuilt data, in order, or why it cannot be decoded.

    Blocks of several partitions are decoded together. An error may then be a neighbour's, so the partition that met
    one is looked at once more by itself.
    """
    archive = Archive(snapshot)
    start = 0
    while start < len(partitions):
        tables = decoded(_tasks(archive, partitions[start:]), threads=threads)
        for name in partitions[start:]:
            start += 1
            try:
                partition = Partition(archive, snapshot.manifest(name))
                yield Decoded(name, _digest(partition, islice(tables, len(partition.manifest.block_rows))))
            except (LatentlakeError, ValueError):  # ValueError: Arrow's, or blocks of another schema
                yield _alone(archive, name, threads)
                break


def decode_apart(snapshot: Snapshot, partitions: Sequence[str], *, threads: int = 0) -> Iterator[Decoded]:
    """`decode_partitions` in a fresh process with cold caches, which opens the archive itself.

    Raises
    ------
    Corrupt
        When two such processes in a row die without having decoded anything.
    """
    left, idle = list(partitions), 0
    while left:
        before = len(left)
        request = DecodeRequest(snapshot.archive.store.url, snapshot.number, tuple(left), threads)
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                [sys.executable, "-m", "ae_core.jobs.decode_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=fresh_environment(),
            )
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                child.stdin.write(TypeAdapter(DecodeRequest).dump_json(request))
                child.stdin.close()
                for line in child.stdout:
                    left.pop(0)
                    yield TypeAdapter(Decoded).validate_python(json.loads(line))
                code = child.wait()
            except BrokenPipeError:
                code = child.wait()
            finally:
                child.kill()
                child.wait()
                child.stdout.close()
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines() or ["nothing"]
        idle = 0 if len(left) < before else idle + 1
        ended = f"the decoding process ended with {code} and said: {words[-1]}"
        if left and idle == 2:
            raise Corrupt(f"{snapshot.archive.store.url}: {ended}")
        if left:
            yield Decoded(left.pop(0), None, ended)


def _tasks(archive: Archive, partitions: Sequence[str]) -> Iterator[BlockTask]:
    for name in partitions:
        partition = Partition(archive, archive.manifest(name))
        yield from partition.tasks(layer=partition.fullest)


def _digest(partition: Partition, tables: Iterator[pa.Table]) -> str:
    digest = PartitionDigest(partition.schema_of(layer=partition.fullest))
    blocks = 0
    for table in tables:
        digest.add(table)
        blocks += 1
    if blocks != len(partition.manifest.block_rows):
        raise Corrupt(f"{partition.id}: {blocks} blocks, not {len(partition.manifest.block_rows)}")
    return digest.hexdigest()


def _alone(archive: Archive, name: str, threads: int) -> Decoded:
    """A partition by itself; where it cannot be decoded, which blocks and columns are to blame."""
    try:
        partition = Partition(archive, archive.manifest(name))
        return Decoded(name, _digest(partition, partition.blocks(layer=partition.fullest, threads=threads)))
    except (LatentlakeError, ValueError) as error:
        message = str(error)
    try:
        told = list(islice(_blame(Partition(archive, archive.manifest(name))), _NAMED))
    except (LatentlakeError, ValueError):  # no block can be tried: the model or the table record is to blame
        told = []
    return Decoded(name, None, "; ".join([*told, message]))


def _blame(partition: Partition) -> Iterator[str]:
    """One line for every block that cannot be decoded: which of its columns cannot, each tried alone."""
    for task in partition.tasks(layer=partition.fullest):
        if _fails(partition, task.block, None):
            columns = [
                name
                for name in partition.schema_of(layer=partition.fullest).names
                if _fails(partition, task.block, [name])
            ]
            which = f"columns {', '.join(columns)}" if columns else "all columns together"
            yield f"block {task.block}: {which} cannot be decoded"


def _fails(partition: Partition, block: int, columns: Sequence[str] | None) -> bool:
    tasks = [task for task in partition.tasks(columns=columns, layer=partition.fullest) if task.block == block]
    try:
        list(decoded(tasks, threads=1))
    except (LatentlakeError, ValueError):
        return True
    return False
