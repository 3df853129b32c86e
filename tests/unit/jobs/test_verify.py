"""What verify says of damage is what can be read: blocks, rows, columns; samples, salvage, history."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import Decoded
from ae_core.errors import Corrupt, NoLatents, UsageError
from ae_core.jobs import deep
from ae_core.jobs.copy import copy
from ae_core.jobs.diff import diff_archive
from ae_core.jobs.listing import archive_log
from ae_core.jobs.request import noted
from ae_core.lake import BLOCK_ROWS
from ae_core.selection import parse_share

GOLDEN = Path(__file__).parents[2] / "golden" / "format-0" / "network" / "archive"
ROWS = 2 * BLOCK_ROWS + 100
HALF = ROWS // 2


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two partitions of three blocks in two files, each cell known."""
    root = tmp_path_factory.mktemp("blocks")
    for month in (1, 2):
        (root / "lake" / f"month={month}").mkdir(parents=True)
        table = table_of(month)
        pq.write_table(table.slice(0, HALF), root / "lake" / f"month={month}" / "part-0.parquet")
        pq.write_table(table.slice(HALF), root / "lake" / f"month={month}" / "part-1.parquet")
    ae_core.compress(str(root / "lake"), str(root / "a"), range_=0, note="  the first\nrun ")
    return root / "a"


def table_of(month: int) -> pa.Table:
    return pa.table({"x": pa.array(range(month, month + ROWS), pa.int64())})


@pytest.fixture
def mine(blocks, tmp_path) -> Path:
    shutil.copytree(blocks, tmp_path / "a")
    return tmp_path / "a"


@pytest.fixture
def golden(tmp_path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return tmp_path / "golden"


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))


