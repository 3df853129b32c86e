"""What it costs to read a part of an archive: seconds and bytes read, against the whole.

    python -m tests.benchmarks.access [--archive ARCHIVE] [--folder demo]

The archive is that of the flights in twelve months, every number within 1 % of its range, made below bench/access
unless one is given. Every reading is done by the command as a user would type it, three times, the median shown:
start-up is included, which listing the archive alone shows. The bytes read are those that the process reads of the
archive's files, counted with strace; without it they are left out. Writes bench/access.json and access.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.command import bytes_read, run, size_below
from tests.benchmarks.results import machine
from tests.benchmarks.tables import TABLES, lake_of

REPEATS = 3
WHOLE = "everything"
READINGS = {
    WHOLE: (),
    "one month": ("--where", "month=3"),
    "two columns": ("--columns", "dep_delay,carrier"),
    "a thousand rows of each month": ("--rows", "0:1000"),
    "two columns of one month": ("--where", "month=3", "--columns", "dep_delay,carrier"),
    "a thousand rows of one month": ("--where", "month=3", "--rows", "10000:11000"),
    "two columns of these rows": ("--where", "month=3", "--rows", "10000:11000", "--columns", "dep_delay,carrier"),
}


@dataclass(frozen=True)
class Reading:
    """One way to read: medians by the clock and of the cores, and the bytes read of the archive's files."""

    name: str
    arguments: tuple[str, ...]
    rows: int
    seconds: float
    cpu_seconds: float
    bytes_read: int | None


def main() -> None:
    """Measure every reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="an archive of the flights by month")
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    asked = parser.parse_args()
    bench = asked.folder / "bench"
    archive = asked.archive or bench / "access"
    if not archive.exists():
        run("compress", lake_of(TABLES["flights, 12 months"](asked.folder)[0]), archive, "--range", "0.01")
    readings = [_listing(archive), *(measure(name, archive, bench / "work") for name in READINGS)]
    size = size_below(archive)
    document = {"machine": machine(), "archive_bytes": size, "readings": [asdict(reading) for reading in readings]}
    bench.mkdir(parents=True, exist_ok=True)
    (bench / "access.json").write_text(json.dumps(document, indent=1))
    (bench / "access.md").write_text(markdown(readings, size))
    print((bench / "access.md").read_text())


def _listing(archive: Path) -> Reading:
    done = [run("ls", archive) for _ in range(REPEATS)]
    return _reading("ls: no data", ("ls",), 0, [(ran.seconds, ran.cpu_seconds) for ran in done], archive, "ls", archive)


def measure(name: str, archive: Path, work: Path) -> Reading:
    """One of the readings, its output written below ``work`` and thrown away."""
    times = []
    rows = 0
    for _ in range(REPEATS):
        shutil.rmtree(work, ignore_errors=True)
        ran = run("decode", archive, work, *READINGS[name])
        rows = ran.answer["rows"]
        times.append((ran.seconds, ran.cpu_seconds))
    shutil.rmtree(work)
    reading = _reading(name, READINGS[name], rows, times, archive, "decode", archive, work, *READINGS[name])
    shutil.rmtree(work, ignore_errors=True)
    return reading


def _reading(
    name: str,
    shown: tuple[str, ...],
    rows: int,
    times: Sequence[tuple[float, float]],
    archive: Path,
    *arguments: str | Path,
) -> Reading:
    clock, cores = (statistics.median(found) for found in zip(*times, strict=True))
    return Reading(name, shown, rows, clock, cores, bytes_read(archive, *arguments))


def markdown(readings: Sequence[Reading], size: int) -> str:
    """The readings as a table, bytes also as a share of what reading everything reads."""
    whole = next(reading for reading in readings if reading.name == WHOLE)
    lines = [
        f"Measured by `make bench-access` on {machine()}; an archive of {size:,} bytes; medians of {REPEATS}.",
        "",
        "| reading | rows | seconds | of everything | core seconds | bytes read | of everything |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for reading in readings:
        counted = ("", "")
        if reading.bytes_read is not None and whole.bytes_read:
            counted = f"{reading.bytes_read:,}", f"{reading.bytes_read / whole.bytes_read:.3f}"
        lines.append(
            f"| {reading.name} | {reading.rows:,} | {reading.seconds:.2f} | {reading.seconds / whole.seconds:.3f} "
            f"| {reading.cpu_seconds:.2f} | {counted[0]} | {counted[1]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
