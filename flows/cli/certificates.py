"""Certificates and audits as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.cli.console import human_bytes, human_ratio, print_table, say

if TYPE_CHECKING:
    from ae_core.jobs.results import AuditResult

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
    say(str(certificate.verdict()))


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
