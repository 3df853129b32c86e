"""Many partitions as one table: losses, previews, bytes and distributions of a column added up.

Sums of counts are exact. Means are weighted by rows. A maximum is the largest of any partition, and so is the change
of a minimum, a maximum or a distinct count. The Wasserstein distance is an upper bound (it is convex in the mixture).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ae_core.report.certificate import Certificate, CodedColumn, ColumnCertificate, PreviewLoss, StoredBytes, Verdict
from ae_core.report.certificate import verdict_of as _verdict
from ae_core.report.records import ColumnDetail, ColumnLoss, PairedHistogram, TableDetail, WorstRow
from ae_core.report.rounding import figure
from ae_core.report.sketches import coarsen

SHOWN_WORST = 5
_BINS = 64


@dataclass(frozen=True)
class ColumnSummary:
    """A column over all partitions."""

    loss: ColumnLoss
    coded: CodedColumn
    preview: PreviewLoss | None
    errors: ColumnDetail | None = None  # only its error counts concern all partitions
    histogram: PairedHistogram | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        return self.loss.name


@dataclass(frozen=True)
class TableSummary:
    """All partitions of a report as one table."""

    rows: int
    columns: tuple[ColumnSummary, ...]
    arrow: int
    parquet: int
    stored: StoredBytes
    verdict: Verdict
    correlation_change: float | None
    correlation_pair: tuple[str, str] | None
    worst_rows: tuple[tuple[str, WorstRow], ...]


def summarise(certificates: Sequence[Certificate], details: Mapping[str, TableDetail]) -> TableSummary:
    """One table from certificates of the same columns, and the details (by partition) that are still kept.

    Raises
    ------
    ValueError
        Without any certificate.
    """
    if not certificates:
        message = "a summary needs at least one certificate"
        raise ValueError(message)
    names = list(dict.fromkeys(column.name for c in certificates for column in c.columns))
    columns = tuple(_column(name, certificates, details) for name in names)
    changes = [c for c in certificates if c.correlation_change is not None]
    most = max(changes, key=lambda c: c.correlation_change or 0.0, default=None)
    rows = sorted(
        ((c.partition, row) for c in certificates if c.partition in details for row in details[c.partition].worst_rows),
        key=lambda item: -item[1].score,
    )
    return TableSummary(
        rows=sum(c.rows for c in certificates),
        columns=columns,
        arrow=sum(c.arrow for c in certificates),
        parquet=sum(c.parquet for c in certificates),
        stored=StoredBytes(
            *(
                sum(getattr(c.stored, part) for c in certificates)
                for part in ("latents", "residuals", "model", "metadata")
            )
        ),
        verdict=_verdict([column.loss for column in columns]),
        correlation_change=most.correlation_change if most else None,
        correlation_pair=most.correlation_pair if most else None,
        worst_rows=tuple(rows[:SHOWN_WORST]),
    )


def _column(name: str, certificates: Sequence[Certificate], details: Mapping[str, TableDetail]) -> ColumnSummary:
    parts = [(c.partition, column) for c in certificates for column in c.columns if column.name == name]
    kept = [(p, d) for p, _ in parts if p in details for d in details[p].columns if d.name == name]
    return ColumnSummary(
        loss=merge_losses([column.loss for _, column in parts]),
        coded=_coded([column.coded for _, column in parts]),
        preview=_preview([column for _, column in parts if column.preview is not None]),
        errors=_errors([d for _, d in kept]),
        histogram=_histogram([d.histogram for _, d in kept if d.histogram is not None]),
    )


def merge_losses(losses: Sequence[ColumnLoss]) -> ColumnLoss:
    """One column's losses in several partitions as one; see the module's text for what each figure then means."""
    valid = [loss.rows - loss.nulls for loss in losses]

    def known(field: str) -> list[float]:
        return [getattr(loss, field) for loss in losses if getattr(loss, field) is not None]

    def mean(field: str, power: float = 1.0) -> float | None:
        held = [(getattr(loss, field), n) for loss, n in zip(losses, valid, strict=True)]
        return _weighted([(value, n) for value, n in held if value is not None], power)

    def combined(field: str, how: Callable[[list[float]], float]) -> float | None:
        return how(known(field)) if known(field) else None

    def largest(values: list[float]) -> float:
        return max(values, key=abs)

    distinct = known("distinct")
    return replace(
        losses[0],
        rows=sum(loss.rows for loss in losses),
        nulls=sum(loss.nulls for loss in losses),
        exceptions=sum(loss.exceptions for loss in losses),
        changed=sum(loss.changed for loss in losses),
        outside=sum(loss.outside for loss in losses),
        max_error=combined("max_error", max),
        max_ratio=combined("max_ratio", max),
        mean_error=mean("mean_error"),
        rmse=mean("rmse", 2.0),
        bias=mean("bias"),
        wasserstein=mean("wasserstein"),
        range=combined("range", max),
        total=combined("total", math.fsum),
        sum_change=combined("sum_change", math.fsum),
        mean_change=mean("mean_change"),
        min_change=combined("min_change", largest),
        max_change=combined("max_change", largest),
        distinct=int(max(distinct)) if distinct else None,
        distinct_change=int(largest(known("distinct_change"))) if known("distinct_change") else None,
        distinct_estimated=any(loss.distinct_estimated for loss in losses),
    )


def _weighted(pairs: list[tuple[float, int]], power: float = 1.0) -> float | None:
    """Weighted power mean, four digits, rounded up."""
    if not pairs:
        return None
    weight = sum(n for _, n in pairs)
    if not weight:
        return 0.0
    if len({value for value, _ in pairs}) == 1:
        return pairs[0][0]
    if power == 1:
        return figure(math.fsum(value * n for value, n in pairs) / weight, towards="away")
    return figure((math.fsum(value**power * n for value, n in pairs) / weight) ** (1 / power), towards="away")


def _preview(parts: Sequence[ColumnCertificate]) -> PreviewLoss | None:
    held = [(p.preview, p.loss.rows, p.loss.rows - p.loss.nulls) for p in parts if p.preview is not None]
    if not held:
        return None
    tops = [preview.max_error for preview, _, _ in held if preview.max_error is not None]

    def mean(field: str, power: float = 1.0, *, nulls: bool = False) -> float | None:
        values = [(getattr(preview, field), rows if nulls else valid) for preview, rows, valid in held]
        return _weighted([(value, n) for value, n in values if value is not None], power)

    return PreviewLoss(
        changed=sum(preview.changed for preview, _, _ in held),
        max_error=max(tops) if tops else None,
        mean_error=mean("mean_error"),
        rmse=mean("rmse", 2.0),
        naive_error=mean("naive_error"),
        naive_share=mean("naive_share", nulls=True),
    )


def _coded(parts: Sequence[CodedColumn]) -> CodedColumn:
    streams: Counter[str] = Counter()
    for part in parts:
        streams.update(part.streams)
    (coder, reason), _ = Counter((part.coder, part.reason) for part in parts).most_common(1)[0]
    return CodedColumn(coder, reason, sum(p.before for p in parts), dict(streams), sum(p.exceptions for p in parts))


def _errors(details: Sequence[ColumnDetail]) -> ColumnDetail | None:
    """Error counts added up; those of partitions under another bound than the first are left out."""
    held = [d for d in details if d.errors]
    if not held:
        return None
    shape = (held[0].error_step, held[0].error_limit, len(held[0].errors))
    alike = [d.errors for d in held if (d.error_step, d.error_limit, len(d.errors)) == shape]
    return replace(held[0], errors=tuple(np.sum(alike, axis=0).tolist()))


def _histogram(parts: Sequence[PairedHistogram]) -> PairedHistogram | None:
    """Histograms on one grid of at most 64 bins; the tails of the parts stay tails."""
    if not parts:
        return None
    exponent = max(p.exponent for p in parts)
    while True:
        keys = [
            (p.start >> (exponent - p.exponent), (p.start + len(p.original) - 1) >> (exponent - p.exponent))
            for p in parts
        ]
        first, last = min(k[0] for k in keys), max(k[1] for k in keys)
        if last - first < _BINS:
            break
        exponent += 1
    sides = np.zeros((2, last - first + 1), np.int64)
    for part in parts:
        for side, counts in enumerate((part.original, part.rebuilt)):
            start, merged = coarsen(part.start, np.array(counts, np.int64), exponent - part.exponent)
            sides[side, start - first : start - first + len(merged)] += merged
    below, above = (
        tuple(int(n) for n in np.sum([getattr(p, tail) for p in parts], axis=0)) for tail in ("below", "above")
    )
    return PairedHistogram(
        exponent, first, tuple(sides[0].tolist()), tuple(sides[1].tolist()), (below[0], below[1]), (above[0], above[1])
    )
