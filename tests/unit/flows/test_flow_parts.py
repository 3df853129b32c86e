"""The small parts around the flows: settings, Prefect's environment, which failures are tried again, artifacts."""

from __future__ import annotations

import atexit
import os
import shutil
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from ae_core.errors import BoundViolated, CommitUnknown, LakeError, SourceChanging
from flows.server import prepare_prefect
from flows.settings import Settings


@pytest.fixture
def environment(monkeypatch):
    """No setting of Prefect in the environment, and none left behind."""
    for name in [name for name in os.environ if name.startswith("PREFECT_") or name == "DO_NOT_TRACK"]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    yield monkeypatch
    for name in set(os.environ) - set(before):
        del os.environ[name]


def test_each_run_has_a_private_home(environment):
    homes = []
    for _ in range(2):
        environment.delenv("PREFECT_HOME", raising=False)
        homes.append(prepare_prefect())
    assert homes[0] != homes[1]
    assert os.environ["PREFECT_HOME"] == homes[1]
    assert os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] == "300"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    for home in homes:
        shutil.rmtree(home)
    atexit.unregister(shutil.rmtree)


def test_the_teams_server_is_used_where_it_is_set(environment):
    environment.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert prepare_prefect() is None
    assert "PREFECT_HOME" not in os.environ
    assert "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE" not in os.environ


def test_what_the_caller_set_stays(environment, tmp_path):
    environment.setenv("PREFECT_HOME", str(tmp_path))
    environment.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "DEBUG")
    assert prepare_prefect() is None
    assert os.environ["PREFECT_HOME"] == str(tmp_path)
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "DEBUG"


def test_settings_come_from_the_environment_and_are_bounded(monkeypatch):
    monkeypatch.setenv("LATENTLAKE_BATCH_PARTITIONS", "3")
    assert Settings().batch_partitions == 3
    monkeypatch.setenv("LATENTLAKE_BATCH_PARTITIONS", "0")
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (CommitUnknown("x"), True),
        (FileNotFoundError(), False),
        (LakeError("x"), False),
        (SourceChanging("x"), False),
        (BoundViolated("x"), False),
        (ValueError(), False),
    ],
)
def test_only_failures_that_pass_are_tried_again(error, again):
    from flows.steps import is_passing, may_retry

    assert is_passing(error) is again
    assert may_retry(None, None, SimpleNamespace(data=error)) is again
    assert may_retry(None, None, SimpleNamespace(data=SimpleNamespace(result=error))) is again


def test_curve_becomes_a_table():
    from flows.artifacts import curve_table

    fit = {"curve": [{"stage": "autoencoder", "epoch": 1.0, "seen": 0.5, "unseen": 0.61234567}]}
    lines = curve_table({"training": {"fit": fit}}).splitlines()
    assert lines[0] == "| stage | epoch | seen | unseen |"
    assert lines[2] == "| autoencoder | 1 | 0.5 | 0.6123 |"
    assert curve_table({}) == ""
    assert curve_table({"training": {"fit": None}}) == ""


def test_the_models_artifact_says_why_it_was_reused_or_not(monkeypatch):
    from ae_core.jobs.prepare import Prepared
    from ae_core.jobs.results import Drift, ModelUse
    from flows import artifacts

    written = {}
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda **given: written.update(given))
    monkeypatch.setattr(artifacts, "open_snapshot", lambda _: None)
    monkeypatch.setattr(artifacts, "training_reports", lambda _: {})
    drift = Drift("reused", "20 bits a row, 20 when it was trained", 9, 20.0, 20.0, None, 0, 10)
    use = ModelUse("abc", 5, True, 0.0, None, drift)
    artifacts.publish_training(Prepared("a", "t", "abc", 0, use, None, True, 0))
    assert drift.reason in written["markdown"]
    assert "reused" in written["markdown"]
