"""A table's plan from a sample: columns one by one, then what they tell about each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ae_core.columns.choose import plan_column
from ae_core.columns.derived import Lookup
from ae_core.columns.domain import Codes
from ae_core.columns.plan import ColumnPlan, TablePlan
from ae_core.columns.relations import find_lookups, find_sums, order_words
from ae_core.columns.storage import one_array, working_type
from ae_core.errors import UsageError
from ae_core.policy import ResolvedPolicy

_ROWS_PER_CHANGE = 500


def build_plan(
    schema: pa.Schema, sample: Sequence[pa.Table], policy: ResolvedPolicy, *, partition_keys: Sequence[str] = ()
) -> TablePlan:
    """The plan of a table whose blocks look like the blocks of `sample`.

    Parameters
    ----------
    sample : blocks of consecutive rows; every dictionary, range and relation comes from them.
    partition_keys : columns that are constant in a partition, beside those of the policy.

    Raises
    ------
    UsageError
        Two columns have the same name.
    """
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise UsageError(f"columns {twice} appear more than once: rename them, names must tell columns apart")
    arrays = [sample_array(field, sample) for field in schema]
    columns = [
        plan_column(field, array, policy.bounds[field.name]) for field, array in zip(schema, arrays, strict=True)
    ]
    keys = {*partition_keys, *policy.partition_keys}
    starts = np.cumsum([0, *(table.num_rows for table in sample)])[:-1]
    codes = [_codes(column, array) for column, array in zip(columns, arrays, strict=True)]
    columns = [
        _settle(column, cells, starts, column.name in keys) for column, cells in zip(columns, codes, strict=True)
    ]
    locked = order_words(columns, codes)
    find_sums(columns, arrays, starts, locked)
    find_lookups(columns, codes, locked)
    return TablePlan(schema, tuple(columns))


def sample_array(field: pa.Field, sample: Sequence[pa.Table]) -> pa.Array:
    """The sample of one column in its working type."""
    kind = working_type(field.type)
    chunks = [table.column(field.name) for table in sample]
    if kind != field.type:
        chunks = [chunk.cast(kind) for chunk in chunks]
    return one_array(pa.chunked_array([part for chunk in chunks for part in chunk.chunks], kind))


def _codes(column: ColumnPlan, array: pa.Array) -> Codes | None:
    return None if column.domain is None or column.code is None else column.code.encode(array, column.domain)


def _settle(column: ColumnPlan, codes: Codes | None, starts: np.ndarray, is_key: bool) -> ColumnPlan:
    """Constants and run-like columns need no network."""
    if codes is None or not len(codes):
        return column
    changed = np.concatenate([[False], codes[1:] != codes[:-1]])
    if not changed.any():
        constant = Lookup((), (), np.zeros(1, np.int64), codes[:1].astype(np.int64))
        return replace(column, coder="lookup", derived=constant, reason="constant")
    if column.domain is not None and column.domain.wide:
        return column
    changed[starts[starts < len(codes)]] = False
    if is_key or int(changed.sum()) * _ROWS_PER_CHANGE <= len(codes):
        return replace(column, coder="plain", reason="changes seldom: stored as runs, known to the network")
    return column
