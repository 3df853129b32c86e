"""The codec wired together: models and blocks to bytes and back, with random weights in place of trained ones.

A network that knows nothing codes badly, but it must code exactly.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from ae_core.codec import Codec
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.columns import TablePlan, build_plan, check_block, encode_columns, preview_columns
from ae_core.errors import Corrupt, LatentlakeError, ModelError, NoLatents, UsageError
from ae_core.kernels import reference
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import FrozenEncoder, PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.pipeline import decode_block, encode_block, latents_of, preview_block
from ae_core.policy import Bound, ResolvedPolicy
from tests.unit.kernels.frozen_models import random_encoder, random_group, random_preview

ROWS = 700
LEVELS = (16, 9)
POLICY = ResolvedPolicy(
    dict.fromkeys(["day", "word", "wide", "same", "hour", "minute", "clock", "flag", "note", "tags"], Bound("exact"))
    | {"reading": Bound("abs", Fraction(1, 2)), "price": Bound("abs", Fraction(1, 20))}
)


def table_of(rows: int, seed: int = 0) -> pa.Table:
    """Columns of every coder; another seed brings cells that the plan of seed 0 never saw."""
    rng = np.random.default_rng(seed)
    word, hour, minute = rng.integers(0, 6 + seed, rows), rng.integers(0, 24, rows), rng.integers(0, 60, rows)
    reading = rng.normal(20, 5 + 40 * seed, rows)
    reading[: rows // 50] = [np.nan, np.inf][seed % 2]
    day = np.arange(rows) * 2 // max(rows, 1)
    return pa.table(
        {
            "day": pa.array(day.astype(np.int32)),
            "word": pa.array([f"word {w}" for w in word], mask=rng.random(rows) < 0.05),
            "wide": pa.array((word * 50 + rng.integers(0, 50, rows)).astype(np.int16)),
            "same": pa.array(["always"] * rows).dictionary_encode(),
            "hour": pa.array(hour, pa.int8()),
            "minute": pa.array(minute, pa.int8()),
            "clock": pa.array(100 * hour + minute, pa.int64(), mask=rng.random(rows) < 0.01),
            "flag": pa.array(rng.random(rows) < 0.5),
            "reading": pa.array(reading, mask=rng.random(rows) < 0.05),
            "price": pa.array(np.round(rng.gamma(2, 1.5, rows), 2)),
            "note": pa.array([f"{seed}-{r * 7919 % 100_003}" for r in range(rows)]),
            "tags": pa.array([["a"] * (r % 3) for r in range(rows)], pa.list_(pa.string())),
        },
        schema=None,
    ).replace_schema_metadata({"owner": "tests"})


@cache
def plan() -> TablePlan:
    table = table_of(ROWS)
    return build_plan(table.schema, [table], POLICY)


def group_of(seed: int, positions: tuple[int, ...]) -> ContextGroup:
    """Random weights for the latents and these symbol positions; the last coded one copies from two keys."""
    symbols = [plan().symbols[p] for p in positions]
    coded = tuple(symbol.coded for symbol in symbols)
    last = len(LEVELS) + max(place for place, own in enumerate(coded) if own)
    frozen = random_group(
        seed,
        (*LEVELS, *(symbol.alphabet for symbol in symbols)),
        coded=(*(False for _ in LEVELS), *coded),
        keys=((last, ()), (last, (1, 2))),
        width=12,
        hidden=10,
    )
    # boost[0] is never used and not stored
    candidates = tuple(
        replace(c, boost=np.where(np.arange(9) == 0, 0, c.boost).astype(np.int32)) for c in frozen.candidates
    )
    return ContextGroup(positions, replace(frozen, candidates=candidates))


@cache
def codec() -> Codec:
    """Two context groups with interleaved positions."""
    alphabets = tuple(symbol.alphabet for symbol in plan().symbols)
    domains = [plan().columns[index].domain for index in plan().domain_columns]
    heads = tuple(PreviewHead(d.levels, len(d.specials) - 1, d.radices, d.ordinal) for d in domains)
    network = Network(
        encoder=random_encoder(1, alphabets, LEVELS),
        preview=random_preview(2, LEVELS, 8, heads),
        prior=random_group(3, LEVELS, width=8, hidden=6),
        groups=(group_of(4, tuple(range(0, len(alphabets), 2))), group_of(5, tuple(range(1, len(alphabets), 2)))),
    )
    return Codec(plan(), network)


def plain_codec() -> Codec:
    columns = tuple(replace(c, coder="plain") if c.coder == "network" else c for c in plan().columns)
    return Codec(TablePlan(plan().schema, columns), None, "too few rows")


def rebuilt(model: Codec, table: pa.Table, columns: list[str] | None = None) -> pa.Table:
    block = encode_block(model, table)
    return decode_block(model, block.latents, block.residuals, table.num_rows, columns)


def assert_same(found: pa.Table, wanted: pa.Table) -> None:
    """The same columns and cells, bit for bit."""
    exact = ResolvedPolicy(dict.fromkeys(wanted.column_names, Bound("exact")))
    check_block(exact, wanted, found)


def test_the_table_of_these_tests_has_every_coder():
    assert {column.coder for column in plan().columns} == {"network", "plain", "lookup", "linear"}
    assert any(column.given for column in plan().columns)
    assert any(column.domain and len(column.domain.radices) == 2 for column in plan().columns)


# --- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
def test_a_model_comes_back_from_its_bytes(model):
    again = Codec.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert (again.digest, again.no_latents_reason) == (model.digest, model.no_latents_reason)
    table = table_of(300, seed=1)
    assert encode_block(again, table) == encode_block(model, table)


def broken_networks() -> dict[str, Network]:
    network = codec().network
    assert network is not None
    encoder, groups, preview = network.encoder, network.groups, network.preview
    fewer = encoder.alphabets[:-1]
    wrong_given = replace(groups[1], positions=groups[1].positions[::-1])
    return {
        "an alphabet missing": replace(
            network, encoder=FrozenEncoder(fewer, encoder.E[: sum(fewer)], encoder.bias, encoder.levels)
        ),
        "a group missing": replace(network, groups=groups[:1]),
        "a position twice": replace(network, groups=(groups[0], groups[0])),
        "positions of other alphabets": replace(network, groups=(groups[0], wrong_given)),
        "a position that is none": replace(network, groups=(groups[0], replace(groups[1], positions=(1, 3, 99)))),
        "latents of other levels": replace(network, prior=random_group(3, (16, 10), width=8, hidden=6)),
        "a given latent": replace(network, prior=random_group(3, LEVELS, coded=(True, False), width=8, hidden=6)),
        "a head missing": replace(network, preview=random_preview(2, LEVELS, 8, preview.heads[:-1])),
        "a head of other levels": replace(
            network,
            preview=random_preview(
                2, LEVELS, 8, (replace(preview.heads[0], levels=preview.heads[0].levels + 1), *preview.heads[1:])
            ),
        ),
    }


@pytest.mark.parametrize("fault", list(broken_networks()))
def test_a_network_that_does_not_fit_its_plan_is_refused(fault):
    """No kernel may index by what does not fit."""
    data = Codec(plan(), broken_networks()[fault]).to_bytes()
    with pytest.raises(Corrupt, match="does not fit its column plan"):
        Codec.from_bytes(data)


def test_weights_that_could_overflow_are_refused():
    network = codec().network
    assert network is not None
    wild = replace(network.prior, V=tuple(np.full_like(V, 32767) for V in network.prior.V))
    with pytest.raises(ModelError, match="logit"):
        Codec.from_bytes(Codec(plan(), replace(network, prior=wild)).to_bytes())


def test_a_part_of_another_kind_is_refused():
    network = codec().network
    assert network is not None
    swapped = replace(network, preview=network.prior)  # type: ignore[arg-type]
    with pytest.raises(Corrupt, match="holds a FrozenGroup where a FrozenPreview belongs"):
        Codec.from_bytes(Codec(plan(), swapped).to_bytes())


def test_changed_model_bytes_raise_one_of_our_errors_or_give_a_model():
    data, rng = codec().to_bytes(), np.random.default_rng(6)
    for place in rng.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        try:
            Codec.from_bytes(bytes(changed))
        except LatentlakeError:
            continue
    for size in rng.integers(0, len(data), 30):
        with pytest.raises(LatentlakeError):
            Codec.from_bytes(data[:size])


# --- blocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
@pytest.mark.parametrize(("rows", "seed"), [(ROWS, 0), (400, 1), (1, 2), (2, 3)])
def test_blocks_come_back_within_their_bounds(model, rows, seed):
    table = table_of(rows, seed)
    check_block(POLICY, table, rebuilt(model, table))


def test_equal_models_and_rows_give_equal_payloads():
    assert encode_block(codec(), table_of(200)) == encode_block(codec(), table_of(200))


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
def test_a_block_without_rows_comes_back(model):
    empty = table_of(5).slice(0, 0)
    block = encode_block(model, empty)
    assert decode_block(model, block.latents, block.residuals, 0).equals(empty)
    if model.network is not None:
        assert latents_of(model, block.latents, 0).shape == (0, len(LEVELS))
        assert preview_block(model, block.latents, 0).num_rows == 0


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
def test_some_columns_are_those_of_the_whole(model):
    table = table_of(300, seed=1)
    block = encode_block(model, table)
    whole = decode_block(model, block.latents, block.residuals, 300)
    names = table.column_names
    for asked in [[name] for name in names] + [["tags", "clock", "word"], names[::2]]:
        part = decode_block(model, block.latents, block.residuals, 300, asked)
        kept = [name for name in names if name in asked]
        assert_same(part, whole.select(kept))
    with pytest.raises(UsageError, match="'nope' is not in the table"):
        decode_block(model, block.latents, block.residuals, 300, ["nope"])


def test_groups_that_nobody_asks_for_are_not_read():
    """A column costs its own group alone; columns outside the network need no latents at all."""
    table = table_of(300)
    block = encode_block(codec(), table)
    streams = unpack_streams(block.residuals)
    for number, group in enumerate(codec().network.groups):
        columns = {plan().symbols[p].column for p in group.positions if plan().symbols[p].coded}
        others = {plan().symbols[p].column for p in range(len(plan().symbols))} - columns
        missing = pack_streams({name: stream for name, stream in streams.items() if name != f"g{number}"})
        name = plan().columns[min(others)].name
        assert decode_block(codec(), block.latents, missing, 300, [name]).num_rows == 300
        with pytest.raises(Corrupt, match=f"stream 'g{number}' is missing"):
            decode_block(codec(), block.latents, missing, 300, [plan().columns[min(columns)].name])
    without_z = {name: stream for name, stream in unpack_streams(block.latents).items() if name != "z"}
    assert decode_block(codec(), pack_streams(without_z), block.residuals, 300, ["note", "tags"]).num_rows == 300


def test_every_byte_of_the_payloads_is_somebody_s():
    """The shares of the columns add up to the payloads, but for the latents and the tables of offsets."""
    block = encode_block(codec(), table_of(ROWS))
    latents = unpack_streams(block.latents)
    streams = unpack_streams(block.residuals) | {name: s for name, s in latents.items() if name != "z"}
    assert set(block.column_bytes) == set(plan().schema.names)
    assert sum(block.column_bytes.values()) == pytest.approx(sum(map(len, streams.values())), abs=40)
    assert block.exceptions["word"] == 0
    assert encode_block(codec(), table_of(ROWS, seed=1)).exceptions["word"] > 0


# --- latents and previews ---------------------------------------------------------------------------


def test_latents_are_what_the_encoder_gives():
    table = table_of(300, seed=1)
    symbols = encode_columns(plan(), table).symbols
    block = encode_block(codec(), table)
    found = latents_of(codec(), block.latents, 300)
    assert (found == encode_latents(codec().network.encoder, symbols)).all()
    assert (found.max(axis=0) > found.min(axis=0)).all()


def test_previews_are_what_the_preview_decoder_says():
    table = table_of(300, seed=1)
    block = encode_block(codec(), table)
    codes = reference.preview_codes(codec().network.preview, latents_of(codec(), block.latents, 300))
    preview = preview_block(codec(), block.latents, 300)
    wanted = preview_columns(plan(), codes, unpack_streams(block.latents))
    assert_same(preview, wanted)
    assert preview.column_names == [plan().columns[index].name for index in plan().domain_columns]
    assert_same(
        preview_block(codec(), block.latents, 300, ["price", "note", "word"]), preview.select(["word", "price"])
    )


def test_without_a_network_there_are_no_latents_and_a_reason():
    block = encode_block(plain_codec(), table_of(50))
    assert block.latents is None
    with pytest.raises(NoLatents, match="too few rows"):
        preview_block(plain_codec(), None, 50)


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "layer"),
    [(codec(), "latents"), (codec(), "residuals"), (plain_codec(), "residuals")],
    ids=["latents", "residuals", "plain residuals"],
)
def test_changed_payload_bytes_never_crash(model, layer):
    """They raise Corrupt or give a table of the right shape: which, only the archive's hashes can always tell."""
    table, rng = table_of(120, seed=1), np.random.default_rng(7)
    block = encode_block(model, table)
    payload = getattr(block, layer)
    refused = 0
    for place in rng.integers(0, len(payload), 120):
        changed = bytearray(payload)
        changed[place] ^= 1 << int(rng.integers(8))
        payloads = {"latents": block.latents, "residuals": block.residuals, layer: bytes(changed)}
        try:
            found = decode_block(model, payloads["latents"], payloads["residuals"], 120)
        except Corrupt:
            refused += 1
            continue
        assert found.schema == table.schema
        assert found.num_rows == 120
        found.validate(full=True)
    assert refused > 0
    for size in rng.integers(0, len(payload), 20):
        payloads = {"latents": block.latents, "residuals": block.residuals, layer: payload[:size]}
        with pytest.raises(Corrupt):
            decode_block(model, payloads["latents"], payloads["residuals"], 120)


def test_the_wrong_number_of_rows_is_refused():
    block = encode_block(codec(), table_of(120))
    for rows in (0, 119, 121):
        with pytest.raises(Corrupt):
            decode_block(codec(), block.latents, block.residuals, rows)
