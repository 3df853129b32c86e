"""The codec, wired: blocks of a table to layer payloads and back.  Reads and writes no file, imports no torch.

encode   table ─► columns ─► symbols ─► encoder ─► z ─► prior ──────────► rANS ─► latents payload
                     │          └──────────────────► context groups ─────► rANS ─┐
                     └─ side streams (exceptions, plain columns, relations) ─────┴► residuals payload
decode   the same files upwards;   preview   latents ─► z ─► preview decoder ─► codes ─► columns
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ae_core import mixing
from ae_core.codec import Codec, symbol_columns
from ae_core.coder import blocks, rans
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.columns import (
    Codes,
    EncodedColumns,
    TablePlan,
    codes_to_digits,
    decode_columns,
    dependencies,
    digits_to_codes,
    encode_columns,
    given_symbols,
    numbered_codes,
    preview_columns,
    side_streams,
)
from ae_core.errors import Corrupt, NoLatents
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.network import ContextGroup
from ae_core.kernels.preview import preview_codes
from ae_core.kernels.vectors import MAX_BLOCKS
from ae_core.vector_columns import vector_codes, vector_guesses, vector_streams

LATENTS, MIXING = "z", "mixing"
"""Names of the latents' stream and of the mixing coder's; context group g is f"g{g}"; all others belong to columns."""
LOCKSTEP_BLOCKS = MAX_BLOCKS
"""Blocks that `decode_blocks` decodes in one go; more gain nothing."""


@dataclass(frozen=True)
class EncodedBlock:
    """Both payloads of a block, and where their bytes went."""

    latents: bytes | None
    residuals: bytes
    column_bytes: dict[str, int]  # the network's share is its code length, rounded
    exceptions: dict[str, int]  # cells without a code, stored with their exact value


def encode_block(codec: Codec, table: pa.Table) -> EncodedBlock:
    """The payloads of one block of rows (at most 65,536)."""
    return encode_blocks(codec, [table])[0]


def encode_blocks(codec: Codec, tables: Sequence[pa.Table]) -> list[EncodedBlock]:
    """`encode_block` of several blocks, the network's symbols in lockstep: equal payloads in less time."""
    encoded = [encode_columns(codec.plan, table) for table in tables]
    vectors = [vector_streams(codec.vectors, block) for block in encoded]
    spent = [stream_bytes(codec.plan, block.streams | own) for block, own in zip(encoded, vectors, strict=True)]
    network = codec.network
    if network is None:
        return [
            EncodedBlock(None, pack_streams(_mix(codec, block, cost) | block.streams | own), cost, block.exceptions)
            for block, own, cost in zip(encoded, vectors, spent, strict=True)
        ]
    z = [encode_latents(network.encoder, block.symbols) for block in encoded]
    streams = [_mix(codec, block, cost) for block, cost in zip(encoded, spent, strict=True)]
    for number, group in enumerate(network.groups):
        joined = [group_symbols(group, *known) for known in zip(z, (block.symbols for block in encoded), strict=True)]
        found = blocks.intervals_of_blocks(group.frozen, joined)
        for intervals, some, cost in zip(found, streams, spent, strict=True):
            some[f"g{number}"] = rans.encode(intervals.reshape(-1))
            for position, bits in position_bits(group, intervals, network.latent_dims).items():
                cost[codec.plan.columns[codec.plan.symbols[position].column].name] += round(bits / 8)
    latents = blocks.intervals_of_blocks(network.prior, z)
    parts = zip(encoded, latents, streams, vectors, spent, strict=True)
    return [_encoded_block(codec.plan, *part) for part in parts]


def _encoded_block(
    plan: TablePlan,
    encoded: EncodedColumns,
    latents: np.ndarray,
    streams: dict[str, bytes],
    vectors: dict[str, bytes],
    spent: dict[str, int],
) -> EncodedBlock:
    """The payloads of a block that has a network."""
    side = side_streams(plan, encoded.streams, len(encoded.symbols))
    side |= {name: stream for name, stream in vectors.items() if name.endswith(":z")}
    # which vectors are null goes with their latents, so that these can be told apart alone
    side |= {name: s for name, s in encoded.streams.items() if name.endswith(":valid") and f"{name[:-6]}:z" in side}
    rest = {name: stream for name, stream in (encoded.streams | vectors).items() if name not in side}
    return EncodedBlock(
        latents=pack_streams({LATENTS: rans.encode(latents.reshape(-1))} | side),
        residuals=pack_streams(streams | rest),
        column_bytes=spent,
        exceptions=encoded.exceptions,
    )


@dataclass(frozen=True)
class StoredBlock:
    """Both payloads of a block as they are stored, and its number of rows.

    residuals : may be left empty where only latents or a preview are asked for.
    """

    latents: bytes | None
    residuals: bytes
    rows: int


