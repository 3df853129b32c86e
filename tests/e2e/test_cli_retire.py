"""fade, gc, drop and expire as a person types them: what they print, what they refuse, and their exit codes."""

from __future__ import annotations

import os

import pytest


def test_a_partition_fades_and_its_bytes_go(cli, made, tmp_path):
    place = made.copy(tmp_path)
    bare = cli("fade", place.archive)
    assert (bare.code, "needs --where" in bare.err) == (2, True)
    shown = cli("fade", place.archive, "--where", "month=1", "--json")
    (row,) = shown.json["partitions"]
    assert (shown.code, shown.json["commit"], row["action"]) == (0, None, "fade")
    assert set(row["lost_columns"]) >= {"secret", "tags"}
    done = cli("fade", place.archive, "--where", "month=1", "--reason", "older than a year", "--yes")
    assert done.code == 0, done.err
    refused = cli("decode", place.archive, tmp_path / "out", "--where", "month=1")
    assert (refused.code, "--layer preview" in refused.err) == (2, True)
    preview = cli("decode", place.archive, tmp_path / "out", "--where", "month=1", "--layer", "preview")
    assert preview.code == 0, preview.err
    assert "fade: older than a year" in cli("log", place.archive).out
    gone = cli("gc", place.archive, "--keep-snapshots", 1, "--keep-days", 0, "--orphan-days", 0, "--json").json
    assert {entry["name"].rpartition("/")[2] for entry in gone["objects"]} == {"residuals.parquet", "manifest.json.br"}
    deep = cli("verify", place.archive, "--deep", "--json").json
    assert (deep["ok"], deep["decoded"]) == (True, 3)
    audited = cli("audit", place.archive, "--lake", place.lake, "--json")
    assert (audited.code, audited.json["ok"]) == (0, True)
    old = cli("decode", place.archive, tmp_path / "old", "--snapshot", 1)
    assert (old.code, "has expired" in old.err) == (2, True)


def test_originals_expire_and_come_back(cli, made, tmp_path):
    place = made.copy(tmp_path)
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nretire: {expire: {enabled: true, grace: 1d, wait: 1h, replica: none}}\n")
    off = cli("expire", place.lake, place.archive, "--where", "month=1", "--yes")
    assert (off.code, "does not enable expire" in off.err) == (5, True)
    young = cli("expire", place.lake, place.archive, "--where", "month=1", "--policy", policy, "--yes")
    assert (young.code, "its policy waits 1 days" in young.err) == (5, True)
    for action in ("recorded", "set aside", "expired"):
        for path in [*place.archive.glob("_commits/*"), *place.lake.rglob("*.since")]:
            then = path.stat().st_mtime - 2 * 86_400
            os.utime(path, (then, then))
        done = cli("expire", place.lake, place.archive, "--where", "month=1", "--policy", policy, "--yes", "--json")
        assert [row["action"] for row in done.json["partitions"]] == [action], done.err
    assert not list((place.lake / "month=1").glob("*.parquet"))
    kept = cli("drop", place.archive, "--where", "month=1", "--reason", "tidy", "--yes")
    assert (kept.code, "only copies: month=1" in kept.err) == (5, True)
    back = cli("decode", place.archive, place.lake, "--where", "month=1")
    assert back.code == 0, back.err
    assert len(list((place.lake / "month=1").glob("*.parquet"))) == 2
    again = cli("decode", place.archive, place.lake, "--where", "month=1")
    assert (again.code, "never overwritten" in again.err) == (2, True)
    same = cli("compress", place.lake, place.archive, "--policy", place.policy)
    assert (same.code, "month=1 is skipped: rebuilt from archive" in same.out) == (0, True)


@pytest.mark.parametrize("missing", [["drop", "--where", "month=1"], ["gc", "--keep-snapshots", "0"]])
def test_what_is_missing_is_a_usage_error(cli, made, missing):
    command, *more = missing
    assert cli(command, made.archive, *more).code == 2
