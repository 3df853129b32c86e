"""Settings of a run, from the environment (`LATENTLAKE_...`); the policy is not a setting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """How a run works; nothing here changes a byte of the rebuilt data."""

    model_config = SettingsConfigDict(env_prefix="LATENTLAKE_", frozen=True)

    threads: int = Field(default=0, ge=0, le=1024, description="blocks worked on at once; 0 is one per core")
    runner: Literal["threads", "processes", "dask"] = Field(
        default="threads", description="where partitions are encoded: in this process, in several, or by Dask"
    )
    workers: int = Field(default=0, ge=0, le=1024, description="partitions worked on at once; 0 is one per core")
    dask_address: str | None = Field(default=None, description="a Dask scheduler; without one a local cluster is made")
    price_gb_month: float = Field(default=0.023, ge=0, description="of a gigabyte stored for a month")
    price_cpu_hour: float = Field(default=0.05, ge=0, description="of an hour of one core")
    price_currency: str = Field(default="USD", max_length=8)
    batch_partitions: int = Field(default=250, ge=1, le=1000, description="most partitions in one commit")
    batch_bytes: int = Field(default=2 << 20, ge=1, description="source bytes that make a commit worth its while")
    batch_seconds: float = Field(default=600.0, gt=0, description="longest time between two commits of a run")
    task_retries: int = Field(default=2, ge=0, le=20, description="retries of a task after a store error")
    task_retry_seconds: float = Field(default=2.0, ge=0, description="pause before a retry")
