"""A team's file is checked as a whole, with the line of everything that is wrong; status says how a lake stands."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest
import yaml

import ae_core
from ae_core.errors import UsageError
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.status import lake_status
from ae_core.remote.places import locate
from ae_core.remote.profiles import load_profiles
from flows.runners import threads_each, workers_of
from flows.settings import Settings
from flows.team import load_team

GOOD = """\
version: 1
team: tests
lakes:
  flights:
    lake: s3://lake/flights
    archive: s3://cold/flights
    policy: policy.yaml
    nightly: {cron: "0 2 * * *", timezone: Europe/Berlin}
  other:
    lake: other
    archive: cold
    policy: {version: 1, default: {float: {range: 0.001}}}
    where: [month>=3]
stores:
  minio: {protocol: s3, endpoint: "http://127.0.0.1:9000", key_env: MINIO_KEY, secret_env: MINIO_SECRET}
"""


@pytest.fixture(autouse=True)
def _no_profiles_stay(monkeypatch):
    monkeypatch.setenv("LATENTLAKE_STORE_PROFILES", "")


@pytest.fixture
def write(tmp_path):
    (tmp_path / "policy.yaml").write_text("version: 1\ndefault: {float: {range: 0.01}}\n")

    def write(text):
        (tmp_path / "team.yaml").write_text(text)
        return tmp_path / "team.yaml"

    return write


def test_policies_are_files_beside_it_or_stand_in_it(write, tmp_path):
    team = load_team(write(GOOD))
    one, other = (lake.request(tmp_path) for lake in team.lakes.values())
    assert yaml.safe_load(one.policy)["default"]["float"] == {"range": 0.01}
    assert yaml.safe_load(other.policy)["default"]["float"] == {"range": 0.001}
    assert (one.older_than_days, one.order, other.where) == (30, "oldest", ("month>=3",))
    schedule = team.lakes["flights"].nightly
    assert schedule is not None
    assert schedule.next_run(datetime(2020, 7, 1, 12, tzinfo=UTC)).isoformat() == "2020-07-02T02:00:00+02:00"


@pytest.mark.parametrize(
    ("before", "after", "line", "word"),
    [
        ("0 2 * * *", "0 26 * * *", 8, "cron"),
        ("Europe/Berlin", "Europe/Nowhere", 8, "time zone"),
        ("    policy: policy.yaml\n", "", 4, "nothing is lost unasked"),
        ("policy.yaml", "missing.yaml", 4, "missing.yaml"),
        ("range: 0.001", "range: -1", 9, "negative"),
        ("archive: cold", "archive: cold\n    retention: 3", 12, "retention"),
        ("s3://lake/flights", "s3://key:secret@lake/flights", 4, "credentials"),
        ("secret_env: MINIO_SECRET", "secret: hunter2", 15, "secret is not a field"),
        ("protocol: s3", "protocol: ftp", 15, "protocol has to be one of"),
        ("version: 1\nteam", "version: 2\nteam", 1, "version"),
        ("team: tests", "team: [", 1, "not YAML"),
    ],
)
def test_errors_name_the_line(write, before, after, line, word):
    path = write(GOOD.replace(before, after, 1))
    with pytest.raises(UsageError, match=word) as caught:
        load_team(path)
    assert word == "not YAML" or f"{path}:{line}: " in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "key:secret" not in str(caught.value)


def test_store_profiles_travel_to_workers_by_name(write, monkeypatch):
    path = write(GOOD.replace("s3://cold/flights", "minio://cold/flights"))
    team = load_team(path)
    assert locate("minio://cold/flights").protocol == "s3"  # from here on, and in processes that this one starts
    carried = team.environment["LATENTLAKE_STORE_PROFILES"]
    assert "MINIO_SECRET" in carried
    monkeypatch.setenv("LATENTLAKE_STORE_PROFILES", carried)
    assert load_profiles()["minio"].secret_env == "MINIO_SECRET"
    monkeypatch.delenv("LATENTLAKE_STORE_PROFILES")
    monkeypatch.setenv("LATENTLAKE_STORES", str(path))  # so do the other commands
    assert load_profiles()["minio"].endpoint == "http://127.0.0.1:9000"


def test_the_example_is_valid(repository):
    team = load_team(repository / "infra" / "latentlake.yaml")
    assert list(team.lakes) == ["flights"]


def test_a_dry_run_says_what_is_planned_and_asks_no_server(repository, monkeypatch):
    from flows.deploy import planned

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    found = planned(load_team(repository / "infra" / "latentlake.yaml"), repository / "infra")
    assert {one.action for one in found} == {"planned"}
    assert {one.name for one in found} == {
        "decode/on-request",
        *(f"{one}/flights" for one in ("nightly-compress", "audit", "retire")),
    }


def test_status_counts_what_is_archived_pending_and_set_aside(lake_of_days, tmp_path):
    request = CompressRequest.checked(str(lake_of_days), str(tmp_path / "archive"), range_="0.01")
    before = lake_status("days", request, None, (1000.0, 0.0))
    assert (before.archived, before.pending, before.saved_a_month) == (0, 3, 0)
    ae_core.compress(str(lake_of_days), str(tmp_path / "archive"), range_="0.01", limit=2, threads=1)
    after = lake_status("days", request, "soon", (1000.0, 0.0))
    assert (after.archived, after.pending, after.next_run, after.problems) == (2, 1, "soon", ())
    assert 0 < after.training_seconds < 600
    assert after.seconds > 0
    assert before.spent == before.training_seconds == 0
    assert after.saved_a_month == pytest.approx((after.source_bytes - after.archive_bytes) / 1e6)
    shutil.rmtree(lake_of_days)
    gone = lake_status("days", request, None, (1.0, 0.0))
    assert gone.archived == 2
    assert "no such lake" in gone.problems[0]


@pytest.fixture
def lake_of_days(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for day in (1, 2, 3):
        (tmp_path / "lake" / f"day={day}").mkdir(parents=True)
        pq.write_table(pa.table({"x": range(50 * day)}), tmp_path / "lake" / f"day={day}" / "x.parquet")
    return tmp_path / "lake"


def test_threads_inside_workers_do_not_crowd_the_cores(monkeypatch):
    monkeypatch.setattr("flows.runners.thread_count", lambda threads: threads or 8)
    assert [threads_each(Settings(), 0, groups) for groups in (1, 2, 100)] == [8, 4, 1]
    monkeypatch.setenv("LATENTLAKE_WORKERS", "2")
    assert workers_of(Settings(), 0) == 2
    assert threads_each(Settings(), 0, 100) == 4
    monkeypatch.setenv("LATENTLAKE_RUNNER", "dask")
    assert threads_each(Settings(), 0, 100) == 1
