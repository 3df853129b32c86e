"""What columns take by each coder, measured on blocks of a sample: what a writer chooses by.  Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from ae_core import mixing, pipeline
from ae_core.codec import symbol_columns
from ae_core.coder import blocks
from ae_core.columns import TablePlan, encode_columns
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.network import Network
from ae_core.pipeline import group_symbols, position_bits, stream_bytes
from ae_core.uses.previews import PreviewError

Latents = Literal["auto", "always"]
LEAST_ROWS = 2_000  # below this no model pays for itself: not worth training one to find out
MEASURE_ROWS = 131_072  # rows of the sample on which coders are compared
MIXING_ROWS = 500  # below this the mixing coder has nothing to adapt to
LEAST_BYTES = 200  # a column that plain coders make smaller than this stays with them
MIXING_BYTES = 1 << 20  # tables that plain coders make larger than this are not small: a model's business


@dataclass(frozen=True)
class TableTrial:
    """What an archive of some rows would take, from a short training on a sample; bytes are of all rows served.

    `coder` is the one that most of it is coded with; `error` is that of the latents' preview, None without a network.
    """

    coder: Literal["network", "mixing", "plain"]
    columns: Mapping[str, int]
    latent_bytes: int
    model_bytes: int
    plain_bytes: int
    error: PreviewError | None = None

    @property
    def bytes(self) -> int:
        """Layers, and the model twice, as an archive stores it."""
        return sum(self.columns.values()) + self.latent_bytes + 2 * self.model_bytes


def plain_trial(plan: TablePlan, sample: Sequence[pa.Table], rows_served: int) -> tuple[TableTrial, dict[str, int]]:
    """What plain coders alone come to, and the bytes of each column on the sample's rows."""
    rows = sum(table.num_rows for table in sample)
    scale = max(rows, rows_served) / max(1, rows)
    modelled = {c.name for c in plan.columns if c.coder in ("network", "mixing")}
    spent = column_bytes(moved(plan, modelled, "measured"), sample, None)
    spent.pop("", None)
    return TableTrial("plain", scaled(spent, scale), 0, 0, round(sum(spent.values()) * scale)), spent


def scaled(sizes: Mapping[str, int], scale: float) -> dict[str, int]:
    """The sizes for that many times as many rows."""
    return {name: round(size * scale) for name, size in sizes.items()}


@dataclass(frozen=True)
class Mixed:
    """What the mixing coder makes of some columns: its plan, bytes by column on the measured rows, bytes in all.

    bytes : of the measured rows, every column by its coder, and the plan's own; names : columns that it codes.
    """

    plan: mixing.MixingPlan
    spent: dict[str, int]
    bytes: int
    names: frozenset[str]


def mixed_coder(
    plan: TablePlan, sample: Sequence[pa.Table], plain: Mapping[str, int], names: Collection[str]
) -> Mixed | None:
    """The mixing coder for those of the named columns that it makes smaller than plain coders; None where none is.

    The others are known to it. A wide column that is lossy would not be: it stays with the mixing coder.
    """
    columns = symbol_columns(plan)
    titles = [plan.columns[index].name for index, _ in columns]
    coded = [title in names and plain[title] > LEAST_BYTES for title in titles]
    if sum(table.num_rows for table in sample) < MIXING_ROWS or not any(coded):
        return None
    blocks_ = [encode_columns(plan, table) for table in sample]
    tables = [pipeline.symbol_codes(plan, block.symbols, block.wide) for block in blocks_]
    measured = first_rows(sample)
    domains = [domain for _, domain in columns]
    chosen = mixing.choose(
        np.concatenate(tables),
        [domain.levels for domain in domains],
        [domain.size for domain in domains],
        [domain.ordinal for domain in domains],
        coded,
        np.cumsum([0, *(len(table) for table in tables[:-1])]).tolist(),
    )
    spent = dict.fromkeys(titles, 0)
    for block, table in zip(blocks_[:measured], tables, strict=False):
        for place, size in mixing.encode_columns(chosen, table)[1].items():
            spent[titles[place]] += size
        for name, size in stream_bytes(plan, block.streams).items():
            spent[name] = spent.get(name, 0) + size  # exceptions and low bits
    lossy = {title for title in titles if plan.columns[plan.index_of[title]].quantiser is not None}
    kept = {
        m.column
        for m in chosen.models
        if spent[titles[m.column]] < plain[titles[m.column]] or (domains[m.column].wide and titles[m.column] in lossy)
    }
    if not kept:
        return None
    chosen = replace(chosen, models=tuple(model for model in chosen.models if model.column in kept))
    coded_names = frozenset(titles[place] for place in kept)
    total = sum(spent[name] if name in coded_names else size for name, size in plain.items())
    return Mixed(chosen, {name: spent[name] for name in coded_names}, total + len(chosen.to_bytes()), coded_names)


def settled(plan: TablePlan, wide: Mixed | None) -> TablePlan:
    """The plan with the wide columns that the mixing coder does not take under plain coders."""
    names = frozenset() if wide is None else wide.names
    left = {c.name for c in plan.columns if c.coder == "mixing"} - names
    return moved(plan, left, "a plain coder is smaller")


def hopeless(plan: TablePlan, rows: int, latents: Latents) -> str | None:
    """Why no network can be of use, if so."""
    if sum(symbol.coded for symbol in plan.symbols) < 2:
        return "fewer than two columns have anything that a model could learn"
    if latents == "auto" and rows < LEAST_ROWS:
        return does_not_pay(rows)
    return None


def does_not_pay(rows: int) -> str:
    """The reason of a table that is too small for a network."""
    return f"a model does not pay for itself on {rows:,} rows: plain coders give a smaller archive"


def first_rows(sample: Sequence[pa.Table]) -> int:
    """How many blocks hold MEASURE_ROWS rows."""
    ends = np.cumsum([table.num_rows for table in sample])
    return min(len(sample), int(np.searchsorted(ends, MEASURE_ROWS)) + 1)


def column_bytes(plan: TablePlan, sample: Sequence[pa.Table], network: Network | None) -> dict[str, int]:
    """Bytes of every column on these blocks; under "" the latents."""
    spent = dict.fromkeys(["", *plan.schema.names], 0)
    for table in sample:
        encoded = encode_columns(plan, table)
        for name, size in stream_bytes(plan, encoded.streams).items():
            spent[name] += size
        if network is None:
            continue
        z = encode_latents(network.encoder, encoded.symbols)
        spent[""] += len(blocks.encode_block(network.prior, z))
        for group in network.groups:
            intervals = blocks.block_intervals(group.frozen, group_symbols(group, z, encoded.symbols))
            for position, bits in position_bits(group, intervals, z.shape[1]).items():
                spent[plan.columns[plan.symbols[position].column].name] += round(bits / 8)
    return spent


def moved(
    plan: TablePlan, names: Collection[str], reason: str | None, coder: Literal["plain", "mixing"] = "plain"
) -> TablePlan:
    """The plan with these columns under another coder; their symbols stay where they are, plain ones as context.

    What plain coders store of a wide column are its values; where these are not exact it has no codes any more.
    """
    columns = list(plan.columns)
    for index, column in enumerate(columns):
        if column.name in names:
            columns[index] = replace(column, coder=coder, reason=reason or column.reason)
            if columns[index].numbered and column.quantiser is not None:
                columns[index] = replace(columns[index], domain=None, code=None)
    return TablePlan(plan.schema, tuple(columns))
