"""Running again: nothing when nothing changed, what changed when something did, and never a second training."""

from __future__ import annotations

import json
import os

import pyarrow.parquet as pq


def _objects(archive):
    return sorted(path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file())


def _actions(done):
    return {row["partition"]: row["action"] for row in done.json["partitions"]}


def test_second_run_does_nothing(cli, plain, tmp_path):
    mine = plain.copy(tmp_path)
    # the copy has new inodes: a first look compares contents, and still nothing is to be done
    before = _objects(mine.archive)
    done = cli("compress", mine.lake, mine.archive, "--policy", mine.policy, "--json")
    assert (done.code, set(_actions(done).values())) == (0, {"unchanged"})
    assert done.json["commits"] == []
    assert done.json["models"] == []
    assert "Prefect" not in done.err
    assert _objects(mine.archive) == before


def test_only_what_changed_is_compressed_again_with_the_same_model(cli, plain, write_month, tmp_path):
    mine = plain.copy(tmp_path)
    write_month(mine.lake, 2, 310, seed=77)
    write_month(mine.lake, 3, 200)
    os.utime(mine.lake / "month=1" / "part-0.parquet")
    dry = cli("compress", mine.lake, mine.archive, "--policy", mine.policy, "--dry-run", "--json")
    assert {row["partition"]: row["action"] for row in dry.json["partitions"]} == {
        "month=1": "skip",
        "month=2": "compress",
        "month=3": "compress",
    }
    assert all(row["estimated_bytes"] for row in dry.json["partitions"] if row["action"] == "compress")
    done = cli("compress", mine.lake, mine.archive, "--policy", mine.policy, "--json")
    assert done.code == 0, done.err
    assert _actions(done) == {"month=1": "unchanged", "month=2": "compressed", "month=3": "compressed"}
    (model,), (first,) = done.json["models"], plain.result["models"]
    assert model["reused"] is True
    assert model["digest"] == first["digest"]
    assert (first["drift"]["decision"], model["drift"]["decision"]) == ("trained", "reused")
    assert cli("decode", mine.archive, tmp_path / "new").code == 0
    assert cli("decode", mine.archive, tmp_path / "old", "--snapshot", "1").code == 0
    assert pq.read_metadata(tmp_path / "new/month=2/part-0.parquet").num_rows == 155
    assert pq.read_metadata(tmp_path / "old/month=2/part-0.parquet").num_rows == 151
    assert not (tmp_path / "old/month=3").exists()
    log = cli("log", mine.archive, "--json").json["commits"]
    assert [commit["partitions"] for commit in log] == [["month=2", "month=3"], ["month=1", "month=2"], []]
    assert cli("verify", mine.archive, "--deep").code == 0


def test_dry_run_writes_nothing_and_needs_no_archive(cli, plain, tmp_path):
    done = cli("compress", plain.lake, tmp_path / "archive", "--range", "0.01", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert {row["reason"] for row in done.json["partitions"]} == {"new"}
    assert all(row["estimated_bytes"] for row in done.json["partitions"])
    assert not (tmp_path / "archive").exists()


def test_where_leaves_the_rest_for_later(cli, plain, tmp_path):
    archive = tmp_path / "archive"
    done = cli("compress", plain.lake, archive, "--policy", plain.policy, "--where", "month=2", "--json")
    assert done.code == 0, done.err
    assert _actions(done) == {"month=2": "compressed"}
    assert [row["partition"] for row in cli("ls", archive, "--json").json["partitions"]] == ["month=2"]


def test_a_run_leaves_no_home_behind_and_shows_no_value(cli, plain, tmp_path):
    done = cli(
        "compress",
        plain.lake,
        tmp_path / "a",
        "--policy",
        plain.policy,
        "--json",
        TMPDIR=str(tmp_path),
        PREFECT_API_URL="",  # a server, and a home, of its own
        LATENTLAKE_BATCH_PARTITIONS="1",
    )
    assert done.code == 0, done.err
    assert len(done.json["commits"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert "secret-" not in json.dumps(done.json) + done.err
