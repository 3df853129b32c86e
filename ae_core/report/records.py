"""What is kept of a measured loss: frozen records, and their compact form as plain data for JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Protocol, TypeVar

BoundKind = Literal["exact", "abs", "pointwise", "none"]
Plain = Mapping[str, Any]


class BoundLike(Protocol):
    """The resolved bound of a column, as ``ae_core.policy`` has it."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> Fraction | None: ...  # noqa: D102
    @property
    def sensitive(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True)
class BoundRecord:
    """A bound as it stands in a certificate: ``value`` is an exact fraction in column units, as text."""

    kind: BoundKind = "exact"
    value: str | None = None
    sensitive: bool = False

    @classmethod
    def of(cls, bound: BoundLike | None) -> BoundRecord:
        """The record of a resolved bound; ``none`` where nothing is promised."""
        if bound is None:
            return cls(kind="none")
        kinds: dict[str, BoundKind] = {"exact": "exact", "abs": "abs", "pointwise": "pointwise"}
        return cls(kinds[bound.kind], None if bound.value is None else str(bound.value), bound.sensitive)

    @property
    def fraction(self) -> Fraction | None:
        """The exact value."""
        return None if self.value is None else Fraction(self.value)


@dataclass(frozen=True)
class ColumnLoss:
    """The measured loss of one column. Errors are rounded up to four significant digits, in column units.

    A time column counts in its Arrow unit (days, s, ms, us, ns). ``None`` means that the figure has no sense for the
    column (a distance for strings), or is withheld (``total`` of a sensitive column).
    """

    name: str
    type: str
    bound: BoundRecord
    rows: int
    nulls: int = 0
    exceptions: int = 0  # cells stored with their exact value because no code met the bound
    changed: int = 0  # cells that did not come back identical
    outside: int = 0  # cells beyond the bound, or with another null, NaN or infinity
    max_error: float | None = None
    max_ratio: float | None = None  # largest error over its cell's bound; inf where zero may not change but did
    mean_error: float | None = None  # mean of |error|
    rmse: float | None = None
    bias: float | None = None  # mean of rebuilt minus original
    wasserstein: float | None = None  # Wasserstein-1 over the original's range
    range: float | None = None  # max - min of the original
    total: float | None = None  # sum of the original
    sum_change: float | None = None
    mean_change: float | None = None
    min_change: float | None = None
    max_change: float | None = None
    distinct: int | None = None
    distinct_change: int | None = None
    distinct_estimated: bool = False
    naive_error: float | None = None  # mean |error| if every cell were the column's mean
    naive_share: float | None = None  # share of exact cells if every cell were the column's mode
    top_lost: int | None = None  # rows of the ten largest values that are not among the ten largest rebuilt ones

    @property
    def is_number(self) -> bool:
        """Whether distances make sense for the column."""
        return self.max_error is not None

    @property
    def exact_share(self) -> float:
        """Share of cells that came back identical."""
        return 1.0 if not self.rows else (self.rows - self.changed) / self.rows

    @property
    def psnr(self) -> float | None:
        """Peak signal-to-noise ratio in dB over the original's range; inf without any error."""
        if self.rmse is None or not self.range:
            return None
        return math.inf if self.rmse == 0 else 20 * math.log10(self.range / self.rmse)

    @property
    def relative_error(self) -> float | None:
        """Mean |error| over the original's range."""
        return None if self.mean_error is None or not self.range else self.mean_error / self.range


@dataclass(frozen=True)
class PairedHistogram:
    """Counts of original and rebuilt cells in bins [(start+i)·2^exponent, (start+i+1)·2^exponent).

    ``below`` and ``above`` count (original, rebuilt) cells outside the bins: tails of at most 0.5 % each.
    """

    exponent: int
    start: int
    original: tuple[int, ...]
    rebuilt: tuple[int, ...]
    below: tuple[int, int] = (0, 0)
    above: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ColumnDetail:
    """What a page shows of a column beyond its figures."""

    name: str
    errors: tuple[int, ...] = ()  # counts of rebuilt minus original, from -bound to +bound; empty: nothing to show
    error_step: int = 0  # 0: equal bins over [-bound, bound]; else whole steps a bin (odd), the middle bin around 0
    error_limit: int = 0  # whole steps that the bound allows, where error_step is not 0
    histogram: PairedHistogram | None = None  # None for categories and sensitive columns
    withheld: bool = False


@dataclass(frozen=True)
class WorstRow:
    """One of the rows that changed most: cells as text, ``None`` for null and for withheld columns."""

    row: int
    score: float  # sum of error/bound over the columns
    original: tuple[Any, ...]
    rebuilt: tuple[Any, ...]


@dataclass(frozen=True)
class TableDetail:
    """Histograms and worst rows of a partition: kept apart from the certificate, and may be switched off."""

    columns: tuple[ColumnDetail, ...] = ()
    worst_rows: tuple[WorstRow, ...] = ()


@dataclass(frozen=True)
class TableLoss:
    """The measured loss of a table: one record per column and what concerns columns together."""

    rows: int
    columns: tuple[ColumnLoss, ...]
    correlation_change: float | None = None
    correlation_pair: tuple[str, str] | None = None
    detail: TableDetail = field(default_factory=TableDetail, compare=False)

    @property
    def outside(self) -> int:
        """Cells beyond their bound, over all columns."""
        return sum(column.outside for column in self.columns)

    @property
    def cells(self) -> int:
        """Cells measured."""
        return sum(column.rows for column in self.columns)

    def column(self, name: str) -> ColumnLoss:
        """The record of a column; KeyError when it was not measured."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


# --- records <-> plain data: fields at their default are left out, infinities are text ----------------------

_Record = TypeVar("_Record")


def pack(record: Any) -> Any:
    """Dataclasses, tuples and mappings as dicts and lists; fields that hold their default are left out."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        packed = {}
        for item in dataclasses.fields(record):
            value = getattr(record, item.name)
            default = item.default_factory() if callable(item.default_factory) else item.default
            if isinstance(default, type(dataclasses.MISSING)) or value != default:
                packed[item.name] = pack(value)
        return packed
    if isinstance(record, Mapping):
        return {key: pack(value) for key, value in record.items()}
    if isinstance(record, (tuple, list)):
        return [pack(value) for value in record]
    if isinstance(record, float):
        if not math.isfinite(record):
            return str(record)
        return int(record) if record.is_integer() and abs(record) < 1e15 else record
    return record


def unpack(kind: type[_Record], data: Plain, **readers: Any) -> _Record:
    """Inverse of :func:`pack` for one dataclass; ``readers`` turn nested plain data into records.

    Unknown keys are ignored, so that records written by later releases can be read.
    """
    known: dict[str, Any] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if item.name not in data:
            continue
        value = data[item.name]
        if value is not None and item.name in readers:
            value = readers[item.name](value)
        elif isinstance(value, list):
            value = tuple(value)
        elif "float" in str(item.type) and isinstance(value, (int, str)) and not isinstance(value, bool):
            value = float(value)
        known[item.name] = value
    return kind(**known)
