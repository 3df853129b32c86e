"""What a manifest keeps of a certificate: figures alone, one list for each field over the columns.

Names, types and bounds stand in the table record, coders and reasons in the model, rows, digest and sizes in the
manifest itself. A field's list goes over the columns that it makes sense for (its *scope*), and is empty where every
value is the one to be expected; should a column out of scope hold a value, the list goes over all columns. So
nothing is lost whatever the figures are, and a table of twenty columns takes about a kilobyte.

    {"columns": [list, ...] in the order of FIELDS, "previews": [list, ...] in the order of PREVIEWS (if there is one),
     "correlation": [change, column, column], "latent_dim": d, "seconds": {...}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import pyarrow as pa

from ae_core.errors import Corrupt
from ae_core.report.cells import Family, family_of
from ae_core.report.certificate import Certificate, CodedColumn, ColumnCertificate, PreviewLoss, StoredBytes
from ae_core.report.records import BoundRecord, ColumnLoss, Plain, pack
from ae_core.report.rounding import figure

Figures = dict[str, Any]
"""A column's values by field."""


@dataclass(frozen=True)
class KnownColumn:
    """What is known of a column without its certificate."""

    name: str
    type: pa.DataType
    bound: BoundRecord
    coder: str
    reason: str

    @cached_property
    def family(self) -> Family:
        """What its cells are measured as."""
        return family_of(self.type)

    @property
    def is_number(self) -> bool:
        """Whether errors of its cells are distances."""
        return self.family != "category"


@dataclass(frozen=True)
class Known:
    """What is known of a partition without its certificate."""

    partition: str
    rows: int
    digest: str
    parquet: int
    stored: StoredBytes
    model: str | None
    no_latents: str | None
    columns: tuple[KnownColumn, ...]


# --- fields: for which columns, and what is expected -------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    """`scope` and `expected` may look at the fields before."""

    name: str
    scope: Callable[[KnownColumn, Figures], bool]
    expected: Callable[[KnownColumn, Figures], Any]
    whole: bool = False  # a count, or 0 and 1 for false and true; other numbers are floats


def _all(column: KnownColumn, values: Figures) -> bool:
    return True


def _number(column: KnownColumn, values: Figures) -> bool:
    return column.is_number


def _changed(column: KnownColumn, values: Figures) -> bool:
    return bool(values["changed"])


def _zero(column: KnownColumn, values: Figures) -> int:
    return 0


def _nothing(column: KnownColumn, values: Figures) -> None:
    return None


def _no_error(column: KnownColumn, values: Figures) -> float | None:
    return 0.0 if column.is_number else None


def _no_move(column: KnownColumn, values: Figures) -> float | None:
    """Without a finite value there is no mean, least or greatest to move."""
    return 0.0 if column.is_number and values["distinct"] else None


def _no_sum(column: KnownColumn, values: Figures) -> float | None:
    return 0.0 if column.family in ("number", "vector") else None


def _bias(column: KnownColumn, values: Figures) -> float | None:
    """Where no cell came or went the mean moves by the mean error."""
    return values["bias"] if values["distinct"] else None


def _ratio(column: KnownColumn, values: Figures) -> float | None:
    value = column.bound.fraction
    if not column.is_number or value is None:
        return None
    error = values["max_error"]
    if column.bound.kind != "abs" or not value or not error or not math.isfinite(error):
        return 0.0
    return figure(Fraction(str(error)) / value, towards="away")


FIELDS = (
    _Field("changed", _all, _zero, whole=True),
    _Field("nulls", _all, _zero, whole=True),
    _Field("exceptions", _all, _zero, whole=True),
    _Field("outside", _all, _zero, whole=True),
    _Field("before", _all, _zero, whole=True),
    _Field("after", _all, _zero, whole=True),
    _Field("distinct", _all, _nothing, whole=True),
    _Field("distinct_estimated", _all, _zero, whole=True),
    _Field("range", _number, _nothing),
    _Field("total", _number, _nothing),
    _Field("max_error", _changed, _no_error),
    _Field("max_ratio", _changed, _ratio),
    _Field("mean_error", _changed, _no_error),
    _Field("rmse", _changed, _no_error),
    _Field("bias", _changed, _no_error),
    _Field("wasserstein", _changed, _no_error),
    _Field("sum_change", _changed, _no_sum),
    _Field("mean_change", _changed, _bias),
    _Field("min_change", _changed, _no_move),
    _Field("max_change", _changed, _no_move),
    _Field("distinct_change", _changed, lambda c, values: None if values["distinct"] is None else 0, whole=True),
    _Field("naive_error", _all, _nothing),
    _Field("naive_share", _all, _nothing),
    _Field("top_lost", _changed, _nothing, whole=True),
)
"""Of a column's loss; `before` and `after` are its bytes in memory and in the residuals."""

PREVIEWS = (
    _Field("changed", _all, _zero, whole=True),
    _Field("max_error", _number, _nothing),
    _Field("mean_error", _number, _nothing),
    _Field("rmse", _number, _nothing),
    _Field("naive_error", _number, _nothing),
    _Field("naive_share", lambda column, values: not column.is_number, _nothing),
)
"""Of a column's preview. `changed` is null for a column that the preview leaves out; it has no part in other lists."""


