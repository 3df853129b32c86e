"""Reading one snapshot of an archive: partitions, manifests, shared objects, the payloads of blocks.

Every byte is checked against the SHA-256 of whoever refers to it before it is looked into; the chain ends in the head
commit, whose own SHA-256 a caller may pin. Reading writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ae_core.archive.format import Manifest, ObjectRef, SharedRef, TableRecord, read_manifest, read_table
from ae_core.archive.level import Level
from ae_core.archive.log import Archive, level_of, open_archive, read_state
from ae_core.archive.stage import Proposal
from ae_core.archive.state import State
from ae_core.archive.store import Store
from ae_core.errors import (
    ArchiveDamaged,
    Corrupt,
    LatentlakeError,
    LayerMissing,
    SnapshotExpired,
    UnsupportedFormat,
    UsageError,
)


@dataclass(frozen=True)
class Snapshot:
    """An archive as it is after one commit. It stays what it is while others commit."""

    archive: Archive
    state: State

    @property
    def number(self) -> int:
        """Number of the commit; -1 for an archive without any."""
        return self.state.head

    @property
    def sha256(self) -> str:
        """SHA-256 of the commit's file, the root of all the others."""
        return self.state.sha256 or self.archive.marker_sha256

    @property
    def level(self) -> Level:
        """Format and features of the archive."""
        return level_of(self.archive, self.state)

    @property
    def partitions(self) -> tuple[str, ...]:
        """Ids of the partitions; numbers within them sort as numbers."""
        return tuple(sorted(self.state.partitions, key=_natural))

    def manifest(self, partition: str) -> Manifest:
        """The manifest of a partition.

        Raises
        ------
        UsageError
            If there is no such partition.
        Corrupt
            If the manifest is missing or damaged, or belongs to another partition or archive.
        """
        ref = self.state.partitions.get(partition)
        if ref is None:
            raise UsageError(f"no partition {partition} in snapshot {self.number} of {self.archive.store.url}")
        manifest = read_manifest(self._get(ref), ref.name)
        if (manifest.partition, manifest.archive) != (partition, self.archive.marker.archive):
            raise Corrupt(f"{ref.name}: is about partition {manifest.partition} of archive {manifest.archive}")
        return manifest

    def shared(self, sha256: str) -> bytes:
        """A shared object (model, table record) by its SHA-256, from its twin if the first copy is damaged.

        Raises
        ------
        Corrupt
            If both copies are missing or damaged.
        """
        first, second = self._shared_ref(sha256).twins
        try:
            return self._get(first)
        except Corrupt as damage:
            try:
                return self._get(second)
            except Corrupt as again:
                raise Corrupt(f"both copies are damaged: {damage}; {again}") from None

    def model(self, manifest: Manifest) -> bytes | None:
        """The model's file of a partition; None if it has none."""
        return self.shared(manifest.model) if manifest.model else None

    def table(self, manifest: Manifest) -> TableRecord:
        """Schema and policy of a partition."""
        return read_table(self.shared(manifest.table), self._shared_ref(manifest.table).names[0])

    def payloads(self, manifest: Manifest, layer: str, blocks: Sequence[int] | None = None) -> Iterator[bytes]:
        """The payloads of a layer, block by block, each read and checked when it is asked for.

        Parameters
        ----------
        blocks
            Numbers of the blocks wanted, in any order; all if None.

        Raises
        ------
        LayerMissing
            If the partition does not keep that layer.
        Corrupt
        """
        held = manifest.layer(layer)
        if held is None:
            kept = ", ".join(one.layer for one in manifest.layers) or "none"
            raise LayerMissing(f"partition {manifest.partition} has no {layer}; layers kept: {kept}")
        for index in range(len(held.blocks)) if blocks is None else blocks:
            block = held.blocks[index]
            if block.sha256 is None:
                yield self._get(held.file)[block.offset : block.offset + block.length]
            else:
                yield self._range(held.file.name, block.offset, block.length, block.sha256)

    def check_objects(self, partition: str) -> None:
        """Pass when every object that a partition needs is whole, both copies of the shared ones included.

        Raises
        ------
        Corrupt
            If one is missing or has another length or SHA-256; the message names it.
        """
        manifest = self.manifest(partition)
        shared = [self._shared_ref(sha256) for sha256 in filter(None, (manifest.table, manifest.model))]
        for ref in (*(layer.file for layer in manifest.layers), *(twin for one in shared for twin in one.twins)):
            found = self.archive.store.digest(ref.name)
            if found != (ref.length, ref.sha256):
                raise Corrupt(f"{ref.name}: {'missing' if found is None else 'not the bytes that were stored'}")

    def with_proposal(self, proposal: Proposal) -> Snapshot:
        """The snapshot as it would be with `proposal` committed: how a fresh process reads what is staged."""
        changed = {change.partition: change.manifest for change in proposal.changes}
        kept = {pid: ref for pid, ref in self.state.partitions.items() if pid not in changed}
        added = {pid: ref for pid, ref in changed.items() if ref is not None}
        shared = {**self.state.shared, **{ref.sha256: ref for ref in proposal.shared}}
        return Snapshot(self.archive, replace(self.state, partitions=kept | added, shared=shared))

    def _get(self, ref: ObjectRef) -> bytes:
        try:
            return self.archive.store.get(ref.name, ref.length, ref.sha256)
        except Corrupt as damage:
            raise self._expired(ref.name) or damage from None

    def _range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        try:
            return self.archive.store.get_range(name, offset, length, sha256)
        except Corrupt as damage:
            raise self._expired(name) or damage from None

    def _expired(self, name: str) -> SnapshotExpired | None:
        """The reason why an object could not be read, if gc gave it up since this snapshot was opened."""
        try:
            newest = read_state(self.archive, known=self.state)
        except LatentlakeError:
            return None
        return _expiry(self.archive, self.number, newest.head) if name in newest.condemned else None

    def _shared_ref(self, sha256: str) -> SharedRef:
        ref = self.state.shared.get(sha256)
        if ref is None:
            raise ArchiveDamaged(f"no commit up to {self.number} holds the shared object {sha256}")
        return ref


def open_snapshot(
    url: str, *, number: int | None = None, expect_head: str | None = None, store: Store | None = None
) -> Snapshot:
    """Snapshot `number` (the newest if None) of the archive at `url`.

    Parameters
    ----------
    expect_head
        SHA-256 that the commit's file must have: the proof against someone who can write the archive.

    Raises
    ------
    UsageError, UnsupportedFormat
        If there is no such archive or snapshot, or it needs a newer release.
    SnapshotExpired
        If gc gave up what the snapshot needs.
    Corrupt
        If the marker or the log is damaged, or the head is not the one expected.
    """
    archive = open_archive(url, store=store)
    state = read_state(archive, number=number)
    if number is not None:
        _refuse_expired(archive, state)
    snapshot = Snapshot(archive, state)
    if expect_head is not None and snapshot.sha256 != expect_head:
        raise ArchiveDamaged(f"{archive.store.url}: head is {snapshot.sha256}, not {expect_head} as expected")
    return snapshot


def _refuse_expired(archive: Archive, state: State) -> None:
    """Nothing, if no later commit gave up what a snapshot needs.

    Whether the log behind it is damaged or takes a newer release to read does not matter.
    """
    with suppress(Corrupt, UnsupportedFormat):
        newest = read_state(archive, known=state)
        if any(ref.name in newest.condemned for ref in state.partitions.values()):
            raise _expiry(archive, state.head, newest.head)


def _expiry(archive: Archive, number: int, head: int) -> SnapshotExpired:
    return SnapshotExpired(
        f"{archive.store.url}: snapshot {number} has expired, gc gave up what it needs; the newest is {head}"
    )


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which month=2 comes before month=10."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text)]
