"""`latents_layout: open` stores the latents once more as plain Parquet, which is kept like everything else."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
import ae_core.lake
from ae_core.archive import gc
from ae_core.archive.layers import OPEN_LATENTS, OpenLatents
from ae_core.archive.log import open_archive as open_log
from ae_core.errors import PartialBatch
from ae_core.jobs.copy import copy
from ae_core.jobs.fade import fade
from ae_core.jobs.listing import list_archive
from tests.golden import reader

ROWS = 1100
POLICY = "version: 1\nlatents: always\ndefault: {float: {range: 0.05}}\n"
OPEN = POLICY + "latents_layout: open\n"


def write_month(lake: Path, month: int) -> None:
    random = np.random.default_rng(month)
    place = random.integers(0, 5, ROWS)
    table = pa.table({"place": [f"P{p}" for p in place], "fare": place * 7.0 + random.normal(0, 1, ROWS)})
    (lake / f"month={month}").mkdir(parents=True)
    pq.write_table(table, lake / f"month={month}" / "part.parquet")


def compress(root: Path, policy: str):
    (root / "policy.yaml").write_text(policy)
    return ae_core.compress(str(root / "lake"), str(root / "archive"), policy=str(root / "policy.yaml"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """month=1 as by default, month=2 with open latents of two blocks, the same model."""
    root = tmp_path_factory.mktemp("open")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ae_core.lake, "BLOCK_ROWS", 1024)
        for month, policy in ((1, POLICY), (2, OPEN)):
            write_month(root / "lake", month)
            result = compress(root, policy)
            assert [p.partition for p in result.partitions if p.action == "compressed"] == [f"month={month}"]
            assert all(model.reused for model in result.models) == (month == 2)
    return root / "archive"


def parts(archive):
    return ae_core.open_archive(str(archive)).partitions()


def open_file(archive) -> Path:
    return Path(archive) / parts(archive)[1].manifest.layer(OPEN_LATENTS).file.name


def test_any_tool_reads_the_latents_in_the_order_of_the_rows(archive):
    packed, opened = parts(archive)
    assert packed.manifest.layer(OPEN_LATENTS) is None
    z = np.concatenate(list(opened.latents()))
    names = [f"z_{i}" for i in range(z.shape[1])]
    table = pq.read_table(open_file(archive))
    assert table.schema == pa.schema([pa.field(name, pa.int16(), nullable=False) for name in names])
    assert np.array_equal(np.stack([table[name] for name in names], 1), z)
    (found,) = duckdb.sql(f"select count(*), sum(z_0) from '{open_file(archive)}'").fetchall()
    assert found == (ROWS, int(z[:, 0].sum()))
    assert pq.read_metadata(open_file(archive)).num_row_groups == len(opened.manifest.block_rows) == 2


def test_a_decoder_that_does_not_know_it_passes_over_it(archive):
    rebuilt = {partition: table for partition, _, table, _ in reader.read(archive)}
    assert rebuilt["month=2"].equals(pa.concat_tables(parts(archive)[1].blocks()))


def test_its_bytes_are_counted(archive):
    size = open_file(archive).stat().st_size
    manifest = parts(archive)[1].manifest
    assert parts(archive)[1].certificate.stored.latents == manifest.layer("latents").file.length + size
    totals = list_archive(str(archive)).totals
    assert totals.archive_bytes == sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
    assert totals.latents == sum(p.certificate.stored.latents for p in parts(archive))


def test_damage_is_found_named_harmless_and_mended(archive, tmp_path):
    copy(str(archive), str(tmp_path / "copy"))
    copy(str(archive), str(tmp_path / "replica"))
    broken = open_file(tmp_path / "copy")
    block = parts(archive)[1].manifest.layer(OPEN_LATENTS).blocks[1]
    data = bytearray(broken.read_bytes())
    data[block.offset + block.length // 2] ^= 1
    broken.chmod(0o644)
    broken.write_bytes(data)
    (finding,) = ae_core.verify(str(tmp_path / "copy")).findings
    assert (finding.layer, finding.rows, finding.columns) == (OPEN_LATENTS, ((1024, 1100),), ())
    assert "nothing is lost" in finding.readable
    assert ae_core.open_archive(str(tmp_path / "copy")).scan().to_table().num_rows == 2 * ROWS
    assert ae_core.verify(str(tmp_path / "copy"), repair_from=str(tmp_path / "replica")).ok
    assert broken.read_bytes() == open_file(archive).read_bytes()


def test_it_stays_with_the_latents_and_goes_with_the_partition(archive, tmp_path):
    replica = tmp_path / "copy"
    copy(str(archive), str(replica))
    name = open_file(replica)
    fade(str(replica), where=["month=2"], reason="cold", dry_run=False)
    gc.collect(open_log(str(replica)), gc.Retention(snapshots=1, days=0, orphan_days=0), writer="test")
    assert pq.read_table(name).num_rows == ROWS
    assert ae_core.verify(str(replica), deep=True).ok


def test_nothing_is_committed_whose_open_latents_are_not_the_coded_ones(archive, tmp_path, monkeypatch):
    shutil.copytree(archive.parent, tmp_path / "here")
    write_month(tmp_path / "here" / "lake", 3)
    real = OpenLatents.add
    monkeypatch.setattr(OpenLatents, "add", lambda self, z: real(self, z ^ (np.arange(len(z))[:, None] == 7)))
    with pytest.raises(PartialBatch, match="open_latents are not the latents"):
        compress(tmp_path / "here", OPEN)
    assert len(parts(tmp_path / "here" / "archive")) == 2
