"""What a run leaves in the Prefect UI: sizes, losses and the training curve; never a value of a column."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from ae_core.archive.reader import open_snapshot
from ae_core.jobs import setbacks
from ae_core.jobs.compress import Run
from ae_core.jobs.prepare import Prepared
from ae_core.jobs.results import AuditResult, DecodeResult, Drift
from ae_core.records import training_reports
from flows.events import ARCHIVED, DRIFT, FAILED, SET_ASIDE, tell
from flows.settings import Settings


class Board:
    """What a person sees of a compress run in the UI: how far it is, then what became of every partition."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told = 0
        before = {} if run.found.snapshot is None else setbacks.read(run.found.snapshot)
        self._last_tries = {one.id for one, _ in run.found.partitions if setbacks.is_last(before.get(one.id), one)}
        self._progress = cast(UUID, create_progress_artifact(0.0, key="compress-progress", description=self._state()))

    def advance(self) -> None:
        """After a commit."""
        done = 100 * len(self._run.outcomes) / max(1, len(self._run.found.due))
        update_progress_artifact(self._progress, progress=done, description=self._state())
        self._tell()

    def publish(self) -> None:
        """At the end: sizes, worst errors and seconds of the partitions."""
        self.advance()
        create_table_artifact(
            key="compress-partitions",
            description=f"{self._run.request.lake} into {self._run.request.archive}",
            table=[
                {
                    "partition": outcome.partition,
                    "action": outcome.action,
                    "reason": outcome.reason,
                    "rows": outcome.rows,
                    "source bytes": outcome.source_bytes,
                    "archive bytes": outcome.archive_bytes,
                    "ratio": _share(outcome.archive_bytes, outcome.source_bytes),
                    "worst error/bound": outcome.worst_ratio,
                    "seconds": round(outcome.seconds, 2),
                    "CPU seconds": round(outcome.cpu_seconds, 2),
                    **_money(outcome.cpu_seconds, outcome.source_bytes - outcome.archive_bytes),
                    "commit": outcome.commit,
                }
                for outcome in self._run.outcomes
            ],
        )

    def _state(self) -> str:
        run = self._run
        done, due = len(run.outcomes), len(run.found.due)
        spent = time.perf_counter() - run.start
        bytes_done = sum(outcome.source_bytes for outcome in run.outcomes)
        bytes_due = sum(partition.size for partition in run.found.due)
        left = "" if not bytes_done else f", about {spent * (bytes_due - bytes_done) / bytes_done / 60:.0f} min left"
        return f"{run.request.lake}: {done} of {due} partitions{left}"

    def _tell(self) -> None:
        """Events of the partitions that no event told of yet."""
        archive = self._run.request.archive
        for outcome in self._run.outcomes[self._told :]:
            if outcome.action == "compressed":
                tell(
                    ARCHIVED,
                    archive,
                    partition=outcome.partition,
                    rows=outcome.rows,
                    source_bytes=outcome.source_bytes,
                    archive_bytes=outcome.archive_bytes,
                    commit=outcome.commit,
                )
            elif outcome.action == "failed":
                tell(FAILED, archive, partition=outcome.partition, reason=outcome.reason)
                if outcome.partition in self._last_tries:
                    tell(SET_ASIDE, archive, partition=outcome.partition, reason=outcome.reason)
        self._told = len(self._run.outcomes)


def publish_training(prepared: Prepared) -> None:
    """The training curve of the model that a run uses, as a table of epochs."""
    report = training_reports(open_snapshot(prepared.archive)).get(prepared.model, {})
    use = prepared.use
    how = "reused" if use.reused else f"{use.drift.decision} in {use.seconds:.0f} s"
    lines = [f"Model `{prepared.model[:12]}`, {use.bytes:,} bytes, {how}.", f"Why: {use.drift.reason}."]
    if use.no_latents_reason:
        lines.append(f"No latents: {use.no_latents_reason}")
    create_markdown_artifact(key="model", markdown="\n\n".join([*lines, *_reasoning(use.drift), curve_table(report)]))
    if use.drift.decision != "trained" and use.drift.bits_new is not None:  # a new one was tried, for better or worse
        tell(DRIFT, prepared.archive, model=prepared.model, **asdict(use.drift))


def _reasoning(drift: Drift) -> list[str]:
    """The figures by which a model was kept or replaced, as a Markdown table."""
    if drift.bits_now is None:
        return []
    figures = {
        "bits a row when the model was trained": drift.bits_then,
        "bits a row now": drift.bits_now,
        "bits a row by a new model": drift.bits_new,
        "rows due": drift.rows_due,
        "bytes that a new model takes": drift.model_bytes,
        "bytes that it saves or is expected to": drift.bytes_saved,
    }
    rows = [f"| {name} | {_cell(value)} |" for name, value in figures.items() if value is not None]
    return ["\n".join(["| | |", "| --- | --- |", *rows])]


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


def _money(cpu_seconds: float, saved: int) -> dict[str, float]:
    """What encoding a partition cost, and what it saves a month once its originals are expired."""
    prices = Settings()
    return {
        f"cost, {prices.price_currency}": float(f"{cpu_seconds / 3600 * prices.price_cpu_hour:.3g}"),
        f"saves a month, {prices.price_currency}": float(f"{saved / 1e9 * prices.price_gb_month:.3g}"),
    }


def _share(archived: int, source: int) -> float | None:
    return round(archived / source, 4) if archived and source else None


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
