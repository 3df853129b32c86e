"""Version tokens and times of objects, as the stores' listings tell them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

_TOKENS = ("generation", "ETag", "etag")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created", "timeCreated")


def token_of(info: Mapping[str, Any]) -> str:
    """Generation or ETag of an object; "" where the store tells neither.

    A listing and a look at the object itself give the same: the version id of S3 is in the second alone.
    """
    found = next((info[name] for name in _TOKENS if info.get(name)), "")
    return str(found).strip('"')


def modified(info: Mapping[str, Any]) -> float | None:
    """Time of the last change by the store's clock, in seconds since 1970 UTC; None where it does not tell."""
    return seconds(next((info[name] for name in _TIMES if info.get(name)), None))


def seconds(moment: object) -> float | None:
    """A store's time in seconds since 1970 UTC."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    if isinstance(moment, datetime):
        return moment.timestamp()
    return float(moment) if isinstance(moment, int | float) else None
