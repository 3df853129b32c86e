"""New rows from an archive's models, in the lake's own layout, as many as are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.columns import encode_columns
from ae_core.dataset import Archive, Partition, open_archive
from ae_core.errors import UsageError
from ae_core.jobs.output import new_folder, safe_name
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.use_results import Sample, SampledPartition
from ae_core.jobs.use_rows import partitions_with
from ae_core.records import file_path
from ae_core.selection import RowRange, Where
from ae_core.threads import ordered_map
from ae_core.uses.sampling import draw_rows, sample_schema, withheld

FILE = "sample.parquet"
LEAST_RUN = 16_384  # rows that are drawn in a row, where the block has them: days come to their end
MOST_DRAWS = 200  # of one run of rows, before a model that names hardly any known value is given up


def sample(
    archive: str,
    out: str,
    *,
    rows: int,
    seed: int = 0,
    where: Where = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
) -> Sample:
    """Write new rows to the new folder `out`, a file for every chosen partition, by its share of the archive's rows.

    Types, categories, nulls and ranges are the archive's by construction; equal seeds give equal rows on every machine
    and for any number of threads. Sensitive texts become numbered words, other sensitive columns and those that no
    model predicts are null. That is no guarantee of privacy: a model may repeat what it has learned by heart.

    Raises
    ------
    NoLatents, LayerMissing
        When a partition has no network model, or keeps no residuals.
    UsageError
        When no row is asked for, or the model names hardly any value that it knows.
    """
    start = time.perf_counter()
    if rows < 1:
        raise UsageError(f"--rows {rows}: at least one row")
    source = open_archive(archive, snapshot=snapshot)
    partitions = [one for one in partitions_with(source, where, "residuals", "latents") if one.rows]
    if not partitions:
        raise UsageError(f"{source.url}: the chosen partitions have no rows")
    shares = _shares([partition.rows for partition in partitions], rows)
    tasks = [
        task
        for number, (partition, share) in enumerate(zip(partitions, shares, strict=True))
        for task in _tasks(source, partition, share, (seed, number))
    ]
    written, drawn, thrown, done = [], 0, 0, 0
    with new_folder(out) as folder:
        tables = ordered_map(_draw, tasks, threads=threads)
        for number, (partition, share) in enumerate(zip(partitions, shares, strict=True)):
            if not share:
                continue
            schema = sample_schema(source.codec(partition.manifest).plan)
            name = safe_name(file_path(partition.manifest.keys, partition.id, FILE))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
                for _ in [task for task in tasks if task.entropy[1] == number]:
                    table, rows_drawn, rows_thrown = next(tables)
                    writer.write_table(table)
                    drawn, thrown, done = drawn + rows_drawn, thrown + rows_thrown, done + table.num_rows
                    progress("sample", done, rows)
            written.append(SampledPartition(partition.id, share, name))
    hidden: dict[str, str] = {}
    for partition in partitions:
        hidden |= withheld(source.codec(partition.manifest).plan)
    seconds = time.perf_counter() - start
    return Sample(source.url, out, source.snapshot, seed, done, drawn, thrown, tuple(written), hidden, seconds)


@dataclass(frozen=True)
class _Task:
    """Rows to draw after one block: of a long run, however few are wanted, since each row follows the one before."""

    source: Archive
    partition: Partition
    block: int
    rows: int
    entropy: tuple[int, int, int]


def _shares(sizes: Sequence[int], rows: int) -> list[int]:
    """How many rows each partition gets: by its size, `rows` in all."""
    ends = np.array([0, *np.cumsum(sizes)], dtype=object) * rows // sum(sizes)
    return [int(high - low) for low, high in pairwise(ends)]


def _tasks(source: Archive, partition: Partition, rows: int, entropy: tuple[int, int]) -> Iterator[_Task]:
    """Most of each block in turn until the rows are there."""
    sizes, number = [size for size in partition.manifest.block_rows if size], 0
    blocks = [block for block, size in enumerate(partition.manifest.block_rows) if size]
    while rows:
        place = number % len(blocks)
        count = min(rows, max(1, sizes[place] * 9 // 10))  # some rows are thrown away
        yield _Task(source, partition, blocks[place], count, (*entropy, number))
        rows, number = rows - count, number + 1


def _draw(task: _Task) -> tuple[pa.Table, int, int]:
    """The rows of a task, how many were drawn to choose from, and how many of these were thrown away."""
    manifest = task.partition.manifest
    codec = task.source.codec(manifest)
    first = sum(manifest.block_rows[: task.block])
    block = RowRange(first, first + manifest.block_rows[task.block])
    template = pa.concat_tables(task.partition.blocks(rows=block)).cast(codec.plan.schema)
    random = np.random.Generator(np.random.PCG64(list(task.entropy)))
    length = min(template.num_rows, max(LEAST_RUN, 2 * task.rows))
    start = int(random.integers(template.num_rows - length + 1))
    run = template.slice(start, length).combine_chunks()
    encoded = encode_columns(codec.plan, run)
    tables: list[pa.Table] = []
    places: list[np.ndarray] = []
    drawn_rows = 0
    for _ in range(MOST_DRAWS):
        drawn = draw_rows(codec, encoded, run, random)
        tables.append(drawn.table)
        places.append(np.flatnonzero(drawn.kept))
        drawn_rows += length
        if sum(map(len, places)) >= task.rows:
            break
    else:
        raise UsageError(f"{task.partition.id}: its model names hardly any value that it knows: it cannot be sampled")
    found = np.concatenate(places)
    chosen = random.choice(len(found), task.rows, replace=False)
    chosen = chosen[np.argsort(found[chosen], kind="stable")]  # in the order of the template
    return pa.concat_tables(tables).take(pa.array(chosen)), drawn_rows, drawn_rows - len(found)
