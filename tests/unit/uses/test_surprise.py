"""Bits of rows are code lengths: they add up to what the archive stores, and broken rules cost what they should."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ae_core import pipeline
from ae_core.columns import encode_columns
from ae_core.kernels.encoder import encode_latents
from ae_core.uses.surprise import RAREST, lookup_bits, surprise
from ae_core.uses.thresholds import BitsCounter, Threshold


def changed(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    """The table with one cell replaced."""
    index = table.schema.get_field_index(name)
    cells = table.column(name).to_pylist()
    cells[row] = value
    return table.set_column(index, table.schema.field(index), pa.array(cells, table.schema.field(index).type))


def test_network_bits_add_up_to_the_bytes_of_the_streams(codec, month) -> None:
    (found,) = surprise(codec, [month])
    encoded = encode_columns(codec.plan, month)
    z = encode_latents(codec.network.encoder, encoded.symbols)
    block = pipeline.encode_block(codec, month)
    streams = pipeline.unpack_streams(block.residuals)
    spent = sum(len(data) for name, data in streams.items() if name[0] == "g")
    coded = [c.name for c in codec.plan.columns if c.coder == "network"]
    escapes = sum(int((encoded.shown[:, place] == codec.plan.columns[index].domain.escape).sum())
                  for place, index in enumerate(codec.plan.domain_columns))  # fmt: skip
    total = sum(float(found.columns[name].sum()) for name in coded) / 8
    assert total >= spent - 16
    assert total - spent < 16 + 64 * max(escapes, 1)  # beyond the streams: values of cells without a code
    assert float(found.latents.sum()) / 8 == pytest.approx(len(pipeline.unpack_streams(block.latents)["z"]), abs=16)
    assert z.shape[0] == len(found.bits)


def test_blocks_in_lockstep_have_the_scores_of_each_alone(codec, month) -> None:
    parts = [month.slice(0, 500), month.slice(500, 900), month.slice(1400)]
    for together, part in zip(surprise(codec, parts), parts, strict=True):
        (alone,) = surprise(codec, [part])
        assert (together.bits == alone.bits).all()
        assert (together.error == alone.error).all()


def test_what_its_key_does_not_determine_costs_a_broken_certainty(codec, month) -> None:
    (usual,) = surprise(codec, [month])
    other = next(v for v in month.column("site_id").to_pylist() if v != month.column("site_id")[3].as_py())
    (found,) = surprise(codec, [changed(month, "site_id", 3, other)])
    size = codec.plan.columns[codec.plan.index_of["site_id"]].domain.size
    assert usual.columns["site_id"][3] == 0
    assert found.columns["site_id"][3] == pytest.approx(lookup_bits(size))
    assert (np.delete(found.columns["site_id"], 3) == np.delete(usual.columns["site_id"], 3)).all()


def test_a_sum_that_does_not_add_up_is_rare(codec, month) -> None:
    row = next(i for i, v in enumerate(month.column("clock").to_pylist()) if v is not None)
    (found,) = surprise(codec, [changed(month, "clock", row, month.column("clock")[row].as_py() + 777)])
    assert found.columns["clock"][row] == RAREST


def test_an_unknown_value_costs_more_than_any_known_one(codec, month) -> None:
    (found,) = surprise(codec, [changed(month, "kind", 7, "a place nobody knows")])
    assert found.columns["kind"][7] > 8 * len("a place nobody knows")
    assert found.bits[7] == found.bits.max()


def test_no_rows(codec, month) -> None:
    (found,) = surprise(codec, [month.slice(0, 0)])
    assert len(found.bits) == len(found.error) == 0


def test_the_threshold_leaves_the_asked_share_above() -> None:
    counter, bits = BitsCounter(), np.random.default_rng(0).gamma(4, 10, 50_000).astype(np.float32)
    for part in np.array_split(bits, 7):
        counter.add(part)
    limit = counter.threshold(0.99)
    assert counter.rows == len(bits)
    assert limit.expected == pytest.approx((bits > limit.bits).mean(), abs=1e-3)
    assert 0.008 < limit.expected <= 0.01


@pytest.mark.parametrize(
    ("surprising", "rows", "jumped"), [(12, 1000, False), (60, 1000, True), (3, 10, False), (0, 0, False)]
)
def test_a_share_jumps_beyond_chance_and_habit_alone(surprising: int, rows: int, jumped: bool) -> None:
    assert Threshold(40.0, 0.01, 100_000).jumped(surprising, rows) is jumped
