"""Blocks are decoded several at once: the batches keep order, kinds and bounds, and no row depends on its company."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from ae_core import dataset
from ae_core.dataset import BlockTask, decoded
from ae_core.errors import Corrupt
from ae_core.pipeline import StoredBlock, decode_block, decode_blocks, encode_block, encode_blocks
from tests.unit.test_pipeline import assert_same, codec, plain_codec, table_of


class OneCodec:
    """Stands for an archive whose partitions share one model."""

    def __init__(self) -> None:
        self.blocks: list[StoredBlock] = []

    def codec(self, _: object) -> Any:
        return codec()

    def payload(self, _: object, layer: str, block: int) -> bytes | None:
        return self.blocks[block].latents if layer == "latents" else self.blocks[block].residuals

    def add(self, table: pa.Table) -> None:
        block = encode_block(codec(), table)
        self.blocks.append(StoredBlock(block.latents, block.residuals, table.num_rows))

    def tasks(self, names: list[str] | None = None, layer: str = "bounded", model: str = "m") -> list[BlockTask]:
        manifest = SimpleNamespace(
            block_rows=[block.rows for block in self.blocks], model=model, partition="p", layer=lambda _: True
        )
        schema = table_of(1).schema if names is None else pa.schema([table_of(1).schema.field(name) for name in names])
        return [
            BlockTask(cast("Any", self), cast("Any", manifest), number, 0, block.rows, schema, cast("Any", layer))
            for number, block in enumerate(self.blocks)
        ]


def archive(*rows: int) -> OneCodec:
    one = OneCodec()
    for number, count in enumerate(rows):
        one.add(table_of(count, number % 3))
    return one


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
@pytest.mark.parametrize("columns", [None, ["price", "word"], ["note"]])
def test_blocks_coded_together_are_those_coded_alone(model, columns):
    tables = [table_of(rows, seed) for seed, rows in enumerate((300, 1, 30, 700, 120))]
    encoded = [encode_block(model, table) for table in tables]
    assert encode_blocks(model, tables) == encoded
    stored = [StoredBlock(e.latents, e.residuals, t.num_rows) for e, t in zip(encoded, tables, strict=True)]
    together = decode_blocks(model, stored, columns)
    alone = [decode_block(model, block.latents, block.residuals, block.rows, columns) for block in stored]
    for found, one in zip(together, alone, strict=True):
        assert found.column_names == one.column_names
        assert_same(found, one)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_tables_come_in_order_whatever_the_threads(threads):
    rows = (40, 300, 1, 70, 2, 90, 20, 10, 500, 33, 7)
    found = decoded(archive(*rows).tasks(["note"]), threads=threads)
    assert [table["note"].to_pylist() for table in found] == [
        table_of(count, number % 3)["note"].to_pylist() for number, count in enumerate(rows)
    ]


def test_every_thread_has_its_share_and_no_batch_mixes_models_or_layers():
    one = archive(*[5] * 11)
    assert [len(batch) for batch in dataset._batches(one.tasks(), 1)] == [4, 4, 3]
    assert [len(batch) for batch in dataset._batches(one.tasks(), 2)] == [4, 4, 2, 1]
    assert [len(batch) for batch in dataset._batches(one.tasks()[:4], 2)] == [2, 2]
    mixed = [*one.tasks()[:2], *one.tasks(model="other")[:3], *one.tasks(layer="preview")[:1]]
    assert [len(batch) for batch in dataset._batches(mixed, 1)] == [2, 2, 1, 1]


def test_wide_blocks_are_decoded_one_at_a_time(monkeypatch):
    tasks = archive(10, 10, 10, 10).tasks()
    monkeypatch.setattr(dataset, "LOCKSTEP_CELLS", 2 * 10 * len(tasks[0].schema.names))
    assert [len(batch) for batch in dataset._batches(tasks, 1)] == [2, 2]
    monkeypatch.setattr(dataset, "LOCKSTEP_CELLS", 1)
    assert [len(batch) for batch in dataset._batches(tasks, 1)] == [1, 1, 1, 1]


def test_damage_in_one_block_is_found_among_others():
    one = archive(50, 60, 70)
    one.blocks[1] = StoredBlock(one.blocks[1].latents, one.blocks[2].residuals, 60)
    with pytest.raises(Corrupt):
        list(decoded(one.tasks(), threads=1))
