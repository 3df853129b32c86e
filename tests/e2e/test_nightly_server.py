"""Deployments of a team's file on a Prefect server with PostgreSQL and workers: by hand, by schedule, in trouble."""

from __future__ import annotations

import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core.dataset import open_archive
from ae_core.jobs.verify import verify
from tests.e2e.prefect_stack import Postgres, Stack, find_postgres, kill, wait_for

pytestmark = pytest.mark.full

TEAM = """\
version: 1
team: tests
lakes:
  days:
    lake: {lake}
    archive: {archive}
    range: 0.01
    older_than_days: 30
    audit: {{cron: "0 6 * * 0", sample: 0.5}}
"""
OTHER = """\
  other:
    lake: {lake}
    archive: {archive}-other
    range: 0
    nightly: {{cron: "* * * * *", timezone: Europe/Berlin}}
"""


@pytest.fixture(scope="module")
def stack(environment, tmp_path_factory):
    programs = find_postgres()
    if programs is None:
        if os.environ.get("LATENTLAKE_REQUIRE_TOOLS"):
            pytest.fail("PostgreSQL is missing (LATENTLAKE_REQUIRE_TOOLS is set)")
        pytest.skip("PostgreSQL is missing")
    folder = tmp_path_factory.mktemp("stack")
    running = Stack(folder, Postgres(programs), environment)
    try:
        running.start_server()
        yield running
    finally:
        running.stop()


@pytest.fixture
def team(stack, cli, tmp_path):
    """A lake of six days, the newest of them too young, and the deployed file."""

    class Team:
        lake, archive, file = tmp_path / "lake", tmp_path / "archive", tmp_path / "latentlake.yaml"

        def write(self, day, rows=400):
            folder = self.lake / f"date={day}"
            folder.mkdir(parents=True)
            random = np.random.default_rng(len(day) + rows)
            table = pa.table({"a": random.integers(0, 9, rows), "b": random.normal(size=rows)})
            pq.write_table(table, folder / "x.parquet")

        def deploy(self, text=TEAM):
            self.file.write_text(text.format(lake=self.lake, archive=self.archive))
            done = cli("deploy", self.file, "--json", **stack.environment)
            assert done.code == 0, done.err
            return {row["name"]: row["action"] for row in done.json}

        def partitions(self):
            return open_archive(str(self.archive)).partitions()

    made = Team()
    for day in ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05", "2999-01-01"):
        made.write(day)
    return made


def _run(stack, deployment, **parameters):
    """Ask for a run; its id."""
    from prefect.client.orchestration import get_client

    with _settings(stack), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(found.id, parameters=parameters).id


def _state(stack, run):
    from prefect.client.orchestration import get_client

    with _settings(stack), get_client(sync_client=True) as client:
        return client.read_flow_run(run).state


def _ended(stack, run, seconds=180):
    def final():
        state = _state(stack, run)
        return state if state is not None and state.is_final() else None

    return wait_for(f"run {run}", final, seconds)


def _settings(stack):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    return temporary_settings({PREFECT_API_URL: stack.environment["PREFECT_API_URL"]})


def _artifacts(stack):
    from prefect.client.orchestration import get_client

    with _settings(stack), get_client(sync_client=True) as client:
        return {one["key"] for one in client.request("POST", "/artifacts/filter", json={}).json()}


@pytest.mark.ci
def test_compress_decode_and_audit_by_hand(stack, team, tmp_path):
    assert team.deploy() == {
        "decode/on-request": "deployed",
        "nightly-compress/days": "deployed",
        "audit/days": "deployed",
    }
    worker = stack.start_worker()
    done = _ended(stack, _run(stack, "nightly-compress/days"))
    assert (done.type.value, done.message) == ("COMPLETED", "5 partitions compressed, 0 left for later")
    assert len(team.partitions()) == 5
    assert {"compress-partitions", "compress-progress", "model"} <= _artifacts(stack)
    out = tmp_path / "out"
    asked = {"archive": str(team.archive), "out": str(out), "partitions": ["date=2020-01-03"], "columns": ["b"]}
    assert _ended(stack, _run(stack, "decode/on-request", **asked)).type.value == "COMPLETED"
    assert pq.read_table(out / "date=2020-01-03" / "x.parquet", partitioning=None).column_names == ["b"]
    audited = _ended(stack, _run(stack, "audit/days"))
    assert audited.message == "2 partitions of snapshot 1 proved"

    from flows.exclusive import alone

    with _settings(stack), alone(str(team.archive)):
        late = _ended(stack, _run(stack, "nightly-compress/days"))
    assert (late.type.value, late.name) == ("COMPLETED", "Skipped")
    assert "another run is at work" in late.message
    kill(worker)


def test_schedules_run_and_what_is_gone_from_the_file_is_removed(stack, team):
    assert team.deploy(TEAM + OTHER)["nightly-compress/other"] == "deployed"
    worker = stack.start_worker()
    wait_for("the scheduled run", lambda: os.path.exists(f"{team.archive}-other/_commits"), 200)
    removed = team.deploy()
    assert {name for name, action in removed.items() if action == "removed"} == {
        "nightly-compress/other",
        "audit/other",
    }
    kill(worker)


def test_killed_workers_and_a_restarted_server_harm_nothing(stack, team):
    """A worker dies in the middle of a run, the next run goes on; the server restarts during that one."""
    for day in range(10, 30):
        team.write(f"2020-02-{day}")
    team.deploy()
    slow = {"LATENTLAKE_BATCH_PARTITIONS": "1", "LATENTLAKE_WORKERS": "1"}
    worker = stack.start_worker(**slow)
    killed = _run(stack, "nightly-compress/days")
    commits = team.archive / "_commits"
    wait_for("two commits", lambda: commits.exists() and len(list(commits.iterdir())) > 2, 200)
    kill(worker)
    before = {partition.id: partition.manifest.digest for partition in team.partitions()}
    assert 0 < len(before) < 25
    assert verify(str(team.archive), deep=True).ok

    stack.start_worker(**slow)
    stack.start_worker(**slow)
    end = time.monotonic() + 400
    while True:  # the dead run's lease ends within minutes; until then a run is skipped
        run = _run(stack, "nightly-compress/days")
        wait_for("it runs", lambda run=run: _state(stack, run).type.value not in ("SCHEDULED", "PENDING"))
        stack.stop_server()
        stack.start_server()
        done = _ended(stack, run, 300)
        if done.name != "Skipped" or time.monotonic() > end:
            break
        time.sleep(10)
    assert done.type.value == "COMPLETED", done.message
    after = {partition.id: partition.manifest.digest for partition in team.partitions()}
    assert len(after) == 25
    assert after.items() >= before.items()
    assert verify(str(team.archive), deep=True).ok
    assert _ended(stack, killed, 300).type.value == "CRASHED"
