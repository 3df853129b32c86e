"""A codec for a table, from a sample: plan, network, and the choice per column of what is smallest, all bytes counted.

Imports torch; nothing that reads an archive imports this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ae_core import mixing
from ae_core.codec import Codec, network_arrays, symbol_columns
from ae_core.coder.weights import pack_tensors
from ae_core.columns import ColumnPlan, EncodedColumns, TablePlan, build_plan, encode_columns
from ae_core.kernels.bounds import check_bounds
from ae_core.kernels.frozen import FrozenGroup, PreviewHead
from ae_core.kernels.network import ContextGroup
from ae_core.model.fit import FitReport, SymbolTable, fit_network
from ae_core.model.train import Progress
from ae_core.policy import ResolvedPolicy
from ae_core.vector_fitting import fit_vectors
from ae_core.weighing import (
    MIXING_BYTES,
    Latents,
    Mixed,
    column_bytes,
    does_not_pay,
    first_rows,
    hopeless,
    mixed_coder,
    moved,
    settled,
)

MIXING_COLUMNS = 48  # of tables with more, that limit is for as many
NETWORK_BYTES = 1 << 16  # what mixing makes as small as this leaves no room for a model's weights
TRIED_SYMBOLS = 256  # with more coded symbols than these, a network is first trained on some of the columns
TRIED_COLUMNS, TRIED_RUNS = 64, 4
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
    codec, report = _train_table(
        schema, sample, policy, rows_served=rows_served, seed=seed, latents=latents, progress=progress
    )
    plan, vectors = fit_vectors(
        codec.plan, sample, rows_served=report.rows_served, always=latents == "always", seed=seed
    )
    return replace(codec, plan=plan, vectors=vectors), report


def _train_table(
    schema: pa.Schema,
    sample: Sequence[pa.Table],
    policy: ResolvedPolicy,
    *,
    rows_served: int,
    seed: int,
    latents: Latents,
    progress: Progress | None,
) -> tuple[Codec, TrainingReport]:
    """`train_codec` for all but the vector columns."""
    plan = build_plan(schema, sample, policy)
    rows = sum(table.num_rows for table in sample)
    served = max(rows, rows_served)
    measured = first_rows(sample)
    rows_measured = sum(table.num_rows for table in sample[:measured])
    plain_plan = moved(plan, {c.name for c in plan.columns if c.coder in ("network", "mixing")}, "measured")
    plain = column_bytes(plain_plan, sample[:measured], None)
    plain_total = sum(plain.values())
    scale = served / max(1, rows_measured)
    reason = hopeless(plan, rows, latents)
    mixed = None
    searched = {c.name for c in plan.columns if c.coder in ("network", "mixing")}
    small = MIXING_BYTES * min(1.0, MIXING_COLUMNS / max(1, len(searched)))  # contexts are searched column by column
    if reason is not None or (latents == "auto" and plain_total * scale <= small):
        mixed = mixed_coder(plan, sample, plain, searched)
    if latents == "auto" and mixed is not None and mixed.bytes * scale <= NETWORK_BYTES:
        reason = reason or does_not_pay(served)
    if reason is not None:
        report = TrainingReport(rows, served, rows_measured, 0, 0, plain_total, (), None, reason)
        return _without_network(_alone(plain_plan, reason), plan, mixed, report)

    wide = mixed_coder(plan, sample, plain, {c.name for c in plan.columns if c.coder == "mixing"})
    full, plan = plan, settled(plan, wide)
    many = latents == "auto" and sum(symbol.coded for symbol in plan.symbols) > TRIED_SYMBOLS
    if many and not _pays_in_part(plan, sample[:measured], plain, served, seed=seed, progress=progress):
        reason = does_not_pay(served)
        report = TrainingReport(rows, served, rows_measured, 0, 0, plain_total, (), None, reason)
        return _without_network(_alone(plain_plan, reason), full, mixed or wide, report)
    encoded = [encode_columns(plan, table) for table in sample]
    network, fit = fit_network(
        symbol_table(plan, encoded, served, 8 * plain_total / rows_measured), seed=seed, progress=progress
    )
    coded = column_bytes(plan, sample[:measured], network)
    if wide is not None:
        coded |= wide.spent
    choices = tuple(
        ColumnChoice(c.name, coded[c.name], plain[c.name], _choice(c, coded[c.name], plain[c.name]))
        for c in plan.columns
    )
    leaving = {c.name for c, column in zip(choices, plan.columns, strict=True) if c.coder != column.coder}
    plan = moved(plan, leaving, "a plain coder is more than 5 % smaller than the network")
    network = replace(network, groups=tuple(_without(plan, group) for group in network.groups))
    for group in (network.prior, *(group.frozen for group in network.groups)):
        check_bounds(group)

    model_bytes = len(pack_tensors(network_arrays(network)))
    network_total = coded[""] + sum(c.plain if c.name in leaving else c.network for c in choices)
    report = TrainingReport(rows, served, rows_measured, model_bytes, network_total, plain_total, choices, fit, None)
    rival = plain_total if mixed is None else min(plain_total, mixed.bytes / LEAVE_AT)
    if latents == "auto" and network_total + model_bytes / scale >= rival:
        reason = does_not_pay(served)
        return _without_network(_alone(plain_plan, reason), full, mixed, replace(report, reason=reason))
    report = report if mixed is None else replace(report, mixing_bytes=mixed.bytes)
    return Codec(plan, network, None, None if wide is None else _numbered(wide, full, plan)), report


def _pays_in_part(
    plan: TablePlan,
    sample: Sequence[pa.Table],
    plain: Mapping[str, int],
    served: int,
    *,
    seed: int,
    progress: Progress | None,
) -> bool:
    """Whether a network pays for itself on a few runs of neighbouring columns, spread over a wide table.

    What a column saves and what its weights cost hardly depend on how many columns there are, but training takes as
    long as there are columns. The latents of the few are not counted, for the whole table shares no more of them: so
    no is the answer only where the whole would lose too.
    """
    able = [c for c in plan.columns if c.coder == "network"]
    run = max(1, TRIED_COLUMNS // TRIED_RUNS)
    starts = np.linspace(0, max(0, len(able) - run), TRIED_RUNS).astype(int)
    chosen = {able[place].name for start in starts for place in range(start, min(start + run, len(able)))}
    columns = tuple(c for c in plan.columns if c.name in chosen)
    few = TablePlan(pa.schema([plan.schema.field(c.name) for c in columns]), columns)
    tables = [table.select([c.name for c in columns]) for table in sample]
    rows = sum(table.num_rows for table in tables)
    alone = sum(plain[c.name] for c in columns)
    encoded = [encode_columns(few, table) for table in tables]
    network, _ = fit_network(symbol_table(few, encoded, served, 8 * alone / rows), seed=seed, progress=progress)
    coded = column_bytes(few, tables, network)
    best = sum(min(coded[c.name], plain[c.name]) for c in columns)
    return best + len(pack_tensors(network_arrays(network))) * rows / served < alone


def _alone(plan: TablePlan, reason: str) -> TablePlan:
    """The plan of a table that plain coders store alone: nobody asks for the codes of numbers."""
    columns = tuple(
        replace(c, domain=None, code=None) if c.numbered else c
        for c in (replace(c, reason=reason) if c.reason == "measured" else c for c in plan.columns)
    )
    return TablePlan(plan.schema, columns)


def _without_network(
    plain: TablePlan, full: TablePlan, mixed: Mixed | None, report: TrainingReport
) -> tuple[Codec, TrainingReport]:
    """The smaller of plain and mixing coders; `full` is the plan in which every column still has its codes."""
    if mixed is None:
        return Codec(plain, None, report.reason), report
    report = replace(report, mixing_bytes=mixed.bytes)
    if mixed.bytes >= report.plain_bytes:
        return Codec(plain, None, report.reason), report
    reason = (report.reason or "").replace("plain coders give", "adaptive mixing gives")
    left = {c.name for c in full.columns if c.coder in ("network", "mixing")} - mixed.names
    plan = moved(moved(full, left, reason), set(mixed.names), None, "mixing")
    return Codec(plan, None, reason, _numbered(mixed, full, plan)), replace(report, reason=reason)


def _numbered(mixed: Mixed, full: TablePlan, plan: TablePlan) -> mixing.MixingPlan:
    """The mixing plan, found for the columns that have symbols in `full`, for those that have them in `plan`."""
    place_of = {index: place for place, (index, _) in enumerate(symbol_columns(plan))}
    places = {old: place_of[index] for old, (index, _) in enumerate(symbol_columns(full)) if index in place_of}
    return mixed.plan.renumbered(places)


def symbol_table(plan: TablePlan, encoded: Sequence[EncodedColumns], served: int, plain_bits: float) -> SymbolTable:
    """What a network is trained on: the encoded blocks of a sample, and what plain coders take, in bits a row."""
    lengths = [len(block.symbols) for block in encoded]
    return SymbolTable(
        symbols=np.concatenate([block.symbols for block in encoded]),
        codes=np.concatenate([block.shown for block in encoded]),
        alphabets=tuple(symbol.alphabet for symbol in plan.symbols),
        coded=tuple(symbol.coded for symbol in plan.symbols),
        context=tuple(position in plan.context_positions for position in range(len(plan.symbols))),
        heads=tuple(_head(plan.columns[index]) for index in plan.domain_columns),
        known=tuple(plan.columns[i].given or plan.columns[i].coder == "linear" for i in plan.domain_columns),
        block_starts=np.cumsum([0, *lengths[:-1]]).astype(np.int64)[np.array(lengths) > 0],
        rows_served=served,
        plain_bits=plain_bits,
    )


def _head(column: ColumnPlan) -> PreviewHead:
    domain = column.domain
    assert domain is not None
    return PreviewHead(domain.shown, len(domain.specials) - 1, domain.radices, domain.ordinal)


def _choice(column: ColumnPlan, network: int, plain: int) -> str:
    return "plain" if column.coder == "network" and plain < LEAVE_AT * network else column.coder


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
