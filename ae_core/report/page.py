"""The loss report as one self-contained HTML page: no script, no network, light and dark, screen, phone and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ae_core.report import plots, wording
from ae_core.report.certificate import Certificate, StoredBytes
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.records import TableDetail, WorstRow
from ae_core.report.summary import ColumnSummary, TableSummary, summarise

PLOTTED = 24  # columns with plots: those with the largest error/bound
PARTITIONS = 400  # rows of the table of partitions
STAGES = 5  # training stages with a plot
_AUTOENCODER = "Autoencoder: error of its preview (1: guessing)"
_PARTS = ("latents", "residuals", "model", "metadata")


def render_page(
    archive: ArchiveSummary,
    certificates: Sequence[Certificate],
    page_data: Mapping[str, TableDetail] | None = None,
    training: TrainingCurve | None = None,
) -> str:
    """An HTML document for one partition or for many.

    Parameters
    ----------
    archive
        What the head of the page says.
    certificates
        One per partition, in the order to be shown; at least one.
    page_data
        Histograms and worst rows by partition name; what is missing is left out of the page.
    training
        How the autoencoder learned; left out when None.

    Raises
    ------
    ValueError
        Without any certificate.
    """
    details = page_data or {}
    table = summarise(certificates, details)
    stored = archive.stored or table.stored
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        size=wording.size,
        count=wording.count,
        number=wording.number,
        change=lambda value: wording.number(value, signed=True),
        percent=wording.percent,
        at_most=wording.at_most,
        times=wording.times,
    )
    environment.globals.update(bound=wording.bound, unit_of=wording.unit_of, plural=wording.plural)
    template = environment.from_string(files("ae_core.report").joinpath("template.html.j2").read_text("utf-8"))
    return template.render(
        archive=archive,
        table=table,
        certificates=certificates[:PARTITIONS],
        hidden_partitions=max(len(certificates) - PARTITIONS, 0),
        stored=stored,
        single=certificates[0] if len(certificates) == 1 else None,
        bars=_bars(archive, table, stored),
        coded=sorted(table.columns, key=lambda column: -column.coded.after),
        largest_column=max((column.coded.after for column in table.columns), default=0) or 1,
        lossy=_lossy(table),
        cards=_cards(table),
        effects=_effects(table),
        preview=_preview(table),
        worst=_worst_rows(table, certificates),
        training=training,
        learning=_learning(training),
        dimensions=_dimensions(archive, training),
        autoencoder=archive.autoencoder,
    )


# --- where the bytes went -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """A bar of bytes: its parts as (kind, bytes), and the whole in per cent of the longest."""

    label: str
    total: int
    width: float
    parts: tuple[tuple[str, int], ...]


def _bars(archive: ArchiveSummary, table: TableSummary, stored: StoredBytes) -> list[Bar]:
    others = {"Parquet, as it was": table.parquet, **archive.peers}
    longest = max([*others.values(), stored.total, 1])
    bars = [Bar(label, n, 100 * n / longest, (("other", n),)) for label, n in others.items() if n]
    parts = tuple((part, getattr(stored, part)) for part in _PARTS)
    return [*bars, Bar("This archive", stored.total, 100 * stored.total / longest, parts)]


# --- what the loss means ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effects:
    """The largest effect on what people compute: (column, figure), None where nothing moved."""

    identical: int
    mean: tuple[str, float] | None  # change of the mean over the column's range
    total: tuple[str, float] | None  # change of the sum over the sum
    distribution: tuple[str, float] | None  # Wasserstein over range


def _effects(table: TableSummary) -> Effects:
    losses = [column.loss for column in table.columns]

    def largest(pairs: list[tuple[str, float]]) -> tuple[str, float] | None:
        found = max(pairs, key=lambda pair: pair[1], default=None)
        return found if found and found[1] > 0 else None

    return Effects(
        identical=sum(loss.changed == 0 for loss in losses),
        mean=largest([(x.name, abs(x.mean_change) / x.range) for x in losses if x.mean_change and x.range]),
        total=largest([(x.name, abs(x.sum_change / x.total)) for x in losses if x.sum_change and x.total]),
        distribution=largest([(x.name, x.wasserstein) for x in losses if x.wasserstein]),
    )


# --- the autoencoder --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PreviewRow:
    """A column in the preview: its error (share of range) or hits, beside the guess by mean or mode."""

    name: str
    value: float
    naive: float


@dataclass(frozen=True)
class PreviewTable:
    """The preview against guessing; means over columns."""

    numbers: tuple[PreviewRow, ...]
    categories: tuple[PreviewRow, ...]
    left_out: tuple[str, ...]

    @staticmethod
    def mean(rows: Sequence[PreviewRow], field: str) -> float:
        """Mean of a field over rows."""
        return sum(getattr(row, field) for row in rows) / max(len(rows), 1)


def _preview(table: TableSummary) -> PreviewTable | None:
    numbers, categories, left_out = [], [], []
    for column in table.columns:
        loss, preview = column.loss, column.preview
        if preview is None:
            left_out.append(column.name)
        elif preview.mean_error is not None and preview.naive_error is not None:
            if loss.range:
                row = PreviewRow(column.name, preview.mean_error / loss.range, preview.naive_error / loss.range)
                numbers.append(row)
        elif preview.naive_share is not None and loss.rows:
            hits = 1 - preview.changed / loss.rows
            categories.append(PreviewRow(column.name, hits, preview.naive_share))
    if not numbers and not categories:
        return None
    return PreviewTable(tuple(numbers), tuple(categories), tuple(left_out))


@dataclass(frozen=True)
class Panel:
    """A plot and what it shows."""

    caption: str
    plot: Markup


def _learning(training: TrainingCurve | None) -> list[Panel]:
    """One panel for the autoencoder and one for each context group, at most STAGES."""
    panels = []
    for stage, points in (training.stages() if training else {}).items():
        if len(points) >= 2 and stage != "prior":
            name = "Context model" if stage == "context 1" else stage.capitalize()
            caption = _AUTOENCODER if stage == "autoencoder" else f"{name}: bits per row"
            panels.append(Panel(caption, Markup(plots.training_curve(points, f"{caption}, by epoch"))))
    return panels[:STAGES]


def _dimensions(archive: ArchiveSummary, training: TrainingCurve | None) -> Markup | None:
    if training is None or len(training.dimension_curve) < 2:
        return None
    chosen = archive.autoencoder.dim if archive.autoencoder else None
    label = "Error of the preview by latent bits per row"
    return Markup(plots.dimension_curve(training.dimension_curve, chosen, label))


# --- columns ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """A column that changed, with its plots."""

    column: ColumnSummary
    errors: Markup | None
    values: Markup | None


def _lossy(table: TableSummary) -> list[ColumnSummary]:
    """Columns that did not all come back identical, worst first."""
    changed = [column for column in table.columns if column.loss.changed]
    return sorted(changed, key=lambda column: (-column.loss.outside, -(column.loss.max_ratio or 0)))


def _cards(table: TableSummary) -> list[Card]:
    cards = []
    for column in _lossy(table)[:PLOTTED]:
        loss = column.loss
        errors = values = None
        if column.errors is not None:
            text = plots.error_histogram(column.errors, wording.bound(loss.bound, loss.type), f"Errors of {loss.name}")
            errors = Markup(text)
        if column.histogram is not None:
            label = f"Distribution of {loss.name}, original and rebuilt"
            values = Markup(plots.distributions(column.histogram, loss.type, label))
        cards.append(Card(column, errors, values))
    return cards


# --- worst rows -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowPair:
    """A row before and after: cells as (original, rebuilt, state), state one of same, changed, withheld."""

    partition: str
    row: int
    cells: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class WorstTable:
    """The rows that changed most, with the columns worth showing."""

    names: tuple[str, ...]
    rows: tuple[RowPair, ...]


def _worst_rows(table: TableSummary, certificates: Sequence[Certificate]) -> WorstTable | None:
    names = {c.partition: tuple(column.name for column in c.columns) for c in certificates}
    first = names[certificates[0].partition]
    shown = [(p, row) for p, row in table.worst_rows if names[p] == first and len(row.original) == len(first)]
    if not shown:
        return None
    sensitive = [column.loss.bound.sensitive for column in table.columns]
    return WorstTable(first, tuple(_pair(partition, row, sensitive) for partition, row in shown))


def _pair(partition: str, row: WorstRow, sensitive: Sequence[bool]) -> RowPair:
    cells = []
    for original, rebuilt, hidden in zip(row.original, row.rebuilt, sensitive, strict=True):
        if hidden:
            cells.append(("withheld", "", "withheld"))
        else:
            state = "same" if original == rebuilt else "changed"
            cells.append((_cell(original), _cell(rebuilt), state))
    return RowPair(partition, row.row, tuple(cells))


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return (str(value) if isinstance(value, int) else f"{value:.6g}").replace("-", "−")
    return str(value)
