"""Numbers of many digits beside a network: coded after it and knowing what it coded, alone and in every selection."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ae_core.codec import Codec
from ae_core.columns import check_block
from ae_core.errors import Corrupt
from ae_core.fitting import train_codec
from ae_core.pipeline import decode_block, encode_block, preview_block
from ae_core.policy import Bound, ResolvedPolicy

ROWS = 2_400


def table_of(seed, rows=ROWS):
    rng = np.random.default_rng(seed)
    track = rng.integers(0, 6, rows)
    step = rng.normal(0, 2e-5, rows) + 1e-4 * (track - 2)
    place = np.zeros(rows)
    for one in range(6):
        place[track == one] = 40.0 + one + np.cumsum(step[track == one])
    odd = np.where(rng.random(rows) < 0.01, np.nan, np.round(place, 6))
    return pa.table(
        {
            "track": pa.array([f"track {t}" for t in track]),
            "speed": np.round(1e5 * step).astype(np.int64),
            "seen": pa.array(1_700_000_000_000 + np.cumsum(rng.integers(1, 2_000, rows)), pa.timestamp("ms")),
            "place": odd,
            "full": pa.array(place * np.pi, mask=rng.random(rows) < 0.02),
            "copy": place * np.pi,
            "stamp": [f"2024-0{1 + i * 9 // rows}-{1 + i % 28:02} run {i * 7919 % 100_000:05}" for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def fitted():
    table = table_of(1)
    policy = ResolvedPolicy(dict.fromkeys(table.column_names, Bound("exact")))
    codec, _ = train_codec(table.schema, [table], policy, rows_served=ROWS, latents="always")
    return table, codec


def test_network_and_mixing_share_a_table(fitted):
    _, codec = fitted
    assert codec.network is not None
    coders = {column.name: column.coder for column in codec.plan.columns}
    assert coders["track"] == coders["speed"] == "network"
    assert coders["place"] == "mixing"
    seen = {codec.plan.symbols[p].column for group in codec.network.groups for p in group.positions}
    assert seen.isdisjoint(codec.plan.wide_columns)


def test_every_cell_comes_back_and_every_selection_is_the_same(fitted):
    table, codec = fitted
    again = Codec.from_bytes(codec.to_bytes())
    assert again.digest == codec.digest
    for part in (table, table_of(2, 700), table.slice(5, 1), table.slice(0, 0)):
        block = encode_block(codec, part)
        rebuilt = decode_block(again, block.latents, block.residuals, part.num_rows)
        check_block(codec.plan, part, rebuilt)
        assert rebuilt.equals(part) or part.num_rows  # NaN is not equal to itself
        for name in part.column_names:
            alone = decode_block(again, block.latents, block.residuals, part.num_rows, [name])
            check_block(ResolvedPolicy({name: Bound("exact")}), part.select([name]), alone)


def test_values_far_outside_the_sample_are_stored_exactly(fitted):
    table, codec = fitted
    far = table.slice(0, 4).set_column(3, "place", pa.array([1e300, -0.0, 5e-324, np.inf]))
    far = far.set_column(2, "seen", pa.array([0, -(2**62), 2**62, 7], pa.timestamp("ms")))
    far = far.set_column(6, "stamp", pa.array(["", "2024-01-01 run 0000x", "ü", "2024-01-01 run 00001"]))
    block = encode_block(codec, far)
    check_block(codec.plan, far, decode_block(codec, block.latents, block.residuals, 4))


def test_previews_show_wide_columns_roughly(fitted):
    table, codec = fitted
    block = encode_block(codec, table)
    preview = preview_block(codec, block.latents, ROWS)
    assert set(preview.column_names) == set(table.column_names)
    wanted, found = table["place"].to_numpy(), preview["place"].to_numpy(zero_copy_only=False)
    known = ~np.isnan(wanted) & ~np.isnan(found)
    assert np.abs(wanted - found)[known].mean() < 0.5 * np.nanstd(wanted)


def test_a_plan_that_lets_the_network_see_what_comes_after_it_is_refused(fitted):
    _, codec = fitted
    group = codec.network.groups[0]
    wide = codec.plan.positions[codec.plan.index_of["place"]][0]
    hostile = replace(group, positions=(wide, *group.positions[1:]))
    with pytest.raises(Corrupt, match="does not fit"):
        Codec.from_bytes(replace(codec, network=replace(codec.network, groups=(hostile,))).to_bytes())


def test_missing_numbers_are_damage(fitted):
    table, codec = fitted
    block = encode_block(codec, table)
    with pytest.raises(Corrupt, match="missing"):
        decode_block(codec, block.latents, b"\0", ROWS, ["place"])
