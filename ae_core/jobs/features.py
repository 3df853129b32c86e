"""Latents as features: a Parquet table aligned with the rows, of what is archived or of new rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from ae_core import pipeline
from ae_core.columns import encode_columns
from ae_core.dataset import Archive, Partition, open_archive
from ae_core.errors import UsageError
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.use_results import Features
from ae_core.jobs.use_rows import KeyColumns, RowBlock, new_parquet, new_rows, partitions_with
from ae_core.kernels.encoder import encode_latents
from ae_core.selection import Where
from ae_core.threads import ordered_map


def features(
    archive: str,
    out: str,
    *,
    where: Where = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> Features:
    """Write the latents of the chosen partitions to the Parquet file `out`: partition keys, `row`, z_0, z_1, ...

    Only the latents are read: partitions whose residuals were faded have features too. The file appears whole or not
    at all.

    Raises
    ------
    NoLatents, LayerMissing
        When a partition has no latents, or keeps them no more.
    UsageError
        When the partitions were encoded by more than one model, whose latents mean different things.
    """
    start = time.perf_counter()
    source = open_archive(archive, snapshot=snapshot)
    partitions = partitions_with(source, where, "latents")
    model = _one_model(partitions)
    network = source.model(model).network
    assert network is not None
    keys = KeyColumns((partition.id, partition.keys) for partition in partitions)
    names = latent_names(network.latent_dims)
    total, done = sum(partition.rows for partition in partitions), 0
    with new_parquet(out, _schema(keys, names)) as writer:
        for partition, first, z in _stored_latents(source, partitions, threads):
            rows = np.arange(first, first + len(z), dtype=np.int64)
            columns = [*keys.columns(partition.id, partition.keys, rows), *z.astype(np.int16).T]
            writer.write_table(pa.table(columns, schema=_schema(keys, names)))
            done += len(z)
            progress("features", done, total)
    return Features(
        source.url, out, source.snapshot, None, model, len(partitions), done, names, time.perf_counter() - start
    )


def encode(
    archive: str,
    lake: str,
    out: str,
    *,
    where: Where = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> Features:
    """Write the features of a lake's rows by the archive's newest model of their columns; nothing is archived.

    The integer encoder gives what `features` would give were the rows archived with that model. Values that the model
    never saw count as unknown.

    Raises
    ------
    NoLatents
        When no model of the archive has latents.
    UsageError
        When none was trained for these columns.
    """
    start = time.perf_counter()
    source = open_archive(archive, snapshot=snapshot)
    new = new_rows(source, lake, where)
    codec, network = new.codec, new.codec.network
    assert network is not None
    keys = KeyColumns((partition.id, partition.keys) for partition in new.partitions)
    names = latent_names(network.latent_dims)
    total, done = new.rows, 0

    def encoded(block: RowBlock) -> tuple[RowBlock, np.ndarray]:
        return block, encode_latents(network.encoder, encode_columns(codec.plan, block.table).symbols)

    with new_parquet(out, _schema(keys, names)) as writer:
        for block, z in ordered_map(encoded, new.blocks(), threads=threads):
            rows = np.arange(block.first, block.first + len(z), dtype=np.int64)
            columns = [*keys.columns(block.partition, block.keys, rows), *z.astype(np.int16).T]
            writer.write_table(pa.table(columns, schema=_schema(keys, names)))
            done += len(z)
            progress("encode", done, total)
    count = len(new.partitions)
    return Features(source.url, out, source.snapshot, lake, new.model, count, done, names, time.perf_counter() - start)


def latent_names(dims: int) -> tuple[str, ...]:
    """z_0, z_1, ..."""
    return tuple(f"z_{number}" for number in range(dims))


def _schema(keys: KeyColumns, names: Sequence[str]) -> pa.Schema:
    return pa.schema([*keys.fields, *(pa.field(name, pa.int16()) for name in names)])


def _one_model(partitions: Sequence[Partition]) -> str:
    groups: dict[str, list[str]] = {}
    for partition in partitions:
        groups.setdefault(partition.manifest.model or "", []).append(partition.id)
    if len(groups) > 1:
        told = "; ".join(f"{ids[0]}{f' … {ids[-1]}' if len(ids) > 1 else ''}" for ids in groups.values())
        raise UsageError(
            f"the partitions have {len(groups)} models, whose latents cannot be compared: take those of one with "
            f"--where ({told})"
        )
    return next(iter(groups))


def _stored_latents(
    source: Archive, partitions: Sequence[Partition], threads: int
) -> Iterator[tuple[Partition, int, np.ndarray]]:
    """(partition, first row, latents) of every block, decoded in threads and in lockstep."""
    places = []
    for partition in partitions:
        first = 0
        for block, rows in enumerate(partition.manifest.block_rows):
            places.append((partition, block, first, rows))
            first += rows

    def decode(some: Sequence[tuple[Partition, int, int, int]]) -> list[tuple[Partition, int, np.ndarray]]:
        stored = [
            pipeline.StoredBlock(source.payload(partition.manifest, "latents", block), b"", rows)
            for partition, block, _, rows in some
        ]
        found = pipeline.latents_of_blocks(source.codec(some[0][0].manifest), stored)
        return [(partition, first, z) for (partition, _, first, _), z in zip(some, found, strict=True)]

    stream = iter(places)
    groups = iter(lambda: tuple(islice(stream, pipeline.LOCKSTEP_BLOCKS)), ())
    yield from chain.from_iterable(ordered_map(decode, groups, threads=threads))
