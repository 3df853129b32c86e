"""The jobs on an archive: aligned, reproducible, nothing half-written, clear where nothing can be done."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.errors import LayerMissing, NoLatents, OutputExists, UsageError
from ae_core.jobs.fade import fade
from tests.unit.uses.test_surprise import changed


@pytest.fixture
def lake(golden, tmp_path):
    """The archived rows as a lake again."""
    ae_core.decode(str(golden), str(tmp_path / "lake"))
    return tmp_path / "lake"


def read(lake, month: int) -> pa.Table:
    """The rows of a month."""
    files = sorted((lake / f"month={month}").glob("*.parquet"))
    return pa.concat_tables(pq.read_table(path, partitioning=None) for path in files).combine_chunks()


def rewrite(lake, month: int, table: pa.Table) -> None:
    """A month with other rows, as one file."""
    for path in (lake / f"month={month}").glob("*.parquet"):
        path.unlink()
    pq.write_table(table, lake / f"month={month}" / "other.parquet")


def test_features_of_archived_rows_are_those_of_the_same_rows_when_they_are_new(golden, lake, tmp_path) -> None:
    done = ae_core.features(str(golden), str(tmp_path / "a.parquet"))
    ae_core.encode(str(golden), str(lake), str(tmp_path / "b.parquet"))
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.equals(pq.read_table(tmp_path / "b.parquet"))
    assert found.column_names == ["month", "row", *done.columns]
    archive = ae_core.open_archive(str(golden))
    assert found.num_rows == done.rows == sum(partition.rows for partition in archive.partitions())
    assert found.column("row").to_pylist()[: archive.partition(month=1).rows] == list(range(1700))
    assert found.schema.field("month").type == pa.int64()


def test_features_need_no_residuals_and_anomalies_say_that_they_do(golden, tmp_path) -> None:
    before = ae_core.features(str(golden), str(tmp_path / "before.parquet"))
    shutil.copytree(golden, tmp_path / "archive")
    fade(str(tmp_path / "archive"), where=["month=2"], reason="test", only_copy_accepted=True, dry_run=False)
    after = ae_core.features(str(tmp_path / "archive"), str(tmp_path / "after.parquet"))
    assert after.rows == before.rows
    assert pq.read_table(tmp_path / "after.parquet").equals(pq.read_table(tmp_path / "before.parquet"))
    with pytest.raises(LayerMissing, match="month=2 keeps no residuals"):
        ae_core.anomalies(str(tmp_path / "archive"), str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("use", ["features", "anomalies", "sample", "denoise"])
def test_archives_without_latents_say_why(mixing, tmp_path, use: str) -> None:
    more = {"rows": 5} if use == "sample" else {}
    with pytest.raises(NoLatents, match="month=1 has no latents.*pay for itself.*latents: always") as caught:
        getattr(ae_core, use)(str(mixing), str(tmp_path / "out"), **more)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_or_left_behind(golden, tmp_path) -> None:
    (tmp_path / "there").write_text("mine")
    for use in (ae_core.features, ae_core.anomalies, ae_core.denoise):
        with pytest.raises(OutputExists):
            use(str(golden), str(tmp_path / "there"))
    with pytest.raises(UsageError, match="month=9"):
        ae_core.features(str(golden), str(tmp_path / "new"), where=["month=9"])
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_planted_faults_come_first_and_top_is_the_head_of_all(golden, lake, tmp_path) -> None:
    table = read(lake, 1)
    for row in (10, 200, 900):
        table = changed(table, "site_id", row, int(table.column("site_id")[row].as_py()) - 2)
        table = changed(table, "kind", row, "a place nobody knows")
    rewrite(lake, 1, table)
    ae_core.anomalies(str(golden), str(tmp_path / "all.parquet"), lake=str(lake), where=["month=1"])
    top = ae_core.anomalies(str(golden), str(tmp_path / "top.parquet"), lake=str(lake), where=["month=1"], top=3)
    best = pq.read_table(tmp_path / "top.parquet")
    assert sorted(best.column("row").to_pylist()) == [10, 200, 900]
    assert top.written == len(top.most) == 3
    everything = pq.read_table(tmp_path / "all.parquet")
    assert everything.num_rows == top.rows == 1700
    assert everything.sort_by([("bits", "descending")]).slice(0, 3).equals(best)
    parts = [name for name in everything.column_names if name.startswith("bits_")]
    total = np.sum([everything.column(name).to_numpy() for name in parts], axis=0)
    assert np.allclose(total, everything.column("bits").to_numpy(), atol=1e-2)


def test_a_changed_lake_surprises_and_the_same_one_does_not(golden, lake) -> None:
    same = ae_core.surprise_share(str(golden), str(lake))
    assert not same.jumped
    for month in (1, 2):
        table = read(lake, month)
        shuffled = pa.array(np.random.default_rng(0).permutation(table.num_rows))
        for name in ("site", "item", "count", "amount"):
            index = table.schema.get_field_index(name)
            table = table.set_column(index, table.schema.field(index), table.column(name).take(shuffled))
        rewrite(lake, month, table)
    other = ae_core.surprise_share(str(golden), str(lake))
    assert other.jumped
    assert other.share > same.share


def test_thresholds(golden, tmp_path) -> None:
    few = ae_core.anomalies(str(golden), str(tmp_path / "a"), false_alarms=0.01)
    many = ae_core.anomalies(str(golden), str(tmp_path / "b"), quantile=0.9)
    assert few.share == pytest.approx(0.01, abs=0.003)
    assert many.share == pytest.approx(0.1, abs=0.01)
    assert sum(pq.read_table(tmp_path / "b").column("surprising").to_pylist()) == round(many.share * many.rows)
    with pytest.raises(UsageError, match="exclude"):
        ae_core.anomalies(str(golden), str(tmp_path / "c"), false_alarms=0.1, quantile=0.9)


def test_a_lake_of_other_columns_is_refused_by_name(golden, tmp_path) -> None:
    (tmp_path / "lake").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "lake" / "x.parquet")
    with pytest.raises(UsageError, match="no model of .* knows these columns: column 'day' is missing"):
        ae_core.encode(str(golden), str(tmp_path / "lake"), str(tmp_path / "out"))


def test_samples_are_valid_reproducible_and_hide_what_is_sensitive(golden, tmp_path) -> None:
    done = ae_core.sample(str(golden), str(tmp_path / "a"), rows=2500, seed=3, threads=1)
    ae_core.sample(str(golden), str(tmp_path / "b"), rows=2500, seed=3, threads=3)
    ae_core.sample(str(golden), str(tmp_path / "c"), rows=2500, seed=4)
    texts = {name: repr(read(tmp_path / name, 1).to_pylist()) for name in "abc"}  # NaN is no equal of itself
    assert texts["a"] == texts["b"]
    assert texts["a"] != texts["c"]
    assert done.rows == 2500 == sum(partition.rows for partition in done.partitions)
    assert 2500 <= done.drawn - done.thrown_away < done.drawn
    archived = pa.concat_tables(ae_core.open_archive(str(golden)).partition(month=1).blocks())
    made = read(tmp_path / "a", 1)
    assert made.schema.names == archived.schema.names
    assert made.schema.types == archived.schema.types
    assert made.column("secret").null_count == made.num_rows
    assert "sensitive" in done.withheld["secret"]
    for name in ("site", "vendor", "driver", "kind", "site_id", "minute"):
        assert set(made.column(name).to_pylist()) <= set(archived.column(name).to_pylist())
    pairs = set(zip(archived.column("site").to_pylist(), archived.column("site_id").to_pylist(), strict=True))
    assert set(zip(made.column("site").to_pylist(), made.column("site_id").to_pylist(), strict=True)) <= pairs


def test_one_row_and_none(golden, tmp_path) -> None:
    assert ae_core.sample(str(golden), str(tmp_path / "a"), rows=1).rows == 1
    with pytest.raises(UsageError, match="at least one"):
        ae_core.sample(str(golden), str(tmp_path / "b"), rows=0)


def test_denoise_writes_the_layout_of_the_lake_and_lists_its_changes(golden, tmp_path) -> None:
    done = ae_core.denoise(str(golden), str(tmp_path / "out"), where=["month=1"], fill=["paid"])
    changes = pq.read_table(done.changes)
    assert changes.num_rows == done.changed > 0
    table = read(tmp_path / "out", 1)
    assert table.column("paid").null_count == 0
    for change in changes.slice(0, 20).to_pylist():
        assert table.column(change["column"]).slice(change["row"], 1).cast(pa.string())[0].as_py() == change["new"]
    with pytest.raises(UsageError, match="note"):
        ae_core.denoise(str(golden), str(tmp_path / "more"), fill=["note"])
