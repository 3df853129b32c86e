"""Commands that keep an archive safe and tell its history. None of them imports Prefect or torch."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import human_bytes, note, print_json, print_table, progress_bar, say


def copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Path or URL of an archive.",
            show_default=False,
            callback=options.without_credentials,
        ),
    ],
    replica: Annotated[
        str,
        typer.Argument(
            metavar="DST",
            help="Where the replica is, or is to be.",
            show_default=False,
            callback=options.without_credentials,
        ),
    ],
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Make a replica of an archive, object for object, or bring one up to date; run again after an interruption.

    The replica has the same head SHA-256 and is an archive at every moment. `verify SRC --repair-from DST` restores
    from it. A replica with a history of its own is refused. Bytes are compared with their digests and not decoded.

    Example: latentlake copy flights.archive /mnt/other/flights.archive
    """
    from ae_core.jobs.copy import copy as copy_archive

    with progress_bar() as progress:
        result = copy_archive(source, replica, threads=threads, progress=progress)
    if json:
        return print_json(result)
    say(
        f"{result.commits} commits and {result.objects} objects copied ({human_bytes(result.bytes)}, "
        f"{result.found} were there already), {result.seconds:.1f} s"
    )
    say(f"snapshot {result.head} here and there, sha256 {result.head_sha256}")
    return None


def diff(
    archive: options.Archive,
    before: Annotated[int, typer.Argument(metavar="N", min=0, help="The earlier snapshot.", show_default=False)],
    after: Annotated[int, typer.Argument(metavar="M", min=0, help="The later snapshot.", show_default=False)],
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """List what changed between two snapshots: partitions, bytes, layers, bounds, models and the commits that did it.

    Example: latentlake diff flights.archive 3 7
    """
    caps = options.caps_of(cap, untrusted=untrusted)
    if caps:
        from ae_core.untrusted import jobs

        result = jobs.diff_archive(archive, before, after, caps=caps, notice=note)
    else:
        from ae_core.jobs.diff import diff_archive

        result = diff_archive(archive, before, after)
    if json:
        return print_json(result)
    print_table(
        ["partition", "change", "rows>", "bytes before>", "bytes after>", "layers", "what else", "commit>"],
        [
            (
                row.partition,
                row.change,
                f"{(row.rows_after or row.rows_before):,}",
                human_bytes(row.bytes_before) if row.change != "added" else "",
                human_bytes(row.bytes_after) if row.change != "removed" else "",
                _layers(row.layers_before, row.layers_after),
                "; ".join((*row.bounds, *row.columns)),
                row.commit,
            )
            for row in result.partitions
        ],
    )
    for model in result.models_added:
        say(f"model {model[:12]} came")
    for model in result.models_removed:
        say(f"model {model[:12]} went")
    for commit in result.commits:
        say(f"commit {commit.n}, {commit.time}: {commit.message}")
    say(
        f"snapshot {before} to {after}: {len(result.partitions)} partitions differ, "
        f"{human_bytes(result.bytes_before)} to {human_bytes(result.bytes_after)}"
    )
    return None


def _layers(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    if before == after or not before or not after:
        return ", ".join(after or before)
    return f"{', '.join(before)} to {', '.join(after)}"
