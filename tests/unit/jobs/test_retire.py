"""What a scheduled run would take away: nothing unasked, nothing twice, and every refusal has its reason."""

from __future__ import annotations

import os

import pytest

import ae_core
from ae_core.jobs.expire import expire
from ae_core.jobs.retire import Retirement, due
from ae_core.policy import load_policy

RULES = load_policy("version: 1\nretire: {expire: {enabled: true, grace: 1d, wait: 1h, replica: none}}\n").retire


@pytest.fixture
def place(lake, tmp_path):
    ae_core.compress(str(lake), str(tmp_path / "archive"), range_="0.01", threads=1)
    return str(lake), str(tmp_path / "archive")


def test_what_is_due_by_the_rules(place, tmp_path):
    lake, archive = place
    assert due(lake, str(tmp_path / "none"), RULES).nothing
    assert due(lake, archive, load_policy("version: 1\n").retire) == Retirement()
    young = due(lake, archive, RULES)
    assert young.nothing
    assert [name for name, _ in young.kept] == ["month=1", "month=2"]
    for path in (tmp_path / "archive").glob("_commits/*"):
        os.utime(path, (path.stat().st_mtime - 3 * 86_400,) * 2)
    ask = due(lake, archive, RULES)
    size = (tmp_path / "lake" / "month=1" / "part.parquet").stat().st_size
    assert (ask.ask[0], len(ask.ask), ask.approval) == (("month=1", size), 2, True)
    assert [name for name, _ in due(lake, archive, RULES, where=["month=2"]).ask] == ["month=2"]
    expire(lake, archive, where=["month=1"], policy=RULES, dry_run=False)
    after = due(lake, archive, RULES)
    assert (after.begun, [name for name, _ in after.ask]) == (("month=1",), ["month=2"])
    fading = due(lake, archive, load_policy("version: 1\nretire: {fade_after: 2d}\n").retire)
    assert fading.fade == ()
    assert fading.begun == ("month=1",)
    assert "no latents" in dict(fading.kept)["month=2"]
