"""A lake and its archive are one table: each row once, whatever was deleted, edited or came later."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.reader import Snapshot
from ae_core.dataset import Archive
from ae_core.errors import LakeError, LayerMissing, UsageError
from ae_core.schemas import unify

FILES = {"a.parquet": range(10), "b.parquet": range(10, 30), "c.parquet": range(30, 35)}


@dataclass(frozen=True)
class Made:
    lake: str
    archive: str
    month: object

    def numbers(self, where=None):
        """Month 1's numbers with their fidelities, as a query sees them."""
        table = ae_core.open_lake(self.lake, self.archive).scan(where=where or {"month": 1}).to_table()
        return dict(zip(table["n"].to_pylist(), table["_fidelity"].to_pylist(), strict=True)), table.num_rows


def _write(folder, name, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"n": pa.array(numbers, pa.int32())}), folder / name)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    root = tmp_path_factory.mktemp("view")
    for name, numbers in FILES.items():
        _write(root / "lake" / "month=1", name, list(numbers))
    _write(root / "lake" / "month=2", "a.parquet", [100, 101])
    ae_core.compress(str(root / "lake"), str(root / "archive"), range_=0)
    _write(root / "lake" / "month=3", "a.parquet", [200])  # not archived yet
    return root


@pytest.fixture
def made(once, tmp_path):
    shutil.copytree(once / "lake", tmp_path / "lake")
    return Made(str(tmp_path / "lake"), str(once / "archive"), tmp_path / "lake" / "month=1")


@pytest.fixture
def expired(monkeypatch):
    """As if the archive's log said that originals of month=1 were expired."""
    monkeypatch.setattr(Archive, "expired", frozenset({"month=1"}))


def test_live_wins_and_nothing_is_counted_twice(made):
    found, rows = made.numbers()
    assert found == dict.fromkeys(range(35), "original")
    assert rows == 35
    view = ae_core.open_lake(made.lake, made.archive)
    assert view.scan().count_rows() == 38
    assert {part.fidelity for part in view.parts()} == {"original"}


def test_a_partition_that_is_gone_comes_from_the_archive(made):
    shutil.rmtree(made.month)
    found, rows = made.numbers()
    assert found == dict.fromkeys(range(35), "bounded")
    assert rows == 35
    scan = ae_core.open_lake(made.lake, made.archive).scan()
    query = "select month, _fidelity, count(*) from scan group by all order by 1"
    assert duckdb.sql(query).fetchall() == [(1, "bounded", 35), (2, "original", 2), (3, "original", 1)]
    late = pl.scan_pyarrow_dataset(scan).filter(pl.col("_fidelity") == "original").select("n").collect()
    assert late["n"].to_list() == [100, 101, 200]


def test_what_expiry_left_and_what_came_later_stay_live(made, expired):
    (made.month / "b.parquet").unlink()
    _write(made.month, "d.parquet", [500])
    found, rows = made.numbers()
    assert found == {n: "bounded" if n in FILES["b.parquet"] else "original" for n in [*range(35), 500]}
    assert rows == 36


def test_an_original_edited_before_its_expiry_replaces_its_own_rows_alone(made, expired):
    for name in ("a.parquet", "b.parquet"):
        (made.month / name).unlink()
    _write(made.month, "c.parquet", [-1])
    found, rows = made.numbers()
    assert found == {**dict.fromkeys(range(30), "bounded"), -1: "original"}
    assert rows == 31


def test_a_partition_rewritten_by_its_owner_is_what_the_lake_holds(made):
    for name in FILES:
        (made.month / name).unlink()
    _write(made.month, "compacted.parquet", list(range(35)))
    found, rows = made.numbers()
    assert found == dict.fromkeys(range(35), "original")
    assert rows == 35


def test_a_lake_that_is_not_there_is_an_error_unless_it_expired(made, expired, monkeypatch):
    shutil.rmtree(made.lake)
    assert made.numbers()[1] == 35
    monkeypatch.setattr(Archive, "expired", frozenset())
    with pytest.raises(LakeError, match="no such lake, or an empty one"):
        ae_core.open_lake(made.lake, made.archive)


def test_a_faded_partition_is_refused_unless_previews_are_asked_for(made, monkeypatch):
    shutil.rmtree(made.month)
    whole = Snapshot.manifest
    monkeypatch.setattr(Snapshot, "manifest", lambda self, name: replace(whole(self, name), layers=()))
    with pytest.raises(LayerMissing, match="preview"):
        ae_core.open_lake(made.lake, made.archive).scan(where={"month": 1})
    assert ae_core.open_lake(made.lake, made.archive).scan(where={"month": 2}).count_rows() == 2


def test_schemas_of_lake_and_archive_widen(made):
    shutil.rmtree(made.month)
    pq.write_table(
        pa.table({"n": pa.array([1 << 40]), "new": pa.DictionaryArray.from_arrays([0], ["x"])}),
        f"{made.lake}/month=3/a.parquet",
    )
    scan = ae_core.open_lake(made.lake, made.archive).scan()
    assert scan.schema.field("n").type == pa.int64()
    table = scan.to_table(filter=pc.field("n") >= 34)
    assert table["n"].to_pylist() == [34, 100, 101, 1 << 40]
    assert table["new"].to_pylist() == [None, None, None, "x"]
    assert scan.to_table(columns=["month"], filter=pc.field("new") == "x")["month"].to_pylist() == [3]


def test_types_that_nothing_holds_are_named_and_may_be_left_out(made):
    shutil.rmtree(made.month)
    pq.write_table(pa.table({"n": pa.array(["text"]), "k": pa.array([5])}), f"{made.lake}/month=3/a.parquet")
    view = ae_core.open_lake(made.lake, made.archive)
    with pytest.raises(UsageError, match=r"'n' is int32 in month=1 and string in month=3: leave it out with columns="):
        view.scan()
    assert view.scan(columns=["k"]).to_table()["k"].null_count == 37


def test_another_lakes_archive_is_refused(made, tmp_path):
    _write(tmp_path / "other" / "year=1", "a.parquet", [1])
    with pytest.raises(UsageError, match="is it this lake's archive"):
        ae_core.open_lake(str(tmp_path / "other"), made.archive)
    with pytest.raises(UsageError, match="none of the 3 partitions, live or archived, has month=9"):
        ae_core.open_lake(made.lake, made.archive).scan(where={"month": 9})


def test_types_widen_within_their_family_alone():
    def kinds(*types):
        return unify([(str(i), pa.schema([("x", kind)])) for i, kind in enumerate(types)]).field("x").type

    assert kinds(pa.int8(), pa.int64()) == pa.int64()
    assert kinds(pa.float32(), pa.float64()) == pa.float64()
    assert kinds(pa.dictionary(pa.int8(), pa.string()), pa.string()) == pa.string()
    assert kinds(pa.timestamp("s"), pa.timestamp("ns")) == pa.timestamp("ns")
    for pair in ((pa.int64(), pa.float64()), (pa.string(), pa.int8()), (pa.timestamp("s"), pa.timestamp("s", "UTC"))):
        with pytest.raises(UsageError, match="in 0 and"):
            kinds(*pair)
