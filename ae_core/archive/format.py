"""The archive's own files as dataclasses, and their bytes: marker, commit, table record, manifest.

Pure: nothing here touches a store. Marker and commits are sealed JSON, manifests and table records brotli JSON whose
SHA-256 the referring file holds. `docs/format.md` says the same in words. Readers ignore fields that they do not know;
what a reader must understand stands in `requires`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ae_core.archive.fields import Fields, as_number, as_text, pack_json, seal, unpack_json, unseal
from ae_core.archive.level import FORMAT, LEAST, Level, read_level
from ae_core.archive.names import FOLDERS, checked, checkpoint_number, folder_of, is_sha256
from ae_core.archive.originals import Expired, Intent, expired_dict, intent_dict, read_expired, read_intent
from ae_core.errors import Corrupt

MAX_BLOCK_ROWS = 1 << 17
"""Most rows of a block: what decoding one allocates is bounded by them."""


@dataclass(frozen=True)
class ObjectRef:
    """One immutable object: its name in the archive, length in bytes, and SHA-256."""

    name: str
    length: int
    sha256: str


@dataclass(frozen=True)
class SharedRef:
    """An object that many partitions need (`kind` "model" or "table"), stored twice under different names."""

    kind: str
    length: int
    sha256: str
    names: tuple[str, str]

    @property
    def twins(self) -> tuple[ObjectRef, ObjectRef]:
        """The two stored copies."""
        first, second = (ObjectRef(name, self.length, self.sha256) for name in self.names)
        return first, second


@dataclass(frozen=True)
class Marker:
    """`latentlake.json`: says that this is an archive, which one, and what it takes to read it."""

    archive: str
    writer: str
    level: Level = LEAST


@dataclass(frozen=True)
class Change:
    """A partition's new manifest; None removes the partition from the snapshot."""

    partition: str
    manifest: ObjectRef | None


@dataclass(frozen=True)
class Commit:
    """One step of the log.

    `parent` is the SHA-256 of the previous commit's file, for commit 0 that of the marker's file. `time` (UTC, ISO),
    `note` and `reason` are information only: nothing is decided by them. `only_copy` says that the owner accepted
    that partitions whose originals are going or gone were changed or removed. `checkpoint` is the state at an earlier
    commit.
    """

    number: int
    parent: str
    uid: str
    op_key: str
    writer: str
    time: str
    changes: tuple[Change, ...] = ()
    shared: tuple[SharedRef, ...] = ()
    report: ObjectRef | None = None
    condemned: tuple[str, ...] = ()
    intents: tuple[Intent, ...] = ()
    expired: tuple[Expired, ...] = ()
    note: str = ""
    checkpoint: ObjectRef | None = None
    reason: str = ""
    only_copy: bool = False
    level: Level = LEAST


@dataclass(frozen=True)
class SourceFile:
    """One original file of a partition, as it was when it was read (`mtime` as the lake states it)."""

    name: str
    rows: int
    size: int
    token: str
    mtime: str
    sha256: str


@dataclass(frozen=True)
class BlockEntry:
    """Where a block's payload lies in its layer file: offset and length in bytes, SHA-256 of the payload.

    The only block of a file has none: the file's own stands for it.
    """

    offset: int
    length: int
    sha256: str | None


@dataclass(frozen=True)
class LayerFile:
    """One layer of a partition (`latents`, `residuals`): its file, and one entry for every block."""

    layer: str
    file: ObjectRef
    blocks: tuple[BlockEntry, ...]


@dataclass(frozen=True)
class TableRecord:
    """What the partitions of one schema and policy share: the Arrow schema as an IPC message, and the policy record."""

    schema_ipc: bytes
    policy: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """All that is known of one version of one partition.

    `table` and `model` are SHA-256s of shared objects; `digest` is that of the rebuilt data at the fullest layer
    (see `digest.py`); `certificate` belongs to the report package and is not looked into here.
    """

    archive: str
    partition: str
    keys: Mapping[str, str]
    table: str
    model: str | None
    block_rows: tuple[int, ...]
    layers: tuple[LayerFile, ...]
    sources: tuple[SourceFile, ...]
    digest: str
    certificate: Mapping[str, Any]
    no_latents_reason: str | None = None
    requires: tuple[str, ...] = ()
    format: int = FORMAT
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the partition."""
        return sum(self.block_rows)

    def layer(self, name: str) -> LayerFile | None:
        """The layer of that name, if it is kept."""
        return next((layer for layer in self.layers if layer.layer == name), None)


# --- marker ---------------------------------------------------------------------------------------


def marker_bytes(marker: Marker) -> bytes:
    """The marker's file."""
    return seal(
        {
            "archive": marker.archive,
            "what": "latentlake archive",
            "writer": marker.writer,
            **marker.level.to_json(),
        }
    )


