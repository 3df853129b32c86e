"""Measuring what was lost: original blocks against rebuilt blocks, one pass, memory independent of the rows.

Whether a cell is within its bound and the largest error are decided in exact arithmetic (``cells.py``). Means are
float64 sums. Distributions are dyadic histograms and hash sketches (``sketches.py``), so that the result does not
depend on how the rows were cut into blocks, but for the last bits of means.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.report.cells import (
    Comparison,
    Numbers,
    compare_numbers,
    family_of,
    measured_cells,
    numbers_of,
    shown_cell,
    unequal_cells,
)
from ae_core.report.records import (
    BoundLike,
    BoundRecord,
    ColumnDetail,
    ColumnLoss,
    PairedHistogram,
    TableDetail,
    TableLoss,
    WorstRow,
)
from ae_core.report.rounding import figure
from ae_core.report.sketches import (
    CorrelationChange,
    DistinctSketch,
    DyadicHistogram,
    align,
    coarsen,
    hashed_numbers,
    hashed_values,
    wasserstein,
)
from ae_core.report.top import TopRows
from ae_core.vector_types import element_type

ERROR_BINS = 30
"""Even; bins of whole steps may be one more."""
SHOWN_BINS = 48
TAIL = 0.005
WORST = 3


class LossAccumulator:
    """Loss of a table, block by block.

    Parameters
    ----------
        schema
            The columns to measure, in order. For a preview: only those that it rebuilds.
        bounds
            Resolved bound per column. A column without one promises nothing (preview): it is measured, and no cell
            counts as outside.

    Examples
    --------
        >>> import pyarrow as pa
    import pyarrow.compute as pc
        >>> table = pa.table({"a": [1, 2, None]})
        >>> losses = LossAccumulator(table.schema, {})
        >>> losses.add(table, table)
        >>> losses.finish().column("a").changed
        0
    """

    def __init__(self, schema: pa.Schema, bounds: Mapping[str, BoundLike]) -> None:
        self._schema = schema
        self._rows = 0
        self._columns = [_column(item, BoundRecord.of(bounds.get(item.name))) for item in schema]
        numeric = [c for c in self._columns if isinstance(c, _NumberColumn) and c.family == "number"]
        self._correlation = CorrelationChange(tuple(c.name for c in numeric))
        self._correlated = numeric[: CorrelationChange.LIMIT]
        self._worst: list[WorstRow] = []

    def add(self, original: pa.Table, rebuilt: pa.Table) -> None:
        """Measure the next block of rows.

        Raises
        ------
        ValueError
            If the tables differ in rows, or a measured column is missing or of another type.
        """
        if original.num_rows != rebuilt.num_rows:
            message = f"rebuilt block has {rebuilt.num_rows} rows, its original {original.num_rows}"
            raise ValueError(message)
        with np.errstate(over="ignore", invalid="ignore"):  # sums of the largest floats
            self._add(original, rebuilt)

    def _add(self, original: pa.Table, rebuilt: pa.Table) -> None:
        score = np.zeros(original.num_rows)
        pairs = list(zip(_pick(original, self._schema), _pick(rebuilt, self._schema), strict=True))
        for column, (before, after) in zip(self._columns, pairs, strict=True):
            ratio = column.add(before, after)
            if ratio is not None:
                score += np.nan_to_num(np.abs(ratio), posinf=1e6)
        self._correlation.add(self._rows, [c.last[0] for c in self._correlated], [c.last[1] for c in self._correlated])
        self._note_rows(score, pairs)
        self._rows += original.num_rows

    def finish(self, exceptions: Mapping[str, int] | None = None) -> TableLoss:
        """The loss of all blocks so far.

        Parameters
        ----------
        exceptions
            Cells per column that the archive stores with their exact value (known to the writer only).
        """
        counts = exceptions or {}
        change = self._correlation.finish()
        with np.errstate(over="ignore", invalid="ignore"):
            columns = tuple(column.finish(counts.get(column.name, 0)) for column in self._columns)
        return TableLoss(
            rows=self._rows,
            columns=columns,
            correlation_change=None if change is None else figure(change[0], towards="away"),
            correlation_pair=None if change is None else change[1],
            detail=TableDetail(tuple(column.detail() for column in self._columns), tuple(self._worst)),
        )

    def _note_rows(self, score: np.ndarray, pairs: list[tuple[pa.ChunkedArray, pa.ChunkedArray]]) -> None:
        """Keep the rows whose errors add up to most, earliest first among equals."""
        floor = self._worst[-1].score if len(self._worst) == WORST else 0.0
        for row in _largest(score, floor):
            cells = [
                (None, None) if column.sensitive else (shown_cell(before[row]), shown_cell(after[row]))
                for column, (before, after) in zip(self._columns, pairs, strict=True)
            ]
            self._worst.append(
                WorstRow(
                    self._rows + int(row),
                    figure(float(score[row]), towards="away"),
                    tuple(c[0] for c in cells),
                    tuple(c[1] for c in cells),
                )
            )
        self._worst = sorted(self._worst, key=lambda r: (-r.score, r.row))[:WORST]


def _pick(table: pa.Table, schema: pa.Schema) -> list[pa.ChunkedArray]:
    """Columns of the table in the schema's order, types checked."""
    same = table.schema.names == schema.names
    columns = []
    for place, item in enumerate(schema):
        found = place if same else table.schema.get_field_index(item.name)
        if found < 0:
            message = f"column {item.name!r} is missing from a block, which has {table.schema.names}"
            raise ValueError(message)
        if table.schema.field(found).type != item.type:
            message = f"column {item.name!r} should be {item.type}, the block has {table.schema.field(found).type}"
            raise ValueError(message)
        columns.append(table.column(found))
    return columns


