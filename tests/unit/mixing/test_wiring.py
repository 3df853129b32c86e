"""A small table without a network: what mixing codes comes back whole, by columns, and from the model's bytes alone."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ae_core.codec import Codec
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.columns import check_block
from ae_core.errors import Corrupt
from ae_core.fitting import train_codec
from ae_core.pipeline import decode_block, encode_block
from ae_core.policy import policy_from_range, resolve


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(5)
    rows = 1500
    walk = np.cumsum(rng.normal(0, 0.3, rows))
    kind = rng.choice(["calm", "storm", "fog"], rows, p=[0.7, 0.2, 0.1])
    gust = np.where(kind == "storm", walk + 3, walk - 1) + rng.normal(0, 0.1, rows)
    table = pa.table(
        {
            "kind": kind,
            "level": walk,
            "gust": pa.array(gust, mask=rng.random(rows) < 0.1),
            "twice": np.round(gust * 2 + walk).astype(np.int32),
            "note": [f"{i * 7919 % 10007}-{i}" for i in range(rows)],
        }
    )
    ranges = {name: (float(np.min(table[name].drop_null())), float(np.max(table[name].drop_null()))) for name in
              ("level", "gust")} | {"twice": (int(np.min(table["twice"])), int(np.max(table["twice"])))}  # fmt: skip
    policy = resolve(policy_from_range("0.01"), table.schema, ranges)
    codec, report = train_codec(table.schema, [table], policy, rows_served=rows)
    return table, codec, report


def test_mixing_is_chosen_where_it_is_smaller_and_the_report_says_so(fitted):
    _, codec, report = fitted
    assert codec.network is None
    assert codec.mixing is not None
    assert {c.name for c in codec.plan.columns if c.coder == "mixing"} >= {"level", "gust"}
    assert 0 < report.mixing_bytes < report.plain_bytes
    assert "adaptive mixing gives a smaller archive" in codec.no_latents_reason


def test_round_trip_through_the_models_bytes(fitted):
    table, codec, report = fitted
    again = Codec.from_bytes(codec.to_bytes())
    block = encode_block(codec, table)
    assert encode_block(again, table).residuals == block.residuals
    framing = len(pack_streams(dict.fromkeys(unpack_streams(block.residuals), b"")))  # names and lengths of streams
    assert 0 <= len(block.residuals) + len(codec.mixing.to_bytes()) - report.mixing_bytes <= framing + 8
    rebuilt = decode_block(again, None, block.residuals, table.num_rows)
    check_block(codec.plan, table, rebuilt)
    for name in table.column_names:
        part = decode_block(again, None, block.residuals, table.num_rows, [name])
        assert part.column(name).equals(rebuilt.column(name))
    assert block.column_bytes["level"] > 100


def test_parts_of_another_size_decode_alone(fitted):
    table, codec, _ = fitted
    for part in (table.slice(0, 0), table.slice(700, 1), table.slice(300, 90)):
        block = encode_block(codec, part)
        check_block(codec.plan, part, decode_block(codec, None, block.residuals, part.num_rows))


def test_a_model_whose_mixing_does_not_fit_its_plan_is_refused(fitted):
    _, codec, _ = fitted
    fewer = replace(codec.mixing, models=codec.mixing.models[:-1])
    for wrong in (replace(codec, mixing=None), replace(codec, mixing=fewer)):
        with pytest.raises(Corrupt, match="does not fit"):
            Codec.from_bytes(wrong.to_bytes())


def test_a_missing_stream_is_damage(fitted):
    _, codec, _ = fitted
    with pytest.raises(Corrupt, match="'mixing' is missing"):
        decode_block(codec, None, b"\0", 3, ["level"])
