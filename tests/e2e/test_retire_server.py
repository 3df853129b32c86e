"""The retire deployment on a real server: it asks a person, and nothing is deleted without a yes."""

from __future__ import annotations

import pytest

from tests.e2e.prefect_stack import kill, wait_for

pytestmark = pytest.mark.full

FILE = """\
version: 1
team: tests
lakes:
  days:
    lake: {lake}
    archive: {archive}
    older_than_days: 30
    policy:
      version: 1
      default: {{float: {{range: 0.01}}}}
      retire: {{expire: {{enabled: true, grace: 1d, wait: 1h, replica: none}}}}
    retire: {{cron: "0 4 * * 1"}}
"""
ASKED = ["date=2020-01-01", "date=2020-01-02", "date=2020-01-03", "date=2020-01-04", "date=2020-01-05"]


def _paused(stack):
    run = stack.run("retire/days")
    wait_for("the question", lambda: stack.state(run).type.value == "PAUSED")
    return run


def _answer(stack, run, **answer):
    from prefect.flow_runs import resume_flow_run

    with stack.client():
        resume_flow_run(run, run_input=answer)
    return stack.ended(run)


@pytest.mark.ci
def test_originals_leave_once_a_person_agrees(stack, team):
    team.deploy(FILE)
    worker = stack.start_worker()
    assert stack.ended(stack.run("nightly-compress/days")).type.value == "COMPLETED"
    young = stack.ended(stack.run("retire/days"))
    assert young.message == "5 kept"  # by the grace of the policy: nobody is asked
    team.pass_days(2)

    refused = _paused(stack)
    wait_for("its event", lambda: len(stack.events("latentlake.expiry.asked", team.archive)) == 1, 30)
    assert "waits for approval" in str(_table(stack, stack.run("retire/days")))  # one question at a time
    done = _answer(stack, refused, delete_originals=False, partitions=ASKED)
    assert (done.type.value, done.message) == ("COMPLETED", "5 kept")
    assert len(list(team.lake.rglob("*.parquet"))) == 6
    assert not any("expire" in str(path.read_bytes()) for path in team.archive.glob("_commits/*"))

    agreed = _paused(stack)
    done = _answer(stack, agreed, delete_originals=True, partitions=[*ASKED[:2], "date=2999-01-01"])
    assert (done.type.value, done.message) == ("COMPLETED", "2 recorded, 3 kept")
    for _ in range(2):  # the rest needs no answer: quarantine, then the end
        team.pass_days(1)
        stack.ended(stack.run("retire/days", where=["date<=2020-01-02"]))
    left = sorted(path.parent.name for path in team.lake.glob("date=*/*.parquet"))
    assert left == [*ASKED[2:], "date=2999-01-01"]

    def told():
        return sorted(payload["partition"] for payload in stack.events("latentlake.partition.expired", team.archive))

    wait_for("events of what expired", lambda: told() == ASKED[:2], 30)
    kill(worker)


def test_a_policy_that_needs_no_person(stack, team):
    team.deploy(FILE.replace("replica: none", "replica: none, approval: false"))
    worker = stack.start_worker()
    stack.ended(stack.run("nightly-compress/days"))
    team.pass_days(2)
    done = stack.ended(stack.run("retire/days", where=["date=2020-01-01"]))
    assert (done.type.value, done.message) == ("COMPLETED", "1 recorded")
    kill(worker)


def _table(stack, run):
    """Rows of the artifact that a run left."""
    stack.ended(run)
    with stack.client() as client:
        asked = {"artifacts": {"flow_run_id": {"any_": [str(run)]}, "key": {"any_": ["retire-partitions"]}}}
        (found,) = client.request("POST", "/artifacts/filter", json=asked).json()
    return found["data"]
