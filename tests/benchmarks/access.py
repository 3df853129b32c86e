"""What it costs to read a part of an archive: seconds and bytes read, against the whole.

    python -m tests.benchmarks.access [--folder demo]

The archives are those of the flights in twelve months, of a block each, and in one file of six blocks, every number
within 1 % of its range; they are made below bench/access and taken again by later runs. Every reading is done by the
command as a user would type it, three times, the median shown: start-up is included, which listing the archive alone
shows. The bytes read are those that the process reads of the archive's files, counted with strace; without it they
are left out. Writes bench/access.json and access.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.command import bytes_read, run
from tests.benchmarks.results import machine
from tests.benchmarks.tables import TABLES, lake_of

REPEATS = 3
WHOLE, LISTING = "everything", "ls: no data"
_TWO = ("--columns", "dep_delay,carrier")
_THOUSAND = ("--rows", "10000:11000")
READINGS = {
    "flights, 12 months": {
        WHOLE: (),
        "one month": ("--where", "month=3"),
        "two columns": _TWO,
        "two columns of one month": ("--where", "month=3", *_TWO),
        "a thousand rows of one month": ("--where", "month=3", *_THOUSAND),
    },
    "flights, one file": {
        WHOLE: (),
        "two columns": _TWO,
        "a thousand rows": _THOUSAND,
        "two columns of a thousand rows": (*_THOUSAND, *_TWO),
    },
}


@dataclass(frozen=True)
class Reading:
    """One way to read: medians by the clock and of the cores, and the bytes read of the archive's files."""

    table: str
    name: str
    rows: int
    seconds: float
    cpu_seconds: float
    bytes_read: int | None


def main() -> None:
    """Measure every reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    asked = parser.parse_args()
    bench = asked.folder / "bench"
    readings: list[Reading] = []
    for table, ways in READINGS.items():
        files = TABLES[table](asked.folder)
        archive = bench / "access" / table.replace(", ", "-").replace(" ", "-")
        if not archive.exists():
            run("compress", lake_of(files[0]), archive, "--range", "0.01")
        readings.append(measure(table, LISTING, ("ls", archive)))
        for name, arguments in ways.items():
            readings.append(measure(table, name, ("decode", archive, bench / "work", *arguments)))
        write(readings, bench)
    print((bench / "access.md").read_text())


def measure(table: str, name: str, command: Sequence[str | Path]) -> Reading:
    """One of the readings: a command on an archive, its second word, whose output, the third, is thrown away."""
    done = []
    for _ in range(REPEATS):
        _discard(command)
        done.append(run(*command))
    _discard(command)
    clock, cores = (statistics.median(found) for found in ([r.seconds for r in done], [r.cpu_seconds for r in done]))
    counted = bytes_read(Path(command[1]), *command)
    _discard(command)
    return Reading(table, name, done[0].answer.get("rows", 0), clock, cores, counted)


def _discard(command: Sequence[str | Path]) -> None:
    for out in command[2:3]:
        shutil.rmtree(out, ignore_errors=True)


def write(readings: Sequence[Reading], folder: Path) -> None:
    """Write access.json and access.md."""
    document = {"machine": machine(), "readings": [asdict(reading) for reading in readings]}
    (folder / "access.json").write_text(json.dumps(document, indent=1))
    (folder / "access.md").write_text(markdown(readings))


def markdown(readings: Sequence[Reading]) -> str:
    """The readings of each archive as a table, bytes also as a share of what reading everything reads."""
    lines = [f"Measured by `make bench-access` on {machine()}; medians of {REPEATS}."]
    for table in dict.fromkeys(reading.table for reading in readings):
        chosen = [reading for reading in readings if reading.table == table]
        whole = next(reading for reading in chosen if reading.name == WHOLE)
        lines += ["", f"**{table}**", ""]
        lines.append("| reading | rows | seconds | of everything | core seconds | bytes read | of everything |")
        lines.append("|---|---:|---:|---:|---:|---:|---:|")
        for reading in chosen:
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
