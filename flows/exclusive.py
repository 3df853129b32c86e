"""One run per archive at a time, by a concurrency limit of the Prefect server.

Not needed for safety: the archive's log lets any number of writers meet. It spares the second run work that would only
end in a conflict. The limit is leased: that of a run that was killed ends by itself within minutes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from ae_core.errors import ArchiveBusy

LEASE_SECONDS = 120
PATIENCE_SECONDS = 10
"""How long a free limit may take to be granted by a busy server; nobody waits for another run."""


def limit_name(archive: str) -> str:
    """Name of the archive's limit: its URL's digest, for a name may not hold what a URL holds."""
    return f"latentlake-archive-{hashlib.sha256(archive.rstrip('/').encode()).hexdigest()[:24]}"


@contextmanager
def alone(archive: str) -> Iterator[None]:
    """Hold the archive's limit.

    Raises
    ------
    ArchiveBusy
        When another run holds it.
    """
    name = limit_name(archive)
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    held = concurrency(
        name, timeout_seconds=PATIENCE_SECONDS, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False
    )
    try:
        held.__enter__()
    except TimeoutError:
        raise ArchiveBusy(f"{archive}: another run is at work on this archive; nothing was changed") from None
    try:
        yield
    finally:
        held.__exit__(None, None, None)
