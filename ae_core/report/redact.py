"""A certificate and page data without any value: every column is treated as a sensitive one."""

from __future__ import annotations

from dataclasses import replace

from ae_core.report.certificate import Certificate, ColumnCertificate
from ae_core.report.records import TableDetail


def redact(certificate: Certificate, detail: TableDetail | None) -> tuple[Certificate, TableDetail | None]:
    """The same figures of loss, and neither a value nor a sum of values."""
    columns = tuple(_column(column) for column in certificate.columns)
    checks = tuple(replace(check, problem="withheld" if check.problem else "") for check in certificate.checks)
    kept = None
    if detail is not None:
        kept = TableDetail(
            tuple(replace(column, histogram=None, withheld=True) for column in detail.columns),
            tuple(
                replace(row, original=(None,) * len(row.original), rebuilt=(None,) * len(row.rebuilt))
                for row in detail.worst_rows
            ),
        )
    return replace(certificate, columns=columns, checks=checks), kept


def _column(column: ColumnCertificate) -> ColumnCertificate:
    bound = replace(column.loss.bound, sensitive=True)
    return replace(column, loss=replace(column.loss, bound=bound, total=None))
