"""What a nightly run looks at when it is done: whether what came in surprises the model more often than before."""

from __future__ import annotations

from collections.abc import Sequence

from ae_core.errors import LakeError, NoLatents, UsageError
from ae_core.jobs.anomalies import surprise_share
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult
from ae_core.jobs.use_results import SurpriseShare
from ae_core.lake import LakePartition, list_partitions
from flows.events import SURPRISE, tell
from flows.steps import step

WATCHED = 4
"""Most partitions of a run that are scored, spread over it: each costs about as much as encoding it again."""


@step("look for surprise")
def surprise_of(request: CompressRequest, partitions: Sequence[LakePartition], snapshot: int) -> list[SurpriseShare]:
    """How often the rows of each partition surprise the model, against those archived as of a snapshot."""
    found = []
    for one in partitions:
        where = [f"{key}={value}" for key, value in one.keys.items()]
        lake = request.lake if one.keys else f"{request.lake.rstrip('/')}/{one.id}"
        found.append(surprise_share(request.archive, lake, where=where, snapshot=snapshot, threads=request.threads))
    return found


def watch(request: CompressRequest, result: CompressResult) -> None:
    """Tell of partitions that a run compressed with a model it had, and that surprise it more often than older ones.

    Nothing is told where the archive has no network model, or the lake changed meanwhile.
    """
    done = {row.partition for row in result.partitions if row.action == "compressed"}
    model = result.model
    if not done or model is None or not model.reused or model.no_latents_reason or not result.commits:
        return
    try:
        came = [one for one in list_partitions(request.lake) if one.id in done]
        chosen = came[:: -(-len(came) // WATCHED)] if came else []
        shares = surprise_of(request, chosen, result.commits[0] - 1)
    except (LakeError, NoLatents, UsageError):
        return
    for one, share in zip(chosen, shares, strict=True):
        if share.jumped:
            tell(SURPRISE, request.archive, partition=one.id, share=share.share, reason=share.reason)
