"""Deployments of a team's file on a Prefect server with PostgreSQL and workers: by hand, by schedule, in trouble."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow.parquet as pq
import pytest

from ae_core.jobs.verify import verify
from tests.e2e.prefect_stack import BIN, kill, wait_for
from tests.e2e.teams import FILE

pytestmark = pytest.mark.full

OTHER = """\
  other:
    lake: {lake}
    archive: {archive}-other
    range: 0
    nightly: {{cron: "* * * * *", timezone: Europe/Berlin}}
"""


@pytest.mark.ci
def test_compress_decode_and_audit_by_hand(stack, team, tmp_path):
    assert team.deploy() == {
        "decode/on-request": "deployed",
        "nightly-compress/days": "deployed",
        "audit/days": "deployed",
        "retire/days": "deployed",
    }
    worker = stack.start_worker()
    done = stack.ended(stack.run("nightly-compress/days"))
    assert done.type.value == "COMPLETED"
    assert done.message.startswith(
        "5 partitions compressed, 0 left for later, 1 too young (the first: its last day, 2999"
    )
    assert len(team.partitions()) == 5
    assert {"compress-partitions", "compress-progress", "model"} <= stack.artifacts()
    out = tmp_path / "out"
    asked = {"archive": str(team.archive), "out": str(out), "partitions": ["date=2020-01-03"], "columns": ["b"]}
    assert stack.ended(stack.run("decode/on-request", **asked)).type.value == "COMPLETED"
    assert pq.read_table(out / "date=2020-01-03" / "x.parquet", partitioning=None).column_names == ["b"]
    audited = stack.ended(stack.run("audit/days"))
    assert audited.message == "2 partitions of snapshot 1 proved"

    from flows.exclusive import alone

    with stack.client(), alone(str(team.archive)):
        late = stack.ended(stack.run("nightly-compress/days"))
    assert (late.type.value, late.name) == ("COMPLETED", "Skipped")
    assert "another run is at work" in late.message
    kill(worker)


def test_schedules_run_and_what_is_gone_from_the_file_is_removed(stack, team):
    assert team.deploy(FILE + OTHER)["nightly-compress/other"] == "deployed"
    worker = stack.start_worker()
    wait_for("the scheduled run", lambda: os.path.exists(f"{team.archive}-other/_commits"), 200)
    removed = team.deploy()
    assert {name for name, action in removed.items() if action == "removed"} == {
        "nightly-compress/other",
        "audit/other",
        "retire/other",
    }
    kill(worker)


def test_killed_workers_and_a_restarted_server_harm_nothing(stack, team):
    """A worker dies in the middle of a run, the next run goes on; the server restarts during that one."""
    for day in range(10, 30):
        team.write(f"2020-02-{day}")
    team.deploy()
    slow = {"LATENTLAKE_BATCH_PARTITIONS": "1", "LATENTLAKE_WORKERS": "1"}
    worker = stack.start_worker(**slow)
    killed = stack.run("nightly-compress/days")
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
        run = stack.run("nightly-compress/days")
        wait_for("it runs", lambda run=run: stack.state(run).type.value not in ("SCHEDULED", "PENDING"))
        stack.stop_server()
        stack.start_server()
        done = stack.ended(run, 300)
        if done.name != "Skipped" or time.monotonic() > end:
            break
        time.sleep(10)
    assert done.type.value == "COMPLETED", done.message
    after = {partition.id: partition.manifest.digest for partition in team.partitions()}
    assert len(after) == 25
    assert after.items() >= before.items()
    assert verify(str(team.archive), deep=True).ok
    assert stack.ended(killed, 300).type.value == "CRASHED"


def test_prefects_own_deploy_command(stack, team, repository, tmp_path):
    """`prefect deploy --all` with infra/prefect.yaml makes deployments that a worker can run, from any folder."""
    prefect = [str(BIN / "prefect"), "--no-prompt"]
    for command in (["work-pool", "create", "latentlake", "--type", "process", "--overwrite"], ["deploy", "--all"]):
        more = ["--prefect-file", str(repository / "infra" / "prefect.yaml")] if command[0] == "deploy" else []
        done = subprocess.run(
            [*prefect, *command, *more],
            env=stack.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    worker = stack.start_worker()
    asked = {"lake": str(team.lake), "archive": str(team.archive)}
    done = stack.ended(stack.run("nightly-compress/flights", **asked))
    assert done.message.startswith("5 partitions compressed, 0 left for later, 1 too young")
    assert stack.ended(stack.run("retire/flights", **asked)).message == "nothing is due"
    kill(worker)
    for name in ("nightly-compress/flights", "audit/flights", "retire/flights", "decode/on-request"):
        with stack.client() as client:
            client.delete_deployment(client.read_deployment_by_name(name).id)


def test_an_automation_notifies(stack, repository):
    """infra/notify.py: what is told of a damaged archive reaches a webhook."""
    heard = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    environment = stack.environment | {"NOTIFY_URL": f"http://127.0.0.1:{hook.server_port}/x"}
    subprocess.run([sys.executable, str(repository / "infra" / "notify.py")], env=environment, check=True)
    event = "from flows.events import DAMAGED, tell; tell(DAMAGED, 's3://a', partition='month=3', problem='it is cut')"

    def told():  # the server takes a moment to know of a new automation
        subprocess.run([sys.executable, "-c", event], env=stack.environment, check=True)
        return heard

    wait_for("the notification", told, 60)
    hook.shutdown()
    assert "latentlake.archive.damaged: s3://a" in heard[0]
    assert "month=3 it is cut" in heard[0]
