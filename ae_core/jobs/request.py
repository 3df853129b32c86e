"""What a compress run is asked to do: plain values that a scheduler may store, show and send elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ae_core.errors import PolicyError, UsageError
from ae_core.jobs.choice import Order
from ae_core.policy import load_policy, policy_from_range
from ae_core.remote.places import hide_credentials, locate, refuse_credentials


def _checked(url: str) -> str:
    refuse_credentials(url)
    return url


Url = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_checked)]
"""A path or URL without credentials: a scheduler stores and shows it."""


class CompressRequest(BaseModel):
    """Compress the new and changed partitions of `lake` into `archive`.

    `policy` is the YAML text itself, `where` are conditions such as `month>=3`, `threads` is the number of blocks
    worked on at once (0: one per core), `seed` starts the training; `page_data` stores the histograms and worst rows
    that a loss report shows beside its figures; `note` is kept in the commits of the run.

    What a run takes of the partitions that are due: those `older_than_days`, in this `order`, at most `limit`, and no
    new ones after `max_hours`; `recompress` takes archived and unchanged ones again, with the policy as it is now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    lake: Url
    archive: Url
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
    note: Annotated[str, AfterValidator(lambda note: checked_note(note))] = Field(default="", max_length=1000)

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
        note: str = "",
    ) -> CompressRequest:
        """A request with the policy of a YAML file, or the short policy of a range.

        Raises
        ------
        UsageError
            When a URL holds credentials, or one of lake and archive lies inside the other.
        PolicyError
            When there is not exactly one of policy and range, or it is not a policy.
        """
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
            note=checked_note(note),
        )


def checked_note(note: str, option: str = "--note") -> str:
    """The note, or a reason, as commits keep it for ever: one line.

    Raises
    ------
    UsageError
        When it is longer than 1000 characters, or repeats a URL with credentials.
    """
    text = " ".join(note.split())
    if len(text) > 1000:
        raise UsageError(f"{option} has {len(text)} characters; 1000 at most")
    if hide_credentials(text) != text:
        raise UsageError(f"{option} holds what looks like a credential, and the log keeps it for ever: leave it out")
    return text


def noted(what: str, note: str) -> str:
    """The note of a commit: what it does, then what the caller has to say about it."""
    return f"{what}: {note}" if note else what


def policy_text(policy: str | None, range_: str | float | None) -> str:
    """YAML text of the policy in a file, or of the short policy of a range, whichever of the two was given."""
    if policy is not None and range_ is not None:
        raise PolicyError("--policy and --range exclude each other: give one of them")
    if policy is not None:
        load_policy(Path(policy))
        return Path(policy).read_text(encoding="utf-8")
    if range_ is None:
        raise PolicyError(
            "nothing is lost unasked: give a policy (--policy FILE), or a range (--range 0.01; 0 keeps every bit)"
        )
    chosen = policy_from_range(range_)
    text = chosen.to_yaml()
    if load_policy(text) != chosen:
        raise PolicyError(f"--range {range_}: more digits than a policy keeps; use at most 15")
    return text


def _refuse_nesting(lake: str, archive: str) -> None:
    """An archive below its lake would be taken for data on the next run."""
    (store, inner), (other, outer) = locate(archive).spot, locate(lake).spot
    if store == other and (inner.startswith(outer) or outer.startswith(inner)):
        raise UsageError(f"ARCHIVE {archive} and LAKE {lake} lie inside each other: keep them apart")
