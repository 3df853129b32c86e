"""An archive as a table: open it, pick partitions, columns and rows, and read them as Arrow."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa

from ae_core import pipeline
from ae_core.archive.format import Manifest
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.store import Store
from ae_core.certificates import read_certificate
from ae_core.codec import Codec
from ae_core.errors import Corrupt, LatentlakeError, LayerMissing, NoLatents, UsageError
from ae_core.notebook import archive_html, partition_html
from ae_core.policy import Bound
from ae_core.records import TableInfo, select_manifests, select_partitions, table_info, training_reports, with_metadata
from ae_core.report.certificate import Certificate
from ae_core.selection import RowRange, Where, parse_rows
from ae_core.threads import ordered_map, thread_count

Layer = Literal["bounded", "preview"]
if TYPE_CHECKING:
    from ae_core.scan import Scan

LOCKSTEP_CELLS = 1 << 23  # of the blocks that one thread decodes at once: what a thread holds stays bounded


def open_archive(
    url: str, *, snapshot: int | None = None, expect_head: str | None = None, store: Store | None = None
) -> Archive:
    """The archive at `url` as of commit `snapshot` (the newest if None).

    Parameters
    ----------
    expect_head : SHA-256 that the snapshot's commit must have.
    store : where the archive's bytes come from, if not from `url`.

    Raises
    ------
    UsageError
        There is no such archive or snapshot, or it needs a newer release.
    Corrupt
        The archive is damaged, or its head is not the one expected.

    Examples
    --------
    >>> archive = open_archive("flights.archive")  # doctest: +SKIP
    >>> archive.scan(where={"month": 3}, columns=["dep_delay"]).to_table()  # doctest: +SKIP
    """
    return Archive(open_snapshot(url, number=snapshot, expect_head=expect_head, store=store))


def preview_names(codec: Codec) -> tuple[str, ...]:
    """The columns that the latents alone rebuild; none where the model has no latents."""
    if codec.network is None:
        return ()
    coded = {index for index, coder in codec.vectors.items() if coder.network is not None}
    coded.update(codec.plan.domain_columns)
    return tuple(codec.plan.columns[index].name for index in sorted(coded))


class Archive:
    """One snapshot of an archive, open for reading; it stays what it is while others commit."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._codecs: dict[str, Codec] = {}

    @property
    def url(self) -> str:
        """Where the archive is."""
        return self._snapshot.archive.store.url

    @property
    def store(self) -> Store:
        """Where its objects are."""
        return self._snapshot.archive.store

    @property
    def uid(self) -> str:
        """The archive's own id, for ever."""
        return self._snapshot.archive.marker.archive

    @property
    def snapshot(self) -> int:
        """Number of the commit that is read."""
        return self._snapshot.number

    @property
    def head_sha256(self) -> str:
        """SHA-256 of that commit: the root that everything read is checked against."""
        return self._snapshot.sha256

    def partitions(self, where: Where = None) -> tuple[Partition, ...]:
        """The partitions that satisfy every condition, month=2 before month=10.

        Raises
        ------
        UsageError
            When a condition is malformed or no partition satisfies them.
        """
        return tuple(Partition(self, manifest) for manifest in select_manifests(self._snapshot, where))

    def select(self, where: Where = None) -> list[str]:
        """The ids of the partitions that satisfy every condition; no manifest is read.

        Raises
        ------
        UsageError
            When a condition is malformed or no partition satisfies them.
        """
        return select_partitions(self._snapshot, where)

    def partition(self, **keys: object) -> Partition:
        """The one partition with these keys, such as `partition(month=3)`.

        Raises
        ------
        UsageError
            When not exactly one partition has them.
        """
        found = self.partitions(keys)
        if len(found) != 1:
            raise UsageError(f"{self.url}: {len(found)} partitions have {keys}; use partitions() or more keys")
        return found[0]

    def scan(
        self,
        *,
        where: Where = None,
        columns: Sequence[str] | None = None,
        rows: str | tuple[int, int] | RowRange | None = None,
        layer: Layer = "bounded",
        threads: int = 0,
    ) -> Scan:
        """The rows of the chosen partitions, one partition after the other; nothing is decoded before it is read.

        The table's columns are followed by its partition keys. Where partitions differ, types widen and columns that
        some lack are null there. What reads the scan may push columns and filters into it (`ae_core.scan.Scan`).

        Parameters
        ----------
        columns : columns and partition keys in the order wanted; all if None.
        rows : range within each partition.
        layer : "bounded" holds every bound; "preview" is approximate, from the latents alone.
        threads : blocks decoded at once; 0 is one per core.

        Raises
        ------
        UsageError
            When a column, layer or partition is not there; `NoLatents` and `LayerMissing` say which and why.
        """
        from ae_core.pieces import Archived  # a scan is built of partitions: importing it above would be a circle
        from ae_core.scan import Scan

        span = parse_rows(rows)
        pieces = [Archived.of(partition, layer, span, columns) for partition in self.partitions(where)]
        return Scan(pieces, columns=columns, threads=threads)

    def latents(self, where: Where = None, *, threads: int = 0) -> pa.Table:
        """The latents of the chosen partitions, a row for each row: `_partition`, `_row`, `_model`, then z_0, z_1, …

        What z_0 means is the model's own affair: compare rows of one `_model` only. Partitions without latents are
        left out.

        Raises
        ------
        NoLatents
            When none of them has latents.
        UsageError
            When no partition satisfies the conditions.
        """
        from ae_core.tables import latents_table  # built of partitions, as a scan is

        return latents_table(self.partitions(where), threads=threads)

    def reports(self, where: Where = None) -> pa.Table:
        """The certificates of the chosen partitions, a row for each partition and column.

        Raises
        ------
        UsageError
            When no partition satisfies the conditions.
        """
        from ae_core.tables import reports_table

        return reports_table(self.partitions(where))

    def __repr__(self) -> str:
        return f"Archive({self.url!r}, snapshot {self.snapshot}, {len(self._snapshot.partitions)} partitions)"

    def _repr_html_(self) -> str:
        return archive_html(self)

    @property
    def expired(self) -> frozenset[str]:
        """Partitions whose originals are being deleted, or of which some are gone, by the archive's log."""
        return frozenset(self._snapshot.state.only_copies)

    def manifest(self, partition: str) -> Manifest:
        """The manifest of a partition by its id."""
        return self._snapshot.manifest(partition)

    def codec(self, manifest: Manifest) -> Codec:
        """The codec that a partition was encoded with; loaded once for all partitions that share it."""
        if manifest.model is None:
            raise Corrupt(f"partition {manifest.partition}: its manifest names no model")
        return self.model(manifest.model)

    def model(self, sha256: str) -> Codec:
        """The codec of a model; loaded once."""
        with self._lock:
            if sha256 not in self._codecs:
                self._codecs[sha256] = Codec.from_bytes(self._snapshot.shared(sha256))
            return self._codecs[sha256]

    @cached_property
    def training(self) -> dict[str, Mapping[str, Any]]:
        """SHA-256 of each model -> the report of its training."""
        return training_reports(self._snapshot)

    def payload(self, manifest: Manifest, layer: str, block: int) -> bytes:
        """The stored bytes of one block of a layer, checked."""
        (payload,) = self._snapshot.payloads(manifest, layer, [block])
        return payload

    def table_info(self, manifest: Manifest) -> TableInfo:
        """Schema and policy of a partition."""
        return table_info(self._snapshot, manifest)


