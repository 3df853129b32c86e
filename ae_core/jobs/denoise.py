"""An archive's partitions with their unlikely cells replaced, and the list of every replacement."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.codec import Codec
from ae_core.dataset import Archive, Partition, open_archive
from ae_core.errors import UsageError
from ae_core.jobs.decode import column_losses
from ae_core.jobs.output import PartitionWriter, new_folder
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.results import WrittenFile
from ae_core.jobs.use_results import Denoised, DenoisedColumn
from ae_core.jobs.use_rows import RowBlock, archived_rows, partitions_with
from ae_core.records import file_path, with_metadata
from ae_core.selection import Where
from ae_core.threads import ordered_map
from ae_core.uses.alternatives import changeable
from ae_core.uses.denoising import DenoisedBlock, denoise_block

EVIDENCE = 10.0
"""Bits: the value in place of a cell has to be a thousand times as likely."""
CHANGES = "_changes.parquet"  # readers of folders pass over names with an underscore

_SCHEMA = pa.schema(
    [
        pa.field("partition", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("old", pa.string()),
        pa.field("new", pa.string()),
        pa.field("evidence", pa.float32()),
    ]
)


def denoise(
    archive: str,
    out: str,
    *,
    where: Where = None,
    evidence: float = EVIDENCE,
    fill: Collection[str] = (),
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> Denoised:
    """Write the chosen partitions to the new folder `out`, cells replaced where the model has strong evidence.

    `_changes.parquet` in it lists every replacement: partition, row, column, old and new value as text (null for
    sensitive columns), evidence in bits. The archive is not changed.

    Parameters
    ----------
    evidence : bits that a replacement has to save: 10 means that the model holds it 1,024 times as likely.
    fill : columns whose nulls are all filled; elsewhere a null is replaced like any other cell.

    Raises
    ------
    NoLatents, LayerMissing
        When a partition has no network model, or keeps no residuals.
    UsageError
        When a column to fill has no model.
    """
    start = time.perf_counter()
    if not evidence > 0:
        raise UsageError(f"--evidence {evidence}: a number of bits above 0")
    source = open_archive(archive, snapshot=snapshot)
    partitions = partitions_with(source, where, "residuals", "latents")
    untouched = _untouched(source, partitions, fill)
    work = _Work(source, partitions, evidence, frozenset(fill), threads, progress)
    with new_folder(out) as folder, pq.ParquetWriter(folder / CHANGES, _SCHEMA, compression="zstd") as changes:
        blocks = ordered_map(work.denoise, archived_rows(partitions, source, threads=threads), threads=threads)
        for partition in partitions:
            names = [
                WrittenFile(file_path(partition.manifest.keys, partition.id, one.name), one.rows)
                for one in partition.manifest.sources
            ]
            writer = PartitionWriter(folder, names, column_losses(source, partition, "bounded"))
            for _ in partition.manifest.block_rows:
                block, found = next(blocks)
                writer.write(with_metadata(found.table, partition.schema))
                changes.write_table(work.listed(block, found))
            writer.close()
    total = sum(work.replaced.values())
    return Denoised(
        archive=source.url,
        out=out,
        snapshot=source.snapshot,
        rows=work.done,
        evidence=evidence,
        changed=total,
        columns=tuple(DenoisedColumn(name, count, work.filled[name]) for name, count in work.replaced.most_common()),
        untouched=untouched,
        changes=f"{out.rstrip('/')}/{CHANGES}",
        seconds=time.perf_counter() - start,
    )


def _untouched(source: Archive, partitions: Sequence[Partition], fill: Collection[str]) -> tuple[str, ...]:
    """Columns that some partition's model cannot change; raises UsageError where one of them is to be filled."""
    left: dict[str, str] = {}
    for partition in partitions:
        plan = source.codec(partition.manifest).plan
        known = {plan.columns[index].name for index in changeable(plan)}
        left |= {column.name: column.reason for column in plan.columns if column.name not in known}
        for name in fill:
            if name not in plan.schema.names:
                raise UsageError(f"--fill {name}: no such column; columns are {', '.join(plan.schema.names)}")
            if name in left:
                raise UsageError(f"--fill {name}: the model does not predict this column ({left[name]})")
    return tuple(left)


@dataclass
class _Work:
    """Denoises blocks in threads and counts what they changed, in order."""

    source: Archive
    partitions: Sequence[Partition]
    evidence: float
    fill: frozenset[str]
    threads: int
    progress: Progress

    def __post_init__(self) -> None:
        self.replaced: Counter[str] = Counter()
        self.filled: Counter[str] = Counter()
        self.done = 0
        self._total = sum(partition.rows for partition in self.partitions)

    def denoise(self, block: RowBlock) -> tuple[RowBlock, DenoisedBlock]:
        """A block and what became of it."""
        fill = self.fill & set(block.codec.plan.schema.names)
        table = block.table.cast(block.codec.plan.schema)
        return block, denoise_block(block.codec, table, evidence=self.evidence, fill=fill)

    def listed(self, block: RowBlock, found: DenoisedBlock) -> pa.Table:
        """The changes of a block as rows of the list."""
        self.done += block.table.num_rows
        self.progress("denoise", self.done, self._total)
        names = [block.codec.plan.columns[change.column].name for change in found.changes]
        rows = np.array([change.row for change in found.changes], np.int64)
        self.replaced.update(names)
        old, new = _texts(block.codec, block.table, found), _texts(block.codec, found.table, found)
        empty = {name: np.asarray(block.table.column(name).is_null()) for name in dict.fromkeys(names)}
        for name, row in zip(names, rows.tolist(), strict=True):
            self.filled[name] += bool(empty[name][row])
        partition = pa.repeat(pa.scalar(block.partition), len(rows))
        evidence = pa.array([change.evidence for change in found.changes], pa.float32())
        return pa.table([partition, rows + block.first, names, old, new, evidence], schema=_SCHEMA)


def _as_text(values: pa.ChunkedArray) -> list[str | None]:
    try:
        found: list[str | None] = values.cast(pa.string()).to_pylist()
    except pa.ArrowException:  # bytes that are no text
        return [None if value is None else str(value) for value in values.to_pylist()]
    return found


def _texts(codec: Codec, table: pa.Table, found: DenoisedBlock) -> list[str | None]:
    """The changed cells of a table as text, in the order of the changes; None for nulls and sensitive columns."""
    texts: dict[tuple[int, int], str | None] = {}
    for index in {change.column for change in found.changes}:
        rows = [change.row for change in found.changes if change.column == index]
        values = _as_text(table.column(index).take(pa.array(rows)))
        hidden = codec.plan.columns[index].bound.sensitive
        for row, value in zip(rows, values, strict=True):
            texts[(row, index)] = None if hidden else value
    return [texts[(change.row, change.column)] for change in found.changes]