def _largest(score: np.ndarray, floor: float) -> np.ndarray:
    """Row numbers of the WORST largest positive scores above the floor; earliest first among equals."""
    rows = np.flatnonzero(score > floor)
    if len(rows) > WORST:
        least = np.partition(score[rows], -WORST)[-WORST]
        above = rows[score[rows] > least]
        rows = np.concatenate([above, rows[score[rows] == least][: WORST - len(above)]])
    return rows[np.lexsort((rows, -score[rows]))]


def _column(item: pa.Field, bound: BoundRecord) -> _NumberColumn | _CategoryColumn:
    if family_of(item.type) == "category":
        return _CategoryColumn(item, bound)
    return _VectorColumn(item, bound) if family_of(item.type) == "vector" else _NumberColumn(item, bound)


class _Side:
    """Distribution of one side (original or rebuilt) of a number column."""

    def __init__(self) -> None:
        self.cells = DyadicHistogram()
        self.distinct = DistinctSketch()
        self.top = TopRows()

    def add(self, numbers: Numbers, first: int) -> None:
        cells = numbers.floats()[numbers.finite]
        self.cells.add(cells)
        self.top.add(cells, first + np.flatnonzero(numbers.finite))
        self.distinct.add(*hashed_numbers(numbers, self.distinct.limit))