def _write(fields: Sequence[_Field], columns: Sequence[KnownColumn], figures: Sequence[Figures]) -> list[list[Any]]:
    lists = []
    pairs = list(zip(columns, figures, strict=True))
    for field in fields:
        odd = [
            (field.scope(column, values), values[field.name] != field.expected(column, values))
            for column, values in pairs
        ]
        wide = any(there and not scope for scope, there in odd)
        kept = [values[field.name] for (_, values), (scope, _) in zip(pairs, odd, strict=True) if scope or wide]
        lists.append(pack(kept) if any(there for _, there in odd) else [])
    while lists and not lists[-1]:
        lists.pop()
    return lists


def _read(fields: Sequence[_Field], columns: Sequence[KnownColumn], lists: Sequence[Any]) -> list[Figures]:
    figures: list[Figures] = [{} for _ in columns]
    for place, field in enumerate(fields):
        found = lists[place] if place < len(lists) else []
        scope = [field.scope(column, values) for column, values in zip(columns, figures, strict=True)]
        if len(found) not in (0, len(columns), sum(scope)):
            raise ValueError(f"{field.name} has {len(found)} values for {len(columns)} columns")
        given = iter(found)
        wide = len(found) == len(columns)
        for column, values, inside in zip(columns, figures, scope, strict=True):
            taken = bool(found) and (inside or wide)
            values[field.name] = _value(field, next(given)) if taken else field.expected(column, values)
    return figures


def _value(field: _Field, value: Any) -> Any:
    if value is None or (field.whole and type(value) is int):
        return value
    if field.whole or isinstance(value, bool):
        raise TypeError(f"{field.name} cannot be {value!r}")
    return float(value)


# --- certificates ------------------------------------------------------------------------------------------


def store(certificate: Certificate, known: Known) -> dict[str, Any]:
    """Plain data for JSON, from which `read` makes the certificate again with what is `known`."""
    figures = [
        {
            **vars(column.loss),
            "distinct_estimated": int(column.loss.distinct_estimated),
            "before": column.coded.before,
            "after": column.coded.after,
        }
        for column in certificate.columns
    ]
    record: dict[str, Any] = {"columns": _write(FIELDS, known.columns, figures)}
    previewed = [
        (place, column, vars(one.preview))
        for place, (column, one) in enumerate(zip(known.columns, certificate.columns, strict=True))
        if one.preview is not None
    ]
    if previewed:
        lists = _write(PREVIEWS, [column for _, column, _ in previewed], [values for _, _, values in previewed])
        seen = {place: values["changed"] for place, _, values in previewed}
        record["previews"] = [[seen.get(place) for place in range(len(known.columns))], *lists[1:]]
    if certificate.correlation_pair is not None:
        names = [column.name for column in known.columns]
        pair = [names.index(name) for name in certificate.correlation_pair]
        record["correlation"] = [pack(certificate.correlation_change), *pair]
    if certificate.latent_dim:
        record["latent_dim"] = certificate.latent_dim
    return record | ({"seconds": pack(certificate.seconds)} if certificate.seconds else {})


def read(record: Plain, known: Known) -> Certificate:
    """The certificate that was stored.

    Raises
    ------
    Corrupt
        If the record does not fit the partition's columns, or a figure is of the wrong kind.
    """
    try:
        return _certificate(record, known)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise Corrupt(f"certificate of partition {known.partition!r} cannot be read: {error}") from None


def _certificate(record: Plain, known: Known) -> Certificate:
    figures = _read(FIELDS, known.columns, record["columns"])
    previews = _previews(record.get("previews"), known.columns)
    change, *pair = record.get("correlation", [None])
    return Certificate(
        partition=known.partition,
        rows=known.rows,
        columns=tuple(
            ColumnCertificate(*_column(column, known.rows, values), preview)
            for column, values, preview in zip(known.columns, figures, previews, strict=True)
        ),
        digest=known.digest,
        arrow=sum(values["before"] for values in figures),
        parquet=known.parquet,
        stored=known.stored,
        latent_dim=int(record.get("latent_dim", 0)),
        no_latents=known.no_latents,
        correlation_change=None if change is None else float(change),
        correlation_pair=(known.columns[pair[0]].name, known.columns[pair[1]].name) if pair else None,
        model=known.model,
        seconds={name: float(value) for name, value in dict(record.get("seconds", {})).items()},
    )


def _column(column: KnownColumn, rows: int, values: Mapping[str, Any]) -> tuple[ColumnLoss, CodedColumn]:
    loss = {field.name: values[field.name] for field in FIELDS if field.name not in ("before", "after")}
    loss["distinct_estimated"] = bool(values["distinct_estimated"])
    coded = CodedColumn(
        column.coder, column.reason, values["before"], {column.coder: values["after"]}, values["exceptions"]
    )
    return ColumnLoss(name=column.name, type=str(column.type), bound=column.bound, rows=rows, **loss), coded


def _previews(lists: Sequence[Any] | None, columns: Sequence[KnownColumn]) -> list[PreviewLoss | None]:
    if lists is None:
        return [None] * len(columns)
    changed = list(lists[0]) or [0] * len(columns)
    if len(changed) != len(columns):
        raise ValueError(f"the preview has {len(changed)} values for {len(columns)} columns")
    places = [place for place, value in enumerate(changed) if value is not None]
    counts = [changed[place] for place in places]
    found = iter(_read(PREVIEWS, [columns[place] for place in places], [counts, *lists[1:]]))
    return [None if value is None else PreviewLoss(**next(found)) for value in changed]