def read_marker(data: bytes, where: str) -> Marker:
    """Inverse of `marker_bytes`.

    Raises
    ------
    Corrupt, UnsupportedFormat
        If a byte is wrong, or the archive needs a newer release.
    """
    fields = Fields(unseal(data, where), where)
    level = read_level(fields)
    return Marker(fields.text("archive"), fields.text("writer"), level)


# --- commits --------------------------------------------------------------------------------------


def commit_bytes(commit: Commit) -> bytes:
    """The commit's file; empty fields are left out."""
    optional: dict[str, object] = {
        "changes": [change_dict(change) for change in commit.changes],
        "checkpoint": object_dict(commit.checkpoint) if commit.checkpoint else None,
        "condemned": list(commit.condemned),
        "expired": [expired_dict(expired) for expired in commit.expired],
        "intents": [intent_dict(intent) for intent in commit.intents],
        "note": commit.note,
        "only_copy": commit.only_copy,
        "reason": commit.reason,
        "report": object_dict(commit.report) if commit.report else None,
        "shared": [shared_dict(ref) for ref in commit.shared],
    }
    return seal(
        {
            **commit.level.to_json(),
            "number": commit.number,
            "op_key": commit.op_key,
            "parent": commit.parent,
            "time": commit.time,
            "uid": commit.uid,
            "writer": commit.writer,
            **{key: value for key, value in optional.items() if value},
        }
    )


def read_commit(data: bytes, where: str) -> Commit:
    """Inverse of `commit_bytes`.

    Raises
    ------
    Corrupt, UnsupportedFormat
        If a byte is wrong, or the commit needs a newer release.
    """
    fields = Fields(unseal(data, where), where)
    level = read_level(fields)
    return Commit(
        number=fields.number("number"),
        parent=fields.sha256("parent"),
        uid=fields.text("uid"),
        op_key=fields.text("op_key"),
        writer=fields.text("writer"),
        time=fields.text("time"),
        changes=fields.items("changes", read_change),
        shared=fields.items("shared", read_shared),
        report=read_object(fields.values["report"], f"{where}: report") if fields.has("report") else None,
        condemned=tuple(checked(name) for name in fields.items("condemned", as_text)),
        intents=fields.items("intents", read_intent),
        expired=fields.items("expired", read_expired),
        note=fields.text("note") if fields.has("note") else "",
        checkpoint=_read_checkpoint(fields, where) if fields.has("checkpoint") else None,
        reason=fields.text("reason") if fields.has("reason") else "",
        only_copy=fields.values.get("only_copy") is True,
        level=level,
    )


# --- table records and manifests ------------------------------------------------------------------


def table_bytes(record: TableRecord) -> bytes:
    """The table record's file."""
    return pack_json({"policy": dict(record.policy), "schema": record.schema_ipc.hex()})


def read_table(data: bytes, where: str) -> TableRecord:
    """Inverse of `table_bytes`; the caller has checked the SHA-256 of `data`."""
    fields = Fields(unpack_json(data, where), where)
    try:
        schema = bytes.fromhex(fields.text("schema"))
    except ValueError:
        raise Corrupt(f"{where}: schema is not hexadecimal") from None
    return TableRecord(schema, fields.mapping("policy"))


def manifest_bytes(manifest: Manifest, name: str = "") -> bytes:
    """The manifest's file, which will be stored under `name`: layer files beside it are named without its folder."""
    optional: dict[str, object] = {
        "extra": dict(manifest.extra),
        "model": manifest.model,
        "no_latents_reason": manifest.no_latents_reason,
        "requires": list(manifest.requires),
    }
    return pack_json(
        {
            "archive": manifest.archive,
            "block_rows": list(manifest.block_rows),
            "certificate": dict(manifest.certificate),
            "digest": manifest.digest,
            "format": manifest.format,
            "keys": dict(manifest.keys),
            "layers": [_layer_dict(layer, folder_of(name)) for layer in manifest.layers],
            "partition": manifest.partition,
            "sources": [
                [source.name, source.rows, source.size, source.token, source.mtime, source.sha256]
                for source in manifest.sources
            ],
            "table": manifest.table,
            **{key: value for key, value in optional.items() if value},
        }
    )


def read_manifest(data: bytes, where: str) -> Manifest:
    """Inverse of `manifest_bytes` for the manifest named `where`; the caller has checked the SHA-256 of `data`.

    Raises
    ------
    Corrupt, UnsupportedFormat
        If it is malformed, contradicts itself, or needs a newer release.
    """
    fields = Fields(unpack_json(data, where), where)
    level = read_level(fields)
    manifest = Manifest(
        archive=fields.text("archive"),
        partition=fields.text("partition"),
        keys={key: as_text(value, f"{where}: keys") for key, value in fields.mapping("keys").items()},
        table=fields.sha256("table"),
        model=fields.sha256("model") if fields.has("model") else None,
        block_rows=fields.items("block_rows", _as_block_rows),
        layers=fields.items("layers", partial(_read_layer, folder_of(where))),
        sources=fields.items("sources", _read_source),
        digest=fields.text("digest"),
        certificate=fields.mapping("certificate"),
        no_latents_reason=fields.text("no_latents_reason") if fields.has("no_latents_reason") else None,
        requires=level.requires,
        format=level.format,
        extra=fields.mapping("extra"),
    )
    for layer in manifest.layers:
        if len(layer.blocks) != len(manifest.block_rows):
            raise Corrupt(
                f"{where}: layer {layer.layer} has {len(layer.blocks)} blocks, not {len(manifest.block_rows)}"
            )
    return manifest


