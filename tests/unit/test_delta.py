"""A Delta table as a lake: the files of one version, whatever else lies beside them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.reader import open_snapshot
from ae_core.errors import DataWouldBeLost, LakeError
from ae_core.jobs.expire import expire
from ae_core.lake import list_partitions, refresh

deltalake = pytest.importorskip("deltalake")

ROWS = pa.table({"k": ["a", "a", "b b"] * 20, "x": [float(i) for i in range(60)]})


@pytest.fixture
def table(tmp_path):
    """Two versions: 1 has three files more than 0; then one is replaced."""
    path = tmp_path / "table"
    deltalake.write_deltalake(path, ROWS, partition_by=["k"])
    deltalake.write_deltalake(path, ROWS, mode="append")
    deltalake.DeltaTable(path).delete("x = 3.0")
    return path


def _files(url):
    return {one.id: len(one.files) for one in list_partitions(str(url))}


def test_only_the_files_of_the_version(table):
    assert _files(f"{table}@v0") == {"k=a": 1, "k=b%20b": 1}
    assert _files(f"{table}@v1") == {"k=a": 2, "k=b%20b": 2}
    newest = list_partitions(str(table))
    assert {one.lake for one in newest} == {f"{table}@v2"}
    before = {one.id: refresh(one) for one in newest}
    deltalake.write_deltalake(table, ROWS, mode="append")  # another writer: the run goes on with its version
    assert {one.id: refresh(one) for one in newest} == before
    with pytest.raises(LakeError, match="version 9"):
        list_partitions(f"{table}@v9")
    for file in (table / "k=a").glob("*.parquet"):
        file.unlink()
    with pytest.raises(LakeError, match="vacuumed"):
        list_partitions(f"{table}@v1")


def test_an_archive_of_a_version_holds_its_rows_and_says_which(table, tmp_path):
    archive = tmp_path / "archive"
    ae_core.compress(f"{table}@v1", str(archive), range_="0", threads=1)
    ae_core.decode(str(archive), str(tmp_path / "out"))
    found = pq.read_table(tmp_path / "out").sort_by("x")
    wanted = deltalake.DeltaTable(table, version=1).to_pyarrow_table().sort_by("x")
    assert found["x"].to_pylist() == wanted["x"].to_pylist()
    assert open_snapshot(str(archive)).manifest("k=a").extra["delta_version"] == 1
    assert {row.action for row in ae_core.compress(f"{table}@v1", str(archive), range_="0").partitions} == {"unchanged"}
    moved = ae_core.compress(str(table), str(archive), range_="0", threads=1)
    assert {row.partition: row.action for row in moved.partitions} == {"k=a": "compressed", "k=b%20b": "unchanged"}
    with pytest.raises(DataWouldBeLost, match="Delta table"):
        expire(str(table), str(archive), dry_run=False)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"delta.columnMapping.mode": "name"}, "columnMapping"),
        ({}, "deletion vectors"),
    ],
)
def test_tables_that_files_do_not_tell_are_refused(table, monkeypatch, change, word):
    log = sorted((table / "_delta_log").glob("*.json"))[0]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "metaData" in line:
            line["metaData"]["configuration"] = change
        if "protocol" in line and not change:
            line["protocol"] = {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": ["deletionVectors"],
                "writerFeatures": ["deletionVectors"],
            }
        if "add" in line and not change and line["add"]["path"].startswith("k=a"):
            vector = {"storageType": "i", "pathOrInlineDv": VECTOR, "sizeInBytes": 40, "cardinality": 6}
            line["add"]["deletionVector"] = vector
    log.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(LakeError, match=word):
        list_partitions(f"{table}@v0")


VECTOR = "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"
"""Of the Delta protocol's own example: six rows of one file are deleted."""
