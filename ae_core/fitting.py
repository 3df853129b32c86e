"""A codec for a table, from a sample: plan, network, and the choice per column of what is smallest, all bytes counted.

Imports torch; nothing that reads an archive imports this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ae_core.coder import blocks
from ae_core.coder.weights import pack_tensors
from ae_core.columns import ColumnPlan, EncodedColumns, TablePlan, build_plan, encode_columns
from ae_core.kernels.bounds import check_bounds
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import FrozenGroup, PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.model.fit import FitReport, SymbolTable, fit_network
from ae_core.model.train import Progress
from ae_core.pipeline import Codec, group_symbols, network_arrays, position_bits, stream_bytes
from ae_core.policy import ResolvedPolicy

Latents = Literal["auto", "always"]
LEAST_ROWS = 2_000  # below this no model pays for itself: not worth training one to find out
MEASURE_ROWS = 131_072  # rows of the sample on which coders are compared
LEAVE_AT = 0.95  # a column leaves the network where a plain coder saves more than 5 % of it


@dataclass(frozen=True)
class ColumnChoice:
    """What a column costs by either coder, bytes on the measured rows, and which it got."""

    name: str
    network: int
    plain: int
    coder: str


@dataclass(frozen=True)
class TrainingReport:
    """What was trained and why it is kept or not."""

    rows: int
    rows_served: int
    measured_rows: int
    model_bytes: int
    network_bytes: int  # of the measured rows: latents and every column by its chosen coder
    plain_bytes: int  # of the measured rows, every column by plain coders
    choices: tuple[ColumnChoice, ...]
    fit: FitReport | None
    reason: str | None  # why there is no network

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def train_codec(
    schema: pa.Schema,
    sample: Sequence[pa.Table],
    policy: ResolvedPolicy,
    *,
    rows_served: int,
    seed: int = 0,
    latents: Latents = "auto",
    progress: Progress | None = None,
) -> tuple[Codec, TrainingReport]:
    """A codec for tables of this schema under this policy.

    Parameters
    ----------
    sample
        Whole blocks, each of consecutive rows of one partition.
    rows_served
        Rows that the model will code, the sample's included: what its bytes are weighed against.
    latents
        "auto" leaves the network out where plain coders make a smaller archive; "always" keeps it.
    """
    plan = build_plan(schema, sample, policy)
    rows = sum(table.num_rows for table in sample)
    served = max(rows, rows_served)
    reason = _hopeless(plan, rows, latents)
    if reason is not None:
        plan = _moved(plan, {c.name for c in plan.columns if c.coder == "network"}, reason)
        return Codec(plan, None, reason), TrainingReport(rows, served, 0, 0, 0, 0, (), None, reason)

    encoded = [encode_columns(plan, table) for table in sample]
    network, fit = fit_network(_symbol_table(plan, encoded, served), seed=seed, progress=progress)
    measured = _first_rows(sample)
    plain_plan = _moved(plan, {c.name for c in plan.columns if c.coder == "network"}, "measured")
    plain = _column_bytes(plain_plan, sample[:measured], None)
    coded = _column_bytes(plan, sample[:measured], network)
    choices = tuple(
        ColumnChoice(c.name, coded[c.name], plain[c.name], _choice(c, coded[c.name], plain[c.name]))
        for c in plan.columns
    )
    leaving = {c.name for c, column in zip(choices, plan.columns, strict=True) if c.coder != column.coder}
    plan = _moved(plan, leaving, "a plain coder is more than 5 % smaller than the network")
    network = replace(network, groups=tuple(_without(plan, group) for group in network.groups))
    for group in (network.prior, *(group.frozen for group in network.groups)):
        check_bounds(group)

    model_bytes = len(pack_tensors(network_arrays(network)))
    rows_measured = sum(table.num_rows for table in sample[:measured])
    network_total = coded[""] + sum(c.plain if c.name in leaving else c.network for c in choices)
    plain_total = sum(plain.values())
    if latents == "auto" and network_total + model_bytes * rows_measured / served >= plain_total:
        reason = f"a model does not pay for itself on {served:,} rows: plain coders give a smaller archive"
        return Codec(plain_plan, None, reason), TrainingReport(
            rows, served, rows_measured, model_bytes, network_total, plain_total, choices, fit, reason
        )
    report = TrainingReport(rows, served, rows_measured, model_bytes, network_total, plain_total, choices, fit, None)
    return Codec(plan, network, None), report


def _hopeless(plan: TablePlan, rows: int, latents: Latents) -> str | None:
    """Why no network can be of use, if so."""
    if sum(symbol.coded for symbol in plan.symbols) < 2:
        return "fewer than two columns have anything that a model could learn"
    if latents == "auto" and rows < LEAST_ROWS:
        return f"a model does not pay for itself on {rows:,} rows: plain coders give a smaller archive"
    return None


def _symbol_table(plan: TablePlan, encoded: Sequence[EncodedColumns], served: int) -> SymbolTable:
    lengths = [len(block.symbols) for block in encoded]
    return SymbolTable(
        symbols=np.concatenate([block.symbols for block in encoded]),
        codes=np.concatenate([block.codes for block in encoded]),
        alphabets=tuple(symbol.alphabet for symbol in plan.symbols),
        coded=tuple(symbol.coded for symbol in plan.symbols),
        heads=tuple(_head(plan.columns[index]) for index in plan.domain_columns),
        known=tuple(plan.columns[i].given or plan.columns[i].coder == "linear" for i in plan.domain_columns),
        block_starts=np.cumsum([0, *lengths[:-1]]).astype(np.int64)[np.array(lengths) > 0],
        rows_served=served,
    )


def _head(column: ColumnPlan) -> PreviewHead:
    domain = column.domain
    assert domain is not None
    return PreviewHead(domain.levels, len(domain.specials) - 1, domain.radices, domain.ordinal)


def _first_rows(sample: Sequence[pa.Table]) -> int:
    """How many blocks hold MEASURE_ROWS rows."""
    ends = np.cumsum([table.num_rows for table in sample])
    return min(len(sample), int(np.searchsorted(ends, MEASURE_ROWS)) + 1)


def _column_bytes(plan: TablePlan, sample: Sequence[pa.Table], network: Network | None) -> dict[str, int]:
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


def _choice(column: ColumnPlan, network: int, plain: int) -> str:
    return "plain" if column.coder == "network" and plain < LEAVE_AT * network else column.coder


def _moved(plan: TablePlan, names: set[str], reason: str) -> TablePlan:
    """The plan with these columns stored plainly; their symbols stay where they are, as context."""
    columns = tuple(
        replace(column, coder="plain", reason=reason) if column.name in names else column for column in plan.columns
    )
    return TablePlan(plan.schema, columns)


def _without(plan: TablePlan, group: ContextGroup) -> ContextGroup:
    """The group with what the plan does not code any more turned into context."""
    old = group.frozen
    dims = len(old.alphabets) - len(group.positions)
    coded = (False,) * dims + tuple(plan.symbols[p].coded for p in group.positions)
    kept = [j for j, position in enumerate(old.coded_positions) if coded[position]]
    frozen = FrozenGroup(
        old.alphabets,
        coded,
        old.T,
        old.c0,
        old.b0,
        old.M,
        W=tuple(old.W[j] for j in kept),
        bw=tuple(old.bw[j] for j in kept),
        V=tuple(old.V[j] for j in kept),
        bv=tuple(old.bv[j] for j in kept),
        candidates=tuple(c for c in old.candidates if coded[c.position]),
    )
    return ContextGroup(group.positions, frozen)
