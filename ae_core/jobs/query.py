"""How much a query's answer changes when it is asked of the archive and not of the originals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ae_core.dataset import Partition, open_archive
from ae_core.errors import LakeError, UsageError
from ae_core.jobs.audit import find_originals, require_same
from ae_core.jobs.results import QueryAudit, QueryChange
from ae_core.lake import LakePartition, schema
from ae_core.pieces import Archived, Live, Piece
from ae_core.report.impact import Impact, compare
from ae_core.scan import Scan
from ae_core.selection import RowRange, Where
from ae_core.sql import query

_WHAT = "--query"


def audit_query(
    archive: str,
    sql: str,
    *,
    lake: str | None = None,
    expect_head: str | None = None,
    where: Where = None,
    snapshot: int | None = None,
    threads: int = 0,
) -> QueryAudit:
    """The answer of one SELECT over the chosen partitions, which it calls t, and its change from the originals.

    Originals are compared where the lake still holds exactly the files that were compressed. Sensitive columns are
    left out of t.

    Raises
    ------
    UsageError
        When DuckDB is missing or refuses the query, or archive, lake or partitions are not there.
    Corrupt
        When the archive is damaged or its head is not `expect_head`.
    """
    source = open_archive(archive, snapshot=snapshot, expect_head=expect_head)
    partitions = source.partitions(where)
    if not partitions:
        raise UsageError(f"{archive}: holds no partition yet")
    same, why = _originals(lake, partitions)
    hidden = {name for partition in partitions for name, bound in partition.bounds.items() if bound.sensitive}
    after = {partition.id: _archived(partition, hidden) for partition in partitions}
    answer = _ask(sql, list(after.values()), hidden, threads)
    found: Impact | None = None
    if same:
        before: list[Piece] = []
        for partition in partitions:
            if partition.id in same:
                kept = [field for field in schema(same[partition.id]) if field.name not in hidden]
                before.append(Live(same[partition.id], pa.schema(kept), partition.rows))
        part = answer if len(same) == len(after) else _ask(sql, [after[name] for name in same], hidden, threads)
        found = compare(_ask(sql, before, hidden, threads), part)
    return QueryAudit(
        archive=source.url,
        snapshot=source.snapshot,
        head_sha256=source.head_sha256,
        sql=sql,
        columns=tuple(answer.schema.names),
        answer=tuple(tuple(map(_plain, row.values())) for row in _positional(answer)),
        compared=tuple(same),
        not_compared=why,
        original=_rows(found, 0),
        archived=_rows(found, 1),
        only_original=0 if found is None else found.only_before,
        only_archived=0 if found is None else found.only_after,
        changes=()
        if found is None
        else tuple(QueryChange(c.column, c.absolute, c.relative, c.row) for c in found.columns),
    )


def _originals(lake: str | None, partitions: Sequence[Partition]) -> tuple[dict[str, LakePartition], dict[str, str]]:
    """The partitions whose originals are at hand and as they were, and why the others are not."""
    if lake is None:
        return {}, {partition.id: "no originals given: --lake LAKE compares with them" for partition in partitions}
    try:
        held = find_originals(lake, partitions)
    except LakeError as error:
        return {}, {partition.id: str(error) for partition in partitions}
    same: dict[str, LakePartition] = {}
    why: dict[str, str] = {}
    for partition in partitions:
        if partition.id not in held:
            why[partition.id] = "its originals are gone"
            continue
        try:
            require_same(partition, held[partition.id])
            same[partition.id] = held[partition.id]
        except LakeError as error:
            why[partition.id] = str(error)
    return same, why


def _archived(partition: Partition, hidden: set[str]) -> Archived:
    shown = [name for name in partition.schema.names if name not in hidden]
    return Archived.of(partition, "bounded", RowRange(), shown)


def _ask(sql: str, pieces: Sequence[Piece], hidden: set[str], threads: int) -> pa.Table:
    columns = dict.fromkeys(name for piece in pieces for name in (*piece.schema.names, *piece.keys))
    scan = Scan(pieces, columns=[name for name in columns if name not in hidden], threads=threads)
    try:
        return query(sql, scan, _WHAT)
    except UsageError as error:
        if hidden and "not found" in str(error):
            raise UsageError(f"{error} (sensitive columns are left out of t: {', '.join(sorted(hidden))})") from None
        raise


def _positional(table: pa.Table) -> list[dict[str, Any]]:
    """Rows by column number: an answer may have two columns of one name."""
    return list(table.rename_columns([str(i) for i in range(table.num_columns)]).to_pylist())


def _rows(found: Impact | None, side: int) -> tuple[tuple[Any, ...], ...]:
    return () if found is None else tuple(tuple(map(_plain, pair[side])) for pair in found.pairs)


def _plain(cell: Any) -> Any:
    """A cell for JSON: what it has no form for as text."""
    return cell if cell is None or isinstance(cell, bool | int | float | str) else str(cell)
