"""What a page needs of a partition once its original is gone: the part that decoding cannot tell, in some 400 bytes.

Kept are the distributions of the errors and of the original values, and the original cells of the worst rows in the
columns that changed. The rebuilt side comes out of the archive itself: `Redrawing` takes the decoded blocks.

Counts are kept as one digit each, to base 36 and in `unit`s of about a 34th of the largest. What is rounded are the
running sums, so that a share of all cells is off by half a unit at most.

    {"errors": [[column, step, limit, unit, digits], ...], "values": [[column, exponent, start, unit, digits], ...],
     "rows": [[row, score], ...], "cells": [[column, original cell of every row ...], ...]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ae_core.errors import Corrupt
from ae_core.report.cells import family_of, measured_cells, numbers_of, shown_cell
from ae_core.report.records import ColumnDetail, PairedHistogram, Plain, TableDetail, WorstRow, pack

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LARGEST = 1100  # exponent of a bin's width


def digits_of(counts: Sequence[int]) -> tuple[int, str]:
    """The unit and the counts in it, a digit each."""
    unit = max(1, -(-max(counts, default=0) // (len(_DIGITS) - 2)))
    sums = (np.cumsum([0, *counts]) + unit // 2) // unit
    return unit, "".join(_DIGITS[step] for step in np.diff(sums).tolist())


def counts_of(unit: int, digits: str) -> tuple[int, ...]:
    """About the counts that `digits_of` was given."""
    if not 0 < unit < 1 << 48:
        raise ValueError(f"counts in units of {unit}")
    return tuple(unit * int(digit, 36) for digit in digits)


def store(detail: TableDetail) -> dict[str, Any]:
    """Plain data for JSON."""
    columns = list(enumerate(detail.columns))
    changed = [
        place for place, _ in columns if any(row.original[place] != row.rebuilt[place] for row in detail.worst_rows)
    ]
    return {
        "errors": [
            [place, column.error_step, column.error_limit, *digits_of(column.errors)]
            for place, column in columns
            if column.errors
        ],
        "values": [
            [place, found.exponent, found.start, *digits_of((found.below[0], *found.original, found.above[0]))]
            for place, column in columns
            if (found := column.histogram) is not None
        ],
        "rows": [[row.row, pack(row.score)] for row in detail.worst_rows],
        "cells": [[place, *pack([row.original[place] for row in detail.worst_rows])] for place in changed],
    }


class Redrawing:
    """The page data of a partition, made whole by its decoded blocks, which come in order.

    Parameters
    ----------
    record
        What `store` made.
    schema
        The columns of the partition.
    sensitive
        Names of the columns whose values nobody may see.

    Raises
    ------
    Corrupt
        If the record does not fit the columns.
    """

    def __init__(self, record: Plain, schema: pa.Schema, sensitive: Iterable[str]) -> None:
        self._schema = schema
        self._hidden = frozenset(sensitive)
        self._first = 0
        try:
            self._errors = {int(place): _errors(schema[int(place)].name, *rest) for place, *rest in record["errors"]}
            self._values = {int(place): _Values(*rest) for place, *rest in record["values"]}
            self._rows = [(int(row), float(score)) for row, score in record["rows"]]
            self._cells = {int(place): tuple(cells) for place, *cells in record["cells"]}
            numbers = all(family_of(schema[place].type) != "category" for place in self._values)
            if not numbers or any(len(cells) != len(self._rows) for cells in self._cells.values()):
                raise ValueError("it does not fit the columns")
        except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
            raise Corrupt(f"page data cannot be read: {error}") from None
        self._rebuilt: dict[int, tuple[Any, ...]] = {}

    def add(self, rebuilt: pa.Table) -> None:
        """Take the next block."""
        for place, values in self._values.items():
            values.add(measured_cells(rebuilt.column(place)))
        for row, _ in self._rows:
            if self._first <= row < self._first + rebuilt.num_rows:
                self._rebuilt[row] = tuple(
                    None if field.name in self._hidden else shown_cell(rebuilt.column(place)[row - self._first])
                    for place, field in enumerate(self._schema)
                )
        self._first += rebuilt.num_rows

    def finish(self) -> TableDetail:
        """The page data, once all blocks have been added."""
        columns = []
        for place, field in enumerate(self._schema):
            column = self._errors.get(place, ColumnDetail(field.name))
            values, hidden = self._values.get(place), field.name in self._hidden
            histogram = None if values is None or hidden else values.finish()
            columns.append(
                ColumnDetail(
                    field.name, column.errors, column.error_step, column.error_limit, histogram, withheld=hidden
                )
            )
        return TableDetail(tuple(columns), tuple(self._worst_rows()))

    def _worst_rows(self) -> Iterable[WorstRow]:
        for place, (row, score) in enumerate(self._rows):
            rebuilt = self._rebuilt.get(row)
            if rebuilt is None:
                continue  # no such row: the record is of other data, which its digest tells
            original = [
                self._cells[column][place] if column in self._cells and field.name not in self._hidden else cell
                for column, (field, cell) in enumerate(zip(self._schema, rebuilt, strict=True))
            ]
            yield WorstRow(row, score, tuple(original), rebuilt)


def _errors(name: str, step: int, limit: int, unit: int, digits: str) -> ColumnDetail:
    if step < 0 or (step and limit <= 0):
        raise ValueError(f"errors in steps of {step} up to {limit}")
    return ColumnDetail(name, counts_of(int(unit), digits), int(step), int(limit))


class _Values:
    """Both sides of a column's distribution: the recorded one, and the one that is counted."""

    def __init__(self, exponent: int, start: int, unit: int, digits: str) -> None:
        self._exponent, self._start = int(exponent), int(start)
        self._original = counts_of(int(unit), digits)
        self._counts = np.zeros(len(self._original), np.int64)
        if len(self._original) < 3 or not (abs(self._exponent) <= _LARGEST and abs(self._start) < 1 << 53):
            raise ValueError("a distribution without bins")

    def add(self, column: pa.ChunkedArray) -> None:
        numbers = numbers_of(column)
        cells = numbers.floats()[numbers.finite]
        keys = np.floor(np.ldexp(cells, -self._exponent)) - (self._start - 1)
        places = np.clip(keys, 0, len(self._counts) - 1).astype(np.int64)
        self._counts += np.bincount(places, minlength=len(self._counts))

    def finish(self) -> PairedHistogram:
        below, *original, above = self._original
        low, *rebuilt, high = self._counts.tolist()
        return PairedHistogram(
            self._exponent, self._start, tuple(original), tuple(rebuilt), (below, low), (above, high)
        )


def read(record: Any, schema: pa.Schema, sensitive: Iterable[str]) -> Redrawing | None:
    """The page data of a manifest; None where it keeps none."""
    return Redrawing(record, schema, sensitive) if isinstance(record, Mapping) else None
