"""Small builders for loss tests."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa

from ae_core.report.losses import LossAccumulator
from ae_core.report.records import ColumnLoss, TableLoss


@dataclass(frozen=True)
class FakeBound:
    kind: str
    value: Fraction | None = None
    sensitive: bool = False


EXACT = FakeBound("exact")


def within(value: Fraction | str | int) -> FakeBound:
    return FakeBound("abs", Fraction(value))


def measure(
    original: pa.Table, rebuilt: pa.Table, bounds: dict[str, FakeBound], *, block: int | None = None
) -> TableLoss:
    losses = LossAccumulator(original.schema, bounds)
    step = block or max(original.num_rows, 1)
    for first in range(0, max(original.num_rows, 1), step):
        losses.add(original.slice(first, step), rebuilt.slice(first, step))
    return losses.finish()


def measure_column(original: pa.Array, rebuilt: pa.Array, bound: FakeBound | None) -> ColumnLoss:
    bounds = {} if bound is None else {"x": bound}
    return measure(pa.table({"x": original}), pa.table({"x": rebuilt}), bounds).columns[0]
