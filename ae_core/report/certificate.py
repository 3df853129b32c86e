"""The certificate of a partition: what was lost, what it cost in bytes, and the digest that re-proves both.

A certificate is small (``stored.py``: under a kilobyte for twenty columns): histograms and worst rows live in a
separate :class:`~ae_core.report.records.TableDetail`, so that they can be switched off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ae_core.errors import Corrupt
from ae_core.report.impact import CheckOutcome, read_outcomes
from ae_core.report.notebook import certificate_html
from ae_core.report.records import BoundRecord, ColumnLoss, Plain, TableLoss, pack, unpack
from ae_core.report.rounding import figure

VERSION = 1


@dataclass(frozen=True)
class CodedColumn:
    """How the writer coded a column of a partition.

    ``streams`` holds bytes in the residual layer by stream (``network``, ``plain``, ``exceptions``, ...); the joint
    latents and the model belong to no single column. ``before`` is the column's size in Arrow memory.
    """

    coder: str
    reason: str
    before: int
    streams: Mapping[str, int] = field(default_factory=dict)
    exceptions: int = 0

    @property
    def after(self) -> int:
        """Bytes of the column in the residual layer."""
        return sum(self.streams.values())


@dataclass(frozen=True)
class PreviewLoss:
    """Measured loss of a column as the autoencoder's decoder alone rebuilds it; nothing is promised.

    ``naive_error`` is what always the mean would reach, ``naive_share`` of a category always the mode.
    """

    changed: int = 0
    max_error: float | None = None
    mean_error: float | None = None
    rmse: float | None = None
    naive_error: float | None = None
    naive_share: float | None = None

    @classmethod
    def of(cls, loss: ColumnLoss) -> PreviewLoss:
        """The part of a measured loss that a preview reports."""
        share = None if loss.is_number else loss.naive_share
        return cls(loss.changed, loss.max_error, loss.mean_error, loss.rmse, loss.naive_error, share)


@dataclass(frozen=True)
class ColumnCertificate:
    """Loss of a column in both layers, and how it was coded; ``preview`` is None where the preview leaves it out."""

    loss: ColumnLoss
    coded: CodedColumn
    preview: PreviewLoss | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        return self.loss.name


@dataclass(frozen=True)
class StoredBytes:
    """Bytes of a partition in the archive.

    ``latents`` are those of every form that they are stored in; ``model`` is its share of the models, by rows served.
    """

    latents: int = 0
    residuals: int = 0
    model: int = 0
    metadata: int = 0

    @property
    def layers(self) -> int:
        """What the partition takes for itself."""
        return self.latents + self.residuals

    @property
    def total(self) -> int:
        """All of them."""
        return self.latents + self.residuals + self.model + self.metadata


@dataclass(frozen=True)
class Verdict:
    """Whether every cell came back within its bound."""

    passed: bool
    cells: int
    outside: int
    worst_ratio: float  # largest error over bound; 0 where all columns are exact
    worst_column: str | None

    def __str__(self) -> str:
        if not self.passed:
            return f"FAIL: {self.outside:,} of {self.cells:,} cells outside their bound"
        if self.worst_column is None:
            return f"PASS: all {self.cells:,} cells identical"
        return (
            f"PASS: 0 of {self.cells:,} cells outside their bound; "
            f"worst error/bound {self.worst_ratio:.4g} in {self.worst_column}"
        )


@dataclass(frozen=True)
class Certificate:
    """The measured loss of a partition and its bytes.

    ``digest`` is that of the rebuilt data: decoding is bit-exact, so that whoever gets the same digest has the loss
    recorded here. ``arrow`` and ``parquet`` are the original's bytes in memory and on disk.
    """

    partition: str
    rows: int
    columns: tuple[ColumnCertificate, ...]
    digest: str
    arrow: int
    parquet: int
    stored: StoredBytes
    latent_dim: int = 0
    no_latents: str | None = None  # why there are none
    correlation_change: float | None = None
    correlation_pair: tuple[str, str] | None = None
    model: str | None = None  # digest of the model
    training: str | None = None  # name of the training report in the archive
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[CheckOutcome, ...] = ()  # the policy's queries, on originals and rebuilt data

    def verdict(self) -> Verdict:
        """Pass or fail, with the worst error over bound."""
        return verdict_of([column.loss for column in self.columns])

    def column(self, name: str) -> ColumnCertificate:
        """One column's part; KeyError when there is none of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def _repr_html_(self) -> str:
        return certificate_html(self.partition, self.rows, str(self.verdict()), [c.loss for c in self.columns])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is at its default is left out."""
        packed: dict[str, Any] = pack(self)
        return {"certificate": VERSION, **packed}

    @classmethod
    def from_dict(cls, data: Plain) -> Certificate:
        """Inverse of :meth:`to_dict`.

        Raises
        ------
        Corrupt
            If a field is missing or of the wrong kind.
        """
        try:
            return unpack(
                cls,
                data,
                columns=lambda items: tuple(_column(item) for item in items),
                stored=lambda item: unpack(StoredBytes, item),
                checks=read_outcomes,
                seconds=dict,
                versions=dict,
            )
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            message = f"certificate of partition {data.get('partition', '?')!r} cannot be read: {error}"
            raise Corrupt(message) from error


def _column(data: Plain) -> ColumnCertificate:
    return unpack(
        ColumnCertificate,
        data,
        loss=lambda item: unpack(ColumnLoss, item, bound=lambda bound: unpack(BoundRecord, bound)),
        coded=lambda item: unpack(CodedColumn, item, streams=dict),
        preview=lambda item: unpack(PreviewLoss, item),
    )


def verdict_of(losses: list[ColumnLoss]) -> Verdict:
    """Pass or fail over any set of measured columns."""
    ratios = [(loss.max_ratio, loss.name) for loss in losses if loss.max_ratio is not None]
    worst = max(ratios, key=lambda item: item[0], default=(0.0, None))
    outside = sum(loss.outside for loss in losses)
    return Verdict(
        passed=outside == 0 and worst[0] <= 1,
        cells=sum(loss.rows for loss in losses),
        outside=outside,
        worst_ratio=worst[0],
        worst_column=worst[1] if worst[0] > 0 else None,
    )


def certify(
    partition: str,
    bounded: TableLoss,
    *,
    coded: Mapping[str, CodedColumn],
    digest: str,
    arrow: int,
    parquet: int,
    stored: StoredBytes,
    preview: TableLoss | None = None,
    latent_dim: int = 0,
    no_latents: str | None = None,
    model: str | None = None,
    training: str | None = None,
    versions: Mapping[str, str] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Certificate:
    """The certificate of a partition from its measured losses; the arguments are the fields of the same names."""
    previews = {} if preview is None else {loss.name: PreviewLoss.of(loss) for loss in preview.columns}
    return Certificate(
        partition=partition,
        rows=bounded.rows,
        columns=tuple(ColumnCertificate(loss, coded[loss.name], previews.get(loss.name)) for loss in bounded.columns),
        digest=digest,
        arrow=arrow,
        parquet=parquet,
        stored=stored,
        latent_dim=latent_dim,
        no_latents=no_latents,
        correlation_change=bounded.correlation_change,
        correlation_pair=bounded.correlation_pair,
        model=model,
        training=training,
        versions=dict(versions or {}),
        seconds={name: figure(value) for name, value in (seconds or {}).items() if math.isfinite(value)},
    )
