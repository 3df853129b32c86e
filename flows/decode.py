"""The flow that brings partitions back as Parquet files."""

from __future__ import annotations

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from ae_core.jobs import decode
from ae_core.jobs.request import Url
from ae_core.jobs.results import DecodeResult
from flows.artifacts import publish_decode
from flows.steps import step


class DecodeRequest(BaseModel):
    """Decode partitions of `archive` into the new folder `out`; as the options of `latentlake decode`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    archive: Url
    out: Url
    where: tuple[str, ...] = Field(default=(), max_length=256)
    columns: tuple[str, ...] | None = None
    rows: str | None = None
    layer: str = "bounded"
    snapshot: int | None = Field(default=None, ge=0)
    unify: bool = False
    threads: int = Field(default=0, ge=0, le=1024)


@step("decode and write")
def write_partitions(request: DecodeRequest) -> DecodeResult:
    """The chosen rows as Parquet files, with the report of their losses."""
    return decode.decode(
        request.archive,
        request.out,
        where=request.where,
        columns=request.columns,
        rows=request.rows,
        layer=request.layer,
        snapshot=request.snapshot,
        unify=request.unify,
        threads=request.threads,
    )


@flow(name="decode_partitions")
def decode_partitions(request: DecodeRequest) -> DecodeResult:
    """Write partitions of an archive back as Parquet files, all or nothing."""
    result = write_partitions(request)
    publish_decode(result)
    return result
