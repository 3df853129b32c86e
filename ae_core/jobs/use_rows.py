"""Rows for a model to look at, archived or new, block by block; a Parquet file that appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.codec import Codec
from ae_core.dataset import LOCKSTEP_CELLS, Archive, Partition, decoded
from ae_core.errors import LayerMissing, NoLatents, OutputExists, UsageError
from ae_core.jobs.sampling import row_counts
from ae_core.lake import LakePartition, list_partitions, read_blocks
from ae_core.pipeline import LOCKSTEP_BLOCKS
from ae_core.remote.places import refuse_credentials
from ae_core.selection import Where
from ae_core.threads import thread_count

ADVICE = (
    "--where chooses partitions that have (ls shows them), `latents: always` in a policy makes sure that new ones do"
)


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Consecutive rows of a partition, the first of them row `first` of it, and the model that looks at them."""

    partition: str
    keys: Mapping[str, str]
    first: int
    table: pa.Table
    codec: Codec


def partitions_with(source: Archive, where: Where, *layers: str) -> tuple[Partition, ...]:
    """The chosen partitions, every one of which has a network model and keeps these layers.

    Raises
    ------
    NoLatents, LayerMissing
        When one has not; the message names it and says why.
    """
    found = source.partitions(where)
    if not found:
        raise UsageError(f"{source.url}: the archive holds no partition")
    for partition in found:
        codec = source.codec(partition.manifest)
        if codec.network is None:
            reason = partition.manifest.no_latents_reason or codec.no_latents_reason or "its model has no network"
            raise NoLatents(f"{partition.id} has no latents, which this command needs: {reason}; {ADVICE}")
        for layer in layers:
            if partition.manifest.layer(layer) is None:
                kept = ", ".join(one.layer for one in partition.manifest.layers) or "none"
                raise LayerMissing(f"{partition.id} keeps no {layer}, which this command needs; layers kept: {kept}")
    return found


def archived_rows(partitions: Sequence[Partition], source: Archive, *, threads: int) -> Iterator[RowBlock]:
    """The rows of partitions of an archive, as they decode."""
    tasks = [partition.tasks() for partition in partitions]
    tables = decoded((task for group in tasks for task in group), threads=threads)
    for partition, group in zip(partitions, tasks, strict=True):
        codec, first = source.codec(partition.manifest), 0
        for _ in group:
            table = next(tables)
            yield RowBlock(partition.id, partition.keys, first, table, codec)
            first += table.num_rows


@dataclass(frozen=True)
class NewRows:
    """Partitions of a lake and the archived model that knows their columns."""

    partitions: tuple[LakePartition, ...]
    model: str
    codec: Codec

    @property
    def rows(self) -> int:
        """Rows of all partitions."""
        return sum(sum(row_counts(partition)) for partition in self.partitions)

    def blocks(self) -> Iterator[RowBlock]:
        """The rows in order."""
        for partition in self.partitions:
            first = 0
            for table in read_blocks(partition):
                yield RowBlock(partition.id, partition.keys, first, fitted(table, self.codec.plan.schema), self.codec)
                first += table.num_rows


