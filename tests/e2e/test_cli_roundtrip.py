"""A lake through the real command line and flow into an archive and back: within bounds, in order, every type."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.digest import block_digest


@pytest.fixture(scope="module")
def decoded(cli, made, tmp_path_factory):
    out = tmp_path_factory.mktemp("decoded") / "out"
    done = cli("decode", made.archive, out, "--threads", "1", "--json")
    assert done.code == 0, done.err
    return out, done.json


def _same(one, other):
    """Equal in every bit: NaN equals NaN, 0.0 is not -0.0."""
    return one.schema.equals(other.schema) and block_digest(one) == block_digest(other)


def _parquet(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))


def test_compress_says_what_it_did(made):
    result = made.result
    assert [row["partition"] for row in result["partitions"]] == ["month=1", "month=2", "month=10"]
    assert {row["action"] for row in result["partitions"]} == {"compressed"}
    assert {row["reason"] for row in result["partitions"]} == {"new"}
    assert all(0 < row["worst_ratio"] <= 1 for row in result["partitions"])
    assert result["models"][0]["reused"] is False
    assert result["commits"] == [0, 1]


def test_files_names_and_row_counts_come_back(made, decoded):
    out, result = decoded
    assert _parquet(out) == _parquet(made.lake)
    for name in _parquet(out):
        assert pq.read_metadata(out / name).num_rows == pq.read_metadata(made.lake / name).num_rows
    assert result["rows"] == sum(row["rows"] for row in made.result["partitions"])


def test_schema_comes_back_with_its_metadata(made, decoded):
    for name in _parquet(made.lake):
        before, after = pq.read_schema(made.lake / name), pq.read_schema(decoded[0] / name)
        assert after.equals(before)
        assert after.metadata == before.metadata
        assert all(after.field(i).metadata[b"about"] == before.field(i).metadata[b"about"] for i in range(len(before)))


@pytest.mark.parametrize("column", ["place", "zone", "paid", "secret", "tags"])
def test_exact_columns_are_exact(made, decoded, column):
    for name in _parquet(made.lake):
        before, after = (pq.read_table(root / name, columns=[column]) for root in (made.lake, decoded[0]))
        assert after.equals(before)


def test_bounded_columns_are_within_their_bounds(made, decoded):
    for name in _parquet(made.lake):
        before, after = pq.read_table(made.lake / name), pq.read_table(decoded[0] / name)
        assert before["fare"].is_null().equals(after["fare"].is_null())
        for x, y in zip(before["fare"].to_pylist(), after["fare"].to_pylist(), strict=True):
            if x is None or not np.isfinite(x):
                assert repr(x) == repr(y)
            else:
                assert abs(Fraction(x) - Fraction(y)) <= Fraction(1, 2)
        seconds = [t["when"].cast(pa.int64()).to_numpy() for t in (before, after)]
        assert pq.read_schema(made.lake / name).field("when").type == pa.timestamp("ms", tz="UTC")
        assert np.abs(seconds[0] - seconds[1]).max() <= 120_000


def test_field_metadata_and_loss_file_state_the_losses(made, decoded):
    out, _ = decoded
    field = pq.read_schema(out / "month=1/part-0.parquet").field("fare").metadata
    assert field[b"latentlake.layer"] == b"bounded"
    assert field[b"latentlake.bound"].decode() == "±0.5"
    assert 0 < float(field[b"latentlake.max_error"]) <= 0.5
    assert int(field[b"latentlake.snapshot"]) == 1
    report = json.loads((out / "_loss.json").read_text())
    assert report["partitions"][0]["columns"]["fare"]["max_error"] == float(field[b"latentlake.max_error"])
    assert report["archive"].encode() == field[b"latentlake.archive"]


def test_two_threads_give_the_same_values(cli, made, decoded, tmp_path):
    assert cli("decode", made.archive, tmp_path / "out", "--threads", "2").code == 0
    for name in _parquet(decoded[0]):
        assert _same(pq.read_table(tmp_path / "out" / name), pq.read_table(decoded[0] / name))


def test_subsets_are_slices_of_the_whole(cli, made, decoded, tmp_path):
    arguments = ["--where", "month=10", "--rows", "100:500", "--columns", "fare,place"]
    assert cli("decode", made.archive, tmp_path / "out", *arguments).code == 0
    assert _parquet(tmp_path / "out") == ["month=10/part-0.parquet", "month=10/part-1.parquet"]
    whole, part = (
        pa.concat_tables(pq.read_table(root / name) for name in _parquet(tmp_path / "out"))
        for root in (decoded[0], tmp_path / "out")
    )
    assert _same(part, whole.select(["fare", "place"]).slice(100, 400))
    assert part.column_names == ["fare", "place"]


def test_rows_of_one_file_only_write_that_file(cli, made, tmp_path):
    assert cli("decode", made.archive, tmp_path / "out", "--where", "month=1", "--rows", "0:10").code == 0
    assert _parquet(tmp_path / "out") == ["month=1/part-0.parquet"]


def test_preview_comes_from_the_latents_alone(cli, made, tmp_path):
    mine = made.copy(tmp_path)
    for path in mine.archive.rglob("residuals.parquet"):
        path.unlink()
    done = cli("decode", mine.archive, tmp_path / "preview", "--layer", "preview", "--json")
    assert done.code == 0, done.err
    assert "tags" in done.json["left_out"]
    table = pq.read_table(tmp_path / "preview/month=2/part-0.parquet")
    assert table.num_rows == 351
    assert {"fare", "delay", "place"} <= set(table.column_names)
    bounded = cli("decode", mine.archive, tmp_path / "bounded")
    assert bounded.code == 1
    assert "residuals.parquet" in bounded.err
    assert not (tmp_path / "bounded").exists()


def test_python_reads_the_same_rows(made, decoded):
    archive = ae_core.open_archive(str(made.archive))
    scan = archive.scan(where={"month": 2}, columns=["fare", "delay"])
    whole = pa.concat_tables(pq.read_table(decoded[0] / f"month=2/part-{i}.parquet") for i in (0, 1))
    assert _same(pa.table(scan), whole.select(["fare", "delay"]))
    assert archive.partition(month=2).certificate.verdict().passed
    assert pa.table(archive.scan()).num_rows == sum(row["rows"] for row in made.result["partitions"])


def test_duckdb_and_polars_read_a_scan(made):
    duckdb = pytest.importorskip("duckdb")
    polars = pytest.importorskip("polars")
    scan = ae_core.open_archive(str(made.archive)).scan(columns=["zone", "fare"])
    rows = sum(row["rows"] for row in made.result["partitions"])
    assert duckdb.sql("select count(*) from scan").fetchall() == [(rows,)]
    assert polars.DataFrame(scan).height == rows
