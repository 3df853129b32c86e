"""Partitions back as Parquet files in the lake's own layout, with a report of what was lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from ae_core.dataset import Archive, Layer, Partition, decoded, open_archive
from ae_core.jobs.output import LOSS_FILE, ColumnLoss, PartitionWriter, new_folder, safe_name, slice_files, write_json
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.restore import into_lake, is_home, refuse_partial
from ae_core.jobs.results import DecodedPartition, DecodeResult, LostRows, WrittenFile
from ae_core.jobs.salvage import readable_partitions
from ae_core.jobs.salvage import salvage as salvage_partition
from ae_core.records import file_path
from ae_core.report.certificate import ColumnCertificate
from ae_core.selection import RowRange, Where, parse_rows


def decode(
    archive: str,
    out: str,
    *,
    where: Where = None,
    columns: Sequence[str] | None = None,
    rows: str | tuple[int, int] | RowRange | None = None,
    layer: str = "bounded",
    snapshot: int | None = None,
    salvage: bool = False,
    threads: int = 0,
    progress: Progress = silent,
) -> DecodeResult:
    """Write the chosen partitions, columns and rows to the new folder `out`.

    Files have the names and row counts of the originals, cut to the chosen rows; files without a chosen row are left
    out. `_loss.json` beside them and the Parquet field metadata state layer, bound and measured errors. The folder
    appears whole or not at all. Where `out` is the lake that originals were deleted from by `expire`, whole partitions
    take their places in it, and no file there is overwritten.

    Parameters
    ----------
    salvage : leave out what is damaged and write the rest; each range of rows that is lost is in the result, in
        `_loss.json` and in the files' metadata.

    Raises
    ------
    UsageError
        When something asked for is not there; `OutputExists` when `out` is there already.
    Corrupt
        When stored bytes are missing or changed, without `salvage`: no file is left behind.
    """
    start = time.perf_counter()
    source = open_archive(archive, snapshot=snapshot)
    chosen = parse_rows(rows)
    kind = cast("Layer", layer)  # schema_of refuses any other text
    partitions: Sequence[Partition]
    lost: list[LostRows] = []
    if salvage:
        partitions, lost = readable_partitions(source, source.select(where), columns, kind)
    else:
        partitions = source.partitions(where)
    for partition in partitions:
        partition.schema_of(columns, kind)
    home = is_home(out, source.uid)
    if home:
        refuse_partial(columns, rows, layer, salvage=salvage)
    names = [safe_name(file.name) for partition in partitions for file in files_of(partition, chosen)]
    with into_lake(out, names, source.uid) if home else new_folder(out) as folder:
        if salvage:
            written, more = _salvage(source, partitions, folder, columns, chosen, kind, threads, progress)
            lost += more
        else:
            written = _write(source, partitions, folder, columns, chosen, kind, threads, progress)
        left_out = tuple(dict.fromkeys(name for partition in partitions for name in partition.left_out(kind)))
        report = loss_report(source, partitions, columns, kind, left_out)
        write_json(folder / LOSS_FILE, report | ({"lost": [asdict(one) for one in lost]} if salvage else {}))
    return DecodeResult(
        archive=source.url,
        out=out,
        snapshot=source.snapshot,
        layer=layer,
        rows=sum(partition.rows for partition in written),
        partitions=tuple(written),
        left_out=() if columns is not None else left_out,
        lost=tuple(lost),
        seconds=time.perf_counter() - start,
    )


def _write(
    source: Archive,
    partitions: Sequence[Partition],
    folder: Path,
    columns: Sequence[str] | None,
    rows: RowRange,
    layer: Layer,
    threads: int,
    progress: Progress,
) -> list[DecodedPartition]:
    """Decode the blocks of all partitions in threads and write them in order."""
    tasks = [partition.tasks(columns=columns, rows=rows, layer=layer) for partition in partitions]
    tables = decoded((task for group in tasks for task in group), threads=threads)
    total, done = sum(map(len, tasks)), 0
    written = []
    for partition, group in zip(partitions, tasks, strict=True):
        losses = column_losses(source, partition, layer)
        writer = PartitionWriter(folder, files_of(partition, rows), losses)
        if not group:
            writer.write(pa.Table.from_batches([], partition.schema_of(columns, layer)))
        for _ in group:
            writer.write(next(tables))
            done += 1
            progress("decode", done, total)
        files = writer.close()
        written.append(DecodedPartition(partition.id, sum(file.rows for file in files), files))
    return written


def _salvage(
    source: Archive,
    partitions: Sequence[Partition],
    folder: Path,
    columns: Sequence[str] | None,
    rows: RowRange,
    layer: Layer,
    threads: int,
    progress: Progress,
) -> tuple[list[DecodedPartition], list[LostRows]]:
    """Write what can be decoded of each partition, one after the other."""
    written: list[DecodedPartition] = []
    lost: list[LostRows] = []
    for done, partition in enumerate(partitions):
        progress("salvage", done, len(partitions))
        tasks = partition.tasks(columns=columns, rows=rows, layer=layer)
        losses = column_losses(source, partition, layer)
        saved = salvage_partition(partition, tasks, folder, files_of(partition, RowRange()), losses, threads=threads)
        written.append(DecodedPartition(partition.id, sum(file.rows for file in saved.files), saved.files))
        lost += saved.lost
    progress("salvage", len(partitions), len(partitions))
    return written, lost


def files_of(partition: Partition, rows: RowRange) -> tuple[WrittenFile, ...]:
    """The files of a partition, each with its rows; of a part of the rows, those of the files that have some of it."""
    manifest = partition.manifest
    names = [
        WrittenFile(file_path(manifest.keys, partition.id, source.name), source.rows) for source in manifest.sources
    ]
    start, stop = rows.clip(partition.rows)
    files = slice_files(names, start, stop)
    if stop - start == partition.rows:
        return files
    return tuple(file for file in files if file.rows) or files[:1]


def column_losses(source: Archive, partition: Partition, layer: Layer) -> dict[str, ColumnLoss]:
    """What the metadata of each decoded column states; previews have no bound."""
    bounds = partition.bounds
    losses = {}
    for column in partition.certificate.columns:
        worst, mean = _errors(column, layer)
        losses[column.name] = ColumnLoss(
            layer=layer,
            bound=str(bounds[column.name]) if layer == "bounded" else "none",
            max_error=worst,
            mean_error=mean,
            archive=source.uid,
            snapshot=source.snapshot,
        )
    return losses


def _errors(column: ColumnCertificate, layer: Layer) -> tuple[float | None, float | None]:
    if layer == "bounded":
        return column.loss.max_error, column.loss.mean_error
    return (None, None) if column.preview is None else (column.preview.max_error, column.preview.mean_error)


def loss_report(
    source: Archive,
    partitions: Sequence[Partition],
    columns: Sequence[str] | None,
    layer: Layer,
    left_out: Sequence[str],
) -> dict[str, Any]:
    """What `_loss.json` says of the decoded partitions."""
    return {
        "archive": source.uid,
        "snapshot": source.snapshot,
        "head_sha256": source.head_sha256,
        "layer": layer,
        "guarantee": "every cell within its bound" if layer == "bounded" else "none: measured errors of a preview",
        "left_out": list(left_out),
        "partitions": [
            {
                "partition": partition.id,
                "rows": partition.rows,
                "digest": partition.manifest.digest,
                "columns": {
                    name: {"bound": loss.bound, "max_error": loss.max_error, "mean_error": loss.mean_error}
                    for name, loss in column_losses(source, partition, layer).items()
                    if name not in left_out and (columns is None or name in columns)
                },
            }
            for partition in partitions
        ],
    }
