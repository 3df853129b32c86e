"""A codec for a table, from a sample: plan, network, and the choice per column of what is smallest, all bytes counted.

Imports torch; nothing that reads an archive imports this file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ae_core import mixing, pipeline
from ae_core.codec import Codec, network_arrays, symbol_columns
from ae_core.coder import blocks
from ae_core.coder.weights import pack_tensors
from ae_core.columns import ColumnPlan, EncodedColumns, TablePlan, build_plan, encode_columns
from ae_core.errors import NoLatents
from ae_core.kernels.bounds import check_bounds
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import FrozenGroup, PreviewHead
from ae_core.kernels.network import ContextGroup, Network
from ae_core.kernels.preview import preview_codes
from ae_core.model.fit import DIMENSIONS, DimensionPoint, FitReport, SymbolTable, fit_network, try_dimension
from ae_core.model.train import Progress
from ae_core.pipeline import group_symbols, position_bits, stream_bytes
from ae_core.policy import ResolvedPolicy
from ae_core.uses.previews import PreviewError, preview_error
from ae_core.vector_fitting import fit_vectors

Latents = Literal["auto", "always"]
LEAST_ROWS = 2_000  # below this no model pays for itself: not worth training one to find out
MEASURE_ROWS = 131_072  # rows of the sample on which coders are compared
MIXING_ROWS = 500  # below this the mixing coder has nothing to adapt to
LEAST_BYTES = 200  # a column that plain coders make smaller than this stays with them
MIXING_BYTES = 1 << 20  # tables that plain coders make larger than this are not small: a model's business
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
    measured = _first_rows(sample)
    rows_measured = sum(table.num_rows for table in sample[:measured])
    plain_plan = _moved(plan, {c.name for c in plan.columns if c.coder in ("network", "mixing")}, "measured")
    plain = _column_bytes(plain_plan, sample[:measured], None)
    plain_total = sum(plain.values())
    scale = served / max(1, rows_measured)
    reason = _hopeless(plan, rows, latents)
    mixed = None
    searched = {c.name for c in plan.columns if c.coder in ("network", "mixing")}
    small = MIXING_BYTES * min(1.0, MIXING_COLUMNS / max(1, len(searched)))  # contexts are searched column by column
    if reason is not None or (latents == "auto" and plain_total * scale <= small):
        mixed = _mixed(plan, sample, plain, searched)
    if latents == "auto" and mixed is not None and mixed.bytes * scale <= NETWORK_BYTES:
        reason = reason or _does_not_pay(served)
    if reason is not None:
        report = TrainingReport(rows, served, rows_measured, 0, 0, plain_total, (), None, reason)
        return _without_network(_alone(plain_plan, reason), plan, mixed, report)

    wide = _mixed(plan, sample, plain, {c.name for c in plan.columns if c.coder == "mixing"})
    full, plan = plan, _settled(plan, wide)
    many = latents == "auto" and sum(symbol.coded for symbol in plan.symbols) > TRIED_SYMBOLS
    if many and not _pays_in_part(plan, sample[:measured], plain, served, seed=seed, progress=progress):
        reason = _does_not_pay(served)
        report = TrainingReport(rows, served, rows_measured, 0, 0, plain_total, (), None, reason)
        return _without_network(_alone(plain_plan, reason), full, mixed or wide, report)
    encoded = [encode_columns(plan, table) for table in sample]
    network, fit = fit_network(
        _symbol_table(plan, encoded, served, 8 * plain_total / rows_measured), seed=seed, progress=progress
    )
    coded = _column_bytes(plan, sample[:measured], network)
    if wide is not None:
        coded |= wide.spent
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
    report = TrainingReport(rows, served, rows_measured, model_bytes, network_total, plain_total, choices, fit, None)
    rival = plain_total if mixed is None else min(plain_total, mixed.bytes / LEAVE_AT)
    if latents == "auto" and network_total + model_bytes / scale >= rival:
        reason = _does_not_pay(served)
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
    network, _ = fit_network(_symbol_table(few, encoded, served, 8 * alone / rows), seed=seed, progress=progress)
    coded = _column_bytes(few, tables, network)
    best = sum(min(coded[c.name], plain[c.name]) for c in columns)
    return best + len(pack_tensors(network_arrays(network))) * rows / served < alone


@dataclass(frozen=True)
class DimensionTrial:
    """What a network of `dims` latents, `live` of which say something, makes of the sample; bytes are of its rows."""

    point: DimensionPoint
    live: int
    error: PreviewError
    latent_bytes: int
    other_bytes: int
    model_bytes: int


def try_dimensions(
    schema: pa.Schema, sample: Sequence[pa.Table], policy: ResolvedPolicy, *, rows_served: int, seed: int = 0
) -> Iterator[DimensionTrial]:
    """A trial of every latent dimension that a training would scout, each from short trainings, one after the other.

    Raises
    ------
    NoLatents
        When the table has nothing that a model could learn.
    """
    plan = _settled(build_plan(schema, sample, policy), None)
    rows = sum(table.num_rows for table in sample)
    if (reason := _hopeless(plan, rows, "always")) is not None:
        raise NoLatents(f"there is no latent dimension to choose: {reason}")
    encoded = [encode_columns(plan, table) for table in sample]
    plain = sum(_column_bytes(plan, sample, None).values())
    table = _symbol_table(plan, encoded, max(rows, rows_served), 8 * plain / max(rows, 1))
    for dims in DIMENSIONS:
        network, point = try_dimension(table, dims, seed=seed)
        spent = _column_bytes(plan, sample, network)
        latents = spent.pop("")
        error = _preview_error(table, network, latents)
        model = len(pack_tensors(network_arrays(network)))
        yield DimensionTrial(point, network.latent_dims, error, latents, sum(spent.values()), model)


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


def try_table(
    schema: pa.Schema, sample: Sequence[pa.Table], policy: ResolvedPolicy, *, rows_served: int, dims: int, seed: int = 0
) -> TableTrial:
    """About what `train_codec` would come to, within seconds: one short training with `dims` latents.

    With `dims` 0 nothing is trained or searched: plain coders alone.

    The full training takes longer and does better, so that this is rather too much than too little.
    """
    plan = build_plan(schema, sample, policy)
    rows = sum(table.num_rows for table in sample)
    served = max(rows, rows_served)
    scale = served / max(1, rows)
    modelled = {c.name for c in plan.columns if c.coder in ("network", "mixing")}
    plain = _column_bytes(_moved(plan, modelled, "measured"), sample, None)
    plain.pop("", None)
    total = round(sum(plain.values()) * scale)

    def scaled(sizes: Mapping[str, int]) -> dict[str, int]:
        return {name: round(size * scale) for name, size in sizes.items()}

    best = TableTrial("plain", scaled(plain), 0, 0, total)
    if not dims:
        return best
    if total <= MIXING_BYTES and (mixed := _mixed(plan, sample, plain, modelled)) is not None:
        found = TableTrial("mixing", scaled({**plain, **mixed.spent}), 0, len(mixed.plan.to_bytes()), total)
        best = min(best, found, key=lambda one: one.bytes)
    if _hopeless(plan, served, "auto") is not None or rows < LEAST_ROWS // 2:
        return best
    plan = _settled(plan, None)
    table = _symbol_table(plan, [encode_columns(plan, one) for one in sample], served, 8 * sum(plain.values()) / rows)
    network, _ = try_dimension(table, dims, seed=seed)
    coded = _column_bytes(plan, sample, network)
    latents = coded.pop("")
    kept = {name: min(size, plain[name]) for name, size in coded.items()}
    found = TableTrial(
        "network",
        scaled(kept),
        round(latents * scale),
        len(pack_tensors(network_arrays(network))),
        total,
        _preview_error(table, network, latents),
    )
    return found if found.bytes < best.bytes else best


def _preview_error(table: SymbolTable, network: Network, size: int) -> PreviewError:
    """Error of the preview of every column that is not known without it."""
    told = [place for place, known in enumerate(table.known) if not known]
    shown = preview_codes(network.preview, encode_latents(network.encoder, table.symbols))
    return preview_error([table.heads[place] for place in told], table.codes[:, told], shown[:, told], size)


@dataclass(frozen=True)
class _Mixed:
    """What the mixing coder makes of some columns: its plan, bytes by column on the measured rows, bytes in all.

    bytes : of the measured rows, every column by its coder, and the plan's own; names : columns that it codes.
    """

    plan: mixing.MixingPlan
    spent: dict[str, int]
    bytes: int
    names: frozenset[str]


def _mixed(
    plan: TablePlan, sample: Sequence[pa.Table], plain: Mapping[str, int], names: Collection[str]
) -> _Mixed | None:
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
    measured = _first_rows(sample)
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
    return _Mixed(chosen, {name: spent[name] for name in coded_names}, total + len(chosen.to_bytes()), coded_names)


def _settled(plan: TablePlan, wide: _Mixed | None) -> TablePlan:
    """The plan with the wide columns that the mixing coder does not take under plain coders."""
    names = frozenset() if wide is None else wide.names
    left = {c.name for c in plan.columns if c.coder == "mixing"} - names
    return _moved(plan, left, "a plain coder is smaller")


def _alone(plan: TablePlan, reason: str) -> TablePlan:
    """The plan of a table that plain coders store alone: nobody asks for the codes of numbers."""
    columns = tuple(
        replace(c, domain=None, code=None) if c.numbered else c
        for c in (replace(c, reason=reason) if c.reason == "measured" else c for c in plan.columns)
    )
    return TablePlan(plan.schema, columns)


def _without_network(
    plain: TablePlan, full: TablePlan, mixed: _Mixed | None, report: TrainingReport
) -> tuple[Codec, TrainingReport]:
    """The smaller of plain and mixing coders; `full` is the plan in which every column still has its codes."""
    if mixed is None:
        return Codec(plain, None, report.reason), report
    report = replace(report, mixing_bytes=mixed.bytes)
    if mixed.bytes >= report.plain_bytes:
        return Codec(plain, None, report.reason), report
    reason = (report.reason or "").replace("plain coders give", "adaptive mixing gives")
    left = {c.name for c in full.columns if c.coder in ("network", "mixing")} - mixed.names
    plan = _moved(_moved(full, left, reason), set(mixed.names), None, "mixing")
    return Codec(plan, None, reason, _numbered(mixed, full, plan)), replace(report, reason=reason)


def _numbered(mixed: _Mixed, full: TablePlan, plan: TablePlan) -> mixing.MixingPlan:
    """The mixing plan, found for the columns that have symbols in `full`, for those that have them in `plan`."""
    place_of = {index: place for place, (index, _) in enumerate(symbol_columns(plan))}
    places = {old: place_of[index] for old, (index, _) in enumerate(symbol_columns(full)) if index in place_of}
    return mixed.plan.renumbered(places)


def _hopeless(plan: TablePlan, rows: int, latents: Latents) -> str | None:
    """Why no network can be of use, if so."""
    if sum(symbol.coded for symbol in plan.symbols) < 2:
        return "fewer than two columns have anything that a model could learn"
    if latents == "auto" and rows < LEAST_ROWS:
        return _does_not_pay(rows)
    return None


def _does_not_pay(rows: int) -> str:
    return f"a model does not pay for itself on {rows:,} rows: plain coders give a smaller archive"


def _symbol_table(plan: TablePlan, encoded: Sequence[EncodedColumns], served: int, plain_bits: float) -> SymbolTable:
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
