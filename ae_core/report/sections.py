"""What the sections of a report page show, worked out from summaries: no HTML but the plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ae_core.report import plots, svg, wording
from ae_core.report.certificate import StoredBytes
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.records import WorstRow
from ae_core.report.summary import ColumnSummary, TableSummary

STAGES = 5  # training stages with a plot
_AUTOENCODER = "Autoencoder: error of its preview (1: guessing)"
_PARTS = ("latents", "residuals", "model", "metadata")


# --- where the bytes went -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """A bar of bytes: its parts as (kind, bytes), and the whole in per cent of the longest."""

    label: str
    total: int
    width: float
    parts: tuple[tuple[str, int], ...]


def bars(archive: ArchiveSummary, table: TableSummary, stored: StoredBytes) -> list[Bar]:
    """The original, the peers and the archive."""
    others = {"Parquet, as it was": table.parquet, **archive.peers}
    longest = max([*others.values(), stored.total, 1])
    drawn = [Bar(label, n, 100 * n / longest, (("other", n),)) for label, n in others.items() if n]
    parts = tuple((part, getattr(stored, part)) for part in _PARTS)
    return [*drawn, Bar("This archive", stored.total, 100 * stored.total / longest, parts)]


@dataclass(frozen=True)
class CoderBytes:
    """What a coder stores in the residuals: of how many columns, in how many bytes."""

    coder: str
    columns: int
    bytes: int


def by_coder(table: TableSummary) -> list[CoderBytes]:
    """Bytes of the residuals by coder, most first."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for column in table.columns:
        counts[column.coded.coder] += 1
        sizes[column.coded.coder] += column.coded.after
    return [CoderBytes(name, counts[name], size) for name, size in sizes.most_common()]


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
        """Mean of a field over the rows."""
        return float(sum(getattr(row, field) for row in rows) / len(rows))


def preview(table: TableSummary) -> PreviewTable | None:
    """The preview's columns; None where there is no preview."""
    numbers, categories, left_out = [], [], []
    for column in table.columns:
        loss, shown = column.loss, column.preview
        if shown is None:
            left_out.append(column.name)
        elif shown.mean_error is not None and shown.naive_error is not None:
            if loss.range:
                row = PreviewRow(column.name, shown.mean_error / loss.range, shown.naive_error / loss.range)
                numbers.append(row)
        elif shown.naive_share is not None and loss.rows:
            categories.append(PreviewRow(column.name, 1 - shown.changed / loss.rows, shown.naive_share))
    if not numbers and not categories:
        return None
    return PreviewTable(tuple(numbers), tuple(categories), tuple(left_out))


@dataclass(frozen=True)
class Panel:
    """A plot and what it shows."""

    caption: str
    plot: Markup


def learning(training: TrainingCurve | None) -> list[Panel]:
    """One panel for the autoencoder and one for each context group, at most STAGES."""
    panels = []
    for stage, points in (training.stages() if training else {}).items():
        if len(points) >= 2 and stage != "prior":
            name = "Context model" if stage == "context 1" else stage.capitalize()
            caption = _AUTOENCODER if stage == "autoencoder" else f"{name}: bits per row"
            panels.append(Panel(caption, Markup(plots.training_curve(points, f"{caption}, by epoch"))))
    return panels[:STAGES]


def dimensions(archive: ArchiveSummary, training: TrainingCurve | None) -> Markup | None:
    """Preview error by latent dimension; None where fewer than two were tried."""
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


def worst_first(table: TableSummary) -> list[ColumnSummary]:
    """Columns that did not all come back identical, worst first."""
    changed = [column for column in table.columns if column.loss.changed]
    return sorted(changed, key=lambda column: (-column.loss.outside, -(column.loss.max_ratio or 0)))


def card(column: ColumnSummary) -> Card:
    """The plots of a column, as far as its page data are at hand."""
    loss = column.loss
    errors = values = None
    if column.errors is not None:
        text = svg.error_histogram(column.errors, wording.bound(loss.bound, loss.type), f"Errors of {loss.name}")
        errors = Markup(text)
    if column.histogram is not None:
        label = f"Distribution of {loss.name}, original and rebuilt"
        values = Markup(svg.distributions(column.histogram, loss.type, label)) or None
    return Card(column, errors, values)


# --- worst rows -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowPair:
    """A row before and after: cells as (original, rebuilt, state), state one of same, changed, withheld."""

    partition: str
    row: int
    cells: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class WorstTable:
    """The rows that changed most, with the columns worth showing, and how many others there are."""

    names: tuple[str, ...]
    rows: tuple[RowPair, ...]
    left_out: int


WIDEST = 40  # columns of the table of worst rows: those that changed in one of them come first


def worst_rows(table: TableSummary) -> WorstTable | None:
    """The rows that changed most, side by side; None where none is known."""
    names = [column.name for column in table.columns]
    hidden = [column.loss.bound.sensitive for column in table.columns]
    shown = [(p, row) for p, row in table.worst_rows if len(row.original) == len(names)]
    if not shown:
        return None
    order = list(range(len(names)))
    if len(names) > WIDEST:
        moved = [any(row.original[i] != row.rebuilt[i] for _, row in shown) for i in order]
        order = sorted(sorted(order, key=lambda i: not moved[i])[:WIDEST])
    pairs = tuple(_pair(partition, row, hidden, order) for partition, row in shown)
    return WorstTable(tuple(names[i] for i in order), pairs, len(names) - len(order))


def _pair(partition: str, row: WorstRow, hidden: Sequence[bool], order: Iterable[int]) -> RowPair:
    cells = []
    for i in order:
        if hidden[i]:
            cells.append(("withheld", "", "withheld"))
        else:
            state = "same" if row.original[i] == row.rebuilt[i] else "changed"
            cells.append((_cell(row.original[i]), _cell(row.rebuilt[i]), state))
    return RowPair(partition, row.row, tuple(cells))


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return (str(value) if isinstance(value, int) else f"{value:.6g}").replace("-", "−")
    return str(value)
