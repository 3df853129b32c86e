"""Commands that look at a lake and write an archive; `compress` runs the Prefect flow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ae_core.errors import OutputExists, UsageError
from flows.cli import options
from flows.cli.console import human_bytes, human_ratio, note, print_json, print_table, progress_bar, say
from flows.cli.profiles import print_column, print_predictions

if TYPE_CHECKING:
    from ae_core.jobs.request import CompressRequest
    from ae_core.jobs.results import CompressResult, DryRun, LakeProfile


def plan(
    lake: options.Lake,
    policy: options.PolicyFile = None,
    range_: options.Range = None,
    where: options.Where = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", metavar="FILE", help="Write the policy here; must not exist.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="COLUMN", help="Say everything about one column.")
    ] = None,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write it all as a page with a picture; must not exist."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Profile a lake's columns, propose what each may lose, with reasons, and predict the sizes.

    Trains small networks on a sample for several bounds: most of a minute. Nothing is archived.

    Example: latentlake plan flights -o policy.yaml --html plan.html
    """
    from ae_core.jobs.profile import profile_lake

    if out is not None and Path(out).exists():
        raise OutputExists(f"{out} exists already and is never overwritten; choose another name")
    with progress_bar() as progress:
        result = profile_lake(
            lake, policy=policy, range_=range_, where=where, html=html, train=explain is None, progress=progress
        )
    if out is not None:
        Path(out).write_text(result.policy, encoding="utf-8")
        note(f"wrote {out}; look it over, then: latentlake compress {lake} ARCHIVE --policy {out}")
    if json:
        print_json(result)
    elif explain is not None:
        print_column(result, explain)
    else:
        _print_profile(result, written=out is not None)


