"""How a nightly run grows with its partitions: a real Prefect server on PostgreSQL, a worker, small partitions.

    make bench-nightly                                       500, 1,000, 2,500 and 5,000 partitions, about half an hour
    make bench-nightly BENCH_ARGS="--partitions 200 400"

Every lake is compressed twice: by the library alone, in one process, and by the `nightly-compress` deployment. The
overhead of a partition is the difference of the two, per partition: the server, the worker's start, tasks, states,
events and artifacts. Memory is the most that the server's and the worker's processes held together, in MiB. Growth is
linear where the columns per partition stay level; the last line says by how much the largest is off the smallest.
"""

from __future__ import annotations

import argparse
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
from ae_core.dataset import open_archive
from tests.e2e.prefect_stack import Postgres, Stack, find_postgres, kill

ROWS = 300
FILE = """\
version: 1
team: scale
lakes:
  scale: {{lake: {lake}, archive: {archive}, range: 0.01, older_than_days: 0}}
"""


@dataclass(frozen=True)
class Measured:
    """One size: seconds of the library alone and of the deployment, and the most memory in MiB."""

    partitions: int
    alone: float
    nightly: float
    again: float
    server: float
    worker: float

    @property
    def overhead(self) -> float:
        """Milliseconds that a partition costs beyond the library's own work."""
        return 1000 * (self.nightly - self.alone) / self.partitions


def make_lake(folder: Path, partitions: int) -> None:
    """So many partitions of one small file."""
    for number in range(partitions):
        random = np.random.default_rng(number)
        columns = {"k": random.integers(0, 9, ROWS), "x": random.normal(size=ROWS), "day": random.integers(0, 30, ROWS)}
        place = folder / f"part={number:05d}"
        place.mkdir(parents=True)
        pq.write_table(pa.table(columns), place / "x.parquet")


def resident(group: int) -> float:
    """MiB that the processes of a group hold."""
    pages = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                pages += int((entry / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(stack: Stack, folder: Path, partitions: int) -> Measured:
    """One size on the running server."""
    lake, archive = folder / "lake", folder / "archive"
    make_lake(lake, partitions)
    start = time.perf_counter()
    ae_core.compress(str(lake), str(folder / "alone"), range_="0.01")
    alone = time.perf_counter() - start
    deploy(stack, folder, lake, archive)
    worker = stack.start_worker()
    assert stack.server is not None
    seconds, memory = [], [0.0, 0.0]
    for _ in range(2):  # the second night finds nothing new
        start = time.perf_counter()
        run = stack.run("nightly-compress/scale")
        while not (state := stack.state(run)).is_final():
            memory = [max(memory[0], resident(stack.server.pid)), max(memory[1], resident(worker.pid))]
            time.sleep(1.0)
        seconds.append(time.perf_counter() - start)
        assert state.is_completed(), state.message
    kill(worker)
    assert len(open_archive(str(archive)).partitions()) == partitions
    return Measured(partitions, alone, seconds[0], seconds[1], *memory)


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
    print("partitions  alone s  nightly s  partitions/min  overhead ms each  next night s  server MiB  worker MiB")
    found = []
    with tempfile.TemporaryDirectory(prefix="latentlake-scale-") as name:
        stack = Stack(Path(name), Postgres(programs), environment())
        try:
            stack.start_server()
            for size in sizes:
                one = measure(stack, Path(name) / str(size), size)
                found.append(one)
                print(
                    f"{one.partitions:>10,} {one.alone:>8.1f} {one.nightly:>10.1f} {60 * size / one.nightly:>15.0f} "
                    f"{one.overhead:>17.1f} {one.again:>13.1f} {one.server:>11.0f} {one.worker:>11.0f}",
                    flush=True,
                )
        finally:
            stack.stop()
    first, last = found[0], found[-1]
    growth = (last.nightly / last.partitions) / (first.nightly / first.partitions)
    print(f"a partition of the largest takes {growth:.2f} times what one of the smallest takes")


if __name__ == "__main__":
    main()
