"""What a notebook shows of a certificate: small HTML tables, every text in them escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ae_core.report.records import ColumnLoss


def table_html(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], more: int = 0) -> str:
    """A titled table; `more` rows are said to be left out."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    left = f"<p>and {more:,} more</p>" if more else ""
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><b>{escape(title)}</b></p>{table}{left}</div>"


def certificate_html(partition: str, rows: int, verdict: str, losses: Sequence[ColumnLoss]) -> str:
    """The verdict, and what each column may have lost and did."""
    cells = [
        (
            loss.name,
            loss.type,
            _bound(loss),
            _figure(loss.max_error),
            _figure(loss.mean_error),
            f"{loss.exact_share:.2%}",
        )
        for loss in losses
    ]
    head = ["column", "type", "may lose", "max error", "mean error", "exact cells"]
    return table_html(f"{partition}, {rows:,} rows. {verdict}", head, cells)


def _bound(loss: ColumnLoss) -> str:
    value = loss.bound.fraction
    return (
        loss.bound.kind if value is None else f"{'±' if loss.bound.kind == 'abs' else '±relative '}{float(value):.4g}"
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
