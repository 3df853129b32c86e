"""Commands that take something away: gc, drop, fade, expire. What loses data shows what it would do until `--yes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.console import fail, human_bytes, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from ae_core.jobs.retire_results import DropResult, ExpireResult, FadeResult, GcResult

REFUSED = 5

Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is changed, and what would be is shown.")]
Partitions = Annotated[
    list[str] | None,
    typer.Option("--partition", metavar="ID", help="This partition by its id, as ls shows it; repeat for more."),
]
OnlyCopy = Annotated[
    bool, typer.Option("--only-copy-accepted", help="Also where the archive holds the only copy of the data.")
]
_LISTED = 20


def gc(
    archive: options.Archive,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; delete nothing.")] = False,
    keep_snapshots: Annotated[int, typer.Option("--keep-snapshots", min=1, metavar="N", help="Newest ones kept.")] = 10,
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, metavar="D", help="Snapshots of the last days, kept too.")
    ] = 7.0,
    orphan_days: Annotated[
        float, typer.Option("--orphan-days", min=0, metavar="D", help="Younger leftovers may be a writer's at work.")
    ] = 1.0,
    json: options.Json = False,
) -> None:
    """Delete what no kept snapshot needs: leftovers of stopped writers, and objects of old snapshots alone.

    Runs unless --dry-run is given: it never deletes what a kept snapshot needs. Reading an older snapshot then fails.

    Example: latentlake gc flights.archive --dry-run
    """
    from ae_core.jobs.collect import collect

    with progress_bar() as progress:
        result = collect(
            archive,
            dry_run=dry_run,
            snapshots=keep_snapshots,
            days=keep_days,
            orphan_days=orphan_days,
            progress=progress,
        )
    return print_json(result) if json else _print_gc(result)


def drop(
    archive: options.Archive,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Stays in the log for ever.")],
    where: options.Where = None,
    partition: Partitions = None,
    lake: Annotated[
        str | None,
        typer.Option(
            "--lake",
            metavar="LAKE",
            help="Look here for the originals: without them it is an only copy.",
            callback=options.without_credentials,
        ),
    ] = None,
    only_copy_accepted: OnlyCopy = False,
    yes: Yes = False,
    json: options.Json = False,
) -> None:
    """Remove partitions from the archive. Their bytes go with gc, once no kept snapshot needs them.

    Exits 5, and drops nothing, while one of them is an only copy.

    Example: latentlake drop flights.archive --where month=3 --reason 'asked for by its owner' --yes
    """
    from ae_core.jobs.drop import drop as drop_partitions

    result = drop_partitions(
        archive,
        reason=reason,
        where=where,
        partitions=tuple(partition or ()),
        lake=lake,
        only_copy_accepted=only_copy_accepted,
        dry_run=not yes,
    )
    if json:
        print_json(result)
    else:
        _print_drop(result)
    if result.refused:
        _refuse(f"only copies: {', '.join(result.refused)}; --only-copy-accepted gives them up")


def fade(
    archive: options.Archive,
    where: options.Where = None,
    partition: Partitions = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Stays in the log for ever.")] = "",
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="A newer policy, which may pin more partitions.")
    ] = None,
    only_copy_accepted: OnlyCopy = False,
    yes: Yes = False,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Keep the latents of partitions alone: a preview with measured errors, without bounds, columns left out.

    Exits 5, and fades nothing, while one of them is pinned, exact, without latents or an only copy.

    Example: latentlake fade flights.archive --where 'month<=6' --yes
    """
    from ae_core.jobs.fade import fade as fade_partitions

    with progress_bar() as progress:
        result = fade_partitions(
            archive,
            reason=reason,
            where=where,
            partitions=tuple(partition or ()),
            policy=policy,
            only_copy_accepted=only_copy_accepted,
            dry_run=not yes,
            threads=threads,
            progress=progress,
        )
    if json:
        print_json(result)
    else:
        _print_fade(result)
    if result.refused:
        _refuse("; ".join(f"{row.partition}: {row.reason}" for row in result.partitions if row.action == "refused"))


