"""What a compress run is asked to do: plain values that a scheduler may store, show and send elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ae_core.errors import PolicyError, UsageError
from ae_core.jobs.choice import Order
from ae_core.policy import load_policy, policy_from_range

_CREDENTIALS = re.compile(r"://[^/@]*@")


class CompressRequest(BaseModel):
    """Compress the new and changed partitions of `lake` into `archive`.

    `policy` is the YAML text itself, `where` are conditions such as `month>=3`, `threads` is the number of blocks
    worked on at once (0: one per core), `seed` starts the training; `page_data` stores the histograms and worst rows
    that a loss report shows beside its figures.

    What a run takes of the partitions that are due: those `older_than_days`, in this `order`, at most `limit`, and no
    new ones after `max_hours`; `recompress` takes archived and unchanged ones again, with the policy as it is now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lake: str = Field(min_length=1, max_length=4096)
    archive: str = Field(min_length=1, max_length=4096)
    policy: str = Field(min_length=1, max_length=1 << 20)
    where: tuple[str, ...] = Field(default=(), max_length=256)
    threads: int = Field(default=0, ge=0, le=1024)
    seed: int = Field(default=0, ge=0, lt=2**31)
    page_data: bool = True
    older_than_days: float | None = Field(default=None, ge=0, le=1e6)
    order: Order = "lake"
    limit: int | None = Field(default=None, ge=1)
    max_hours: float | None = Field(default=None, gt=0, le=1e6)
    recompress: bool = False

    @classmethod
    def checked(
        cls,
        lake: str,
        archive: str,
        *,
        policy: str | None = None,
        range_: str | float | None = None,
        where: Sequence[str] | None = None,
        threads: int = 0,
        seed: int = 0,
        page_data: bool = True,
        older_than_days: float | None = None,
        order: Order = "lake",
        limit: int | None = None,
        max_hours: float | None = None,
        recompress: bool = False,
    ) -> CompressRequest:
        """A request with the policy of a YAML file, or the short policy of a range.

        Raises
        ------
        UsageError
            When a URL holds credentials, or one of lake and archive lies inside the other.
        PolicyError
            When there is not exactly one of policy and range, or it is not a policy.
        """
        for url in (lake, archive):
            refuse_credentials(url)
        _refuse_nesting(lake, archive)
        return cls(
            lake=lake,
            archive=archive,
            policy=policy_text(policy, range_),
            where=tuple(where or ()),
            threads=threads,
            seed=seed,
            page_data=page_data,
            older_than_days=older_than_days,
            order=order,
            limit=limit,
            max_hours=max_hours,
            recompress=recompress,
        )


def policy_text(policy: str | None, range_: str | float | None) -> str:
    """YAML text of the policy in a file, or of the short policy of a range, whichever of the two was given."""
    if policy is not None and range_ is not None:
        raise PolicyError("--policy and --range exclude each other: give one of them")
    if policy is not None:
        load_policy(Path(policy))
        return Path(policy).read_text(encoding="utf-8")
    if range_ is None:
        raise PolicyError("nothing is lost unasked: give a policy, or a range")
    chosen = policy_from_range(range_)
    text = chosen.to_yaml()
    if load_policy(text) != chosen:
        raise PolicyError(f"--range {range_}: more digits than a policy keeps; use at most 15")
    return text


def refuse_credentials(url: str) -> None:
    """Refuse a URL with a user name or password in it: parameters are stored in plain text.

    Raises
    ------
    UsageError
        When there is one; the message does not repeat it.
    """
    if _CREDENTIALS.search(url):
        raise UsageError("a URL holds credentials: leave them out, the ambient ones of the store are used")


def _refuse_nesting(lake: str, archive: str) -> None:
    """An archive below its lake would be taken for data on the next run."""
    if "://" in lake or "://" in archive:
        inner, outer = archive.rstrip("/") + "/", lake.rstrip("/") + "/"
    else:
        inner, outer = f"{Path(archive).resolve()}/", f"{Path(lake).resolve()}/"
    if inner.startswith(outer) or outer.startswith(inner):
        raise UsageError(f"ARCHIVE {archive} and LAKE {lake} lie inside each other: keep them apart")
