"""Certificates and audits as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.cli.console import human_bytes, human_ratio, print_table, say

if TYPE_CHECKING:
    from ae_core.jobs.results import AuditResult, QueryAudit

_SHOWN_ROWS = 40
_COLUMNS = [
    "column",
    "type",
    "may lose",
    "nulls>",
    "exceptions>",
    "max error>",
    "error/bound>",
    "mean error>",
    "exact cells>",
    "coder",
    "bytes>",
]


def print_certificate(record: Mapping[str, Any]) -> None:
    """Print what each column of a partition lost."""
    from ae_core.jobs.audit import bound_text
    from ae_core.report.certificate import Certificate

    certificate = Certificate.from_dict(record)
    print_table(
        _COLUMNS,
        [
            (
                column.name,
                column.loss.type,
                bound_text(column.loss.bound.kind, column.loss.bound.value),
                f"{column.loss.nulls:,}",
                f"{column.loss.exceptions:,}",
                human_ratio(column.loss.max_error),
                human_ratio(column.loss.max_ratio),
                human_ratio(column.loss.mean_error),
                f"{column.loss.exact_share:.2%}",
                column.coded.coder,
                human_bytes(column.coded.after),
            )
            for column in certificate.columns
        ],
    )
    for column in certificate.columns:
        _print_psnr(column.name, column.coded.coder, column.loss.psnr)
    say(str(certificate.verdict()))
    for check in certificate.checks:
        say(f"check {check.name!r}: {'passed' if check.passed else 'FAILED'}, largest change {check.worst:.4g}")


def _print_psnr(name: str, coder: str, psnr: float | None) -> None:
    if coder == "vector" and psnr is not None and psnr < math.inf:
        say(f"{name}: PSNR {psnr:.1f} dB, the peak being the range of these elements")


def print_query(result: QueryAudit) -> None:
    """Print a query's answer, and what became of it where originals are at hand."""
    if result.compared:
        rows = [
            [_changed(old, new) for old, new in zip(*pair, strict=True)]
            for pair in zip(result.original, result.archived, strict=True)
        ]
        print_table(result.columns, rows[:_SHOWN_ROWS])
        if len(rows) > _SHOWN_ROWS:
            say(f"... and {len(rows) - _SHOWN_ROWS:,} rows more; --json prints all")
        for change in result.changes:
            where = f" where {change.row}" if change.row else ""
            say(f"{change.column}: off by at most {change.absolute:.4g}{where}, relative {change.relative:.4g}")
        if result.only_original or result.only_archived:
            say(f"{result.only_original:,} rows of the original answer are gone, {result.only_archived:,} are new")
        say(f"snapshot {result.snapshot}: compared over {len(result.compared)} partitions, original → archived")
    for partition, reason in result.not_compared.items():
        say(f"not compared, {partition}: {reason}")
    if result.not_compared:
        print_table(result.columns, [list(map(_text, row)) for row in result.answer[:_SHOWN_ROWS]])
        count = len(result.compared) + len(result.not_compared)
        say(f"snapshot {result.snapshot}: the archive's own answer over all {count} partitions")


def _changed(old: object, new: object) -> str:
    before, after = _text(old), _text(new)
    return after if old == new else f"{before} → {after}"


def _text(cell: object) -> str:
    return f"{cell:.10g}" if isinstance(cell, float) else "" if cell is None else str(cell)


def print_audit(result: AuditResult) -> None:
    """Print the losses of all columns and what stands against the partitions."""
    print_table(
        _COLUMNS,
        [
            (
                column.name,
                column.type,
                column.bound,
                f"{column.nulls:,}",
                f"{column.exceptions:,}",
                human_ratio(column.max_error),
                human_ratio(column.worst_ratio),
                human_ratio(column.mean_error),
                "" if column.exact_share is None else f"{column.exact_share:.2%}",
                column.coder,
                human_bytes(column.bytes_after),
            )
            for column in result.columns
        ],
    )
    for column in result.columns:
        _print_psnr(column.name, column.coder, column.psnr)
    for partition in result.partitions:
        if partition.problem is not None:
            say(f"NOT PROVED {partition.partition}: {partition.problem}")
    if result.not_in_lake:
        say(f"originals gone, proved by digest: {', '.join(result.not_in_lake)}")
    good = sum(partition.problem is None for partition in result.partitions)
    how = "measured against the originals" if result.measured == "originals" else "decoded to the certified digests"
    say(f"snapshot {result.snapshot}: {good} of {len(result.partitions)} partitions {how}")
    if result.html:
        say(f"report: {result.html}")
    say(f"pin it: --snapshot {result.snapshot} --expect-head {result.head_sha256}")
