"""How surprising rows are: the autoencoder's reconstruction error, and bits under the whole frozen model.

The bits of a row are the length of its code: of its latents by their prior, and of each cell given the latents, the
columns before it and the rows before. Network-coded cells cost 16 - log2(frequency), from the same integers that the
coder uses. What the model holds certain and finds broken costs as much as the rarest symbol that the coder knows, 16
bits, and then what naming the value takes:

    a value outside the column's domain        its symbol's bits, and the value's own bits in memory
    a cell that its keys do not determine      16 + log2(values of the domain)
    a sum with another rest than usual         -log2(share of the block's rows that have it), 16 below a thousandth

Columns that plain or mixing coders store have no such distribution and no bits; those known to the encoder count in the
latents' bits and in the reconstruction error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.codec import Codec
from ae_core.coder import blocks
from ae_core.columns import EncodedColumns, TablePlan, encode_columns
from ae_core.columns.derived import Linear, Lookup
from ae_core.columns.storage import one_array, read_ints, valid_mask, working_type
from ae_core.errors import NoLatents
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.preview import preview_codes
from ae_core.pipeline import group_symbols

RAREST = 16.0
"""Bits of the least frequency of the coder: what a broken certainty costs."""

RARE_SHARE = 0.001

Bits = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Surprise:
    """Of every row of a block; arrays are float32 (rows,).

    error : mean over the columns that the autoencoder rebuilds: numbers by the share of their range that they are off,
    categories 0 or 1; latents : bits of the row's latents; columns : bits of the cells of each column with a model.
    """

    error: Bits
    latents: Bits
    columns: dict[str, Bits]

    @property
    def bits(self) -> Bits:
        """Bits of the row in all."""
        return np.sum([self.latents, *self.columns.values()], axis=0, dtype=np.float32)


def modelled(plan: TablePlan) -> tuple[str, ...]:
    """The columns whose cells have bits, in the order of the schema."""
    return tuple(column.name for column in plan.columns if column.coder in ("network", "lookup", "linear"))


def surprise(codec: Codec, tables: Sequence[pa.Table]) -> list[Surprise]:
    """How surprising the rows of blocks are under a model; the blocks' symbols go in lockstep.

    Raises
    ------
    NoLatents
        When the model has no network.
    """
    if codec.network is None:
        raise NoLatents(codec.no_latents_reason or "this model has no latents")
    encoded = [encode_columns(codec.plan, table) for table in tables]
    z = [encode_latents(codec.network.encoder, block.symbols) for block in encoded]
    columns = [_derived_bits(codec.plan, table, block) for table, block in zip(tables, encoded, strict=True)]
    dims = codec.network.latent_dims
    for group in codec.network.groups:
        joined = [group_symbols(group, *known) for known in zip(z, (block.symbols for block in encoded), strict=True)]
        coded = [p for p in group.frozen.coded_positions if group.frozen.alphabets[p] > 1]
        for intervals, into in zip(blocks.intervals_of_blocks(group.frozen, joined), columns, strict=True):
            for place, position in enumerate(coded):
                symbol = codec.plan.symbols[group.positions[position - dims]]
                into[codec.plan.columns[symbol.column].name] += interval_bits(intervals[:, place])
    latents = [
        interval_bits(intervals).sum(1, dtype=np.float32)
        for intervals in blocks.intervals_of_blocks(codec.network.prior, z)
    ]
    errors = [reconstruction_error(codec, block, one) for block, one in zip(encoded, z, strict=True)]
    return [Surprise(*parts) for parts in zip(errors, latents, columns, strict=True)]


def interval_bits(intervals: npt.NDArray[np.uint32]) -> Bits:
    """Bits of coded symbols, from the coder's intervals (frequency - 1 in the high half)."""
    return 16 - np.log2((intervals >> np.uint32(16)).astype(np.float32) + 1)


def reconstruction_error(codec: Codec, encoded: EncodedColumns, z: np.ndarray) -> Bits:
    """Mean error of what the latents alone say of each row, over the columns that no side stream tells."""
    assert codec.network is not None
    guessed = preview_codes(codec.network.preview, z)
    total, count = np.zeros(len(z), np.float32), 0
    for place, (index, head) in enumerate(zip(codec.plan.domain_columns, codec.network.preview.heads, strict=True)):
        column, true, guess = codec.plan.columns[index], encoded.shown[:, place], guessed[:, place]
        if column.given or column.coder == "linear" or head.levels + head.specials < 2:
            continue
        count += 1
        wrong = (true != guess).astype(np.float32)
        if head.ordinal and head.levels > 1:
            numbers = (true < head.levels) & (guess < head.levels)
            off = np.abs(true - guess).astype(np.float32) / np.float32(head.levels - 1)
            wrong = np.where(numbers, off, wrong)
        total += wrong
    return total / np.float32(max(count, 1))


def lookup_bits(size: int) -> float:
    """Bits of a cell that its keys do not determine, of a domain of so many codes."""
    return float(RAREST + np.log2(size))


def _derived_bits(plan: TablePlan, table: pa.Table, encoded: EncodedColumns) -> dict[str, Bits]:
    """Bits of the cells that relations determine, and of the exact values of cells without a code; 0 elsewhere."""
    rows = table.num_rows
    shown = {index: encoded.shown[:, place] for place, index in enumerate(plan.domain_columns)}
    found: dict[str, Bits] = {}
    for index, column in enumerate(plan.columns):
        if column.name not in modelled(plan):
            continue
        bits = np.zeros(rows, np.float32)
        if isinstance(column.derived, Linear):
            bits = _rest_bits(column.derived, table, index)
        elif column.domain is not None:
            if isinstance(column.derived, Lookup):
                predicted = column.derived.predict([shown[key] for key in column.derived.keys], rows)
                bits[predicted != shown[index]] = lookup_bits(column.domain.size)
            escaped = shown[index] == column.domain.escape
            if escaped.any():
                bits[escaped] += value_bits(table.column(index).filter(pa.array(escaped)))
        found[column.name] = bits
    return found


def value_bits(values: pa.ChunkedArray) -> Bits:
    """Bits of values as they lie in memory, nulls 0."""
    kind = working_type(values.type)
    array = one_array(values if kind == values.type else values.cast(kind))
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.float32)
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
        valid = valid_mask(array)
        width = np.full(len(array), kind.bit_width, np.float32)
        return width if valid is None else width * valid
    lengths = pc.binary_length(array).fill_null(0)
    return 8 * np.asarray(lengths, np.float32)


def _rest_bits(linear: Linear, table: pa.Table, index: int) -> Bits:
    """Bits of the rests of a sum, by how many rows of the block have each; nulls count as one."""
    rows = table.num_rows
    if not rows:
        return np.zeros(0, np.float32)

    def storage(of: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_] | None]:
        column = table.column(of)
        kind = working_type(column.type)
        array = one_array(column if kind == column.type else column.cast(kind))
        valid = valid_mask(array)
        return read_ints(array, valid)[0], valid

    cells, valid = storage(index)
    rest = cells - linear.sum([storage(key)[0] for key in linear.inputs], rows)
    present = np.ones(rows, np.bool_) if valid is None else valid
    rest[~present] = 0
    _, place, counts = np.unique(np.stack([rest, present]), axis=1, return_inverse=True, return_counts=True)
    share = counts / rows
    bits = np.where(share < RARE_SHARE, RAREST, -np.log2(share))
    return bits.astype(np.float32)[place.reshape(-1)]