def compress(
    lake: options.Lake,
    archive: options.Archive,
    policy: options.PolicyFile = None,
    range_: options.Range = None,
    where: options.Where = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done and why; write nothing.")] = False,
    page_data: Annotated[
        bool, typer.Option("--page-data/--no-page-data", help="Store what the HTML report draws (some kB a partition).")
    ] = True,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than", min=0, metavar="DAYS", help="Only partitions at least that old.", show_default=False
        ),
    ] = None,
    order: Annotated[
        str, typer.Option("--order", metavar="ORDER", help="Which come first: lake, newest, oldest or largest.")
    ] = "lake",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="At most N partitions in this run.", show_default=False),
    ] = None,
    max_hours: Annotated[
        float | None,
        typer.Option(
            "--max-hours",
            min=0.001,
            metavar="H",
            help="Begin nothing new after H hours; commit and stop.",
            show_default=False,
        ),
    ] = None,
    recompress: Annotated[
        bool, typer.Option("--recompress", help="Also what is archived and unchanged, with the policy as it is now.")
    ] = False,
    message: Annotated[str, typer.Option("--note", metavar="TEXT", help="Kept in the commits of this run.")] = "",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Compress a lake's new and changed partitions into an archive; what is archived and unchanged is skipped.

    Example: latentlake compress flights flights.archive --policy policy.yaml
    """
    from ae_core.jobs.request import CompressRequest

    if policy is None and range_ is None:
        raise UsageError(
            f"nothing is lost unasked: give --policy FILE or --range R; `latentlake plan {lake} -o policy.yaml` "
            "proposes a policy"
        )
    request = CompressRequest.checked(
        lake,
        archive,
        policy=policy,
        range_=range_,
        where=where,
        threads=threads,
        page_data=page_data,
        older_than_days=older_than,
        order=options.order_of(order),
        limit=limit,
        max_hours=max_hours,
        recompress=recompress,
        note=message,
    )
    if dry_run:
        from ae_core.jobs.dry_run import dry_run as predict

        prediction = predict(request)
        return print_json(prediction) if json else _print_dry_run(prediction)
    result = _run_flow(request)
    return print_json(result) if json else _print_result(result)


def _run_flow(request: CompressRequest) -> CompressResult:
    from ae_core.jobs.plan import nothing_to_do, survey

    # asked before Prefect starts: bad input and a second run answer at once
    found = survey(request)
    if found.nothing_due:
        return nothing_to_do(request, found)
    from flows.server import prepare_prefect

    note("starting Prefect ...")
    prepare_prefect()
    from flows.compress import listening, run_compress

    with progress_bar() as progress, listening(progress):
        return run_compress(request)


def _print_profile(profile: LakeProfile, *, written: bool) -> None:
    say(
        f"{profile.lake}: {profile.partitions} partitions, {profile.rows:,} rows, "
        f"{human_bytes(profile.source_bytes)} of Parquet; profiled on {profile.sample_rows:,} rows"
    )
    print_table(
        [
            "column",
            "type",
            "may lose",
            "because",
            "coder",
            "because ",
            "nulls>",
            "distinct>",
            "min>",
            "max>",
            "sample bytes>",
        ],
        [
            (
                column.name,
                column.type,
                column.bound,
                column.policy_reason,
                "a model" if column.coder == "network" else column.coder,
                column.coder_reason,
                f"{column.nulls:,}",
                f"{column.distinct:,}",
                column.minimum,
                column.maximum,
                f"{column.sample_bytes:,}",
            )
            for column in profile.columns
        ],
    )
    say(
        f"about {human_bytes(profile.predicted_bytes)} under {'this' if written else 'the'} policy with plain coders "
        "alone; a trained model usually needs less"
    )
    print_predictions(profile)
    if not written:
        say("")
        for line in profile.policy.splitlines():
            say(line)


def _print_dry_run(prediction: DryRun) -> None:
    print_table(
        ["partition", "action", "because", "rows>", "source>", "estimate>"],
        [
            (
                row.partition,
                row.action,
                row.reason,
                f"{row.rows:,}",
                human_bytes(row.source_bytes),
                human_bytes(row.estimated_bytes) if row.action == "compress" else "",
            )
            for row in prediction.partitions
        ],
    )
    chosen = [row for row in prediction.partitions if row.action == "compress"]
    say(
        f"would compress {len(chosen)} of {len(prediction.partitions)} partitions into {prediction.archive}; "
        "wrote nothing"
    )


def _print_result(result: CompressResult) -> None:
    done = [row for row in result.partitions if row.action == "compressed"]
    waiting = [row for row in result.partitions if row.action == "waiting"]
    if not done:
        skipped = [row for row in result.partitions if row.action == "skipped"]
        same = len(result.partitions) - len(waiting) - len(skipped)
        say(f"{result.archive}: {same} partitions are archived and unchanged, {len(waiting)} wait; nothing to do")
        for row in waiting[:10]:
            say(f"  {row.partition} waits: {row.reason}")
        for row in skipped:
            say(f"  {row.partition} is skipped: {row.reason}")
        return
    print_table(
        ["partition", "action", "because", "rows>", "source>", "archive>", "ratio>", "worst error/bound>", "commit>"],
        [
            (
                row.partition,
                row.action,
                row.reason,
                f"{row.rows:,}" if row.rows else "",
                human_bytes(row.source_bytes) if row.source_bytes else "",
                human_bytes(row.archive_bytes) if row.archive_bytes else "",
                human_ratio(row.archive_bytes / row.source_bytes) if row.archive_bytes and row.source_bytes else "",
                human_ratio(row.worst_ratio) or ("exact" if row.action == "compressed" else ""),
                row.commit,
            )
            for row in result.partitions
        ],
    )
    for model in result.models:
        how = "reused" if model.reused else f"{model.drift.decision} in {model.seconds:.0f} s"
        say(f"model {model.digest[:12]}, {human_bytes(model.bytes)}, {how}")
        say(f"  {model.drift.reason}")
        if model.no_latents_reason:
            say(f"  no latents: {model.no_latents_reason}")
    if result.left:
        pace = sum(row.source_bytes for row in done) / max(1e-9, result.seconds)
        seconds = sum(row.source_bytes for row in waiting if row.reason.startswith("left")) / max(1.0, pace)
        say(f"{result.left} more partitions are due, about {seconds / 60:.0f} min at this pace; run again for them")
    say(
        f"{len(done)} partitions in {len(result.commits)} commit{'s' if len(result.commits) != 1 else ''}, "
        f"{result.seconds:.0f} s; "
        f"see: latentlake ls {result.archive}"
    )
