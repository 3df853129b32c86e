"""What a policy says of the time after compression: may partitions fade, may originals be deleted, and when.

retire:
pinned: true              # neither fades nor loses its originals
expire:
enabled: true           # off unless said
grace: 30d              # from the commit of a partition to the intent; at least a day
wait: 24h               # from the intent to the deletion, and again in quarantine on a local disk; at least 1 h
replica: s3://b/copy    # a digest-equal replica that has to verify; or the word none
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from ae_core.errors import UsageError
from ae_core.remote.places import refuse_credentials

HOUR, DAY = 3600.0, 86_400.0
NO_REPLICA = "none"
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(h|d)\s*")


def _seconds(raw: object) -> object:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        raise ValueError(f"{raw!r} has no unit: write hours or days, such as 24h or 30d")
    if not isinstance(raw, str) or not (match := _DURATION.fullmatch(raw)):
        raise ValueError(f"{raw!r} is not a time: write hours or days, such as 24h or 30d")
    return float(match[1]) * (HOUR if match[2] == "h" else DAY)


def _write_seconds(seconds: float) -> str:
    return f"{seconds / DAY:.12g}d" if seconds % DAY == 0 else f"{seconds / HOUR:.12g}h"


Duration = Annotated[float, BeforeValidator(_seconds), PlainSerializer(_write_seconds)]


class Expire(BaseModel):
    """When originals may be deleted; times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False, use_attribute_docstrings=True)

    enabled: bool = False
    """whether originals may be deleted at all"""
    grace: Duration = 30 * DAY
    """from the commit of a partition to the intent; a day at least"""
    wait: Duration = 24 * HOUR
    """from the intent to the deletion, and again in quarantine on a local disk; an hour at least"""
    replica: str | None = None
    """URL of a digest-equal copy that has to verify first, or the word none; has to be there where it is enabled"""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.grace < DAY:
            raise ValueError("grace must be a day (1d) at least")
        if self.wait < HOUR:
            raise ValueError("wait must be an hour (1h) at least")
        try:
            refuse_credentials(self.replica or "")
        except UsageError as error:
            raise ValueError(f"replica: {error}") from None
        if self.enabled and not self.replica:
            raise ValueError("replica is missing: give the URL of a copy (latentlake copy), or the word none")
        return self


class Retire(BaseModel):
    """The policy's `retire` block."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    pinned: bool = False
    """neither fades nor loses its originals"""
    expire: Expire = Field(default_factory=Expire)
    """when originals may be deleted"""
