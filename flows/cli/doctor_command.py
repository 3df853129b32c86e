"""The command that probes a store."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import print_json, print_table, say

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="Path or URL where an archive is or could be.",
        show_default=False,
        callback=options.without_credentials,
    ),
]


def doctor(url: Url, json: options.Json = False) -> None:
    """Probe whether a store is safe to commit to: exit code 3 where it is not. What the probes write is removed.

    Example: latentlake doctor s3://bucket/flights.archive
    """
    from ae_core.jobs.doctor import doctor as probe

    report = probe(url)
    if json:
        print_json(report)
    else:
        print_table(
            ["property", "needed to", "", "seconds>", "what was seen"],
            [
                (
                    check.name,
                    "commit" if check.needed else "expire",
                    "yes" if check.ok else "NO",
                    f"{check.seconds:.2f}",
                    "" if check.detail == "yes" else check.detail,
                )
                for check in report.checks
            ],
        )
        say(f"asked as {report.identity}{f' at {report.endpoint}' if report.endpoint else ''}")
        say(f"{url}: {'safe to commit to' if report.safe else 'NOT safe to commit to: nothing is written there'}")
    if not report.safe:
        raise typer.Exit(3)
