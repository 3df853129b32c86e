"""What a nightly run meets: limits, changed policies, originals that are gone, schemas that evolve, bad partitions."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.errors import DataWouldBeLost, LakeError, PartialBatch
from ae_core.jobs.listing import list_archive


def _actions(result):
    return {row.partition: row.action for row in result.partitions}


def _write(lake, partition, table):
    (lake / partition).mkdir(parents=True, exist_ok=True)
    pq.write_table(table, lake / partition / "x.parquet")


def _table(rows=60, seed=0, **more):
    random = np.random.default_rng(seed)
    return pa.table({"a": random.integers(0, 9, rows), "b": random.normal(size=rows), **more})


@pytest.fixture
def lake(tmp_path):
    """Three days, the middle one the largest."""
    for day, rows in ((1, 60), (2, 900), (3, 70)):
        _write(tmp_path / "lake", f"date=2020-01-0{day}", _table(rows, day))
    return tmp_path / "lake"


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "archive"


@pytest.fixture
def compress(lake, archive):
    def run(range_="0.01", **more):
        return ae_core.compress(str(lake), str(archive), range_=range_, threads=1, **more)

    return run


def test_limits_leave_the_rest_for_the_next_run(compress):
    first = compress(limit=1, order="largest")
    assert _actions(first) == {
        "date=2020-01-01": "left",
        "date=2020-01-02": "compressed",
        "date=2020-01-03": "left",
    }
    assert first.left == 2
    assert _actions(compress(limit=1, order="newest"))["date=2020-01-03"] == "compressed"
    third = compress()
    assert (third.left, _actions(third)["date=2020-01-01"]) == (0, "compressed")


def test_when_its_hours_are_over_a_run_commits_what_it_has(compress):
    first = compress(max_hours=1e-9)
    assert (first.left, set(_actions(first).values())) == (3, {"left"})
    assert compress(max_hours=1.0).left == 0


def test_young_partitions_wait(compress, lake):
    _write(lake, "date=2999-01-01", _table())
    done = compress(older_than_days=30.0)
    young = next(row for row in done.partitions if row.partition == "date=2999-01-01")
    assert (young.action, done.left) == ("waiting", 0)
    assert "2999-01-01" in young.reason


def test_a_changed_policy_is_for_new_partitions_until_recompress(compress, lake, archive, tmp_path):
    compress("0.1")
    assert set(_actions(compress("0")).values()) == {"unchanged"}
    assert _actions(compress("0", recompress=True, where=["date=2020-01-02"])) == {"date=2020-01-02": "compressed"}
    ae_core.decode(str(archive), str(tmp_path / "out"))
    name = "date=2020-01-02/x.parquet"
    assert pq.read_table(tmp_path / "out" / name).equals(pq.read_table(lake / name))


def test_what_is_gone_stays_archived_and_is_not_compressed_again(compress, lake, archive):
    compress()
    shutil.rmtree(lake / "date=2020-01-01")
    assert set(_actions(compress()).values()) == {"unchanged"}
    with pytest.raises(DataWouldBeLost, match="date=2020-01-01"):
        compress(recompress=True)
    assert "date=2020-01-01" in [row.partition for row in list_archive(str(archive)).partitions]


def test_a_schema_may_evolve(compress, lake, archive, tmp_path):
    """Added, widened and reordered columns: partitions of one schema share a model, and all stay readable."""
    compress("0")
    evolved = {
        "date=2020-02-01": _table(50, 4, c=pa.array(["x", None] * 25)),
        "date=2020-02-02": _table(50, 5, c=pa.array(["y", None] * 25)),
        "date=2020-02-03": _table(40, 6).select(["b", "a"]),
        "date=2020-02-04": _table(40, 7).set_column(0, "a", pa.array(range(40), pa.int32())),
    }
    for partition, table in evolved.items():
        _write(lake, partition, table)
    done = compress("0")
    assert [row for row, action in _actions(done).items() if action == "compressed"] == list(evolved)
    assert [model.reused for model in done.models] == [False, False, False]
    ae_core.decode(str(archive), str(tmp_path / "out"))
    for partition, table in evolved.items():
        assert pq.read_table(tmp_path / "out" / partition / "x.parquet", partitioning=None).equals(table)
    ae_core.decode(str(archive), str(tmp_path / "one"), unify=True)
    whole = pq.read_table(tmp_path / "one")  # refused by pyarrow where files disagree
    assert whole.schema.names == ["a", "b", "c", "date"]
    assert (whole.schema.field("a").type, whole.num_rows) == (pa.int64(), 60 + 900 + 70 + 50 + 50 + 40 + 40)
    assert whole["c"].null_count == whole.num_rows - 50
    ae_core.decode(str(archive), str(tmp_path / "c"), unify=True, columns=["c", "a"])
    assert pq.read_table(tmp_path / "c", partitioning=None).schema.names == ["c", "a"]


def test_removed_late_and_changed_partitions(compress, lake, archive):
    """What is removed stays archived, what comes late or changes is compressed, whatever its place among the others."""
    compress()
    shutil.rmtree(lake / "date=2020-01-03")
    _write(lake, "date=2019-12-31", _table(50, 8))
    _write(lake, "date=2020-01-01", _table(61, 9))
    assert _actions(compress()) == {
        "date=2019-12-31": "compressed",
        "date=2020-01-01": "compressed",
        "date=2020-01-02": "unchanged",
    }
    held = [row.partition for row in list_archive(str(archive)).partitions]
    assert held == ["date=2019-12-31", "date=2020-01-01", "date=2020-01-02", "date=2020-01-03"]


@pytest.mark.parametrize("damage", ["footer", "pages"])
def test_a_partition_that_keeps_failing_is_set_aside(compress, lake, damage):
    path = lake / "date=2020-01-02" / "x.parquet"
    data = bytearray(path.read_bytes())
    if damage == "footer":
        data[-4:] = b"none"
    else:
        data[40:400] = bytes(360)
    path.write_bytes(bytes(data))
    with pytest.raises(PartialBatch, match="not committed: date=2020-01-02"):
        compress()
    for _ in range(2):
        with pytest.raises(LakeError, match="date=2020-01-02"):
            compress()
    quiet = compress()
    assert _actions(quiet)["date=2020-01-02"] == "set aside"
    assert "set aside after 3 failures" in str(quiet.partitions)
    _write(lake, "date=2020-01-02", _table(90, 9))
    assert _actions(compress())["date=2020-01-02"] == "compressed"


def test_policy_rules_of_columns_that_only_some_partitions_have(lake, archive, tmp_path):
    _write(lake, "date=2020-02-01", _table(50, 4, c=pa.array(np.arange(50.0))))
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\ncolumns: {c: {abs: 0.5}}\n")
    done = ae_core.compress(str(lake), str(archive), policy=str(policy), threads=1)
    assert set(_actions(done).values()) == {"compressed"}
    assert len(done.models) == 2
