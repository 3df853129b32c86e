"""How a nightly run grows with its partitions: a real Prefect server on PostgreSQL, a worker, small partitions.

    make bench-nightly                                       500, 1,000, 2,500 and 5,000 partitions, about half an hour
    make bench-nightly BENCH_ARGS="--partitions 200 400"

Every lake is compressed by the `nightly-compress` deployment, and its first 500 partitions by the library alone. The
overhead of a partition is what server and worker spend on it beyond the library, in CPU time: the worker, tasks,
states, events and artifacts. It is CPU time because other work on the machine stretches the seconds on the clock, and
leaves out the training of each lake, which many partitions share. Memory is the most that the processes of server and
worker held, in MiB. Growth is linear where the figures of a partition stay level; the last line says by how much the
largest lake is off the smallest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import ae_core
from ae_core.archive.reader import open_snapshot
from ae_core.dataset import open_archive
from ae_core.records import TRAINING_CPU, training_reports
from tests.e2e.prefect_stack import Postgres, Stack, find_postgres, kill

ROWS = 300
ALONE = 500
FILE = """\
version: 1
team: scale
lakes:
  scale: {{lake: {lake}, archive: {archive}, range: 0.01, older_than_days: 0}}
"""


@dataclass(frozen=True)
class Measured:
    """One size: CPU milliseconds a partition by the library alone and by the deployment with its server, trainings left
    out, seconds on the clock of this night and of the next, which finds nothing new, and the most memory in MiB.
    """

    partitions: int
    alone: float
    cpu: float
    nightly: float
    again: float
    server: float
    worker: float

    @property
    def overhead(self) -> float:
        """CPU milliseconds that a partition costs beyond the library's own work."""
        return self.cpu - self.alone


def make_lake(folder: Path, partitions: int) -> None:
    """So many partitions of one small file."""
    for number in range(partitions):
        random = np.random.default_rng(number)
        columns = {"k": random.integers(0, 9, ROWS), "x": random.normal(size=ROWS), "day": random.integers(0, 30, ROWS)}
        place = folder / f"part={number:05d}"
        place.mkdir(parents=True)
        pq.write_table(pa.table(columns), place / "x.parquet")


def held_and_spent(root: int) -> tuple[float, float]:
    """MiB that a process and its descendants hold, and CPU seconds that they and their ended children spent."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
    family, grown = {root}, True
    while grown:
        more = {pid for pid, fields in stats.items() if int(fields[1]) in family} - family
        family, grown = family | more, bool(more)
    mine = [stats[pid] for pid in family if pid in stats]
    pages = sum(int(fields[21]) for fields in mine)
    ticks = sum(sum(map(int, fields[11:15])) for fields in mine)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, ticks / os.sysconf("SC_CLK_TCK")


def measure(stack: Stack, folder: Path, partitions: int) -> Measured:
    """One size on the running server."""
    lake, archive = folder / "lake", folder / "archive"
    make_lake(lake, partitions)
    ae_core.compress(str(lake), str(folder / "warm"), range_="0.01", limit=5)
    before = sum(os.times()[:4])
    ae_core.compress(str(lake), str(folder / "alone"), range_="0.01", limit=ALONE)
    alone = sum(os.times()[:4]) - before - trained(folder / "alone")
    deploy(stack, folder, lake, archive)
    worker = stack.start_worker()
    assert stack.server is not None
    server, seconds, spent, memory = stack.server.pid, [], [], [0.0, 0.0]
    before = held_and_spent(server)[1]
    for _ in range(2):  # the second night finds nothing new
        start = time.perf_counter()
        run = stack.run("nightly-compress/scale")
        while not (state := stack.state(run)).is_final():
            memory = [max(memory[0], held_and_spent(server)[0]), max(memory[1], held_and_spent(worker.pid)[0])]
            time.sleep(1.0)
        spent.append(held_and_spent(server)[1] - before + held_and_spent(worker.pid)[1])
        seconds.append(time.perf_counter() - start)
        assert state.is_completed(), state.message
    kill(worker)
    assert len(open_archive(str(archive)).partitions()) == partitions
    each = 1000 * alone / min(ALONE, partitions), 1000 * (spent[0] - trained(archive)) / partitions
    return Measured(partitions, *each, seconds[0], seconds[1], *memory)


def trained(archive: Path) -> float:
    """CPU seconds of the trainings that an archive's reports tell of."""
    reports = training_reports(open_snapshot(str(archive)))
    return sum(float(report[TRAINING_CPU]) for report in reports.values())


def deploy(stack: Stack, folder: Path, lake: Path, archive: Path) -> None:
    """The team's file of this size on the server."""
    file = folder / "latentlake.yaml"
    file.write_text(FILE.format(lake=lake, archive=archive))
    command = [sys.executable, "-c", "from flows.cli import main; main()", "deploy", str(file)]
    subprocess.run(command, env=stack.environment, check=True, stdout=subprocess.DEVNULL)


def environment() -> dict[str, str]:
    """This process's own, without settings of Prefect or of the project."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "LATENTLAKE_"))}
    return kept | {"PYTHONPATH": os.getcwd()}


def main() -> None:
    """Measure every size and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, nargs="+", default=[500, 1000, 2500, 5000])
    sizes = parser.parse_args().partitions
    programs = find_postgres()
    if programs is None:
        raise SystemExit("PostgreSQL is missing: apt install postgresql")
    print("partitions  night s  partitions/min  CPU ms each  overhead ms each  next night s  server MiB  worker MiB")
    found = []
    with tempfile.TemporaryDirectory(prefix="latentlake-scale-") as name:
        stack = Stack(Path(name), Postgres(programs), environment())
        try:
            stack.start_server()
            for size in sizes:
                one = measure(stack, Path(name) / str(size), size)
                found.append(one)
                print(
                    f"{one.partitions:>10,} {one.nightly:>8.1f} {60 * size / one.nightly:>15.0f} {one.cpu:>12.1f} "
                    f"{one.overhead:>17.1f} {one.again:>13.1f} {one.server:>11.0f} {one.worker:>11.0f}",
                    flush=True,
                )
        finally:
            stack.stop()
    first, last = found[0], found[-1]
    print(f"a partition of the largest takes {last.cpu / first.cpu:.2f} times the CPU that one of the smallest takes")


if __name__ == "__main__":
    main()
