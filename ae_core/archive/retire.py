"""Taking partitions, or their fuller layers, out of the newest snapshot: drop and fade.

Both are one commit; the bytes stay until gc finds that no retained snapshot reaches them. Neither touches a partition
whose originals are going or gone unless its owner accepts that the only copy changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from ae_core.archive.commit import Committed, append
from ae_core.archive.format import Change, Manifest, ObjectRef
from ae_core.archive.log import Archive
from ae_core.archive.names import new_uid, partition_folder
from ae_core.archive.stage import Proposal, put_partition
from ae_core.archive.state import State

FADED = "faded"
"""In a faded manifest's `extra`: the digest of the data as they were before, `{"digest": ...}`."""

Pause = Callable[[float], None]


def drop(
    archive: Archive,
    state: State,
    partitions: Sequence[str],
    *,
    reason: str,
    only_copy: bool,
    writer: str,
    pause: Pause = time.sleep,
) -> Committed:
    """Remove partitions from the snapshots to come, as they are in `state`.

    Raises
    ------
    DataWouldBeLost
        If one of them is an only copy and `only_copy` is not set.
    CommitConflict
        If one of them changed since `state`, or an intent was recorded for it.
    """
    proposal = Proposal(
        changes=tuple(Change(partition, None) for partition in partitions), reason=reason, only_copy=only_copy
    )
    return append(
        archive, lambda _: proposal, op_key=new_uid(), since=state.head, writer=writer, note="drop", pause=pause
    )


@dataclass(frozen=True)
class Fading:
    """A partition to be faded: its manifest, and the digest of what the kept layers rebuild."""

    manifest: Manifest
    digest: str


def stage_faded(archive: Archive, fading: Sequence[Fading], *, kept: Collection[str]) -> Proposal:
    """New manifests with the layers in `kept` alone; the layer files themselves are shared with the old ones."""
    return reduce(add, (_stage(archive, one, kept) for one in fading))


def _stage(archive: Archive, one: Fading, kept: Collection[str]) -> Proposal:
    before = one.manifest
    extra = {**before.extra, FADED: {"digest": bounded_digest(before)}}
    layers = tuple(layer for layer in before.layers if layer.layer in kept)
    manifest = replace(before, layers=layers, digest=one.digest, extra=extra)
    return put_partition(archive, partition_folder(before.partition), manifest)


def bounded_digest(manifest: Manifest) -> str:
    """Digest of the data within their bounds, also where they can no longer be rebuilt."""
    faded = manifest.extra.get(FADED)
    return str(faded["digest"]) if isinstance(faded, Mapping) and "digest" in faded else manifest.digest


def commit_faded(
    archive: Archive,
    state: State,
    proposal: Proposal,
    *,
    report: ObjectRef,
    reason: str,
    only_copy: bool,
    writer: str,
    pause: Pause = time.sleep,
) -> Committed:
    """Make staged manifests the partitions' own, after a fresh process has decoded them.

    Raises
    ------
    DataWouldBeLost, CommitConflict
        As `drop`.
    """
    whole = replace(proposal, report=report, reason=reason, only_copy=only_copy)
    return append(archive, lambda _: whole, op_key=new_uid(), since=state.head, writer=writer, note="fade", pause=pause)
