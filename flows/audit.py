"""The flow that proves what an archive lost."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from ae_core.errors import BoundViolated
from ae_core.jobs import audit
from ae_core.jobs.request import Url
from ae_core.jobs.results import AuditResult
from flows.artifacts import publish_audit
from flows.events import DAMAGED, VIOLATED, tell
from flows.steps import step


class AuditRequest(BaseModel):
    """Audit partitions of `archive`, against the originals in `lake` where it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    archive: Url
    lake: Url | None = None
    html: str | None = Field(default=None, max_length=4096)
    expect_head: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    where: tuple[str, ...] = Field(default=(), max_length=256)
    sample: float = Field(default=1.0, gt=0, le=1)
    threads: int = Field(default=0, ge=0, le=1024)


@step("decode and compare")
def prove(request: AuditRequest) -> AuditResult:
    """The losses of every column, proved by digest or measured against the originals."""
    return audit.audit(
        request.archive,
        lake=request.lake,
        html=request.html,
        expect_head=request.expect_head,
        where=request.where,
        sample=request.sample,
        threads=request.threads,
    )


@flow(name="audit_archive")
def audit_archive(request: AuditRequest) -> AuditResult:
    """Prove an archive's losses; the run fails where something stands against a partition.

    Raises
    ------
    BoundViolated
        When a partition does not keep what its certificate states.
    """
    result = prove(request)
    publish_audit(result)
    problems = [f"{one.partition}: {one.problem}" for one in result.partitions if one.problem is not None]
    for one in result.partitions:
        if one.problem is not None:
            event = VIOLATED if one.digest_ok else DAMAGED
            tell(event, request.archive, partition=one.partition, problem=one.problem)
    if problems:
        raise BoundViolated("; ".join(problems))
    return result
