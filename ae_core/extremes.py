"""Least and greatest value of a column: from the footers of Parquet files, or what counts when it is scanned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ae_core.vector_types import element_type, elements_of


def is_stated(kind: pa.DataType) -> bool:
    """Whether Parquet's statistics hold extremes of the type in the form of `column_ranges`."""
    return bool(pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64()) or pa.types.is_decimal(kind))


class Statistics:
    """A footer, with the leaves of each path looked up once."""

    def __init__(self, footer: pq.FileMetaData) -> None:
        self.footer = footer
        self.leaves: dict[str, list[int]] = {}
        for leaf in range(footer.num_columns):
            self.leaves.setdefault(footer.schema.column(leaf).path, []).append(leaf)


def stated_range(found: Sequence[Statistics], name: str) -> tuple[Any, Any] | None:
    """Extremes that every row group states, or None when one does not state finite ones."""
    lows, highs = [], []
    for known in found:
        leaves = known.leaves.get(name, [])
        if len(leaves) != 1:  # a column called a.b beside a column a with a field b
            return None
        for group in range(known.footer.num_row_groups):
            column = known.footer.row_group(group).column(leaves[0])
            statistics = column.statistics
            if statistics is not None and statistics.has_null_count and statistics.null_count == column.num_values:
                continue
            if statistics is None or not statistics.has_min_max:
                return None
            lows.append(statistics.min)
            highs.append(statistics.max)
    extremes = (min(lows), max(highs)) if lows else None
    return extremes if extremes and all(map(math.isfinite, extremes)) else None


def finite(values: pa.Array) -> pa.Array:
    """The values that count for a range, as integers, doubles or decimals."""
    if element_type(values.type) is not None:
        values = elements_of(values)[1]
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        return values.filter(pc.is_finite(values))
    if pa.types.is_decimal32(values.type) or pa.types.is_decimal64(values.type):
        return values.cast(pa.decimal128(values.type.precision, values.type.scale))  # no kernel knows these two
    if pa.types.is_temporal(values.type):
        return values.cast(pa.int64() if values.type.bit_width == 64 else pa.int32())
    return values
