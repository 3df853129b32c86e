"""Which rows an archive's model finds surprising, archived ones or new ones, and which columns made them so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.codec import Codec
from ae_core.dataset import Archive, Partition, open_archive
from ae_core.errors import UsageError
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.sampling import choose_blocks
from ae_core.jobs.use_results import Anomalies, SurpriseShare, SurprisingRow
from ae_core.jobs.use_rows import (
    KeyColumns,
    NewRows,
    RowBlock,
    archived_rows,
    new_parquet,
    new_rows,
    partitions_with,
    together,
)
from ae_core.selection import RowRange, Where
from ae_core.threads import ordered_map
from ae_core.uses.surprise import Surprise, modelled, surprise
from ae_core.uses.thresholds import BitsCounter, Threshold

FALSE_ALARMS = 0.001
REFERENCE_CELLS = 3_000_000
"""Rows times columns of archived rows that tell what is usual: scored within a few seconds."""
SHOWN = 10
CAUSES = 3


def anomalies(
    archive: str,
    out: str,
    *,
    lake: str | None = None,
    where: Where = None,
    top: int | None = None,
    false_alarms: float | None = None,
    quantile: float | None = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> Anomalies:
    """Write how surprising every row is to the Parquet file `out`: keys, `row`, `error`, `bits`, `bits_<column>`.

    Parameters
    ----------
    lake : new rows to score instead of the archived ones; nothing of them is archived.
    top : write only so many rows, the most surprising first.
    false_alarms : share of archived rows that the threshold calls surprising (default 0.001).
    quantile : the threshold instead by a quantile of the rows that are scored; they are read twice.

    Raises
    ------
    NoLatents, LayerMissing
        When a partition, or every model, has no latents, or a partition keeps no residuals.
    UsageError
        When a number is out of its range, or no model knows the lake's columns.
    """
    start = time.perf_counter()
    _check(top, false_alarms, quantile)
    source = open_archive(archive, snapshot=snapshot)
    scored = _scored(source, lake, where, threads)
    if quantile is None:
        rate = FALSE_ALARMS if false_alarms is None else false_alarms
        limit = reference(source, scored.new, rate, threads=threads, progress=progress)
    else:
        counter = BitsCounter()
        for block, found in scored.pairs():
            counter.add(found.bits)
            progress("first look", block.first + block.table.num_rows, scored.rows)
        limit = counter.threshold(quantile)
    output = _Output(scored.keys, scored.names, limit)
    best = _Best(SHOWN if top is None else top)
    done, above = 0, 0
    with new_parquet(out, output.schema) as writer:
        for block, found in scored.pairs():
            table = output.table(block, found)
            best.add(block.partition, table)
            if top is None:
                writer.write_table(table)
            done += table.num_rows
            above += int((found.bits > limit.bits).sum())
            progress("score", done, scored.rows)
        if top is not None:
            writer.write_table(best.table(output.schema).slice(0, top))
    share = above / max(done, 1)
    return Anomalies(
        archive=source.url,
        out=out,
        snapshot=source.snapshot,
        lake=lake,
        rows=done,
        written=done if top is None else min(top, done),
        threshold=limit.bits,
        expected=limit.expected,
        share=share,
        jumped=lake is not None and quantile is None and limit.jumped(above, done),
        unscored=tuple(name for name in scored.columns if name not in scored.names),
        most=best.rows(output.schema),
        seconds=time.perf_counter() - start,
    )


def surprise_share(
    archive: str,
    lake: str,
    *,
    where: Where = None,
    false_alarms: float = 0.01,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> SurpriseShare:
    """Whether the rows of a lake surprise the archive's newest model more often than archived rows do.

    What a nightly run asks before or after it compresses; nothing is written.

    Raises
    ------
    NoLatents, UsageError
        When the archive has no network model, or none for these columns.
    """
    _check(None, false_alarms, None)
    source = open_archive(archive, snapshot=snapshot)
    scored = _scored(source, lake, where, threads)
    limit = reference(source, scored.new, false_alarms, threads=threads, progress=progress)
    rows, above = 0, 0
    for block, found in scored.pairs():
        rows += block.table.num_rows
        above += int((found.bits > limit.bits).sum())
        progress("score", rows, scored.rows)
    share, jumped = above / max(rows, 1), limit.jumped(above, rows)
    reason = (
        f"{share:.2%} of {rows:,} rows take more than {limit.bits:.1f} bits, {limit.expected:.2%} of archived rows do: "
        + ("more than chance makes of it" if jumped else "no more than may be chance or an ordinary change")
    )
    return SurpriseShare(source.url, lake, rows, above, limit.bits, limit.expected, share, jumped, reason)


def reference(
    source: Archive, new: NewRows | None, false_alarms: float, *, threads: int = 0, progress: Progress = silent
) -> Threshold:
    """The bits that the given share of archived rows lies above: whole blocks, spread over the partitions.

    Of new rows: over the partitions that were encoded with the model that scores them.
    """
    model = None if new is None else new.model
    usable = [
        partition
        for partition in source.partitions()
        if partition.manifest.layer("residuals") is not None
        and source.codec(partition.manifest).network is not None
        and model in (None, partition.manifest.model)
    ]
    counter = BitsCounter()
    for number, (partition, places) in enumerate(_sampled(usable)):
        for block in places:
            first = sum(partition.manifest.block_rows[:block])
            rows = RowRange(first, first + partition.manifest.block_rows[block])
            tables = list(partition.blocks(rows=rows, threads=threads))
            for found in surprise(source.codec(partition.manifest), tables):
                counter.add(found.bits)
        progress("what is usual", number + 1, len(usable))
    if not counter.rows:
        raise UsageError(f"{source.url}: no archived row of this model tells what is usual: give a quantile")
    return counter.threshold(1 - false_alarms)


def _sampled(partitions: Sequence[Partition]) -> Iterator[tuple[Partition, list[int]]]:
    blocks = [(partition, block) for partition in partitions for block in range(len(partition.manifest.block_rows))]
    columns = len(partitions[0].schema) if partitions else 1
    rows = [partition.manifest.block_rows[block] for partition, block in blocks]
    chosen = {place for place, _, _ in choose_blocks(rows, columns, cells=REFERENCE_CELLS)}
    for partition in partitions:
        yield partition, [block for place, (of, block) in enumerate(blocks) if of is partition and place in chosen]


@dataclass(frozen=True)
class _Scored:
    """Rows to score, once or again."""

    source: Archive
    archived: tuple[Partition, ...]
    new: NewRows | None
    rows: int
    columns: tuple[str, ...]
    names: tuple[str, ...]  # columns with bits, of any of the models
    keys: KeyColumns
    threads: int

    def pairs(self) -> Iterator[tuple[RowBlock, Surprise]]:
        """Every block with its scores."""
        if self.new is None:
            blocks = archived_rows(self.archived, self.source, threads=self.threads)
        else:
            blocks = self.new.blocks()
        groups = together(blocks, self.rows, len(self.columns), self.threads)
        return chain.from_iterable(ordered_map(_score, groups, threads=self.threads))


def _score(group: Sequence[RowBlock]) -> list[tuple[RowBlock, Surprise]]:
    return list(zip(group, surprise(group[0].codec, [block.table for block in group]), strict=True))


def _scored(source: Archive, lake: str | None, where: Where, threads: int) -> _Scored:
    if lake is None:
        archived, new = partitions_with(source, where, "residuals", "latents"), None
        codecs = [source.codec(partition.manifest) for partition in archived]
        listed = [(partition.id, partition.keys) for partition in archived]
        rows = sum(partition.rows for partition in archived)
    else:
        archived, new = (), new_rows(source, lake, where)
        codecs, rows = [new.codec], new.rows
        listed = [(partition.id, dict(partition.keys)) for partition in new.partitions]
    columns = tuple(dict.fromkeys(name for codec in codecs for name in codec.plan.schema.names))
    return _Scored(source, archived, new, rows, columns, _names(columns, codecs), KeyColumns(listed), threads)


def _names(columns: Sequence[str], codecs: Sequence[Codec]) -> tuple[str, ...]:
    known = {name for codec in codecs for name in modelled(codec.plan)}
    return tuple(name for name in columns if name in known)


class _Output:
    """The table that is written."""

    def __init__(self, keys: KeyColumns, names: Sequence[str], limit: Threshold) -> None:
        self._keys, self._names, self._limit = keys, names, limit
        figures = [pa.field(name, pa.float32()) for name in ("error", "bits")]
        columns = [pa.field(f"bits_{name}", pa.float32()) for name in ("latents", *names)]
        self.schema = pa.schema([*keys.fields, *figures, pa.field("surprising", pa.bool_()), *columns])

    def table(self, block: RowBlock, found: Surprise) -> pa.Table:
        """A block's rows."""
        count = block.table.num_rows
        rows = np.arange(block.first, block.first + count, dtype=np.int64)
        bits = found.bits
        columns = [
            pa.array(found.columns[name]) if name in found.columns else pa.nulls(count, pa.float32())
            for name in self._names
        ]
        keys = self._keys.columns(block.partition, block.keys, rows)
        scores = [pa.array(found.error), pa.array(bits), pa.array(bits > self._limit.bits), pa.array(found.latents)]
        return pa.table([*keys, *scores, *columns], schema=self.schema)