def damage_block(root: Path, month: int, layer: str, block: int) -> None:
    held = open_snapshot(str(root)).manifest(f"month={month}").layer(layer)
    flip(root / held.file.name, held.blocks[block].offset + held.blocks[block].length // 2)


def test_the_lost_rows_are_named_and_exactly_the_others_salvaged(mine, tmp_path):
    damage_block(mine, 2, "residuals", 1)
    (finding,) = ae_core.verify(str(mine)).findings
    assert (finding.partition, finding.layer, finding.blocks) == ("month=2", "residuals", (1,))
    assert finding.rows == ((BLOCK_ROWS, 2 * BLOCK_ROWS),)
    assert finding.columns == ("x",)
    assert finding.readable == "residuals of blocks 0, 2 readable"
    with pytest.raises(Corrupt, match="residuals"):
        ae_core.decode(str(mine), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    done = ae_core.decode(str(mine), str(tmp_path / "out"), salvage=True)
    (lost,) = done.lost
    assert (lost.partition, lost.start, lost.stop) == ("month=2", BLOCK_ROWS, 2 * BLOCK_ROWS)
    files = [pq.read_table(tmp_path / "out" / "month=2" / f"part-{i}.parquet", partitioning=None) for i in (0, 1)]
    assert [file.num_rows for file in files] == [BLOCK_ROWS, 100]
    whole = table_of(2)["x"]
    assert pa.concat_tables(files)["x"].to_pylist() == [*whole[:BLOCK_ROWS].to_pylist(), *whole[-100:].to_pylist()]
    assert all(file.schema.metadata[b"latentlake.lost_rows"] == b"65536:131072" for file in files)
    one = pq.read_table(tmp_path / "out" / "month=1" / "part-0.parquet", partitioning=None)
    assert one["x"] == table_of(1)["x"].slice(0, HALF)
    assert b"latentlake.lost_rows" not in (one.schema.metadata or {})
    said = json.loads((tmp_path / "out" / "_loss.json").read_text())
    assert [(row["start"], row["stop"]) for row in said["lost"]] == [(BLOCK_ROWS, 2 * BLOCK_ROWS)]


def test_rows_that_are_whole_can_be_had_without_salvage(mine, tmp_path):
    damage_block(mine, 2, "residuals", 1)
    done = ae_core.decode(str(mine), str(tmp_path / "out"), rows=f"0:{BLOCK_ROWS}")
    assert (done.rows, done.lost) == (2 * BLOCK_ROWS, ())
    cut = ae_core.decode(str(mine), str(tmp_path / "cut"), rows=f"{BLOCK_ROWS - 5}:{BLOCK_ROWS + 7}", salvage=True)
    assert [(lost.start, lost.stop) for lost in cut.lost] == [(BLOCK_ROWS, BLOCK_ROWS + 7)]
    assert cut.rows == 12 + 5


def test_salvage_of_a_whole_archive_loses_nothing_and_of_a_lost_manifest_all_of_it(mine, tmp_path):
    assert ae_core.decode(str(mine), str(tmp_path / "all"), salvage=True).lost == ()
    next(mine.glob("partitions/month=1/*/manifest.json.br")).unlink()
    done = ae_core.decode(str(mine), str(tmp_path / "out"), salvage=True)
    assert [(lost.partition, lost.start, lost.stop) for lost in done.lost] == [("month=1", 0, None)]
    assert not (tmp_path / "out" / "month=1").exists()
    assert done.rows == ROWS
    ae_core.decode(str(mine), str(tmp_path / "other"), where=["month=2"])  # who does not ask for it never meets it


def test_bytes_that_are_right_and_cannot_be_decoded_are_narrowed_down(mine, tmp_path, monkeypatch):
    """A defect of a reader, or of a model: hashes hold, decoding fails."""
    from ae_core import dataset

    real = dataset._decode_together

    def broken(tasks):
        if any((task.manifest.partition, task.block) == ("month=2", 2) for task in tasks):
            raise Corrupt("malformed")
        return real(tasks)

    monkeypatch.setattr(dataset, "_decode_together", broken)
    snapshot = open_snapshot(str(mine))
    one, two = deep.decode_partitions(snapshot, ["month=1", "month=2"], threads=1)
    assert one == Decoded("month=1", snapshot.manifest("month=1").digest)
    assert two.problem == "block 2: columns x cannot be decoded; malformed"
    done = ae_core.decode(str(mine), str(tmp_path / "out"), salvage=True, threads=1)
    assert [(lost.partition, lost.start, lost.stop) for lost in done.lost] == [("month=2", 2 * BLOCK_ROWS, ROWS)]
    assert done.rows == 2 * ROWS - 100


def test_lost_latents_leave_the_columns_that_need_none(golden, tmp_path):
    """What verify calls readable is readable, and what it calls lost is not."""
    latents = next(golden.glob("partitions/month=1/*/latents.parquet"))
    flip(latents, latents.stat().st_size // 2)
    (finding,) = ae_core.verify(str(golden)).findings
    archive = ae_core.open_archive(str(golden))
    names = archive.partition(month=1).schema.names
    kept = [name for name in names if name not in finding.columns]
    assert kept
    assert finding.readable == f"columns {', '.join(kept)} of block 0 readable: name them with --columns"
    assert ae_core.decode(str(golden), str(tmp_path / "out"), where=["month=1"], columns=kept).rows == 1700
    whole = ae_core.open_archive(str(GOLDEN)).scan(where={"month": 1}, columns=kept).to_table()
    assert archive.scan(where={"month": 1}, columns=kept).to_table() == whole
    for name in finding.columns:
        with pytest.raises(Corrupt):
            archive.scan(where={"month": 1}, columns=[name]).to_table()


def test_lost_residuals_leave_the_preview(golden, tmp_path):
    residuals = next(golden.glob("partitions/month=1/*/residuals.parquet"))
    flip(residuals, residuals.stat().st_size // 2)
    (finding,) = ae_core.verify(str(golden)).findings
    assert finding.readable == "preview of block 0 readable: --layer preview"
    done = ae_core.decode(str(golden), str(tmp_path / "out"), where=["month=1"], layer="preview")
    assert done.rows == 1700
    latents = next(golden.glob("partitions/month=1/*/latents.parquet"))
    flip(latents, latents.stat().st_size // 2)
    assert "preview" not in "".join(finding.readable for finding in ae_core.verify(str(golden)).findings)


def test_a_fresh_process_decodes_for_a_deep_check(golden, monkeypatch):
    monkeypatch.setattr(deep, "decode_partitions", lambda *_, **__: pytest.fail("decoded in this process"))
    done = ae_core.verify(str(golden), deep=True)
    assert (done.ok, done.decoded) == (True, 2)


def test_a_decoding_process_that_dies_is_a_finding_and_two_in_a_row_an_error(golden, monkeypatch, tmp_path):
    (tmp_path / "ae_core").mkdir()
    (tmp_path / "ae_core" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)  # where python -m looks first
    monkeypatch.setattr(deep, "fresh_environment", dict)
    snapshot = open_snapshot(str(golden))
    found = deep.decode_apart(snapshot, ["month=1", "month=2"])
    first = next(found)
    assert first.partition == "month=1"
    assert "the decoding process ended with 3" in first.problem
    with pytest.raises(Corrupt, match="the decoding process ended"):
        next(found)


def test_a_sample_reads_some_and_looks_the_others_up(golden):
    done = ae_core.verify(str(golden), sample="50%", deep=True)
    assert (done.ok, done.partitions, done.decoded) == (True, 1, 1)
    assert done.sized > 0
    for path in golden.glob("partitions/*/*/residuals.parquet"):
        path.write_bytes(path.read_bytes()[:-1])
    assert len(ae_core.verify(str(golden), sample="1%").findings) >= 2  # a cut file shows by its length
    assert parse_share("5%") == parse_share("0.05") == parse_share(" .05 ")
    for text in ("0%", "101%", "5", "x", "1e-1", "nan"):
        with pytest.raises(UsageError, match="--sample"):
            parse_share(text)


def test_where_looks_at_those_partitions_alone(mine):
    damage_block(mine, 1, "residuals", 0)
    done = ae_core.verify(str(mine), where=["month=2"])
    assert (done.ok, done.partitions, done.orphans) == (True, 1, None)
    assert not ae_core.verify(str(mine), where=["month<2"]).ok
    with pytest.raises(UsageError, match="none of the partitions"):
        ae_core.verify(str(mine), where=["month=3"])


def test_a_replaced_version_that_is_lost_is_said_to_concern_older_snapshots_alone(golden):
    log = archive_log(str(golden)).commits
    assert ae_core.verify(str(golden), snapshot=0).ok
    assert ae_core.verify(str(golden), snapshot=log[0].n, deep=True).decoded == 2
    with pytest.raises(UsageError, match="no snapshot 99"):
        ae_core.verify(str(golden), snapshot=99)


def test_repair_is_told_and_leaves_an_archive_that_decodes(mine, tmp_path):
    copy(str(mine), str(tmp_path / "r"))
    damage_block(mine, 1, "residuals", 0)
    next(mine.glob("models/*/object")).unlink()
    (mine / "_commits" / f"{0:020d}.json").write_bytes(b"x")
    next(mine.glob("partitions/month=2/*/manifest.json.br")).unlink()
    assert not ae_core.verify(str(mine), mend=True).ok
    done = ae_core.verify(str(mine), repair_from=str(tmp_path / "r"), deep=True)
    assert done.ok
    assert done.decoded == 2
    assert {repair.origin for repair in done.repaired} == {"replica", "twin"}
    assert ae_core.verify(str(mine)).orphans == 0


def test_a_note_stands_in_the_log_and_diff_tells_what_changed(mine):
    log = archive_log(str(mine))
    assert [commit.message for commit in log.commits] == [noted("compress", "the first run"), "model: the first run"]
    assert [commit.n for commit in archive_log(str(mine), snapshot=0).commits] == [0]
    found = diff_archive(str(mine), 0, 1)
    assert [(row.partition, row.change, row.rows_after) for row in found.partitions] == [
        ("month=1", "added", ROWS),
        ("month=2", "added", ROWS),
    ]
    assert [commit.n for commit in found.commits] == [1]
    assert diff_archive(str(mine), 1, 1).partitions == ()
    with pytest.raises(UsageError, match="comes after"):
        diff_archive(str(mine), 1, 0)


def test_no_preview_is_no_damage(mine, tmp_path):
    with pytest.raises(NoLatents):
        ae_core.decode(str(mine), str(tmp_path / "out"), layer="preview", salvage=True)
