"""Only what is asked for is read and decoded: row groups by `rows`, partitions by `where`, coders by `columns`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core import pipeline
from ae_core.archive.store import LocalStore
from ae_core.coder import blocks
from ae_core.lake import BLOCK_ROWS
from ae_core.pipeline import StoredBlock, decode_blocks, encode_block
from tests.unit.test_pipeline import codec, table_of


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two partitions of three blocks each."""
    root = tmp_path_factory.mktemp("random")
    rows = 2 * BLOCK_ROWS + 100
    for month in (1, 2):
        (root / "lake" / f"month={month}").mkdir(parents=True)
        table = pa.table({"x": pa.array(range(month, month + rows), pa.int64())})
        pq.write_table(table, root / "lake" / f"month={month}" / "part.parquet")
    ae_core.compress(str(root / "lake"), str(root / "archive"), range_=0)
    return str(root / "archive")


@pytest.fixture
def ranges(monkeypatch):
    """What was read of layer files: (name, offset, length)."""
    read = []
    real = LocalStore.get_range

    def counted(store, name, offset, length, sha256):
        read.append((name, offset, length))
        return real(store, name, offset, length, sha256)

    monkeypatch.setattr(LocalStore, "get_range", counted)
    return read


@pytest.mark.parametrize(
    ("rows", "touched"), [("0:10", [0]), (f"{BLOCK_ROWS - 1}:{BLOCK_ROWS + 1}", [0, 1]), ("140000:", [])]
)
def test_rows_read_only_their_row_groups(archive, ranges, rows, touched):
    opened = ae_core.open_archive(archive)
    opened.scan(rows=rows, where={"month": 2}, threads=1).to_table()
    held = opened.partition(month=2).manifest.layer("residuals")
    assert ranges == [(held.file.name, held.blocks[block].offset, held.blocks[block].length) for block in touched]


def test_where_reads_no_other_partition(archive, ranges, tmp_path):
    ae_core.decode(archive, str(tmp_path / "out"), where=["month=1"])
    held = ae_core.open_archive(archive).partition(month=1).manifest.layer("residuals")
    assert {name for name, _, _ in ranges} == {held.file.name}
    assert len(ranges) == len(held.blocks)


@pytest.mark.parametrize(("column", "groups"), [("note", 0), ("price", 1), ("word", 1)])
def test_a_column_decodes_its_own_context_group_alone(monkeypatch, column, groups):
    model, table = codec(), table_of(300)
    block = encode_block(model, table)
    decoded = []
    real = blocks.decode_blocks

    def counted(group, *more):
        decoded.append(group)
        real(group, *more)

    monkeypatch.setattr(pipeline.blocks, "decode_blocks", counted)
    found = decode_blocks(model, [StoredBlock(block.latents, block.residuals, 300)], [column])[0]
    assert found.column_names == [column]
    assert model.network is not None
    used = [group for group in decoded if group is not model.network.prior]
    assert len(used) == groups
    assert (model.network.prior in decoded) == bool(groups)
