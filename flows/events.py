"""Events that automations can act on: what was archived or could not be, what is damaged or lost its bound.

Resources are `latentlake.archive.<digest of the URL>`; payloads hold names and figures, never a value of a column.
"""

from __future__ import annotations

import hashlib
from typing import Any

from prefect.events import emit_event

ARCHIVED = "latentlake.partition.archived"
FAILED = "latentlake.partition.failed"
SET_ASIDE = "latentlake.partition.set-aside"
FADED = "latentlake.partition.faded"
EXPIRED = "latentlake.partition.expired"
ASKED = "latentlake.expiry.asked"
DRIFT = "latentlake.model.drift"
SURPRISE = "latentlake.partition.surprising"
VIOLATED = "latentlake.bound.violated"
DAMAGED = "latentlake.archive.damaged"


def tell(event: str, archive: str, **payload: Any) -> None:
    """Emit an event about an archive; `partition=` names the one that it concerns."""
    resource = {
        "prefect.resource.id": f"latentlake.archive.{hashlib.sha256(archive.encode()).hexdigest()[:24]}",
        "prefect.resource.name": archive,
        "latentlake.archive": archive,
    }
    if "partition" in payload:
        resource["latentlake.partition"] = str(payload["partition"])
    emit_event(event, resource=resource, payload={"archive": archive, **payload})