def expire(
    lake: options.Lake,
    archive: options.Archive,
    where: options.Where = None,
    partition: Partitions = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="Its retire block instead of the recorded one.")
    ] = None,
    yes: Yes = False,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Delete originals that the archive holds: compare in full and record; after the policy's wait, delete and record.

    Every run goes one step further; run it nightly. Only what the policy enables (retire: {expire: {enabled: true}}) is
    touched, and only files that are still the very version that was compressed. Exits 5 where one was refused; the
    others went on. To bring files back: latentlake decode ARCHIVE LAKE --where ...

    Example: latentlake expire flights flights.archive --where 'month<=6' --yes
    """
    from ae_core.jobs.expire import expire as expire_originals

    with progress_bar() as progress:
        result = expire_originals(
            lake,
            archive,
            where=where,
            partitions=tuple(partition or ()),
            policy=policy,
            dry_run=not yes,
            threads=threads,
            progress=progress,
        )
    if json:
        print_json(result)
    else:
        _print_expire(result)
    if result.refused:
        _refuse("; ".join(f"{row.partition}: {row.reason}" for row in result.partitions if row.action == "refused"))


def _refuse(reasons: str) -> None:
    fail(f"refused: {reasons}")
    raise typer.Exit(REFUSED)


def _print_gc(result: GcResult) -> None:
    if result.objects:
        shown = result.objects[:_LISTED]
        print_table(["object", "bytes>", "because"], [(row.name, f"{row.bytes:,}", row.reason) for row in shown])
    if len(result.objects) > _LISTED:
        say(f"... and {len(result.objects) - _LISTED} more; --json lists all")
    what = "would delete" if result.dry_run else "deleted"
    say(f"{what} {len(result.objects)} objects, {human_bytes(result.bytes)}")
    if result.oldest_snapshot > 0:
        say(f"snapshots from {result.oldest_snapshot} on stay readable")


def _print_drop(result: DropResult) -> None:
    print_table(
        ["partition", "rows>", "archive>", "only copy"],
        [(row.partition, f"{row.rows:,}", human_bytes(row.bytes), row.why or "no") for row in result.partitions],
    )
    count = len(result.partitions)
    if result.commit is not None:
        say(f"dropped {count} partitions in commit {result.commit}; the bytes go with: latentlake gc {result.archive}")
    elif not result.refused:
        say(f"would drop {count} partitions; --yes does it")


def _print_fade(result: FadeResult) -> None:
    print_table(
        ["partition", "rows>", "kept>", "dropped>", "columns lost", "because"],
        [
            (
                row.partition,
                f"{row.rows:,}",
                human_bytes(row.bytes_kept),
                human_bytes(row.bytes_dropped),
                ", ".join(row.lost_columns),
                f"{row.action}: {row.reason}" if row.reason else "",
            )
            for row in result.partitions
        ],
    )
    count = sum(row.action == "fade" for row in result.partitions)
    if result.commit is not None:
        say(
            f"faded {count} partitions in commit {result.commit}: read them with --layer preview; "
            f"the bytes go with: latentlake gc {result.archive}"
        )
    elif not result.refused:
        say(f"would fade {count} partitions to previews without bounds; --yes does it" if count else "nothing to fade")


def _print_expire(result: ExpireResult) -> None:
    print_table(
        ["partition", "action", "because", "files", "commit>"],
        [
            (
                row.partition,
                row.action,
                row.reason,
                ", ".join(f"{file.path}: {file.fate}" for file in row.files),
                row.commit,
            )
            for row in result.partitions
        ],
    )
    if result.dry_run:
        due = sum(row.action == "due" for row in result.partitions)
        say(f"would go on with {due} of {len(result.partitions)} partitions; --yes does it")
