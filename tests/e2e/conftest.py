"""A small lake, and the real command line run in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.prefect_stack import Postgres, Stack, find_postgres
from tests.e2e.teams import Team

POLICY = """\
version: 1
partition_keys: [month]
latents: always
default: {float: {range: 0.01}, integer: exact}
columns:
  fare: {abs: 0.5}
  when: {abs: 2min}
  secret: {bound: exact, sensitive: true}
"""


def month_table(month: int, rows: int) -> pa.Table:
    """Correlated columns of every family, with nulls, NaN, infinities and field metadata."""
    random = np.random.default_rng(month)
    place = random.integers(0, 12, rows)
    fare = place * 7.0 + random.normal(0, 3, rows)
    fare[:3] = [np.nan, np.inf, -0.0]
    columns = {
        "place": pa.array([f"P{p:02d}" for p in place]),
        "zone": pa.array((place % 4).astype(np.int32)),
        "fare": pa.array(fare, mask=random.random(rows) < 0.02),
        "delay": pa.array(np.round(random.gamma(2, 15, rows) - 10)),
        "when": pa.array(np.sort(random.integers(0, 2_000_000, rows)) + 1_300_000_000, pa.timestamp("s", tz="UTC")),
        "paid": pa.array([None if r < 0.1 else bool(r < 0.6) for r in random.random(rows)]),
        "secret": pa.array([f"secret-{month}-{i}" for i in range(rows)]),
        "tags": pa.array([["a"] * (i % 3) for i in range(rows)], pa.list_(pa.string())),
    }
    fields = [pa.field(name, column.type, metadata={"about": name}) for name, column in columns.items()]
    return pa.table(columns, schema=pa.schema(fields, metadata={"owner": "tests"}))


def _write_month(lake: Path, month: int, rows: int, seed: int | None = None) -> None:
    """A partition of two files."""
    table = month_table(seed or month, rows)
    folder = lake / f"month={month}"
    folder.mkdir(parents=True, exist_ok=True)
    half = rows // 2
    pq.write_table(table.slice(0, half), folder / "part-0.parquet")
    pq.write_table(table.slice(half), folder / "part-1.parquet")


@pytest.fixture(scope="session")
def write_month() -> Callable[..., None]:
    """Write or replace a partition of a lake: `write_month(lake, month, rows, seed=None)`."""
    return _write_month


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def environment(repository: Path) -> dict[str, str]:
    """The caller's environment without settings of Prefect or of this project."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "LATENTLAKE_"))}
    path = os.pathsep.join(filter(None, [str(repository), kept.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def server_url(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """The URL of one Prefect server for all commands, which is started when it is first asked for."""
    started: list[Stack] = []

    def url() -> str:
        if not started:
            started.append(Stack(tmp_path_factory.mktemp("server"), None, environment))
            started[0].start_server()
        return started[0].environment["PREFECT_API_URL"]

    yield url
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def cli(environment: dict[str, str], server_url: Callable[[], str]) -> Cli:
    """Run `latentlake` in a process of its own; `compress` on the session's server, unless PREFECT_API_URL is given.

    An empty one is none: the command then has an ephemeral server of its own, which takes a quarter of a minute.
    """

    def run(*arguments: str | Path, **more: str) -> Done:
        if arguments[0] == "compress" and "PREFECT_API_URL" not in more:
            more = {"PREFECT_API_URL": server_url(), **more}
        command = [sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment | more, timeout=500)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@dataclass(frozen=True)
class Made:
    """A lake and the archive that one `compress` made of it."""

    lake: Path
    archive: Path
    policy: Path
    result: Any

    def copy(self, folder: Path) -> Made:
        """The same in a place of its own, to be changed."""
        shutil.copytree(self.lake, folder / "lake")
        shutil.copytree(self.archive, folder / "archive")
        return Made(folder / "lake", folder / "archive", self.policy, self.result)


@pytest.fixture(scope="session")
def made(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three months with a trained model, compressed once through the command and its Prefect flow."""
    folder = tmp_path_factory.mktemp("made")
    for month in (1, 2, 10):
        _write_month(folder / "lake", month, 700 + month)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    done = cli("compress", folder / "lake", folder / "archive", "--policy", policy, "--json")
    assert done.code == 0, done.err
    return Made(folder / "lake", folder / "archive", policy, done.json)


@pytest.fixture(scope="session")
def plain(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two months too small for a model, so that nothing has to be trained."""
    folder = tmp_path_factory.mktemp("plain")
    for month in (1, 2):
        _write_month(folder / "lake", month, 300 + month)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.replace("always", "auto"))
    alone = {"PREFECT_API_URL": ""}  # as for a person who has no server
    done = cli("compress", folder / "lake", folder / "archive", "--policy", policy, "--json", **alone)
    assert done.code == 0, done.err
    return Made(folder / "lake", folder / "archive", policy, done.json)


@pytest.fixture(scope="session")
def stack(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Prefect server on PostgreSQL; workers are started, and killed, by the tests."""
    programs = find_postgres()
    if programs is None:
        if os.environ.get("LATENTLAKE_REQUIRE_TOOLS"):
            pytest.fail("PostgreSQL is missing (LATENTLAKE_REQUIRE_TOOLS is set)")
        pytest.skip("PostgreSQL is missing")
    running = Stack(tmp_path_factory.mktemp("stack"), Postgres(programs), environment)
    try:
        running.start_server()
        yield running
    finally:
        running.stop()


@pytest.fixture
def team(stack: Stack, cli: Cli, tmp_path: Path) -> Team:
    """A lake of six days, the newest of them too young, not deployed yet."""
    made = Team(stack, cli, tmp_path)
    for day in ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05", "2999-01-01"):
        made.write(day)
    return made
