"""Speed of the commands on flights repeated tenfold (3.37 million rows, 19 columns with the key), all measured.

    python -m tests.benchmarks.speed [--folder demo]

Trains once (minutes; the archive is kept below the folder). Then 120 months and one partition of all rows are added
with that model, decoded by the command as a user would type it, and every figure is printed with its wall and CPU
seconds. MB/s are of Arrow as 8 bytes a cell, as text has them too; a machine that others use shows in wall seconds
alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import ae_core
from ae_core import pipeline
from ae_core.coder import blocks
from ae_core.coder.payload import unpack_streams
from ae_core.columns import encode_columns
from infra.demo import flights

COMMAND = Path(sys.executable).with_name("latentlake")
TIMES, RANGE, WHOLE = 10, "0.01", 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    folder = parser.parse_args().folder
    work = folder / "bench" / "speed"
    months, archive = prepare(folder, work)
    table = pa.concat_tables(months * TIMES)
    megabytes = table.num_rows * (table.num_columns + 1) * 8 / 1e6
    start = command(archive, work, "month=1", "--columns", "day")
    report("decode, start-up (one month, one column)", start)
    for what, where in (("120 months", "month<=120"), ("one partition", f"month={WHOLE}")):
        took = command(archive, work, where)
        report(f"decode, {what}: {megabytes / took[0]:.0f} MB/s", took)
    report(
        "decode, one partition, --columns distance", command(archive, work, f"month={WHOLE}", "--columns", "distance")
    )
    report("decode, one partition, --rows 0:1000", command(archive, work, f"month={WHOLE}", "--rows", "0:1000"))
    kernel(str(archive))
    for what, parts in (("one partition", [pa.concat_tables(months)]), ("12 months", months)):
        report(f"Parquet zstd-19 of a year, {what}", timed(partial(_parquet, parts)))
        report(f"compress a year, model at hand, {what}", compress(archive, work, parts))


def prepare(folder: Path, work: Path) -> tuple[list[pa.Table], Path]:
    """The months of a year, and the archive of ten years of them: 120 months and one partition of all."""
    lake, archive = flights.prepare(folder)[0], work / "archive"
    files = [lake / f"month={month}" / "part-0.parquet" for month in range(1, 13)]
    months = [pq.ParquetFile(path).read(use_threads=False) for path in files]
    if not archive.exists():
        staged, ten = work / "staged", work / "lake"
        shutil.rmtree(staged, ignore_errors=True)
        ae_core.compress(str(lake), str(staged), range_=RANGE)
        for number in range(13, 12 * TIMES + 1):
            write(ten, number, months[(number - 1) % 12])
        write(ten, WHOLE, pa.concat_tables(months * TIMES))
        ae_core.compress(str(ten), str(staged), range_=RANGE)
        staged.rename(archive)
    return months, archive


def write(lake: Path, month: int, table: pa.Table) -> None:
    """One partition of a lake, of one file."""
    (lake / f"month={month}").mkdir(parents=True, exist_ok=True)
    pq.write_table(table, lake / f"month={month}" / "part-0.parquet", compression="zstd")


def command(archive: Path, work: Path, where: str, *more: str) -> tuple[float, float]:
    """Wall and CPU seconds of the decode command, files written."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    arguments = [str(COMMAND), "decode", str(archive), str(out), "--where", where, *more]
    return timed(lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL))


def compress(archive: Path, work: Path, parts: list[pa.Table]) -> tuple[float, float]:
    """Of adding partitions to a copy of the archive: encoded, proved in a fresh process, committed."""
    lake, copy = work / "new", work / "copy"
    for path in (lake, copy):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(archive, copy)
    for number, part in enumerate(parts):
        write(lake, 2000 + number, part)
    return timed(lambda: ae_core.compress(str(lake), str(copy), range_=RANGE))


def kernel(archive: str) -> None:
    """Nanoseconds a coded symbol a core of the largest context group, by blocks in lockstep."""
    opened = ae_core.open_archive(archive)
    partition = opened.partition(month=WHOLE)
    codec = opened.codec(partition.manifest)
    assert codec.network is not None
    group = max(codec.network.groups, key=lambda one: len(one.positions))
    stored = [
        pipeline.StoredBlock(
            opened.payload(partition.manifest, "latents", block),
            opened.payload(partition.manifest, "residuals", block),
            partition.manifest.block_rows[block],
        )
        for block in range(4)
    ]
    tables = pipeline.decode_blocks(codec, stored)
    streams = [unpack_streams(block.residuals) for block in stored]
    name = f"g{codec.network.groups.index(group)}"
    known = [encode_columns(codec.plan, table).symbols for table in tables]
    z = pipeline.latents_of_blocks(codec, stored)
    symbols = [pipeline.group_symbols(group, *pair) for pair in zip(z, known, strict=True)]
    coded = sum(group.frozen.alphabets[p] > 1 for p in group.frozen.coded_positions)
    for count in (4, 1):
        cells = sum(len(block) for block in symbols[:count]) * coded
        data = [some[name] for some in streams[:count]]

        def decode(data: list[bytes] = data, count: int = count) -> None:
            blocks.decode_blocks(group.frozen, data, [np.copy(block) for block in symbols[:count]])

        def encode(count: int = count) -> None:
            blocks.intervals_of_blocks(group.frozen, symbols[:count])

        for what, work in (("decode", decode), ("encode", encode)):
            best = min(_thread_seconds(work) for _ in range(3))
            print(f"kernel, {what}, {count} in lockstep: {best / cells * 1e9:.0f} ns a symbol", flush=True)


def _thread_seconds(work: Callable[[], None]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _parquet(tables: list[pa.Table]) -> None:
    for table in tables:
        pq.write_table(table, pa.BufferOutputStream(), compression="zstd", compression_level=19)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process and those it waited for."""
    start, before = time.perf_counter(), _cpu()
    work()
    return time.perf_counter() - start, _cpu() - before


def _cpu() -> float:
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def report(what: str, took: tuple[float, float]) -> None:
    """One line."""
    print(f"{what}: {took[0]:.2f} s wall, {took[1]:.2f} s CPU", flush=True)


if __name__ == "__main__":
    main()
