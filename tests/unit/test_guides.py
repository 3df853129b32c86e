"""The guides' snippets run as they stand, on a small lake that is called as theirs."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.jobs import profile
from flows.cli import app, write_commands

ROWS = 200  # a month: so few that no model is trained
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def snippets(repository, guide):
    return FENCE.findall((repository / "docs" / f"guide-{guide}.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def flights(tmp_path_factory, repository):
    """Four months under the auditor's policy, month=4 in the archive alone; and an archive that has latents."""
    root = tmp_path_factory.mktemp("guides")
    for month in range(1, 5):
        random = np.random.default_rng(month)
        kind = random.integers(0, 4, ROWS)
        delay = np.round(kind * 20 + random.gamma(2, 15, ROWS) - 10).astype(np.int32)
        (root / "flights" / f"month={month}").mkdir(parents=True)
        table = pa.table({"carrier": [f"C{i}" for i in kind], "dep_delay": delay, "arr_delay": delay + kind})
        pq.write_table(table, root / "flights" / f"month={month}" / "part-0.parquet")
    (policy,) = (text for kind, text in snippets(repository, "auditor") if kind == "yaml")
    (root / "policy.yaml").write_text(policy)
    ae_core.compress(str(root / "flights"), str(root / "flights.archive"), policy=str(root / "policy.yaml"))
    shutil.rmtree(root / "flights" / "month=4")
    shutil.copytree(repository / "tests" / "golden" / "format-0" / "network" / "archive", root / "weather.archive")
    return root


def without_prefect(request):
    """The run of a request by the library alone: flows are tested elsewhere, and take seconds to start."""
    given = {name: getattr(request, name) for name in ("where", "threads", "page_data", "note")}
    policy = tmp_policy(request.policy)
    return ae_core.compress(request.lake, request.archive, policy=policy, **given)


def tmp_policy(text):
    Path("asked.yaml").write_text(text)
    return "asked.yaml"


@pytest.mark.parametrize("guide", ["analyst", "auditor", "engineer"])
def test_every_snippet_runs(guide, flights, repository, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(flights)
    if guide == "engineer":  # starts from a lake alone
        shutil.copytree(flights / "flights", tmp_path / "flights")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(write_commands, "_run_flow", without_prefect)
        monkeypatch.setattr(profile, "TRIED_DIMENSIONS", 0)  # trainings are tested elsewhere
    names = {}
    ran = 0
    for kind, text in snippets(repository, guide):
        if kind == "python":
            exec(compile(text, f"guide-{guide}", "exec"), names)
        elif kind == "console":
            for line in text.splitlines():
                command, *arguments = shlex.split(line)
                assert command == "latentlake"
                assert app.run(arguments) == 0, (line, capsys.readouterr().err)
        ran += kind in ("python", "console")
    assert ran >= 4
    said = capsys.readouterr().out
    if guide == "analyst":
        assert f"(3, 'original', {ROWS}), (4, 'bounded', {ROWS})" in said
    elif guide == "engineer":
        assert (tmp_path / "report.html").exists()
        assert (tmp_path / "plan.html").exists()
        assert "('month=3', 'unchanged')" in said
    else:
        assert "→" in said
        assert "check 'mean delay by carrier': passed" in said
        assert "PASS" in said
