"""Deployments of a team's file on a Prefect server: made, updated, and removed when they are gone from the file.

`nightly-compress/<lake>`, `audit/<lake>` and `retire/<lake>` run by schedule; `decode/on-request` waits for someone who
asks. Each loads its flow from the installed package, so a worker needs nothing but latentlake.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import DeploymentSort
from prefect.deployments.runner import RunnerDeployment
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL
from prefect.types.entrypoint import EntrypointType

from ae_core.errors import UsageError
from flows.nightly import audit, decode, nightly_compress
from flows.retire import retire
from flows.team import Lake, Schedule, Team

TAG = "latentlake"
HEARTBEAT_SECONDS = 30
_ZOMBIES = "latentlake: runs whose process died"


@dataclass(frozen=True)
class Deployed:
    """A deployment, what became of it, when it runs (cron and time zone, or on request), and when next."""

    name: str
    action: Literal["planned", "deployed", "removed"]
    schedule: str
    next_run: str | None = None


def deploy(team: Team, folder: Path) -> list[Deployed]:
    """Make the server's deployments those of the file; others of the same team are removed.

    Parameters
    ----------
    folder
        Where paths count from.

    Raises
    ------
    UsageError
        When no server answers.
    """
    try:
        return _deploy(team, folder)
    except httpx.TransportError as error:
        raise UsageError(f"no Prefect server answers at {PREFECT_API_URL.value()} ({type(error).__name__})") from None


def _deploy(team: Team, folder: Path) -> list[Deployed]:
    wanted = deployments(team, folder)
    with get_client(sync_client=True) as client:
        _work_pool(client, team)
        _watch_for_zombies(client)
    done = []
    for deployment, schedule in wanted:
        deployment.apply(work_pool_name=team.work_pool)
        done.append(_described(deployment, schedule, "deployed"))
    with get_client(sync_client=True) as client:
        return done + _remove_others(client, team, {one.name for one in done})


def planned(team: Team, folder: Path) -> list[Deployed]:
    """What `deploy` would put on a server."""
    return [_described(made, schedule, "planned") for made, schedule in deployments(team, folder)]


def _described(made: RunnerDeployment, schedule: Schedule | None, action: Literal["planned", "deployed"]) -> Deployed:
    due = "on request" if schedule is None else f"{schedule.cron} {schedule.timezone}"
    after = None if schedule is None else schedule.next_run(datetime.now(UTC)).isoformat(timespec="minutes")
    return Deployed(f"{made.flow_name}/{made.name}", action, due, after)


def deployments(team: Team, folder: Path) -> list[tuple[RunnerDeployment, Schedule | None]]:
    """The deployments of a team's file, not yet on a server, with their schedules."""
    found = [_deployment(team, decode, "on-request", {}, None, "Decode partitions of an archive when someone asks.")]
    for name, lake in team.lakes.items():
        about = f"{lake.lake} into {lake.archive}"
        request = lake.request(folder)
        nightly: dict[str, Any] = request.model_dump(
            mode="json",
            include={"lake", "archive", "policy", "where", "older_than_days", "order", "limit", "max_hours"},
        )
        found.append(_deployment(team, nightly_compress, name, nightly, lake.nightly, f"Compress {about}."))
        proved = _audit_parameters(lake, request.archive)
        found.append(_deployment(team, audit, name, proved, lake.audit, f"Audit {lake.archive}."))
        going = {key: nightly[key] for key in ("lake", "archive", "policy", "where")}
        found.append(_deployment(team, retire, name, going, lake.retire, f"Fade and expire {about} by policy."))
    return found


def _audit_parameters(lake: Lake, archive: str) -> dict[str, Any]:
    return {"archive": archive, "sample": 1.0 if lake.audit is None else lake.audit.sample}


def _deployment(
    team: Team, flow: Any, name: str, parameters: dict[str, Any], schedule: Schedule | None, description: str
) -> tuple[RunnerDeployment, Schedule | None]:
    made = RunnerDeployment.from_flow(
        flow,
        name=name,
        parameters=parameters,
        schedules=[] if schedule is None else [Cron(schedule.cron, timezone=schedule.timezone)],
        description=description,
        tags=[TAG, team_tag(team)],
        work_pool_name=team.work_pool,
        job_variables={"env": {**team.environment, "PREFECT_RUNNER_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return made, schedule


def team_tag(team: Team) -> str:
    """Tag of the deployments that came from a team's file."""
    return f"{TAG}:{team.team}"


def _work_pool(client: SyncPrefectClient, team: Team) -> None:
    try:
        client.read_work_pool(team.work_pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=team.work_pool, type="process"))


def _remove_others(client: SyncPrefectClient, team: Team, kept: set[str]) -> list[Deployed]:
    mine = DeploymentFilter.model_validate({"tags": {"all_": [TAG, team_tag(team)]}})
    found: list[Any] = []
    while more := client.read_deployments(
        deployment_filter=mine, limit=100, offset=len(found), sort=DeploymentSort.NAME_ASC
    ):
        found += more
    removed = []
    for deployment in found:
        name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        if name not in kept:
            client.delete_deployment(deployment.id)
            removed.append(Deployed(name, "removed", ""))
    return removed


def _watch_for_zombies(client: SyncPrefectClient) -> None:
    """An automation that marks a run as crashed when its process stops to tell that it lives."""
    alive = {"prefect.flow-run.heartbeat"}
    ended = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "Skipped")}
    wanted = AutomationCore(
        name=_ZOMBIES,
        description="A worker that was killed leaves a run that never ends: this ends it.",
        trigger=EventTrigger(
            after=alive,
            expect=alive | ended,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=4 * HEARTBEAT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                force=False,
                message="Its process died; what it had committed stays, the next run goes on.",
            )
        ],
    )
    if not client.read_automations_by_name(_ZOMBIES):
        client.create_automation(wanted)
