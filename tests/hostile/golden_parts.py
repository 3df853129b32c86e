"""The golden archives taken apart: a part can be replaced, and everything that refers to it made to fit again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import brotli
import safetensors.numpy

from ae_core.archive import fields
from ae_core.archive.names import COMMITS, MARKER, WITNESSES
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.codec import Codec
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.dataset import Archive
from tests.hostile.memory_store import MemoryStore

HOME = Path(__file__).parent.parent / "golden" / "format-0"
NAMES = ("network", "mixing", "wide", "forms", "faded")


def load_objects(root: Path) -> dict[str, bytes]:
    """Every file of an archive by its name."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@dataclass(frozen=True, eq=False)
class Block:
    """One stored block and its streams."""

    partition: str
    rows: int
    latents: bytes | None
    residuals: bytes

    @cached_property
    def streams(self) -> dict[str, dict[str, bytes]]:
        found = {"residuals": unpack_streams(self.residuals)}
        return found if self.latents is None else found | {"latents": unpack_streams(self.latents)}


class Golden:
    """One golden archive in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects = load_objects(HOME / name / "archive")
        self.snapshot = open_snapshot("memory", store=MemoryStore(self.objects))
        self.archive = Archive(self.snapshot)
        manifest = self.snapshot.manifest(self.snapshot.partitions[0])
        self.model = self.snapshot.model(manifest) or b""
        self.codec = Codec.from_bytes(self.model)
        self.tensors = {key: raw.tobytes() for key, raw in safetensors.numpy.load(self.model).items()}
        self.blocks = [block for pid in self.whole for block in _blocks(self.snapshot, pid)]

    @cached_property
    def whole(self) -> list[str]:
        """Partitions that have not faded."""
        found = self.snapshot.partitions
        return [pid for pid in found if self.snapshot.manifest(pid).layer("residuals") is not None]

    @cached_property
    def commits(self) -> list[dict[str, Any]]:
        """Bodies of the commits."""
        names = sorted(name for name in self.objects if name.startswith(COMMITS))
        return [json.loads(self.objects[name])["body"] for name in names]


@cache
def golden(name: str) -> Golden:
    return Golden(name)


def _blocks(snapshot: Snapshot, pid: str) -> list[Block]:
    manifest = snapshot.manifest(pid)
    count = len(manifest.block_rows)
    has = manifest.layer("latents") is not None
    latents: list[bytes | None] = [*snapshot.payloads(manifest, "latents")] if has else [None] * count
    residuals = list(snapshot.payloads(manifest, "residuals"))
    return [Block(pid, *parts) for parts in zip(manifest.block_rows, latents, residuals, strict=True)]


def packed(value: Any) -> bytes:
    """`fields.pack_json`, in a hurry."""
    return brotli.compress(fields.canonical_json(value), quality=1)


def relinked(
    source: Golden, *, marker: Any = None, commits: list[Any] | None = None, replaced: dict[str, bytes] | None = None
) -> dict[str, bytes]:
    """All objects of an archive in which parts are replaced, and every length and SHA-256 that refers to them fits.

    Manifests refer to layer files, commits to manifests, shared objects and reports, commits to their parents. The
    witnesses of the commits that were are gone: who can rewrite the log can remove them.
    """
    witnesses = {name: data for name, data in source.objects.items() if name.startswith(WITNESSES)}
    objects = {name: data for name, data in (source.objects | (replaced or {})).items() if name not in witnesses}
    marker = _unsealed(objects[MARKER]) if marker is None else marker
    objects[MARKER] = fields.seal(marker) if isinstance(marker, dict) else fields.canonical_json(marker)
    parent = _sha(objects[MARKER])
    for number, original in enumerate(source.commits if commits is None else commits):
        body = json.loads(json.dumps(original))
        if isinstance(body, dict):
            for ref in _references(body):
                _fit(ref, objects)
            if isinstance(body.get("parent"), str) and len(body["parent"]) == 64:
                body["parent"] = parent
        name = f"{COMMITS}/{number:020d}.json"
        objects[name] = fields.seal(body)
        parent = _sha(objects[name])
    return objects


def with_shared(source: Golden, kind: str, data: bytes) -> dict[str, bytes]:
    """All objects with `data` in the place of the archive's model or table record."""
    folder = {"model": "models/", "table": "tables/"}[kind]
    twins = [name for name in source.objects if name.startswith(folder)]
    replaced = dict.fromkeys(twins, data)
    for name, raw in source.objects.items():
        if "manifest.json" in name:
            replaced[name] = packed(fields.unpack_json(raw, name) | {kind: _sha(data)})
    return relinked(source, replaced=replaced)


def with_manifest(source: Golden, partition: str, change: Callable[[Any], Any]) -> dict[str, bytes]:
    """All objects with a changed manifest."""
    name = source.snapshot.state.partitions[partition].name
    return relinked(source, replaced={name: packed(change(fields.unpack_json(source.objects[name], name)))})


def with_streams(source: Golden, partition: str, layer: str, streams: dict[str, bytes]) -> dict[str, bytes]:
    """All objects with other streams in a partition of one block: its layer file is the payload alone."""
    payload = pack_streams(streams)
    name = source.snapshot.state.partitions[partition].name
    manifest = fields.unpack_json(source.objects[name], name)
    (entry,) = (one for one in manifest["layers"] if one["layer"] == layer)
    entry |= {"offsets": [0], "lengths": [len(payload)]}
    entry["file"] |= {"length": len(payload), "sha256": _sha(payload)}
    file = name.rpartition("/")[0] + "/" + entry["file"]["name"]
    return relinked(source, replaced={name: packed(manifest), file: payload})


def write_archive(root: Path, objects: dict[str, bytes]) -> Path:
    """The objects as files."""
    for name, data in objects.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def _references(value: Any) -> list[dict[str, Any]]:
    """The objects in a JSON value that look like references."""
    if isinstance(value, list):
        return [ref for item in value for ref in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if "sha256" in value and ("name" in value or "names" in value) else []
    return own + [ref for item in value.values() for ref in _references(item)]


def _fit(ref: dict[str, Any], objects: dict[str, bytes]) -> None:
    names = ref["names"] if isinstance(ref.get("names"), list) else [ref.get("name")]
    data = objects.get(names[0]) if names and isinstance(names[0], str) else None
    if data is not None and isinstance(ref.get("length"), int):
        ref["length"], ref["sha256"] = len(data), _sha(data)


def _unsealed(data: bytes) -> Any:
    return json.loads(data)["body"]


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
