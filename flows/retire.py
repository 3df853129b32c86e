"""The deployment that takes things away by policy: partitions fade, and originals expire once a person agrees.

A run that needs an answer is suspended: no process waits. When the person has answered in the Prefect UI a worker
begins the run anew, and only what was shown, approved and is still due is recorded. What comes after, the deletion
when the policy's wait is over, needs no second answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Completed
from pydantic import Field

from ae_core.errors import ArchiveBusy
from ae_core.jobs import expire as expiry
from ae_core.jobs import fade as fading
from ae_core.jobs import retire as rules_of_retirement
from ae_core.jobs.retire import Retirement
from ae_core.jobs.retire_results import ExpireResult, FadeResult
from ae_core.policy import load_policy
from ae_core.retirement import DAY, Retire
from flows.events import ASKED, EXPIRED, FADED, tell
from flows.exclusive import alone
from flows.steps import step

ANSWER_DAYS = 7
"""How long a run waits for its answer; after that it fails, and the next one asks again."""


class Approval(RunInput):
    """The form of the UI: whether the originals of the listed partitions may be deleted."""

    delete_originals: bool = Field(default=False, description="off keeps every original")
    partitions: list[str] = Field(default=[], description="take out what shall be kept")


@step("what the policy lets go")
def find_due(lake: str, archive: str, rules: Retire, where: Sequence[str]) -> Retirement:
    """Which partitions fade and whose originals may go."""
    return rules_of_retirement.due(lake, archive, rules, where=list(where))


@step("fade")
def fade_partitions(archive: str, rules: Retire, partitions: Sequence[str]) -> FadeResult:
    """Drop the residuals of partitions, after a fresh process has proved the preview."""
    return fading.fade(archive, partitions=partitions, policy=rules, reason="by policy", dry_run=False)


@step("expire originals")
def expire_partitions(lake: str, archive: str, rules: Retire, partitions: Sequence[str]) -> ExpireResult:
    """Take the originals of partitions one step further out of the lake."""
    return expiry.expire(lake, archive, partitions=partitions, policy=rules, dry_run=False)


@flow(name="retire")
def retire(
    lake: Annotated[str, Field(description="path or URL of a folder of Parquet files")],
    archive: Annotated[str, Field(description="path or URL of an archive", min_length=1, max_length=4096)],
    policy: Annotated[str, Field(description="the policy as YAML; its retire block says what may go, and when")],
    where: Annotated[list[str], Field(description="only these partitions: month=3, month>=3; all must hold")] = [],  # noqa: B006
) -> Any:
    """Fade and expire what the policy lets go; expiry waits for a person unless the policy says otherwise."""
    rules = load_policy(policy + "\n").retire
    try:
        with alone(archive):
            found = find_due(lake, archive, rules, where)
            rows = _fade(archive, rules, found.fade) + _expire(lake, archive, rules, found.begun)
        asked = [partition for partition, _ in found.ask]
        waiting = _waiting_run() if asked and found.approval else None
        # where a run is suspended, nothing after this line runs before the answer
        approved = [] if waiting else _approved(archive, found) if asked and found.approval else asked
        with alone(archive):
            rows += _expire(lake, archive, rules, approved)
    except ArchiveBusy as busy:
        return Completed(name="Skipped", message=str(busy))
    kept = [partition for partition in asked if partition not in approved]
    said = f"run {waiting} waits for approval" if waiting else "not approved"
    rows += [{"partition": one, "action": "kept", "reason": said} for one in kept]
    rows += [{"partition": one, "action": "kept", "reason": reason} for one, reason in found.kept]
    create_table_artifact(key="retire-partitions", description=f"{lake} and {archive}", table=rows)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["action"]] = counts.get(row["action"], 0) + 1
    return Completed(message=", ".join(f"{count} {action}" for action, count in counts.items()) or "nothing is due")


def _approved(archive: str, found: Retirement) -> list[str]:
    """Ask, and return what was agreed to of what is due now; the run ends here until it is answered."""
    sizes = dict(found.ask)
    shown = "\n".join(f"- `{partition}`: {size:,} bytes" for partition, size in found.ask)
    about = (
        f"May the originals of these {len(sizes)} partitions be deleted? `{archive}` holds them, and is their only "
        f"copy from then on. Each is compared in full first; what differs is kept.\n\n{shown}"
    )
    if not _answered():
        tell(ASKED, archive, partitions=len(sizes), bytes=sum(sizes.values()))
    form = Approval.with_initial_data(description=about, delete_originals=False, partitions=list(sizes))
    answer = suspend_flow_run(wait_for_input=form, timeout=int(ANSWER_DAYS * DAY), key="approval")
    return [one for one in sizes if answer.delete_originals and one in answer.partitions]


def _answered() -> bool:
    """Whether this run was suspended before."""
    context = FlowRunContext.get()
    policy = None if context is None or context.flow_run is None else context.flow_run.empirical_policy
    return bool(policy and policy.pause_keys)


def _waiting_run() -> str | None:
    """Another run of this deployment that waits for an answer already."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return None
    mine = {
        "deployment_id": {"any_": [str(context.flow_run.deployment_id)]},
        "state": {"type": {"any_": ["PAUSED"]}},
        "id": {"not_any_": [str(context.flow_run.id)]},
    }
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(mine), limit=1, sort=FlowRunSort.ID_DESC
        )
    return found[0].name if found else None


def _fade(archive: str, rules: Retire, partitions: Sequence[str]) -> list[dict[str, Any]]:
    rows = fade_partitions(archive, rules, partitions).partitions if partitions else ()
    for row in rows:
        tell(FADED, archive, partition=row.partition, bytes_dropped=row.bytes_dropped)
    return [{"partition": row.partition, "action": "faded", "reason": "by policy"} for row in rows]


def _expire(lake: str, archive: str, rules: Retire, partitions: Sequence[str]) -> list[dict[str, Any]]:
    rows = expire_partitions(lake, archive, rules, partitions).partitions if partitions else ()
    for row in rows:
        if row.action == "expired":
            tell(EXPIRED, archive, partition=row.partition, files=len(row.files), commit=row.commit)
    return [{"partition": row.partition, "action": row.action, "reason": row.reason} for row in rows]