def decode_block(
    codec: Codec, latents: bytes | None, residuals: bytes, rows: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of a block, every cell within its bound; `columns` asks for some of them only.

    Raises
    ------
    Corrupt
        When the payloads do not fit the model.
    """
    return decode_blocks(codec, [StoredBlock(latents, residuals, rows)], columns)[0]


def decode_blocks(
    codec: Codec,
    stored: Sequence[StoredBlock],
    columns: Sequence[str] | None = None,
    *,
    z: Sequence[np.ndarray] | None = None,
) -> list[pa.Table]:
    """`decode_block` of several blocks, the network's symbols in lockstep: equal rows in less time.

    Parameters
    ----------
    z : what `latents_of_blocks` made of the blocks, where the caller has it already.

    Raises
    ------
    Corrupt
        When the payloads of one of them do not fit the model.
    """
    streams = [_streams(block) for block in stored]
    needed, _ = dependencies(codec.plan, columns)
    network = codec.network
    mixed = _mixed_places(codec, needed)
    context = {p for place in mixed for p in _looked_at(codec, place)}
    asked = {position for position in context.union(needed) if codec.plan.symbols[position].coded}
    seen = None if asked or mixed else set(needed)  # models look at every given column
    symbols = [given_symbols(codec.plan, some, block.rows, seen) for some, block in zip(streams, stored, strict=True)]
    if asked:
        if network is None:
            raise Corrupt("model: columns are coded by a network that the model lacks: verify the archive")
        z = latents_of_blocks(codec, stored) if z is None else z
        for number, group in enumerate(network.groups):
            if asked.isdisjoint(group.positions):
                continue
            joined = [group_symbols(group, *known) for known in zip(z, symbols, strict=True)]
            blocks.decode_blocks(group.frozen, [_stream(some, f"g{number}") for some in streams], joined)
            for known, found in zip(symbols, joined, strict=True):
                known[:, list(group.positions)] = found[:, network.latent_dims :]
    wide = [_unmix(codec, some, known, mixed) for known, some in zip(symbols, streams, strict=True)]
    wanted = _wanted_vectors(codec, columns)
    return [
        decode_columns(codec.plan, known, some, columns, numbers, vector_codes(codec.vectors, some, len(known), wanted))
        for known, some, numbers in zip(symbols, streams, wide, strict=True)
    ]


def _wanted_vectors(codec: Codec, columns: Sequence[str] | None) -> list[int]:
    """The columns with a coder of vectors among those asked for."""
    return [index for index in codec.vectors if columns is None or codec.plan.columns[index].name in columns]


def symbol_codes(plan: TablePlan, symbols: np.ndarray, wide: Mapping[int, Codes]) -> np.ndarray:
    """Codes of these columns, int64 (rows, columns); those of wide columns that are not there are 0."""
    codes = np.zeros((len(symbols), len(symbol_columns(plan))), np.int64)
    for place, (index, domain) in enumerate(symbol_columns(plan)):
        if not domain.wide:
            codes[:, place] = digits_to_codes(domain, symbols[:, plan.positions[index]])
        elif index in wide:
            codes[:, place] = wide[index]
    return codes


def _mix(codec: Codec, encoded: EncodedColumns, spent: dict[str, int]) -> dict[str, bytes]:
    """The mixing coder's stream of a block, its bytes added to what columns spent."""
    if codec.mixing is None:
        return {}
    codes = symbol_codes(codec.plan, encoded.symbols, encoded.wide)
    data, sizes = mixing.encode_columns(codec.mixing, codes)
    columns = symbol_columns(codec.plan)
    for place, size in sizes.items():
        spent[codec.plan.columns[columns[place][0]].name] += size
    return {MIXING: data}


def _mixed_places(codec: Codec, needed: Collection[int]) -> set[int]:
    """The mixing coder's columns, by its numbers, that have some of these symbol positions."""
    if codec.mixing is None:
        return set()
    coded = {model.column for model in codec.mixing.models}
    columns = symbol_columns(codec.plan)
    return {place for place in coded if not set(codec.plan.positions[columns[place][0]]).isdisjoint(needed)}


def _looked_at(codec: Codec, place: int) -> set[int]:
    """Symbol positions that have to be known before a column of the mixing coder can be decoded."""
    assert codec.mixing is not None
    columns = symbol_columns(codec.plan)
    return {p for c in codec.mixing.known_before(place) for p in codec.plan.positions[columns[c][0]]}


def _unmix(codec: Codec, streams: dict[str, bytes], symbols: np.ndarray, wanted: set[int]) -> dict[int, Codes]:
    """Fill in the symbols of the wanted columns of the mixing coder; the codes of the wide ones."""
    wide: dict[int, Codes] = {}
    if codec.mixing is not None and wanted:
        plan = codec.plan
        known = symbol_codes(plan, symbols, numbered_codes(plan, streams, len(symbols)))
        codes = mixing.decode_block(codec.mixing, _stream(streams, MIXING), len(symbols), known, wanted)
        for place in wanted:
            index, domain = symbol_columns(plan)[place]
            symbols[:, plan.positions[index]] = codes_to_digits(domain, codes[:, place])
            if domain.wide:
                wide[index] = codes[:, place]
    return wide


def needs_latents(codec: Codec, columns: Sequence[str] | None = None) -> bool:
    """Whether decoding the columns may look into the latents' payload; False is certain."""
    if codec.network is None:
        return False
    needed, streams = dependencies(codec.plan, columns)
    coded = any(codec.plan.symbols[position].coded for position in needed)
    if _wanted_vectors(codec, columns):
        return True
    beside = (int(name.partition(":")[0]) for name in streams if name.endswith((":given", ":rest")))
    return coded or bool(_mixed_places(codec, needed)) or any(codec.plan.columns[i].domain is not None for i in beside)


def latents_of(codec: Codec, latents: bytes | None, rows: int) -> np.ndarray:
    """The latents of a block, uint16 (rows, d).

    Raises
    ------
    NoLatents
        When the model has none.
    """
    return latents_of_blocks(codec, [StoredBlock(latents, b"", rows)])[0]


def latents_of_blocks(codec: Codec, stored: Sequence[StoredBlock]) -> list[np.ndarray]:
    """`latents_of` several blocks, decoded in lockstep; residuals are not looked at.

    Raises
    ------
    NoLatents
        When the model or one of the blocks has none.
    """
    if codec.network is None or any(block.latents is None for block in stored):
        raise NoLatents(codec.no_latents_reason or "this partition has no latents")
    z = [np.zeros((block.rows, codec.network.latent_dims), np.uint16) for block in stored]
    streams = [_stream(unpack_streams(block.latents), LATENTS) for block in stored if block.latents is not None]
    blocks.decode_blocks(codec.network.prior, streams, z)
    return z


def preview_block(codec: Codec, latents: bytes | None, rows: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Every column that the model knows, approximately, from the latents alone; other columns are left out.

    Raises
    ------
    NoLatents
        When the model has none.
    """
    return preview_blocks(codec, [StoredBlock(latents, b"", rows)], columns)[0]


def preview_blocks(
    codec: Codec,
    stored: Sequence[StoredBlock],
    columns: Sequence[str] | None = None,
    *,
    z: Sequence[np.ndarray] | None = None,
) -> list[pa.Table]:
    """`preview_block` of several blocks, their latents decoded in lockstep.

    Parameters
    ----------
    z : as of `decode_blocks`.

    Raises
    ------
    NoLatents
        When the model has none.
    """
    z = latents_of_blocks(codec, stored) if z is None else z
    tables = []
    for block, latents in zip(stored, z, strict=True):
        assert codec.network is not None
        assert block.latents is not None
        codes = preview_codes(codec.network.preview, latents)
        streams = unpack_streams(block.latents)
        vectors = vector_guesses(codec.vectors, streams, block.rows, _wanted_vectors(codec, columns))
        table = preview_columns(codec.plan, codes, streams, vectors)
        kept = table.column_names if columns is None else [name for name in table.column_names if name in set(columns)]
        tables.append(table.select(kept))
    return tables


def _streams(block: StoredBlock) -> dict[str, bytes]:
    return unpack_streams(block.residuals) | ({} if block.latents is None else unpack_streams(block.latents))


def _stream(streams: dict[str, bytes], name: str) -> bytes:
    if name not in streams:
        raise Corrupt(f"payload: stream {name!r} is missing: verify the archive")
    return streams[name]


def group_symbols(group: ContextGroup, z: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """What a group sees, latents first: uint16 (rows, d + positions)."""
    return np.ascontiguousarray(np.concatenate([z, symbols[:, list(group.positions)]], 1))


def position_bits(group: ContextGroup, intervals: np.ndarray, dims: int) -> dict[int, float]:
    """Code length in bits of every position of the table that a group codes, from the coder's intervals."""
    coded = [p for p in group.frozen.coded_positions if group.frozen.alphabets[p] > 1]
    bits = (16 - np.log2((intervals >> 16) + 1)).sum(0)  # an interval holds its frequency - 1 in the high half
    return {group.positions[p - dims]: float(b) for p, b in zip(coded, bits, strict=True)}


def stream_bytes(plan: TablePlan, streams: Mapping[str, bytes]) -> dict[str, int]:
    """Bytes of the side streams by column name."""
    spent = dict.fromkeys(plan.schema.names, 0)
    for name, stream in streams.items():
        spent[plan.columns[int(name.partition(":")[0])].name] += len(stream)
    return spent
