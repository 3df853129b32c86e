"""The policy's checks: a query on the originals and on what the archive rebuilds of them, and how far they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ae_core.dataset import Partition
from ae_core.errors import PolicyError, UsageError
from ae_core.lake import LakePartition, schema
from ae_core.pieces import Archived, Live
from ae_core.policy import Check
from ae_core.report.impact import CheckOutcome, compare, judge
from ae_core.scan import Scan
from ae_core.schemas import key_types
from ae_core.selection import RowRange
from ae_core.sql import need_duckdb, query


def check_checks(checks: Sequence[Check], table: pa.Schema, keys: Mapping[str, str]) -> None:
    """Run the checks on no rows, so that a query which cannot run is refused before anything is trained.

    Raises
    ------
    UsageError
        When DuckDB is not installed.
    PolicyError
        When a check is no query over the table.
    """
    if not checks:
        return
    need_duckdb("policy: checks")
    names = [check.title for check in checks]
    if len(set(names)) != len(names):
        raise PolicyError("policy: checks: two have the same name, or are the same query")
    fields = [*table, *(pa.field(name, kind) for name, kind in key_types([keys]).items() if name not in table.names)]
    empty = pa.Table.from_batches([], pa.schema(fields))
    for check in checks:
        try:
            query(check.sql, empty, f"check {check.title!r}")
        except UsageError as error:
            raise PolicyError(f"policy: {error}") from None


def run_checks(checks: Sequence[Check], partition: Partition, source: LakePartition) -> tuple[CheckOutcome, ...]:
    """Every check on the originals and on the rebuilt data of a partition.

    Where the table has a sensitive column, outcomes name no value of the data.

    Raises
    ------
    LatentlakeError
        When the originals or the archive cannot be read, or a query fails on them.
    """
    before = Scan([Live(source, schema(source), partition.rows)])
    after = Scan([Archived.of(partition, "bounded", RowRange())])
    shown = not any(bound.sensitive for bound in partition.bounds.values())
    outcomes = []
    for check in checks:
        what = f"check {check.title!r}"
        try:
            found = compare(query(check.sql, before, what), query(check.sql, after, what))
        except UsageError:
            if shown:
                raise
            raise UsageError(f"{what} cannot be answered on {partition.id}: DuckDB's reason may name values") from None
        tolerance = check.tolerance
        outcomes.append(judge(check.title, check.sql, tolerance.kind, tolerance.value, found, shown=shown))
    return tuple(outcomes)
