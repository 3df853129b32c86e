"""How much a query's answer changes: two result tables, matched row by row, and what a check allows.

Pure: the tables come from anywhere. A row is known by the columns that hold no numbers (and by whole numbers where
those do not tell the rows apart), such as the groups of a `group by`; every other column is compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import pyarrow as pa

from ae_core.report.records import Plain, pack, unpack
from ae_core.report.rounding import figure

ToleranceKind = Literal["exact", "abs", "rel"]
Cell = Any


@dataclass(frozen=True)
class ColumnImpact:
    """The largest change of a result column, and the largest over its original value; None where it is infinite.

    `row` names the row with the largest change.
    """

    column: str
    change: Fraction | None
    share: Fraction | None
    row: str

    @property
    def absolute(self) -> float:
        """The largest change, inf where a value came or went."""
        return _float(self.change)

    @property
    def relative(self) -> float:
        """The largest change over its original value, inf where that was 0."""
        return _float(self.share)


@dataclass(frozen=True)
class Impact:
    """Two answers compared: matched rows, rows that only one of them has, and the change of every compared column."""

    pairs: tuple[tuple[tuple[Cell, ...], tuple[Cell, ...]], ...]
    only_before: int
    only_after: int
    columns: tuple[ColumnImpact, ...]

    @property
    def rows(self) -> int:
        """Number of matched rows."""
        return len(self.pairs)

    @property
    def same_rows(self) -> bool:
        """Whether both answers have the same rows, by what they are known by."""
        return not self.only_before and not self.only_after


@dataclass(frozen=True)
class CheckOutcome:
    """One check of a partition: its query, what it allows, and what was found on originals and rebuilt data."""

    name: str
    sql: str
    kind: ToleranceKind
    value: str | None  # exact fraction, as text
    passed: bool
    rows: int
    worst: float  # in the terms of the tolerance; inf where a value came or went
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        packed: dict[str, Any] = pack(self)
        return packed

    @classmethod
    def from_dict(cls, data: Plain) -> CheckOutcome:
        """Inverse of `to_dict`; TypeError or ValueError where it is not one."""
        return unpack(cls, data)


def compare(before: pa.Table, after: pa.Table) -> Impact:
    """The change from one answer to the other.

    Raises
    ------
    ValueError
        When the tables do not have the same columns.
    """
    if before.schema.names != after.schema.names:
        raise ValueError(f"answers have the columns {before.schema.names} and {after.schema.names}")
    one, two = _rows(before), _rows(after)
    keys = _keys(before.schema, one, two)
    compared = [i for i in range(before.num_columns) if keys is None or i not in keys]
    if keys is None:
        pairs = list(zip(sorted(one, key=_order), sorted(two, key=_order), strict=False))
        missing, extra = len(one) - len(pairs), len(two) - len(pairs)
        labels = [f"row {number}" for number in range(len(pairs))]
    else:
        left, right = ({tuple(_plain(row[i]) for i in keys): row for row in rows} for rows in (one, two))
        both = [key for key in left if key in right]
        pairs = [(left[key], right[key]) for key in both]
        missing, extra = len(left) - len(both), len(right) - len(both)
        names = [before.schema.names[i] for i in keys]
        labels = [", ".join(f"{name}={part}" for name, part in zip(names, key, strict=True)) for key in both]
    changes = tuple(_column(before.schema.names[i], i, pairs, labels) for i in compared)
    return Impact(tuple(pairs), missing, extra, changes)


def judge(
    name: str, sql: str, kind: ToleranceKind, value: Fraction | None, found: Impact, *, shown: bool
) -> CheckOutcome:
    """Whether a change is within what a check allows. Unless `shown`, the outcome says no value of the data."""
    limit = Fraction(0) if value is None else value
    problem, worst = "", 0.0
    if not found.same_rows:
        worst = math.inf
        problem = f"{found.only_before} rows are gone from the answer and {found.only_after} are new"
    for column in found.columns:
        change = column.share if kind == "rel" else column.change
        if not problem and (change is None or change > limit):
            where = f" where {column.row}" if shown and column.row else ""
            problem = f"{column.column} is off by {_float(change):.4g}{where}, allowed is {kind} {float(limit):.4g}"
        worst = max(worst, math.inf if change is None else figure(change, towards="away"))
    return CheckOutcome(
        name=name,
        sql=sql,
        kind=kind,
        value=None if value is None else str(value),
        passed=not problem,
        rows=found.rows,
        worst=worst,
        problem=problem,
    )


def _rows(table: pa.Table) -> list[tuple[Cell, ...]]:
    columns = [table.column(i).to_pylist() for i in range(table.num_columns)]
    return list(zip(*columns, strict=True))


def _keys(schema: pa.Schema, one: Sequence[tuple[Cell, ...]], two: Sequence[tuple[Cell, ...]]) -> list[int] | None:
    """Places of the columns that rows are known by; None where none tell them apart, so that order has to do."""
    texts = [i for i, field in enumerate(schema) if not _is_number(field.type)]
    whole = [i for i, field in enumerate(schema) if pa.types.is_integer(field.type)]
    if len(one) <= 1 and len(two) <= 1:
        return texts
    tried = [texts, *([*texts, i] for i in whole), *([*texts, *whole[:n]] for n in range(2, len(whole) + 1))]
    found = None
    for keys in tried:
        sets = [{tuple(_plain(row[i]) for i in keys) for row in rows} for rows in (one, two)]
        if [len(some) for some in sets] == [len(one), len(two)]:
            if sets[0] == sets[1]:
                return sorted(keys)
            found = found or sorted(keys)
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _plain(value: Cell) -> Cell:
    """A value that can be looked up: nested ones as text."""
    return repr(value) if isinstance(value, list | dict | float) else value


def _order(row: tuple[Cell, ...]) -> tuple[tuple[int, Any, str], ...]:
    """Numbers by value, before everything else, which is in the order of its text."""
    return tuple(
        (0, Fraction(cell), "") if _finite(cell) else (1, Fraction(0), "" if cell is None else str(cell))
        for cell in row
    )


def _column(
    name: str, place: int, pairs: Sequence[tuple[tuple[Cell, ...], tuple[Cell, ...]]], labels: Sequence[str]
) -> ColumnImpact:
    worst, row = Fraction(0), ""
    share: Fraction | None = Fraction(0)
    for (before, after), label in zip(pairs, labels, strict=True):
        change = _change(before[place], after[place])
        if change is None:
            return ColumnImpact(name, None, None, label)
        if not change:
            continue
        if change > worst:
            worst, row = change, label
        size = abs(Fraction(before[place]))
        share = None if share is None or not size else max(share, change / size)
    return ColumnImpact(name, worst, share, row)


def _change(before: Cell, after: Cell) -> Fraction | None:
    """The distance of two cells; None where only one is a number, or they are other things that differ."""
    if _finite(before) and _finite(after):
        return abs(Fraction(before) - Fraction(after))
    same = before is after or before == after or repr(before) == repr(after)
    return Fraction(0) if same else None


def _finite(value: Cell) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float | Decimal) and math.isfinite(value))


def _float(value: Fraction | None) -> float:
    return math.inf if value is None else figure(value, towards="away")


def read_outcomes(records: Sequence[Mapping[str, Any]]) -> tuple[CheckOutcome, ...]:
    """The checks that a manifest records."""
    return tuple(CheckOutcome.from_dict(record) for record in records)