def new_rows(source: Archive, lake: str, where: Where) -> NewRows:
    """The rows of a lake, with the archive's newest network model of their columns.

    Raises
    ------
    NoLatents
        When no model of the archive has latents.
    UsageError
        When none was trained for these columns; the message says how the newest one's differ.
    """
    partitions = tuple(list_partitions(lake, where))
    (head,) = list(islice((block for one in partitions for block in read_blocks(one, 1)), 1)) or [None]
    used = dict.fromkeys(partition.manifest.model for partition in source.partitions())
    newest = [sha for sha in reversed(source.training) if sha in used]
    models = [sha for sha in dict.fromkeys([*newest, *used]) if sha is not None]
    codecs = {sha: source.model(sha) for sha in models}
    with_latents = {sha: codec for sha, codec in codecs.items() if codec.network is not None}
    if not with_latents:
        reason = next((codec.no_latents_reason for codec in codecs.values()), None) or "it holds no partition"
        raise NoLatents(f"{source.url}: no model of the archive has latents: {reason}; {ADVICE}")
    why = ""
    for sha, codec in with_latents.items():
        try:
            if head is not None:
                fitted(head, codec.plan.schema)
        except UsageError as error:
            why = why or str(error)
            continue
        return NewRows(partitions, sha, codec)
    raise UsageError(f"{lake}: no model of {source.url} knows these columns: {why}")


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of the schema, where that changes no value.

    Raises
    ------
    UsageError
        When a column is missing or its values do not fit; the message names it.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise UsageError(f"column {missing[0]!r} is missing")
    columns = []
    for field in schema:
        column = table.column(field.name)
        try:
            column = column if column.type == field.type else column.cast(field.type)
        except pa.ArrowException as error:
            raise UsageError(f"column {field.name!r} is {column.type}, not {field.type}: {error}") from None
        if column.null_count and not field.nullable:
            raise UsageError(f"column {field.name!r} has nulls, and the model knows none")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def together(blocks: Iterable[RowBlock], rows: int, columns: int, threads: int) -> Iterator[tuple[RowBlock, ...]]:
    """Blocks of one model in groups that gain from going in lockstep, without more memory than a block may take."""
    stream = iter(blocks)
    size = max(1, min(LOCKSTEP_BLOCKS, rows // thread_count(threads) // 20_000))
    while window := tuple(islice(stream, size)):
        for _, alike in groupby(window, key=lambda block: id(block.codec)):
            batch: list[RowBlock] = []
            for block in alike:
                if batch and sum(one.table.num_rows for one in (*batch, block)) * columns > LOCKSTEP_CELLS:
                    yield tuple(batch)
                    batch = []
                batch.append(block)
            yield tuple(batch)


class KeyColumns:
    """Partition keys as columns: whole numbers where every value is one, else text; flat lakes have `partition`."""

    def __init__(self, partitions: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        listed = list(partitions)
        self._names = list(listed[0][1]) if listed else []
        values = {name: [keys[name] for _, keys in listed] for name in self._names}
        self._types = {name: pa.int64() if all(map(_whole, of)) else pa.string() for name, of in values.items()}

    @property
    def fields(self) -> list[pa.Field]:
        """Fields of the keys, then of `row`."""
        keys = [pa.field(name, kind) for name, kind in self._types.items()] or [pa.field("partition", pa.string())]
        return [*keys, pa.field("row", pa.int64())]

    def columns(self, partition: str, keys: Mapping[str, str], rows: np.ndarray) -> list[pa.Array]:
        """Arrays of the fields, for rows of one partition."""
        values: list[Any] = [
            int(keys[name]) if pa.types.is_integer(kind) else keys[name] for name, kind in self._types.items()
        ]
        values = values if self._names else [partition]
        fields = zip(values, self.fields, strict=False)
        return [*(pa.repeat(pa.scalar(value, field.type), len(rows)) for value, field in fields), pa.array(rows)]


def _whole(text: str) -> bool:
    return text.isascii() and (text.isdigit() or (text[:1] == "-" and text[1:].isdigit())) and str(int(text)) == text


@contextmanager
def new_file(out: str) -> Iterator[Path]:
    """A local file that becomes `out` when the body ends well, and disappears when it does not.

    Raises
    ------
    OutputExists
        When `out` exists already.
    UsageError
        When it cannot be made.
    """
    refuse_credentials(out)
    fs, path = fsspec.core.url_to_fs(out)
    if fs.exists(path):
        raise OutputExists(f"OUT {out} exists already and is never overwritten; choose another name")
    local = "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
    parent = Path(path).resolve().parent if local else Path(tempfile.gettempdir())
    try:
        parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{PurePosixPath(path).name}.", suffix=".tmp", dir=parent)
        os.close(handle)
    except OSError as error:
        raise UsageError(f"OUT {out} cannot be written: {error.strerror}") from None
    scratch = Path(name)
    try:
        yield scratch
        if local:
            scratch.chmod(0o666 & ~_umask())
            try:
                os.link(scratch, path)
            except FileExistsError:
                raise OutputExists(f"OUT {out} appeared while it was being written; choose another name") from None
        else:
            fs.put_file(str(scratch), path)
    finally:
        scratch.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def new_parquet(out: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet file that is written row group by row group and appears whole or not at all."""
    with new_file(out) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer
