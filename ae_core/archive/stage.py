"""Uploads before a commit: layer files, manifests, models, reports, under names that nobody else can pick.

What is staged is invisible until a commit names it; after a crash it is an orphan and harms nobody. A `Proposal` is
what the commit will say; it travels as JSON to the fresh process that verifies it first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ae_core.archive.fields import Fields, as_text, canonical_json, pack_json, sha256_hex
from ae_core.archive.format import (
    BlockEntry,
    Change,
    LayerFile,
    Manifest,
    ObjectRef,
    SharedRef,
    change_dict,
    manifest_bytes,
    object_dict,
    read_change,
    read_object,
    read_shared,
    shared_dict,
)
from ae_core.archive.layers import layer_bytes
from ae_core.archive.log import Archive
from ae_core.archive.names import REPORTS, new_uid, shared_name
from ae_core.archive.originals import Expired, Intent, expired_dict, intent_dict, read_expired, read_intent
from ae_core.archive.state import State


@dataclass(frozen=True)
class Proposal:
    """What a commit would change, and what it relies on.

    `names` are the objects that the changes refer to beside the shared ones, `needs` the SHA-256s of the shared ones:
    a commit is refused if any of them has been condemned in the meantime. `only_copy` says that the owner accepts that
    partitions whose originals are going or gone are changed or removed; without it such a commit is refused.
    """

    changes: tuple[Change, ...] = ()
    shared: tuple[SharedRef, ...] = ()
    report: ObjectRef | None = None
    condemned: tuple[str, ...] = ()
    intents: tuple[Intent, ...] = ()
    expired: tuple[Expired, ...] = ()
    reason: str = ""
    only_copy: bool = False
    names: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()

    def to_json(self) -> str:
        """One line of JSON."""
        return canonical_json(
            {
                "changes": [change_dict(change) for change in self.changes],
                "condemned": list(self.condemned),
                "expired": [expired_dict(expired) for expired in self.expired],
                "intents": [intent_dict(intent) for intent in self.intents],
                "names": sorted(self.names),
                "needs": sorted(self.needs),
                "only_copy": self.only_copy,
                "reason": self.reason,
                "report": object_dict(self.report) if self.report else None,
                "shared": [shared_dict(ref) for ref in self.shared],
            }
        ).decode("utf-8", "surrogatepass")

    @staticmethod
    def from_json(text: str) -> Proposal:
        """Inverse of `to_json`."""
        fields = Fields(json.loads(text), "proposal")
        return Proposal(
            changes=fields.items("changes", read_change),
            shared=fields.items("shared", read_shared),
            report=read_object(fields.values["report"], "proposal: report") if fields.has("report") else None,
            condemned=fields.items("condemned", as_text),
            intents=fields.items("intents", read_intent),
            expired=fields.items("expired", read_expired),
            reason=fields.text("reason"),
            only_copy=fields.values.get("only_copy") is True,
            names=frozenset(fields.items("names", as_text)),
            needs=frozenset(fields.items("needs", as_text)),
        )

    def __add__(self, other: Proposal) -> Proposal:
        """Both in one commit."""
        return Proposal(
            self.changes + other.changes,
            self.shared + tuple(ref for ref in other.shared if ref not in self.shared),
            other.report or self.report,
            self.condemned + other.condemned,
            self.intents + other.intents,
            self.expired + other.expired,
            other.reason or self.reason,
            self.only_copy or other.only_copy,
            self.names | other.names,
            self.needs | other.needs,
        )


def put_shared(archive: Archive, state: State, kind: str, data: bytes) -> SharedRef:
    """A model or table record, stored twice; the one of the snapshot if it holds these very bytes already.

    Parameters
    ----------
    kind
        "model" or "table".
    """
    sha256 = sha256_hex(data)
    held = state.shared.get(sha256)
    if held is not None:
        return held
    names = (shared_name(kind, sha256), shared_name(kind, sha256))
    for name in names:
        archive.store.put_new(name, data)
    return SharedRef(kind, len(data), sha256, names)


def put_layers(archive: Archive, folder: str, payloads: Mapping[str, Sequence[bytes]]) -> tuple[LayerFile, ...]:
    """One Parquet file per layer (`{"latents": [block 0, block 1, ...], ...}`) in `names.partition_folder(...)`."""
    return tuple(put_layer(archive, folder, layer, *layer_bytes(blocks)) for layer, blocks in payloads.items())


def put_layer(archive: Archive, folder: str, layer: str, data: bytes, blocks: tuple[BlockEntry, ...]) -> LayerFile:
    """One layer's file, in which the blocks lie there."""
    name = f"{folder}/{layer}.parquet"
    archive.store.put_new(name, data)
    return LayerFile(layer, ObjectRef(name, len(data), sha256_hex(data)), blocks)


def put_partition(archive: Archive, folder: str, manifest: Manifest) -> Proposal:
    """The manifest of staged layers, and the proposal to make it the partition's."""
    name = f"{folder}/manifest.json.br"
    data = manifest_bytes(manifest, name)
    ref = ObjectRef(name, len(data), sha256_hex(data))
    archive.store.put_new(ref.name, data)
    return Proposal(
        changes=(Change(manifest.partition, ref),),
        names=frozenset({ref.name, *(layer.file.name for layer in manifest.layers)}),
        needs=frozenset({manifest.table} | ({manifest.model} if manifest.model else set())),
    )


def put_report(archive: Archive, report: Mapping[str, object]) -> ObjectRef:
    """A report under a fresh name; a commit may refer to it."""
    data = pack_json(report)
    ref = ObjectRef(f"{REPORTS}/{new_uid()}.json.br", len(data), sha256_hex(data))
    archive.store.put_new(ref.name, data)
    return ref