# --- parts ----------------------------------------------------------------------------------------


def object_dict(ref: ObjectRef) -> dict[str, object]:
    """`ref` for JSON."""
    return {"length": ref.length, "name": ref.name, "sha256": ref.sha256}


def read_object(value: object, where: str) -> ObjectRef:
    """Inverse of `object_dict`; the name is checked."""
    fields = Fields(value, where)
    return ObjectRef(checked(fields.text("name")), fields.number("length"), fields.sha256("sha256"))


def shared_dict(ref: SharedRef) -> dict[str, object]:
    """`ref` for JSON."""
    return {"kind": ref.kind, "length": ref.length, "names": list(ref.names), "sha256": ref.sha256}


def _read_checkpoint(fields: Fields, where: str) -> ObjectRef:
    ref = read_object(fields.values["checkpoint"], f"{where}: checkpoint")
    if not 0 <= checkpoint_number(ref.name) < fields.number("number"):
        raise Corrupt(f"{where}: {ref.name} is not the name of a checkpoint before it")
    return ref


def read_shared(value: object, where: str) -> SharedRef:
    """A shared reference from JSON; its names are checked."""
    fields = Fields(value, where)
    names = tuple(checked(name) for name in fields.items("names", as_text))
    kind = fields.text("kind")
    if len(names) != 2 or kind not in FOLDERS:
        raise Corrupt(f"{where}: not a reference to a model or table record with two names")
    return SharedRef(kind, fields.number("length"), fields.sha256("sha256"), (names[0], names[1]))


def change_dict(change: Change) -> dict[str, object]:
    """`change` for JSON."""
    return {
        "manifest": object_dict(change.manifest) if change.manifest else None,
        "partition": change.partition,
    }


def read_change(value: object, where: str) -> Change:
    """Inverse of `change_dict`."""
    fields = Fields(value, where)
    manifest = read_object(fields.values["manifest"], where) if fields.has("manifest") else None
    return Change(fields.text("partition"), manifest)


def _layer_dict(layer: LayerFile, folder: str) -> dict[str, object]:
    name = layer.file.name.removeprefix(folder)
    file = layer.file if "/" in name else replace(layer.file, name=name)
    values: dict[str, object] = {
        "file": object_dict(file),
        "layer": layer.layer,
        "lengths": [block.length for block in layer.blocks],
        "offsets": [block.offset for block in layer.blocks],
    }
    hashes = [block.sha256 for block in layer.blocks]
    return values | ({"sha256": hashes} if len(hashes) > 1 else {})


def _read_layer(folder: str, value: object, where: str) -> LayerFile:
    fields = Fields(value, where)
    file = read_object(fields.mapping("file"), f"{where}: file")
    if "/" not in file.name:
        file = replace(file, name=checked(folder + file.name))
    lengths = fields.items("lengths", as_number)
    offsets = fields.items("offsets", as_number)
    hashes: tuple[str | None, ...] = (None,) if len(lengths) == 1 else fields.items("sha256", _as_sha256)
    if not len(lengths) == len(offsets) == len(hashes):
        raise Corrupt(f"{where}: its lists differ in length")
    if any(o + n > file.length for o, n in zip(offsets, lengths, strict=True)):
        raise Corrupt(f"{where}: a block lies outside of its file")
    blocks = tuple(BlockEntry(o, n, h) for o, n, h in zip(offsets, lengths, hashes, strict=True))
    return LayerFile(fields.text("layer"), file, blocks)


def _as_block_rows(value: object, where: str) -> int:
    rows = as_number(value, where)
    if rows > MAX_BLOCK_ROWS:
        raise Corrupt(f"{where} is {rows}, a block has at most {MAX_BLOCK_ROWS} rows")
    return rows


def _as_sha256(value: object, where: str) -> str:
    text = as_text(value, where)
    if not is_sha256(text):
        raise Corrupt(f"{where} is not a SHA-256")
    return text


def _read_source(value: object, where: str) -> SourceFile:
    if not isinstance(value, list) or len(value) != 6:
        raise Corrupt(f"{where} should be a list of six")
    name, rows, size, token, mtime, sha256 = value
    return SourceFile(
        as_text(name, where),
        as_number(rows, where),
        as_number(size, where),
        as_text(token, where),
        as_text(mtime, where),
        as_text(sha256, where),
    )
