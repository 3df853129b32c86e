"""The flows that deployments run: parameters are plain, so that the Prefect UI makes a form of them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

import httpx
from prefect import flow
from prefect.states import Completed
from pydantic import Field
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from ae_core.errors import ArchiveBusy
from ae_core.jobs.choice import Order
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult
from flows.audit import AuditRequest, audit_archive
from flows.compress import run_compress
from flows.decode import DecodeRequest, decode_partitions
from flows.watch import watch

OUTAGE_TRIES = 8
OUTAGE_PAUSE = 15.0
"""Seconds between two tries while the Prefect server does not answer."""

Archive = Annotated[str, Field(description="path or URL of an archive", min_length=1, max_length=4096)]
Where = Annotated[list[str], Field(description="only these partitions: month=3, month>=3; all of them must hold")]


@flow(name="nightly-compress")
def nightly_compress(
    lake: Annotated[str, Field(description="path or URL of a folder of Parquet files")],
    archive: Archive,
    policy: Annotated[str, Field(description="what each column may lose, as YAML")],
    where: Where = [],  # noqa: B006  (Prefect shows the default in its form; nothing changes it)
    older_than_days: Annotated[float, Field(description="younger partitions wait", ge=0)] = 30,
    order: Annotated[Order, Field(description="which partitions come first")] = "oldest",
    limit: Annotated[int | None, Field(description="at most so many partitions", ge=1)] = None,
    max_hours: Annotated[float | None, Field(description="begin nothing new after so many hours", gt=0)] = None,
) -> Any:
    """Compress what is due. A run that finds another one at work on the archive is skipped and says so."""
    request = CompressRequest(
        lake=lake,
        archive=archive,
        policy=policy,
        where=tuple(where),
        older_than_days=older_than_days,
        order=order,
        limit=limit,
        max_hours=max_hours,
    )
    try:
        result = _compress_through_outages(request)
    except ArchiveBusy as busy:
        return Completed(name="Skipped", message=str(busy))
    watch(request, result)
    return Completed(message=_outcome(result))


def _outcome(result: CompressResult) -> str:
    """What became of the partitions, in a line; of those that wait, why the first does."""
    count = Counter(row.action for row in result.partitions)
    parts = [f"{count['compressed']} partitions compressed", f"{result.left} left for later"]
    if count["waiting"]:
        reason = next(row.reason for row in result.partitions if row.action == "waiting")
        parts.append(f"{count['waiting']} too young (the first: {reason})")
    if count["set aside"]:
        parts.append(f"{count['set aside']} set aside")
    return ", ".join(parts)


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    wait=wait_fixed(OUTAGE_PAUSE),
    stop=stop_after_attempt(OUTAGE_TRIES),
    reraise=True,
)
def _compress_through_outages(request: CompressRequest) -> CompressResult:
    """Begin again where the Prefect server was gone for a while: what is committed is not done twice."""
    return run_compress(request)


@flow(name="decode")
def decode(
    archive: Archive,
    out: Annotated[str, Field(description="folder to write; must not exist", min_length=1, max_length=4096)],
    partitions: Where = [],  # noqa: B006
    columns: Annotated[list[str], Field(description="only these columns; all when empty")] = [],  # noqa: B006
    layer: Annotated[
        Literal["bounded", "preview"],
        Field(description="bounded: every value within its bound; preview: the autoencoder's approximation"),
    ] = "bounded",
    rows: Annotated[str | None, Field(description="only these rows of each partition: 0:1000")] = None,
    snapshot: Annotated[int | None, Field(description="the archive as of this commit; the newest when empty")] = None,
    unify: Annotated[bool, Field(description="one schema for all files: columns that one lacks are null")] = False,
) -> Any:
    """Write partitions of an archive back as Parquet files, all or nothing."""
    result = decode_partitions(
        DecodeRequest(
            archive=archive,
            out=out,
            where=tuple(partitions),
            columns=tuple(columns) or None,
            rows=rows,
            layer=layer,
            snapshot=snapshot,
            unify=unify,
        )
    )
    return Completed(message=f"{result.rows:,} rows of {len(result.partitions)} partitions in {result.out}")


@flow(name="audit")
def audit(
    archive: Archive,
    lake: Annotated[str | None, Field(description="measure against the originals in this lake")] = None,
    partitions: Where = [],  # noqa: B006
    sample: Annotated[float, Field(description="share of the partitions, picked anew each time", gt=0, le=1)] = 1.0,
    expect_head: Annotated[str | None, Field(description="SHA-256 that the newest commit must have")] = None,
) -> Any:
    """Prove what an archive lost; the run fails where something stands against a partition."""
    result = audit_archive(
        AuditRequest(archive=archive, lake=lake, where=tuple(partitions), sample=sample, expect_head=expect_head)
    )
    return Completed(message=f"{len(result.partitions)} partitions of snapshot {result.snapshot} proved")