class _Best:
    """The most surprising rows so far."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._table: pa.Table | None = None

    def add(self, partition: str, table: pa.Table) -> None:
        """Take in rows of a partition."""
        bits = np.asarray(table.column("bits"))
        if len(bits) > self._count:
            least = np.partition(bits, -self._count)[-self._count] if self._count else np.inf
            table = table.filter(pa.array(bits >= least))
        table = table.append_column("__partition", pa.repeat(pa.scalar(partition), table.num_rows))
        joined = table if self._table is None else pa.concat_tables([self._table, table])
        self._table = joined.take(pc.sort_indices(joined, [("bits", "descending")])).slice(0, self._count)

    def table(self, schema: pa.Schema) -> pa.Table:
        """The rows, most surprising first."""
        return pa.Table.from_batches([], schema) if self._table is None else self._table.select(range(len(schema)))

    def rows(self, schema: pa.Schema) -> tuple[SurprisingRow, ...]:
        """The first few with what made them so."""
        shown = [] if self._table is None else self._table.slice(0, SHOWN).to_pylist()
        causes = [name for name in schema.names if name.startswith("bits_")]
        return tuple(
            SurprisingRow(
                partition=row["__partition"],
                row=row["row"],
                error=round(row["error"], 4),
                bits=round(row["bits"], 2),
                columns={
                    name.removeprefix("bits_"): round(row[name], 2)
                    for name in sorted(causes, key=lambda name: -(row[name] or 0.0))[:CAUSES]
                    if row[name]
                },
            )
            for row in shown
        )


def _check(top: int | None, false_alarms: float | None, quantile: float | None) -> None:
    if false_alarms is not None and quantile is not None:
        raise UsageError("--false-alarms and --quantile exclude each other: give one of them")
    if top is not None and top < 1:
        raise UsageError(f"--top {top}: at least one row")
    for name, share in (("--false-alarms", false_alarms), ("--quantile", quantile)):
        if share is not None and not 0 < share < 1:
            raise UsageError(f"{name} {share}: a share between 0 and 1, such as 0.001")
