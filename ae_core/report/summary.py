"""Many partitions as one table: losses, previews, bytes and distributions of a column added up.

Sums of counts are exact. Means are weighted by rows. A maximum is the largest of any partition, and so is the change
of a minimum, a maximum or a distinct count. The Wasserstein distance is an upper bound (it is convex in the mixture).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from ae_core.report.certificate import Certificate, CodedColumn, ColumnCertificate, PreviewLoss, StoredBytes, Verdict
from ae_core.report.certificate import verdict_of as _verdict
from ae_core.report.records import ColumnDetail, ColumnLoss, PairedHistogram, TableDetail, WorstRow
from ae_core.report.rounding import figure
from ae_core.report.sketches import coarsen

SHOWN_WORST = 5
_BINS = 64
_FOLDED = 64


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


def summarise(certificates: Iterable[Certificate], details: Mapping[str, TableDetail]) -> TableSummary:
    """One table from certificates of the same columns, and the details (by partition) that are still kept.

    Raises
    ------
    ValueError
        Without any certificate.
    """
    summary = Summary()
    for certificate in certificates:
        summary.add(certificate, details.get(certificate.partition))
    return summary.finish()


class Summary:
    """Partitions added up one by one: what is held does not grow with their number."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._count = self._rows = self._arrow = self._parquet = 0
        self._stored = StoredBytes()
        self._correlation: tuple[float, tuple[str, str] | None] | None = None
        self._worst: list[tuple[str, WorstRow]] = []

    def add(self, certificate: Certificate, detail: TableDetail | None = None) -> None:
        """Take the next partition, with its page data where they are at hand."""
        self._count += 1
        self._rows += certificate.rows
        self._arrow += certificate.arrow
        self._parquet += certificate.parquet
        parts = ("latents", "residuals", "model", "metadata")
        self._stored = StoredBytes(*(getattr(self._stored, p) + getattr(certificate.stored, p) for p in parts))
        change = certificate.correlation_change
        if change is not None and (self._correlation is None or change > self._correlation[0]):
            self._correlation = change, certificate.correlation_pair
        details = {} if detail is None else {column.name: column for column in detail.columns}
        for column in certificate.columns:
            self._columns.setdefault(column.name, _Column()).add(column, details.get(column.name))
        rows = () if detail is None else detail.worst_rows
        self._worst = sorted(
            [*self._worst, *((certificate.partition, row) for row in rows)], key=lambda item: -item[1].score
        )[:SHOWN_WORST]

    def finish(self) -> TableSummary:
        """The table so far.

        Raises
        ------
        ValueError
            Without any certificate.
        """
        if not self._count:
            raise ValueError("a summary needs at least one certificate")
        columns = tuple(column.finish() for column in self._columns.values())
        return TableSummary(
            rows=self._rows,
            columns=columns,
            arrow=self._arrow,
            parquet=self._parquet,
            stored=self._stored,
            verdict=_verdict([column.loss for column in columns]),
            correlation_change=self._correlation[0] if self._correlation else None,
            correlation_pair=self._correlation[1] if self._correlation else None,
            worst_rows=tuple(self._worst),
        )


class _Column:
    """A column of some partitions; every `_FOLDED` of them are folded into one, without rounding."""

    def __init__(self) -> None:
        self._parts: list[ColumnCertificate] = []
        self._previewed: list[ColumnCertificate] = []  # those with a preview: its means have weights of their own
        self._details: list[ColumnDetail] = []
        self._count = 0

    def add(self, column: ColumnCertificate, detail: ColumnDetail | None) -> None:
        self._count += 1
        self._parts.append(column)
        if column.preview is not None:
            self._previewed.append(column)
        if detail is not None and (detail.errors or detail.histogram is not None):
            self._details.append(detail)
        if len(self._parts) >= _FOLDED:
            self._parts = [_fold(self._parts)]
        if len(self._previewed) >= _FOLDED:
            self._previewed = [_fold(self._previewed)]
        if len(self._details) >= _FOLDED:
            self._details = [self._detail()]

    def _detail(self) -> ColumnDetail:
        errors = _errors(self._details) or self._details[0]
        return replace(errors, histogram=_histogram([d.histogram for d in self._details if d.histogram is not None]))

    def finish(self) -> ColumnSummary:
        whole = _fold(self._parts)
        preview = _fold(self._previewed).preview if self._previewed else None
        detail = self._detail() if self._details else None
        alone = self._count == 1  # a partition's own figures are rounded
        return ColumnSummary(
            loss=whole.loss if alone else _rounded(whole.loss),
            coded=whole.coded,
            preview=preview if alone or preview is None else _rounded(preview),
            errors=detail if detail is not None and detail.errors else None,
            histogram=None if detail is None else detail.histogram,
        )


def _fold(parts: Sequence[ColumnCertificate]) -> ColumnCertificate:
    if len(parts) == 1:
        return parts[0]
    preview = _preview([part for part in parts if part.preview is not None])  # all of them, or of no use
    return ColumnCertificate(_merged([part.loss for part in parts]), _coded([part.coded for part in parts]), preview)


_Figures = TypeVar("_Figures", ColumnLoss, PreviewLoss)
_MEANS = ("mean_error", "rmse", "bias", "wasserstein", "mean_change", "naive_error", "naive_share")


def _rounded(record: _Figures) -> _Figures:
    """Means to four digits, rounded up."""
    found: dict[str, Any] = {
        name: figure(getattr(record, name), towards="away")
        for name in _MEANS
        if getattr(record, name, None) is not None
    }
    return replace(record, **found)


def merge_losses(losses: Sequence[ColumnLoss]) -> ColumnLoss:
    """One column's losses in several partitions as one; see the module's text for what each figure then means."""
    return _rounded(_merged(losses))


def _merged(losses: Sequence[ColumnLoss]) -> ColumnLoss:
    """The same before its means are rounded, so that it can be merged with others."""
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
        top_lost=int(max(known("top_lost"))) if known("top_lost") else None,
    )


def _weighted(pairs: list[tuple[float, int]], power: float = 1.0) -> float | None:
    """Weighted power mean."""
    if not pairs:
        return None
    weight = sum(n for _, n in pairs)
    if not weight:
        return 0.0
    if len({value for value, _ in pairs}) == 1:
        return pairs[0][0]
    if power == 1:
        return math.fsum(value * n for value, n in pairs) / weight
    return float((math.fsum(value**power * n for value, n in pairs) / weight) ** (1 / power))


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
