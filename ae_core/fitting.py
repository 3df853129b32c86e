"""A codec for a table, from a sample: plan, network, and the choice per column of what is smallest, all bytes counted.

Imports torch; nothing that reads an archive imports this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ae_core import mixing, pipeline
from ae_core.coder import blocks
from ae_core.coder.weights import pack_tensors
from ae_core.columns import ColumnPlan, EncodedColumns, TablePlan, build_plan, encode_columns
from ae_core.kernels.bounds import check_bounds
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import FrozenGroup, PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.model.fit import FitReport, SymbolTable, fit_network
from ae_core.model.train import Progress
from ae_core.pipeline import Codec, group_symbols, network_arrays, position_bits, stream_bytes, symbol_columns
from ae_core.policy import ResolvedPolicy

Latents = Literal["auto", "always"]
LEAST_ROWS = 2_000  # below this no model pays for itself: not worth training one to find out
MEASURE_ROWS = 131_072  # rows of the sample on which coders are compared
MIXING_ROWS = 500  # below this the mixing coder has nothing to adapt to
LEAST_BYTES = 200  # a column that plain coders make smaller than this stays with them
MIXING_BYTES = 1 << 18  # tables that plain coders make larger than this are not small: a model's business
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
    mixing_bytes: int = 0  # of the measured rows with adaptive mixing, its plan included; 0 where it was not tried

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
    measured = _first_rows(sample)
    rows_measured = sum(table.num_rows for table in sample[:measured])
    plain_plan = _moved(plan, {c.name for c in plan.columns if c.coder == "network"}, reason or "measured")
    plain = _column_bytes(plain_plan, sample[:measured], None)
    mixed = None
    if latents == "auto" and sum(plain.values()) * served <= MIXING_BYTES * rows_measured:
        mixed = _mixed(plan, sample, plain, reason)
    if reason is not None:
        report = TrainingReport(rows, served, rows_measured, 0, 0, sum(plain.values()), (), None, reason)
        return _without_network(Codec(plain_plan, None, reason), mixed, report)

    encoded = [encode_columns(plan, table) for table in sample]
    network, fit = fit_network(_symbol_table(plan, encoded, served), seed=seed, progress=progress)
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
    network_total = coded[""] + sum(c.plain if c.name in leaving else c.network for c in choices)
    plain_total = sum(plain.values())
    report = TrainingReport(rows, served, rows_measured, model_bytes, network_total, plain_total, choices, fit, None)
    rival = plain_total if mixed is None else min(plain_total, mixed[1] / LEAVE_AT)
    if latents == "auto" and network_total + model_bytes * rows_measured / served >= rival:
        reason = f"a model does not pay for itself on {served:,} rows: plain coders give a smaller archive"
        return _without_network(Codec(plain_plan, None, reason), mixed, replace(report, reason=reason))
    return Codec(plan, network, None), report if mixed is None else replace(report, mixing_bytes=mixed[1])


def _mixed(
    plan: TablePlan, sample: Sequence[pa.Table], plain: Mapping[str, int], reason: str | None
) -> tuple[Codec, int] | None:
    """A codec that mixes, and its bytes on the measured rows with the mixing plan's own; None where nothing is left.

    Columns that plain coders make as small stay plain: they are known to the others.
    """
    columns = symbol_columns(plan)
    coded = [plan.columns[i].coder == "network" and plain[plan.columns[i].name] > LEAST_BYTES for i, _ in columns]
    if sum(table.num_rows for table in sample) < MIXING_ROWS or not any(coded):
        return None
    tables = [pipeline.symbol_codes(plan, encode_columns(plan, table).symbols) for table in sample]
    domains = [domain for _, domain in columns]
    chosen = mixing.choose(
        np.concatenate(tables),
        [domain.levels for domain in domains],
        [domain.size for domain in domains],
        [domain.ordinal for domain in domains],
        coded,
        np.cumsum([0, *(len(table) for table in tables[:-1])]).tolist(),
    )
    spent = dict.fromkeys(range(len(columns)), 0)
    measured = _first_rows(sample)
    for table in tables[:measured]:
        for place, size in mixing.encode_columns(chosen, table)[1].items():
            spent[place] += size
    kept = {m.column for m in chosen.models if spent[m.column] < plain[plan.columns[columns[m.column][0]].name]}
    if not kept:
        return None
    chosen = replace(chosen, models=tuple(model for model in chosen.models if model.column in kept))
    names = {plan.columns[columns[place][0]].name for place in kept}
    moved = _moved(plan, {c.name for c in plan.columns if c.coder == "network"} - names, reason or "nothing to learn")
    codec = Codec(_moved(moved, names, None, "mixing"), None, reason, chosen)
    total = sum(len(pipeline.encode_block(codec, table).residuals) for table in sample[:measured])
    return codec, total + len(chosen.to_bytes())


def _without_network(
    plain: Codec, mixed: tuple[Codec, int] | None, report: TrainingReport
) -> tuple[Codec, TrainingReport]:
    """The smaller of plain and mixing coders."""
    if mixed is None:
        return plain, report
    codec, size = mixed
    report = replace(report, mixing_bytes=size)
    if size >= report.plain_bytes:
        return plain, report
    reason = (report.reason or "").replace("plain coders give", "adaptive mixing gives")
    return replace(codec, no_latents_reason=reason), replace(report, reason=reason)


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


def _moved(
    plan: TablePlan, names: set[str], reason: str | None, coder: Literal["plain", "mixing"] = "plain"
) -> TablePlan:
    """The plan with these columns under another coder; their symbols stay where they are, plain ones as context."""
    columns = tuple(
        replace(column, coder=coder, reason=reason or column.reason) if column.name in names else column
        for column in plan.columns
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
