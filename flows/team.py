"""A team's file: its lakes, archives, policies, schedules and runner, in one YAML document that is checked as a whole.

    version: 1
    team: analytics
    runner: {kind: threads}
    stores:                                      # used as minio://bucket/path; keys stay in the environment
      minio: {protocol: s3, endpoint: "http://minio:9000", key_env: MINIO_KEY, secret_env: MINIO_SECRET}
    prices: {gb_month: 0.023, cpu_hour: 0.05}
    lakes:
      flights:
        lake: s3://lake/flights
        archive: s3://cold/flights
        policy: policies/flights.yaml        # or a policy itself, or `range: 0.01`; paths count from this file
        older_than_days: 30
        nightly: {cron: "0 2 * * *", timezone: Europe/Berlin}
        audit: {cron: "0 6 * * 0", sample: 0.1}
        retire: {cron: "0 4 * * *"}          # what and when, says the policy's retire block

Errors name the line. No credentials: stores have profiles, which name the variables of the workers that hold them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ae_core.errors import LatentlakeError, UsageError
from ae_core.jobs.choice import Order
from ae_core.jobs.request import CompressRequest
from ae_core.policy import load_policy
from ae_core.remote.places import locate
from ae_core.remote.profiles import CARRIED, carry, checked


def _cron(text: str) -> str:
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression of five fields ({error})") from None
    return text


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one like Europe/Berlin") from None
    return name


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(_Part):
    """When a flow runs: a cron expression of five fields, in a time zone."""

    cron: Annotated[str, AfterValidator(_cron)]
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"

    def next_run(self, now: datetime) -> datetime:
        """The first time after `now`."""
        found: datetime = next(CronSim(self.cron, now.astimezone(ZoneInfo(self.timezone))))
        return found


class Audit(Schedule):
    """When an archive is audited, and which share of its partitions each time."""

    sample: float = Field(default=1.0, gt=0, le=1)


class Lake(_Part):
    """One lake with its archive: what may be lost, what a run takes, and when runs are due."""

    lake: str = Field(min_length=1, max_length=4096)
    archive: str = Field(min_length=1, max_length=4096)
    policy: str | dict[str, Any] | None = None
    range: str | float | None = None
    where: tuple[str, ...] = ()
    older_than_days: float = Field(default=30, ge=0)
    order: Order = "oldest"
    limit: int | None = Field(default=None, ge=1)
    max_hours: float | None = Field(default=None, gt=0)
    nightly: Schedule | None = None
    audit: Audit | None = None
    retire: Schedule | None = None

    @model_validator(mode="after")
    def _one_policy(self) -> Lake:
        if (self.policy is None) == (self.range is None):
            raise ValueError("give a policy or a range: nothing is lost unasked")
        return self

    def request(self, folder: Path) -> CompressRequest:
        """What a nightly run of the lake is asked to do; paths count from `folder`.

        Raises
        ------
        UsageError, PolicyError
        """
        inline = isinstance(self.policy, Mapping)
        request = CompressRequest.checked(
            absolute(folder, self.lake),
            absolute(folder, self.archive),
            policy=str(folder / self.policy) if isinstance(self.policy, str) else None,
            range_="0" if inline else self.range,
            where=self.where,
            older_than_days=self.older_than_days,
            order=self.order,
            limit=self.limit,
            max_hours=self.max_hours,
        )
        if not inline:
            return request
        text = yaml.safe_dump(self.policy, sort_keys=False)
        load_policy(text + "\n")
        return request.model_copy(update={"policy": text})


def absolute(folder: Path, url: str) -> str:
    """A local path as a worker, which runs elsewhere, can use it; other URLs as they are."""
    place = locate(url)
    return str((folder / place.path).resolve()) if place.local else url


class Runner(_Part):
    """Where partitions are encoded, see `flows.settings`."""

    kind: Literal["threads", "processes", "dask"] = "threads"
    workers: int = Field(default=0, ge=0, le=1024)
    dask_address: str | None = None

    def environment(self) -> dict[str, str]:
        """The same as variables of a worker."""
        named = {"RUNNER": self.kind, "WORKERS": str(self.workers), "DASK_ADDRESS": self.dask_address or ""}
        return {f"LATENTLAKE_{name}": value for name, value in named.items() if value}


class Prices(_Part):
    """What storage and computing cost, for the sums that `status` prints; in any one currency."""

    gb_month: float = Field(default=0.023, ge=0)
    cpu_hour: float = Field(default=0.05, ge=0)
    currency: str = Field(default="USD", max_length=8)

    def environment(self) -> dict[str, str]:
        """The same as variables of a worker."""
        named = {"GB_MONTH": str(self.gb_month), "CPU_HOUR": str(self.cpu_hour), "CURRENCY": self.currency}
        return {f"LATENTLAKE_PRICE_{name}": value for name, value in named.items()}


class Team(_Part):
    """The whole file; `team` tells deployments of several files on one server apart."""

    version: Literal[1]
    team: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    work_pool: str = Field(default="latentlake", pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,60}$")
    runner: Runner = Runner()
    prices: Prices = Prices()
    stores: dict[str, dict[str, Any]] = {}
    lakes: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,60}$")], Lake] = Field(min_length=1)

    @property
    def carried_stores(self) -> str:
        """The store profiles as workers get them; empty where there are none."""
        return json.dumps(self.stores, sort_keys=True) if self.stores else ""

    @property
    def environment(self) -> dict[str, str]:
        """What the file says, as variables of a worker."""
        stores = {CARRIED: self.carried_stores} if self.stores else {}
        return self.runner.environment() | self.prices.environment() | stores


def load_team(path: Path) -> Team:
    """The checked file; from here on its store profiles can be used in this process.

    Raises
    ------
    UsageError
        With the line of everything that is wrong, one a line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw, tree = yaml.safe_load(text), yaml.compose(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise UsageError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    try:
        team = Team.model_validate(raw)
    except ValidationError as error:
        found = [(_line(tree, one["loc"]), _said(one)) for one in error.errors()]
        raise UsageError("; ".join(f"{path}:{line}: {said}" for line, said in sorted(set(found)))) from None
    problems = []
    for name, fields in team.stores.items():
        try:
            checked(f"{path}:{_line(tree, ('stores', name))}", name, fields)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("; ".join(problems))
    carry(team.carried_stores)
    for name, lake in team.lakes.items():
        try:
            lake.request(path.parent)
        except LatentlakeError as error:
            problems.append(f"{path}:{_line(tree, ('lakes', name))}: lakes.{name}: {error}")
    if problems:
        raise UsageError("; ".join(problems))
    return team


def _said(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "[key]") or "document"
    return f"{where}: {re.sub('^Value error, ', '', error['msg'])}"


def _line(node: Any, location: tuple[Any, ...]) -> int:
    """Line of the deepest node on the way to a location."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return int(line)
