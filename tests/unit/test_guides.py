"""The guides' snippets run as they stand, on a small lake that is called as theirs."""

from __future__ import annotations

import re
import shlex
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from flows.cli import app

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


@pytest.mark.parametrize("guide", ["analyst", "auditor"])
def test_every_snippet_runs(guide, flights, repository, monkeypatch, capsys):
    monkeypatch.chdir(flights)
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
    else:
        assert "→" in said
        assert "check 'mean delay by carrier': passed" in said
        assert "PASS" in said