class Partition:
    """One partition of a snapshot."""

    def __init__(self, archive: Archive, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    @property
    def id(self) -> str:
        """Its path below the lake, such as `month=3`."""
        return self.manifest.partition

    @property
    def keys(self) -> dict[str, str]:
        """Its partition keys; empty in a flat lake."""
        return dict(self.manifest.keys)

    @property
    def rows(self) -> int:
        """Its number of rows."""
        return self.manifest.rows

    @property
    def block_rows(self) -> int:
        """Rows of each of its blocks but the last, which may have fewer."""
        return max(self.manifest.block_rows, default=1)

    @property
    def certificate(self) -> Certificate:
        """The measured loss of every column, as it was recorded."""
        codec = self._archive.codec(self.manifest) if self.manifest.model else None
        return read_certificate(self.manifest, self.table, codec)

    @cached_property
    def table(self) -> TableInfo:
        """Schema and policy."""
        return self._archive.table_info(self.manifest)

    @property
    def bounds(self) -> dict[str, Bound]:
        """What each column may have lost."""
        return dict(self.table.policy.bounds)

    @property
    def store(self) -> Store:
        """Where its objects are."""
        return self._archive.store

    @property
    def fullest(self) -> Layer:
        """What a read can get at most: "preview" where the partition has faded to its latents."""
        return "preview" if self.manifest.layer("residuals") is None else "bounded"

    @property
    def schema(self) -> pa.Schema:
        """The original Arrow schema with its metadata."""
        return self.table.schema

    def __repr__(self) -> str:
        return f"Partition({self.id!r}, {self.rows:,} rows)"

    def _repr_html_(self) -> str:
        return partition_html(self)

    def latents(self) -> Iterator[np.ndarray]:
        """The latents of each block, uint16 (rows, d).

        Raises
        ------
        NoLatents
            When the partition has none.
        """
        self._require("preview")
        codec = self._archive.codec(self.manifest)
        for block, rows in enumerate(self.manifest.block_rows):
            yield pipeline.latents_of(codec, self._archive.payload(self.manifest, "latents", block), rows)

    def schema_of(self, columns: Sequence[str] | None = None, layer: Layer = "bounded") -> pa.Schema:
        """The schema that `blocks` yields; a preview may hold nulls anywhere, where it cannot tell the value.

        Raises
        ------
        UsageError
            When the layer or a column is not there.
        """
        names = self._names(columns, layer)
        fields = [self.schema.field(name) for name in names]
        if layer == "preview":
            fields = [field.with_nullable(True) for field in fields]
        return pa.schema(fields, metadata=self.schema.metadata)

    def left_out(self, layer: Layer) -> tuple[str, ...]:
        """The columns that the layer cannot rebuild."""
        if layer == "bounded":
            return ()
        kept = set(preview_names(self._archive.codec(self.manifest)))
        return tuple(name for name in self.schema.names if name not in kept)

    def blocks(
        self,
        *,
        columns: Sequence[str] | None = None,
        rows: RowRange | None = None,
        layer: Layer = "bounded",
        threads: int = 1,
    ) -> Iterator[pa.Table]:
        """The rows in order, a table of at most one block's rows at a time."""
        tasks = self.tasks(columns=columns, rows=rows, layer=layer)
        return decoded(tasks, threads=threads)

    def tasks(
        self, *, columns: Sequence[str] | None = None, rows: RowRange | None = None, layer: Layer = "bounded"
    ) -> list[BlockTask]:
        """What has to be decoded for the rows, in order; each task may run in any thread."""
        schema = self.schema_of(columns, layer)
        start, stop = (rows or RowRange()).clip(self.rows)
        tasks: list[BlockTask] = []
        first = 0
        for block, count in enumerate(self.manifest.block_rows):
            low, high = max(start - first, 0), min(stop - first, count)
            if low < high:
                tasks.append(BlockTask(self._archive, self.manifest, block, low, high, schema, layer))
            first += count
        return tasks

    def _names(self, columns: Sequence[str] | None, layer: Layer) -> list[str]:
        if layer not in get_args(Layer):
            raise UsageError(f"layer {layer!r} is none of {', '.join(get_args(Layer))}")
        self._require(layer)
        for name in columns or ():
            if name not in self.schema.names:
                raise UsageError(f"no column {name!r} in {self.id}; columns are {', '.join(self.schema.names)}")
        missing = self.left_out(layer)
        for name in columns or ():
            if name in missing:
                raise UsageError(f"column {name!r} of {self.id} has no preview: read it with the bounded layer")
        if columns is None:
            return [name for name in self.schema.names if name not in missing]
        if len(set(columns)) != len(columns) or not columns:
            raise UsageError(f"columns {', '.join(columns) or '(none)'}: name each one once, and at least one")
        return list(columns)

    def _require(self, layer: Layer) -> None:
        kept = {one.layer for one in self.manifest.layers}
        if layer == "preview" and "latents" not in kept:
            codec = self._archive.codec(self.manifest)
            reason = self.manifest.no_latents_reason or codec.no_latents_reason or "its latents were dropped"
            raise NoLatents(f"{self.id} has no preview: {reason}")
        if layer == "bounded" and "residuals" not in kept:
            raise LayerMissing(f"{self.id} keeps its latents alone: --layer preview reads them")


@dataclass(frozen=True)
class BlockTask:
    """Decode rows `low:high` of one block."""

    archive: Archive
    manifest: Manifest
    block: int
    low: int
    high: int
    schema: pa.Schema
    layer: Layer

    @property
    def rows(self) -> int:
        """Rows of the whole block."""
        return self.manifest.block_rows[self.block]

    @property
    def kind(self) -> tuple[object, ...]:
        """What tasks must share to be decoded in lockstep."""
        return self.archive, self.manifest.model, self.layer, tuple(self.schema.names)


def decoded(tasks: Iterable[BlockTask], *, threads: int) -> Iterator[pa.Table]:
    """The tables of the tasks, in their order and with the original schema, decoded in threads and in lockstep.

    Raises
    ------
    Corrupt
        When stored bytes are missing, changed or malformed.
    """
    for tables in ordered_map(_decode_or_refuse, _batches(tasks, thread_count(threads)), threads=threads):
        yield from tables


def _batches(tasks: Iterable[BlockTask], threads: int) -> Iterator[tuple[BlockTask, ...]]:
    """Consecutive tasks of one kind, as many as decode well in lockstep while every thread has its share."""
    stream = iter(tasks)
    while window := tuple(islice(stream, pipeline.LOCKSTEP_BLOCKS * threads)):
        most = -(-len(window) // threads)
        for _, alike in groupby(window, key=lambda task: task.kind):
            batch: list[BlockTask] = []
            for task in alike:
                cells = sum(one.rows for one in (*batch, task)) * len(task.schema.names)
                if len(batch) == most or (batch and cells > LOCKSTEP_CELLS):
                    yield tuple(batch)
                    batch = []
                batch.append(task)
            yield tuple(batch)


def _decode_or_refuse(tasks: Sequence[BlockTask]) -> list[pa.Table]:
    """`_decode_together`; whatever bytes with a right digest make it stumble over is damage, and says where."""
    try:
        return _decode_together(tasks)
    except (LatentlakeError, MemoryError):
        raise
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        blocks = ", ".join(f"{task.block} of {task.manifest.partition}" for task in tasks)
        kind = type(error).__name__
        raise Corrupt(f"block {blocks}: cannot be decoded ({kind}: {error}): verify the archive") from error


def _decode_together(tasks: Sequence[BlockTask]) -> list[pa.Table]:
    """The tables of tasks of one kind."""
    first = tasks[0]
    codec, names = first.archive.codec(first.manifest), first.schema.names
    if not set(names) <= set(codec.plan.schema.names):
        raise Corrupt(f"{first.manifest.partition}: its model is of other columns than its table record")
    if first.layer == "preview":
        latents = [pipeline.StoredBlock(_latents(task), b"", task.rows) for task in tasks]
        tables = pipeline.preview_blocks(codec, latents, names)
    else:
        look = pipeline.needs_latents(codec, names)
        stored = [
            pipeline.StoredBlock(
                _latents(task) if look else None,
                task.archive.payload(task.manifest, "residuals", task.block),
                task.rows,
            )
            for task in tasks
        ]
        tables = pipeline.decode_blocks(codec, stored, names)
    return [_cut(task, table) for task, table in zip(tasks, tables, strict=True)]


def _latents(task: BlockTask) -> bytes | None:
    if task.manifest.layer("latents") is None:
        return None
    return task.archive.payload(task.manifest, "latents", task.block)


def _cut(task: BlockTask, table: pa.Table) -> pa.Table:
    if table.num_rows != task.rows:
        raise Corrupt(f"{task.manifest.partition}: block {task.block} holds {table.num_rows} rows, not {task.rows}")
    table = with_metadata(table.select(task.schema.names), task.schema)
    return table.slice(task.low, task.high - task.low)
