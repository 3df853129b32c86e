"""What can still be decoded of a damaged archive: whole blocks, and an account of every row that is lost.

A block is taken or left as it is: where one of its cells cannot be had, none of its rows is returned, so that what
comes back is always within its bounds and nothing has to be filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ae_core import pipeline
from ae_core.dataset import Archive, BlockTask, Layer, Partition, decoded
from ae_core.errors import Corrupt, SnapshotExpired
from ae_core.jobs.output import ColumnLoss, PartitionWriter, slice_files
from ae_core.jobs.results import LostRows, WrittenFile
from ae_core.selection import RowRange
from ae_core.threads import ordered_map

LOST = b"latentlake.lost_rows"
"""In the metadata of a file's schema: the ranges of the partition's rows that are lost, `0:65536,131072:`."""


@dataclass(frozen=True)
class Salvaged:
    """What was written of a partition, and which of its rows are lost."""

    files: tuple[WrittenFile, ...]
    lost: tuple[LostRows, ...]


def readable_partitions(
    source: Archive, ids: Sequence[str], columns: Sequence[str] | None, layer: Layer
) -> tuple[list[Partition], list[LostRows]]:
    """The partitions whose manifest, model and table record are there, and those that are lost as a whole.

    Raises
    ------
    UsageError
        When a column or layer is not there.
    """
    partitions, lost = [], []
    for name in ids:
        rows = None
        try:
            partition = Partition(source, source.manifest(name))
            rows = partition.rows
            source.codec(partition.manifest)
            partition.schema_of(columns, layer)
            partitions.append(partition)
        except SnapshotExpired:
            raise
        except Corrupt as damage:
            lost.append(LostRows(name, 0, rows, str(damage)))
    return partitions, lost


def salvage(
    partition: Partition,
    tasks: Sequence[BlockTask],
    folder: Path,
    files: Sequence[WrittenFile],
    losses: dict[str, ColumnLoss],
    *,
    threads: int,
) -> Salvaged:
    """Write the blocks of a partition that can be decoded to its files; `files` are whole, cut to no rows."""
    problems = list(ordered_map(_unreadable, tasks, threads=threads))
    try:
        return _write(partition, tasks, problems, folder, files, losses, threads)
    except (Corrupt, ValueError):  # bytes that are as they were stored and still no block: decode each by itself
        problems = list(ordered_map(_undecodable, tasks, threads=threads))
        for file in files:
            (folder / file.name).unlink(missing_ok=True)
        return _write(partition, tasks, problems, folder, files, losses, threads)


def _write(
    partition: Partition,
    tasks: Sequence[BlockTask],
    problems: Sequence[str | None],
    folder: Path,
    files: Sequence[WrittenFile],
    losses: dict[str, ColumnLoss],
    threads: int,
) -> Salvaged:
    """The blocks without a problem, in order."""
    lost = _lost_rows(partition, tasks, problems)
    good = [task for task, problem in zip(tasks, problems, strict=True) if problem is None]
    if not good:
        return Salvaged((), lost)
    said = {LOST: ",".join(f"{one.start}:{one.stop}" for one in lost).encode()} if lost else {}
    writer = PartitionWriter(folder, _files_left(partition, tasks, problems, files), losses)
    for table in decoded(good, threads=threads):
        writer.write(table.replace_schema_metadata({**(table.schema.metadata or {}), **said}))
    return Salvaged(writer.close(), lost)


def _unreadable(task: BlockTask) -> str | None:
    """Why a block's stored bytes are not what they were; None if they are."""
    try:
        codec = task.archive.codec(task.manifest)
        layers = ["latents"] if task.layer == "preview" else ["residuals"]
        held = task.manifest.layer("latents") is not None
        if task.layer != "preview" and held and pipeline.needs_latents(codec, task.schema.names):
            layers.append("latents")
        for layer in layers:
            task.archive.payload(task.manifest, layer, task.block)
    except Corrupt as damage:
        return str(damage)
    return None


def _undecodable(task: BlockTask) -> str | None:
    """Why a block cannot be decoded; None if it can."""
    try:
        list(decoded([task], threads=1))
    except (Corrupt, ValueError) as damage:
        return str(damage)
    return None


def _start(task: BlockTask) -> int:
    """Number of the task's first row within its partition."""
    return sum(task.manifest.block_rows[: task.block]) + task.low


def _lost_rows(
    partition: Partition, tasks: Sequence[BlockTask], problems: Sequence[str | None]
) -> tuple[LostRows, ...]:
    """The ranges of rows that are lost, neighbours of one cause joined."""
    ranges: list[LostRows] = []
    for task, problem in zip(tasks, problems, strict=True):
        if problem is None:
            continue
        start = _start(task)
        stop = start + task.high - task.low
        if ranges and ranges[-1].stop == start and ranges[-1].problem == problem:
            start = ranges.pop().start
        ranges.append(LostRows(partition.id, start, stop, problem))
    return tuple(ranges)


def _files_left(
    partition: Partition, tasks: Sequence[BlockTask], problems: Sequence[str | None], files: Sequence[WrittenFile]
) -> tuple[WrittenFile, ...]:
    """The files that have rows left, each with how many, and those that never had any."""
    counts = [0] * len(files)
    for task, problem in zip(tasks, problems, strict=True):
        if problem is None:
            rows = RowRange(_start(task), _start(task) + task.high - task.low)
            for place, file in enumerate(slice_files(files, *rows.clip(partition.rows))):
                counts[place] += file.rows
    pairs = zip(files, counts, strict=True)
    return tuple(WrittenFile(file.name, count) for file, count in pairs if count or not file.rows)
