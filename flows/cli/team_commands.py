"""Commands about a team's file: what stands there, and its deployments on a Prefect server."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ae_core.errors import UsageError
from flows.cli import options
from flows.cli.console import human_bytes, human_ratio, note, print_json, print_table, say

if TYPE_CHECKING:
    from flows.team import Lake

TeamFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The team's YAML file: lakes, archives, policies, schedules.")
]


def deploy(
    file: TeamFile = Path("latentlake.yaml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and list what it deploys.")] = False,
    json: options.Json = False,
) -> None:
    """Make the deployments of a team's file on the Prefect server of PREFECT_API_URL; remove what is gone from it.

    Example: PREFECT_API_URL=http://127.0.0.1:4200/api latentlake deploy latentlake.yaml
    """
    from flows.team import load_team

    team = load_team(file)
    if not dry_run and not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            "deploy needs a Prefect server that stays: run `prefect server start` and set PREFECT_API_URL "
            "(http://127.0.0.1:4200/api); infra/README.md leads through it"
        )
    from flows.server import prepare_prefect

    prepare_prefect()
    from flows import deploy as deployer

    done = deployer.planned(team, file.parent) if dry_run else deployer.deploy(team, file.parent)
    if json:
        return print_json(done)
    print_table(
        ["deployment", "action", "schedule", "next run"], [(d.name, d.action, d.schedule, d.next_run) for d in done]
    )
    return None if dry_run else note(f"start a worker with: prefect worker start --pool {team.work_pool}")


def _next_run(lake: Lake) -> str | None:
    if lake.nightly is None:
        return None
    return lake.nightly.next_run(datetime.now(UTC)).isoformat(timespec="minutes")


def status(file: TeamFile = Path("latentlake.yaml"), json: options.Json = False) -> None:
    """Show what is archived, pending and failed of every lake, what that saves, and what the next run does.

    Example: latentlake status latentlake.yaml
    """
    from ae_core.jobs.status import lake_status
    from flows.team import load_team

    team = load_team(file)
    prices = (team.prices.gb_month, team.prices.cpu_hour)
    found = []
    for name, lake in team.lakes.items():
        found.append(lake_status(name, lake.request(file.parent), _next_run(lake), prices))
    if json:
        return print_json(found)
    print_table(
        [
            "lake",
            "archived>",
            "source>",
            "archive>",
            "ratio>",
            "saves a month>",
            "pending>",
            "wait>",
            "aside>",
            "next run",
        ],
        [
            (
                one.lake,
                f"{one.archived:,}",
                human_bytes(one.source_bytes),
                human_bytes(one.archive_bytes),
                human_ratio(one.archive_bytes / one.source_bytes) if one.source_bytes else "",
                f"{one.saved_a_month:.2f} {team.prices.currency}",
                f"{one.pending:,}",
                f"{one.waiting:,}",
                f"{one.set_aside:,}",
                one.next_run or "not scheduled",
            )
            for one in found
        ],
    )
    for one in found:
        each = one.seconds / one.archived if one.archived else 0.0
        say(
            f"{one.lake}: the next run takes {one.next_partitions:,} partitions ({human_bytes(one.next_bytes)}); "
            f"CPU so far: {one.training_seconds:.0f} s of training, {one.seconds:.0f} s of encoding "
            f"({each:.1f} s a partition), {one.spent:.2g} {team.prices.currency}"
        )
        if one.pending and one.seconds_left is not None:
            runs = f", {one.runs_left:,} runs" if one.runs_left else ""
            say(f"  all {one.pending:,} that are due: about {one.seconds_left / 60:.0f} min of CPU{runs}")
        if one.gone:
            say(f"  {one.gone:,} archived partitions are no longer in the lake")
        for problem in one.problems:
            say(f"  {problem}")
    say("what is saved a month counts from the day that originals are expired")
    return None
