"""All of it at once: PostgreSQL, server, worker, schedule, S3 for lake and archive, and a Dask cluster of processes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core.dataset import open_archive
from ae_core.jobs.verify import verify
from ae_core.remote.profiles import StoreProfile, access
from tests.contract import servers
from tests.e2e.prefect_stack import kill, wait_for

pytestmark = pytest.mark.full

FILE = """\
version: 1
team: cluster
work_pool: latentlake
runner: {{kind: dask, dask_address: "{dask}"}}
stores:
  seaweedfs: {stores}
lakes:
  days:
    lake: seaweedfs://lake/days
    archive: seaweedfs://lake/archive
    range: 0.01
    older_than_days: 30
    nightly: {{cron: "* * * * *", timezone: Europe/Berlin}}
"""
DAYS = [f"2020-03-{day:02d}" for day in range(1, 25)]


@pytest.fixture
def seaweed(tmp_path, monkeypatch):
    try:
        with servers.start("seaweedfs", tmp_path / "seaweed") as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            yield server
    except servers.Missing as missing:
        pytest.skip(f"{missing} (make emulators)")


def _fill(server):
    """A day a partition, on the store."""
    import fsspec

    profile = StoreProfile("seaweedfs", **server.profile)
    fs = fsspec.filesystem("s3", **access(profile).options)
    for number, day in enumerate(DAYS):
        random = np.random.default_rng(number)
        table = pa.table({"a": random.integers(0, 9, 300), "b": random.normal(size=300)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        fs.pipe_file(f"lake/days/date={day}/x.parquet", sink.getvalue().to_pybytes())


@pytest.mark.ci
def test_a_scheduled_night_on_a_cluster(stack, cli, seaweed, tmp_path, monkeypatch):
    _fill(seaweed)
    address, logs = stack.start_dask(2, **seaweed.environment)
    file = tmp_path / "latentlake.yaml"
    file.write_text(FILE.format(dask=address, stores=dict(seaweed.profile)))
    # secrets are in the workers' environment alone: deploying needs none
    done = cli("deploy", file, "--json", **stack.environment)
    assert done.code == 0, done.err
    worker = stack.start_worker(**seaweed.environment)

    monkeypatch.setenv("LATENTLAKE_STORES", str(file))
    archive = "seaweedfs://lake/archive"

    def archived():
        try:
            return len(open_archive(archive).partitions()) == len(DAYS)
        except Exception:
            return False

    wait_for("the scheduled run", archived, 300)
    assert verify(archive, deep=True).ok

    def told():
        return {payload["partition"] for payload in stack.events("latentlake.partition.archived", archive)}

    wait_for("an event of every partition", lambda: told() == {f"date={day}" for day in DAYS}, 120)
    kill(worker)
    for log in logs:  # both workers of the cluster encoded
        assert "rows encoded" in log.read_text(), log
    shown = cli("status", file, "--json", **stack.environment, **seaweed.environment)
    assert (shown.code, shown.json[0]["archived"], shown.json[0]["pending"]) == (0, len(DAYS), 0), shown.err
    with stack.client() as client:  # nothing that the server keeps holds a secret
        runs = str(client.request("POST", "/flow_runs/filter", json={}).json())
        found = str(client.request("POST", "/deployments/filter", json={}).json())
    for value in seaweed.environment.values():
        assert value not in runs + found
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "nightly" not in line))
    cli("deploy", file, **stack.environment)  # the schedule ends with the test
