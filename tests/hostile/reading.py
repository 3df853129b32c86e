"""What a reader may make of a damaged archive: an error that names the damage, or the very bytes that were stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ae_core.archive.names import MARKER
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.errors import LatentlakeError, UsageError
from tests.hostile.golden_parts import Golden
from tests.hostile.memory_store import MemoryStore


class Wrong(AssertionError):
    """Data that is not what was stored, given out as if it were, or an error that names something else."""


def answer(source: Golden, objects: Mapping[str, bytes], partition: str, changed: Collection[str]) -> str:
    """ "refused" or "identical": what reading a partition comes to when the `changed` files are not what they were.

    All bytes that decoding takes are compared, and decoding is bit-exact: equal bytes are equal data.
    """
    try:
        found = everything(open_snapshot("memory", store=MemoryStore(objects)), partition)
    except LatentlakeError as error:
        lost_head = isinstance(error, UsageError) and any(name.startswith("_commits/") for name in changed)
        foreign = MARKER in changed and "does not continue the log" in str(error)  # of two, the log cannot tell which
        if not lost_head and not foreign and not any(name in str(error) for name in changed):
            raise Wrong(f"the error names none of {sorted(changed)}: {error}") from None
        return "refused"
    if found != everything(source.snapshot, partition):
        raise Wrong(f"{partition} reads otherwise though {sorted(changed)} changed")
    return "identical"


def everything(snapshot: Snapshot, partition: str) -> list[object]:
    """All that decoding a partition reads."""
    manifest = snapshot.manifest(partition)
    layers = [list(snapshot.payloads(manifest, layer.layer)) for layer in manifest.layers]
    return [manifest, snapshot.model(manifest), snapshot.table(manifest), *layers]
