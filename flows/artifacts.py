"""What a run leaves in the Prefect UI: sizes, losses and the training curve; never a value of a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from ae_core.archive.reader import open_snapshot
from ae_core.jobs.compress import Run
from ae_core.jobs.prepare import Prepared
from ae_core.jobs.results import AuditResult, DecodeResult
from ae_core.records import training_reports


def publish_result(run: Run) -> None:
    """Sizes and worst errors of the partitions of a compress run."""
    create_table_artifact(
        key="compress-partitions",
        description=f"{run.request.lake} into {run.request.archive}",
        table=[
            {
                "partition": outcome.partition,
                "action": outcome.action,
                "reason": outcome.reason,
                "rows": outcome.rows,
                "source bytes": outcome.source_bytes,
                "archive bytes": outcome.archive_bytes,
                "worst error/bound": outcome.worst_ratio,
                "commit": outcome.commit,
            }
            for outcome in run.outcomes
        ],
    )


def publish_training(prepared: Prepared) -> None:
    """The training curve of the model that a run uses, as a table of epochs."""
    report = training_reports(open_snapshot(prepared.archive)).get(prepared.model, {})
    use = prepared.use
    how = "reused" if use.reused else f"{use.drift.decision} in {use.seconds:.0f} s"
    lines = [f"Model `{prepared.model[:12]}`, {use.bytes:,} bytes, {how}.", f"Why: {use.drift.reason}."]
    if use.no_latents_reason:
        lines.append(f"No latents: {use.no_latents_reason}")
    create_markdown_artifact(key="model", markdown="\n\n".join([*lines, curve_table(report)]))


def curve_table(report: Mapping[str, Any]) -> str:
    """The curve of a training report as a Markdown table; empty where there is none."""
    training = report.get("training")
    fit = training.get("fit") if isinstance(training, Mapping) else None
    curve = fit.get("curve") if isinstance(fit, Mapping) else None
    if not isinstance(curve, list) or not curve or not isinstance(curve[0], Mapping):
        return ""
    names = list(curve[0])
    rows = ["| " + " | ".join(_cell(point.get(name)) for name in names) + " |" for point in curve]
    return "\n".join(["| " + " | ".join(names) + " |", "|" + " --- |" * len(names), *rows])


def publish_decode(result: DecodeResult) -> None:
    """What a decode run wrote."""
    create_table_artifact(
        key="decode-partitions",
        description=f"{result.archive} snapshot {result.snapshot}, {result.layer}, into {result.out}",
        table=[{"partition": p.partition, "rows": p.rows, "files": len(p.files)} for p in result.partitions],
    )


def publish_audit(result: AuditResult) -> None:
    """The losses of every column that an audit proved."""
    create_table_artifact(
        key="audit-columns",
        description=f"{result.archive} snapshot {result.snapshot}: {'proved' if result.ok else 'NOT proved'}",
        table=[
            {
                "column": column.name,
                "bound": column.bound,
                "max error": column.max_error,
                "worst error/bound": column.worst_ratio,
                "mean error": column.mean_error,
                "exceptions": column.exceptions,
                "bytes": column.bytes_after,
            }
            for column in result.columns
        ],
    )


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
