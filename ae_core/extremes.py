"""Least and greatest value of a column: from the footers of Parquet files, or what counts when it is scanned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ae_core.lake import LakePartition, block_rows, common_schema, footers, read_batches, row_cells, schema
from ae_core.ranges import long_decimals
from ae_core.vector_types import element_type, elements_of

_SCANNED_COLUMNS = 64  # read in one pass for their ranges: what a pass holds stays bounded


def column_ranges(partitions: Sequence[LakePartition], columns: Sequence[str]) -> dict[str, tuple[Any, Any] | None]:
    """Smallest and largest finite value of each named column over all partitions; None where it has none.

    Read from Parquet statistics where every row group states finite ones, else by scanning that column. Integers
    come as int, floats as float, decimals as Decimal, temporal columns as int in their own unit (days for date32).

    Raises
    ------
    LakeError
        As `read_blocks`.
    ValueError
        A column's type has no range, see `has_range`.
    """
    types = common_schema(partitions)
    for name in columns:
        if not has_range(types.field(name).type):
            raise ValueError(f"column {name!r} of type {types.field(name).type} has no range")
    found = [Statistics(footer) for partition in partitions for footer in footers(partition)]
    ranges = {name: stated_range(found, name) if is_stated(types.field(name).type) else None for name in columns}
    silent = [name for name in columns if ranges[name] is None]
    for first in range(0, len(silent), _SCANNED_COLUMNS):
        ranges |= _scan_ranges(partitions, silent[first : first + _SCANNED_COLUMNS])
    return ranges


def has_range(kind: pa.DataType) -> bool:
    """True for types whose values, or elements, have a difference: numbers, temporal types but intervals."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kind = element_type(kind) or kind
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind)))


def _scan_ranges(partitions: Sequence[LakePartition], names: Sequence[str]) -> dict[str, tuple[Any, Any] | None]:
    """Extremes of the finite values of some columns, by reading them."""
    ends: dict[str, list[Any]] = {name: [] for name in names}
    for partition in partitions:
        for batch in read_batches(partition, block_rows(row_cells(schema(partition))), names):
            for name in names:
                extremes = pc.min_max(finite(batch.column(batch.schema.get_field_index(name)))).as_py()
                if extremes["min"] is not None:
                    ends[name] += [extremes["min"], extremes["max"]]
    return {name: (min(found), max(found)) if found else None for name, found in ends.items()}


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
    if pa.types.is_temporal(values.type):
        return values.cast(pa.int64() if values.type.bit_width == 64 else pa.int32())
    return long_decimals(values)