class _ErrorCounts:
    """Histogram of rebuilt minus original between the bounds.

    Whole numbers under an absolute bound are counted in bins of an odd number of whole steps around 0, so that no
    bin holds more levels than its neighbours; other errors in equal bins of error over bound.
    """

    def __init__(self, arrow_type: pa.DataType, bound: BoundRecord) -> None:
        self.step = self.limit = 0
        unit = Fraction(10) ** -arrow_type.scale if pa.types.is_decimal(arrow_type) else Fraction(1)
        self._unit = float(unit)
        value = bound.fraction
        whole = 0 if value is None else math.floor(value / unit)
        if bound.kind == "abs" and not pa.types.is_floating(arrow_type) and 0 < whole < 2**50:
            self.limit = whole
            self.step = 1 + 2 * max(0, -(-(2 * whole - ERROR_BINS) // (2 * (ERROR_BINS + 1))))
            self.counts = np.zeros(2 * self._place(whole) + 1, np.int64)
        else:
            self.counts = np.zeros(ERROR_BINS, np.int64)

    def _place(self, whole: int) -> int:
        return (whole + self.step // 2) // self.step

    def add_zeros(self, n: int) -> None:
        self.counts[len(self.counts) // 2] += n

    def add(self, difference: np.ndarray, ratio: np.ndarray) -> None:
        if self.step:
            steps = np.clip(np.rint(difference / self._unit), -self.limit, self.limit).astype(np.int64)
            middle = len(self.counts) // 2
            places = np.sign(steps) * ((np.abs(steps) + self.step // 2) // self.step) + middle
        else:
            inner = np.clip(ratio, -1.0, 1.0)
            places = np.minimum(((inner + 1) * (ERROR_BINS / 2)).astype(np.int64), ERROR_BINS - 1)
        self.counts += np.bincount(places, minlength=len(self.counts))


class _NumberColumn:
    def __init__(self, item: pa.Field, bound: BoundRecord) -> None:
        self.name = item.name
        self.family = family_of(item.type)
        self.sensitive = bound.sensitive
        self.last: tuple[Numbers, Numbers]
        self._type = str(item.type)
        self._bound = bound
        self._value = bound.fraction
        self._rows = self._nulls = self._changed = self._outside = self._pairs = 0
        self._max_error = Fraction(0)
        self._max_ratio: Fraction | float = Fraction(0)
        self._absolute = self._square = self._signed = self._sum_change = 0.0
        self._original = _Side()
        self._rebuilt = self._original  # one object for both until the first difference
        self._errors = _ErrorCounts(element_type(item.type) or item.type, bound)

    def add(self, before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray | None:
        """Measure a block; the signed error over bound per row where any differs, else None."""
        original, first = numbers_of(before), self._rows
        self._rows += len(before)
        self._nulls += before.null_count
        rebuilt = None if not original.is_float and before.equals(after) else numbers_of(after)
        if rebuilt is None or _same_bits(original, rebuilt):
            self.last = (original, original)
            pairs = int(np.count_nonzero(original.finite))
            self._pairs += pairs
            self._errors.add_zeros(pairs)
            self._original.add(original, first)
            if self._rebuilt is not self._original:
                self._rebuilt.add(original, first)
            return None
        self.last = (original, rebuilt)
        if self._rebuilt is self._original:
            self._rebuilt = copy.deepcopy(self._original)
        self._original.add(original, first)
        self._rebuilt.add(rebuilt, first)
        found = compare_numbers(original, rebuilt, kind=self._bound.kind, value=self._value)
        self._note(found, original, rebuilt)
        return found.ratio

    def _note(self, found: Comparison, original: Numbers, rebuilt: Numbers) -> None:
        self._changed += found.changed
        self._outside += found.outside
        self._pairs += int(np.count_nonzero(found.pairs))
        self._max_error = max(self._max_error, found.max_error)
        self._max_ratio = max(self._max_ratio, found.max_ratio)
        size = np.abs(found.difference)
        self._absolute += float(size.sum())
        self._square += float((size * size).sum())
        self._signed += float(found.difference.sum())
        gone = float(original.floats()[original.finite & ~found.pairs].sum())
        come = float(rebuilt.floats()[rebuilt.finite & ~found.pairs].sum())
        self._sum_change += float(found.difference.sum()) + come - gone
        if found.ratio is not None:
            self._errors.add(found.difference[found.pairs], found.ratio[found.pairs])

    def finish(self, exceptions: int) -> ColumnLoss:
        before, after = self._original.cells, self._rebuilt.cells
        n = self._pairs
        absolute = self._absolute / n if n else 0.0
        bias = self._signed / n if n else 0.0
        both = before.count > 0 and after.count > 0
        span = before.high - before.low if before.count else 0.0
        if not both:
            mean_change = None
        elif before.count == after.count:
            mean_change = self._sum_change / before.count
        else:
            mean_change = after.total / after.count - before.total / before.count
        open_ended = self._bound.kind == "none"
        shared = self._rebuilt is self._original
        return ColumnLoss(
            name=self.name,
            type=self._type,
            bound=self._bound,
            rows=self._rows,
            nulls=self._nulls,
            exceptions=exceptions,
            changed=self._changed,
            outside=self._outside,
            max_error=figure(self._max_error, towards="away"),
            max_ratio=None if self._value is None else figure(self._max_ratio, towards="away"),
            mean_error=figure(absolute, towards="away"),
            rmse=figure(math.sqrt(self._square / n) if n else 0.0, towards="away"),
            bias=figure(bias, towards="away"),
            wasserstein=figure(0.0 if shared else self._distance(absolute, mean_change, span), towards="away"),
            range=figure(span),
            total=None if self.sensitive or self.family == "time" else figure(before.total),
            sum_change=None if self.family == "time" else figure(self._sum_change, towards="away"),
            mean_change=None if mean_change is None else figure(mean_change, towards="away"),
            min_change=figure(after.low - before.low, towards="away") if both else None,
            max_change=figure(after.high - before.high, towards="away") if both else None,
            distinct=self._original.distinct.estimate,
            distinct_change=self._rebuilt.distinct.estimate - self._original.distinct.estimate,
            distinct_estimated=self._original.distinct.full or self._rebuilt.distinct.full,
            naive_error=figure(before.spread(before.total / before.count)) if open_ended and before.count else None,
            naive_share=figure(self._original.distinct.most / self._rows) if open_ended and self._rows else None,
            top_lost=self._original.top.lost(self._rebuilt.top) if self._changed and not open_ended else None,
        )

    def _distance(self, absolute: float, mean_change: float | None, span: float) -> float:
        """Wasserstein-1 over range; the histogram's figure, held between its bounds |mean change| and mean |error|."""
        if not span:
            return 0.0
        estimate = wasserstein(self._original.cells, self._rebuilt.cells)
        if self._original.cells.count == self._rebuilt.cells.count == self._pairs:
            estimate = min(max(estimate, abs(mean_change or 0.0)), absolute)
        return estimate / span

    def detail(self) -> ColumnDetail:
        changed = self._rebuilt is not self._original
        return ColumnDetail(
            name=self.name,
            errors=tuple(self._errors.counts.tolist()) if changed and self._value is not None else (),
            error_step=self._errors.step if changed else 0,
            error_limit=self._errors.limit if changed else 0,
            histogram=None if self.sensitive or not changed else _paired(self._original.cells, self._rebuilt.cells),
            withheld=self.sensitive,
        )


def _same_bits(a: Numbers, b: Numbers) -> bool:
    """Whether float cells are identical, signs of zeros and payloads of NaNs included."""
    if not a.is_float:
        return False
    bits = f"u{a.raw.dtype.itemsize}"
    return np.array_equal(a.valid, b.valid) and np.array_equal(a.raw.view(bits), b.raw.view(bits))


class _VectorColumn(_NumberColumn):
    """Errors and values are those of the elements; cells that changed are vectors."""

    def add(self, before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray | None:
        """Measure a block; nothing of it by row."""
        valid, kept = pc.is_valid(before), pc.is_valid(after)
        moved = pc.sum(pc.not_equal(valid, kept)).as_py() or 0
        both = [column.filter(pc.and_(valid, kept)) for column in (before, after)] if moved else [before, after]
        original, rebuilt = (measured_cells(column) for column in both)
        rows, nulls = self._rows + len(before), self._nulls + before.null_count
        changed = self._changed + moved
        a, b = numbers_of(original), numbers_of(rebuilt)
        if not _same_bits(a, b):
            unlike = (a.raw != b.raw) & ~((a.raw != a.raw) & (b.raw != b.raw)) | (a.valid != b.valid)
            changed += int(unlike.reshape(len(both[0]) - both[0].null_count, -1).any(1).sum()) if len(unlike) else 0
        super().add(original, rebuilt)
        self._rows, self._nulls, self._changed = rows, nulls, changed
        self._outside += moved if self._bound.kind != "none" else 0
        return None


class _CategoryColumn:
    def __init__(self, item: pa.Field, bound: BoundRecord) -> None:
        self.name = item.name
        self.sensitive = bound.sensitive
        self._type = str(item.type)
        self._bound = bound
        self._rows = self._nulls = self._changed = 0
        self._original: DistinctSketch | None = DistinctSketch()
        self._rebuilt: DistinctSketch | None = self._original

    def add(self, before: pa.ChunkedArray, after: pa.ChunkedArray) -> None:
        """Count the cells of a block that did not come back."""
        unequal = unequal_cells(before, after)
        self._rows += len(before)
        self._nulls += before.null_count
        self._changed += unequal
        if unequal and self._rebuilt is self._original:
            self._rebuilt = copy.deepcopy(self._original)
        together = self._rebuilt is self._original
        self._original = _counted(self._original, before)
        self._rebuilt = self._original if together else _counted(self._rebuilt, after)

    def finish(self, exceptions: int) -> ColumnLoss:
        before, after = self._original, self._rebuilt
        known = before is not None and after is not None
        return ColumnLoss(
            name=self.name,
            type=self._type,
            bound=self._bound,
            rows=self._rows,
            nulls=self._nulls,
            exceptions=exceptions,
            changed=self._changed,
            outside=0 if self._bound.kind == "none" else self._changed,
            distinct=before.estimate if before else None,
            distinct_change=after.estimate - before.estimate if before and after else None,
            distinct_estimated=known and (before.full or after.full),  # type: ignore[union-attr]
            naive_share=figure(before.most / self._rows)
            if before and self._bound.kind == "none" and self._rows
            else None,
        )

    def detail(self) -> ColumnDetail:
        return ColumnDetail(name=self.name, withheld=self.sensitive)


def _counted(sketch: DistinctSketch | None, column: pa.ChunkedArray) -> DistinctSketch | None:
    """The sketch with a block added; None for a type whose values cannot be counted."""
    hashed = None if sketch is None else hashed_values(column)
    if sketch is None or hashed is None:
        return None
    sketch.add(*hashed)
    return sketch


def _paired(before: DyadicHistogram, after: DyadicHistogram) -> PairedHistogram | None:
    """Both sides in at most 48 bins over the middle 99 % of the cells."""
    exponent, start, left, right = align(before, after)
    both = left + right
    if not both.sum():
        return None
    cumulated = np.cumsum(both) / both.sum()
    first = int(np.searchsorted(cumulated, TAIL))
    last = int(np.searchsorted(cumulated, 1 - TAIL))
    if len(both) <= SHOWN_BINS:
        first, last = 0, len(both) - 1
    steps = 0
    while ((start + last) >> steps) - ((start + first) >> steps) + 1 > SHOWN_BINS:
        steps += 1
    new_first, new_last = (start + first) >> steps, (start + last) >> steps
    shown = []
    tails = []
    for counts in (left, right):
        moved, merged = coarsen(start, counts, steps)
        cut = slice(new_first - moved, new_last - moved + 1)
        shown.append(tuple(int(c) for c in merged[cut]))
        tails.append((int(merged[: cut.start].sum()), int(merged[cut.stop :].sum())))
    below, above = zip(*tails, strict=True)
    return PairedHistogram(exponent + steps, new_first, shown[0], shown[1], below, above)
