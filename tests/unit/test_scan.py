"""A scan gives every tool the same rows, reads no more than they need, and says what it cannot do."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.store import LocalStore
from ae_core.errors import PartialBatch, UsageError

ROWS = {1: 70_000, 2: 300, 10: 40}  # month=1 has two blocks


def month_table(month, rows):
    table = {"n": pa.array(range(rows), pa.int32()), "word": pa.array([f"w{i % 7}" for i in range(rows)])}
    if month == 10:  # written later: a wider type, and one column more
        table = {"n": table["n"].cast(pa.int64()), "word": table["word"], "late": pa.array([1.5] * rows)}
    return pa.table(table)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("scan")
    for month, rows in ROWS.items():
        (root / "lake" / f"month={month}").mkdir(parents=True)
        pq.write_table(month_table(month, rows), root / "lake" / f"month={month}" / "part.parquet")
    for condition in ("month<10", "month=10"):
        ae_core.compress(str(root / "lake"), str(root / "archive"), range_=0, where=[condition])
    return root / "lake"


@pytest.fixture(scope="module")
def archive(lake):
    return ae_core.open_archive(str(lake.parent / "archive"))


@pytest.fixture
def read_bytes(monkeypatch):
    """Names of the objects that are read."""
    names = []
    for call in ("get", "get_range"):
        real = getattr(LocalStore, call)
        monkeypatch.setattr(
            LocalStore, call, lambda self, name, *rest, real=real: names.append(name) or real(self, name, *rest)
        )
    return names


def test_partition_keys_are_columns_and_mixed_schemas_widen(archive):
    table = archive.scan().to_table()
    assert table.schema.names == ["n", "word", "late", "month"]
    assert table.schema.types == [pa.int64(), pa.string(), pa.float64(), pa.int64()]
    assert table["month"].to_pylist() == [month for month, rows in ROWS.items() for _ in range(rows)]
    assert table["n"].to_pylist() == [i for rows in ROWS.values() for i in range(rows)]
    assert table["late"].null_count == 70_300


def test_every_tool_reads_the_same_rows(archive):
    scan = archive.scan(columns=["month", "n"])
    total = sum(sum(range(rows)) for rows in ROWS.values())
    assert pc.sum(pa.table(scan)["n"]).as_py() == total
    assert pa.RecordBatchReader.from_stream(scan).read_all().num_rows == 70_340
    assert duckdb.sql("select sum(n) from scan").fetchall() == [(total,)]
    assert pl.DataFrame(scan)["n"].sum() == total
    assert pl.scan_pyarrow_dataset(scan).select(pl.col("n").sum()).collect().item() == total
    assert pd.DataFrame.from_arrow(scan)["n"].sum() == total
    assert scan.head(3).to_pydict() == {"month": [1, 1, 1], "n": [0, 1, 2]}
    assert list(scan.to_table().schema.names) == ["month", "n"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda scan: duckdb.sql("select sum(n) from scan where month = 2").fetchall()[0][0],
        lambda scan: (
            pl.scan_pyarrow_dataset(scan).filter(pl.col("month") == 2).select(pl.col("n").sum()).collect().item()
        ),
        lambda scan: pc.sum(scan.to_table(columns=["n"], filter=pc.field("month") == 2)["n"]).as_py(),
        lambda scan: pc.sum(pa.table(scan.filter(pc.field("month") == 2))["n"]).as_py(),
    ],
    ids=["duckdb", "polars", "pyarrow", "filtered"],
)
def test_a_filter_on_a_key_reads_no_other_partition(archive, read_bytes, ask):
    scan = archive.scan()
    read_bytes.clear()
    assert ask(scan) == sum(range(300))
    assert {name.split("/")[1] for name in read_bytes if name.startswith("partitions")} == {"month=2"}


def test_keys_and_counts_are_known_without_reading(archive, read_bytes):
    scan = archive.scan()
    read_bytes.clear()
    assert scan.count_rows() == 70_340
    assert duckdb.sql("select month, count(*) from scan group by 1 order by 1").fetchall() == list(ROWS.items())
    assert read_bytes == []


def test_blocks_without_a_match_are_left_before_other_columns_are_decoded(archive, monkeypatch):
    decoded = []
    real = ae_core.dataset.pipeline.decode_blocks
    monkeypatch.setattr(
        ae_core.dataset.pipeline,
        "decode_blocks",
        lambda codec, stored, names: decoded.append((len(stored), tuple(names))) or real(codec, stored, names),
    )
    scan = archive.scan(where={"month": 1}, threads=1)
    found = scan.to_table(columns=["word"], filter=pc.field("n") >= 69_998)
    assert found["word"].to_pylist() == ["w5", "w6"]
    assert sum(blocks for blocks, names in decoded if "word" in names) == 1


def test_a_filter_keeps_exactly_the_rows_of_the_whole(archive):
    scan, whole = archive.scan(), archive.scan().to_table()
    for wanted in (
        pc.field("late").is_null(),
        (pc.field("n") > 69_000) | (pc.field("month") == 10),
        pc.field("word").isin(["w1", "w2"]) & (pc.field("month") > 1),
        pc.field("late") > 1,
    ):
        assert scan.to_table(filter=wanted).equals(whole.filter(wanted))
    doubled = scan.to_table(columns={"twice": pc.multiply(pc.field("n"), 2)}, filter=pc.field("month") == 10)
    assert doubled["twice"].to_pylist() == [2 * i for i in range(40)]


def test_columns_that_are_not_there_are_refused(archive):
    with pytest.raises(UsageError, match=r"no column 'x'; columns are n, word, late, month"):
        archive.scan(columns=["x"])
    with pytest.raises(UsageError, match="no column 'x'"):
        archive.scan().to_table(columns=["x"])
    with pytest.raises(UsageError, match=r"call to_table\(\) first"):
        archive.scan().join(archive.scan(), "n")
    with pytest.raises(TypeError, match="open the archive in the process"):
        archive.scan().__reduce__()


def test_latents_and_reports_are_tables(archive):
    reports = archive.reports({"month": 10})
    assert reports["column"].to_pylist() == ["n", "word", "late"]
    assert reports["exact_share"].to_pylist() == [1.0, 1.0, 1.0]
    with pytest.raises(ae_core.errors.NoLatents):
        archive.latents({"month": 10})


def test_notebooks_show_archives_partitions_and_certificates(archive):
    assert "70,340 rows" in archive._repr_html_()
    assert "<td>word</td>" in archive.partition(month=2)._repr_html_()
    assert "PASS" in archive.partition(month=2).certificate._repr_html_()


def test_a_filter_on_a_column_reads_no_partition_that_its_range_excludes(archive, read_bytes):
    scan = archive.scan()
    for wanted, months in (
        (pc.field("n") >= 300, {"month=1"}),
        (pc.field("n") >= 40, {"month=1", "month=2"}),
        (pc.field("n") < 0, set()),
        (pc.field("late") > 2, {"month=1", "month=2"}),  # of which the column is missing, not null: keys alone tell
        (pc.field("word") == "w9", set()),
    ):
        read_bytes.clear()
        scan.to_table(columns=["month", "n"], filter=wanted)
        read = {name.split("/")[1] for name in read_bytes if name.startswith("partitions")}
        assert read <= months, wanted
    read_bytes.clear()
    assert duckdb.sql("select count(*) from scan where n > 69000").fetchall() == [(999,)]
    assert pl.scan_pyarrow_dataset(scan).filter(pl.col("n") > 69_000).collect().height == 999
    assert {name.split("/")[1] for name in read_bytes if name.startswith("partitions")} == {"month=1"}


def test_a_filter_gives_the_rows_that_it_gives_without_ranges(archive, monkeypatch):
    filters = [pc.field("n") == n for n in (0, 39, 40, 299, 300, 69_999, 70_000)]
    filters += [~(pc.field("word") < "w6"), (pc.field("n") > 39) & (pc.field("late") == 1.5)]
    with_ranges = [archive.scan().to_table(filter=wanted) for wanted in filters]
    monkeypatch.setattr(ae_core.scan.Scan, "_in_range", lambda self, pieces, wanted: list(pieces))
    for wanted, found in zip(filters, with_ranges, strict=True):
        assert found.equals(archive.scan().to_table(filter=wanted))


def test_nothing_is_committed_whose_ranges_are_not_those_of_its_columns(tmp_path, monkeypatch):
    (tmp_path / "lake").mkdir()
    pq.write_table(month_table(2, 50), tmp_path / "lake" / "part.parquet")
    monkeypatch.setattr(ae_core.ranges.Ranges, "finish", lambda self: {"ranges": [[0, 48], None]})
    with pytest.raises(PartialBatch, match="the recorded ranges are not those of its columns"):
        ae_core.compress(str(tmp_path / "lake"), str(tmp_path / "archive"), range_=0)
