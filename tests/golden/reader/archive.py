"""The archive [A1-A7] and its models [B3]: every byte is compared with its SHA-256 before it is looked into."""

import hashlib
import json
from pathlib import Path

import brotli
import pyarrow as pa
import zstandard

from .block import Block, Preview
from .columns import Column
from .digests import digest
from .network import Weights
from .streams import Bytes, Record


def sealed(data):
    """[A2] The body of a sealed file."""
    assert hashlib.sha256(data[84:-2]).hexdigest().encode() == data[11:75]
    return json.loads(data[84:-2], object_hook=Record)


def packed(data):
    """[A2] The content of a packed file."""
    return json.loads(brotli.decompress(data), object_hook=Record)


def fetch(root, ref):
    """[A1] The object that a reference means."""
    data = (root / ref.name).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (ref.length, ref.sha256)
    return data


def snapshot(root):
    """[A4] Manifests by partition, each with its folder, and the shared objects by SHA-256."""
    parent, number, refs, shared = (root / "latentlake.json").read_bytes(), 0, {}, {}
    marker = commit = sealed(parent)
    while (path := root / "_commits" / f"{number:020d}.json").exists():
        commit = sealed(path.read_bytes())
        assert (commit.number, commit.parent) == (number, hashlib.sha256(parent).hexdigest())
        refs |= {change.partition: change.manifest for change in commit.changes or []}
        shared |= {entry.sha256: Record(entry, name=entry.names[0]) for entry in commit.shared or []}
        parent, number = path.read_bytes(), number + 1
    assert commit.format == 0
    assert not commit.requires
    manifests = {}
    for partition, ref in refs.items():
        if ref:
            manifest = packed(fetch(root, ref))
            assert (manifest.archive, manifest.partition) == (marker.archive, partition)
            manifests[partition] = Record(manifest, folder=root / Path(ref.name).parent)
    return manifests, {sha256: fetch(root, ref) for sha256, ref in shared.items()}


def read_model(data):
    """[B3] A model: schema, columns, network and its tensors, mixing plan."""
    size = 8 + int.from_bytes(data[:8], "little")
    places = {name: entry["data_offsets"] for name, entry in json.loads(data[8:size]).items()}
    parts = {name: data[size + start : size + end] for name, (start, end) in places.items()}
    plan = Bytes(parts["plan"])
    n = plan.varint()
    head = Bytes(plan.sized().bytes(n))
    schema = pa.ipc.read_schema(pa.py_buffer(head.sized().data))
    columns = json.loads(head.take(), object_hook=Column)
    blobs = [b"", *(plan.sized().data for _ in range(plan.varint()))]
    at = 0
    for column, field in zip(columns, schema, strict=True):
        column.prepare(field, blobs, at)
        at += column.digits
    network, tensors = json.loads(zstandard.decompress(parts["structure"]), object_hook=Record).network, {}
    for name, tensor in Weights(parts["weights"]).tensors.items() if network else ():
        part, _, own = name.partition("/")
        tensors.setdefault(part, {})[own] = tensor
    vectors = {}
    for name, data in parts.items():
        if name.startswith("vector."):
            vectors.setdefault(int(name.split(".")[1]), {})[name.split(".")[2]] = data
    mixed = parts.get("mixing")
    return Record(schema=schema, columns=columns, network=network, tensors=tensors, mixing=mixed, vectors=vectors)


def read(root):
    """Every partition's id, its digest (checked), its table, and its preview where it has one."""
    manifests, shared = snapshot(root)
    for partition, manifest in manifests.items():
        model, payloads = read_model(shared[manifest.model]), {"latents": [b""] * len(manifest.block_rows)}
        for layer in manifest.layers:
            data = fetch(root if "/" in layer.file.name else manifest.folder, layer.file)
            found = [data[at : at + size] for at, size in zip(layer.offsets, layer.lengths, strict=True)]
            assert layer.sha256 in (None, [hashlib.sha256(payload).hexdigest() for payload in found])
            payloads[layer.layer] = found
        blocks = [*zip(payloads["latents"], payloads["residuals"], manifest.block_rows, strict=True)]
        tables = [Block(model, *block).table() for block in blocks]
        previews = [Preview(model, latents, rows).table() for latents, _, rows in blocks if latents]
        assert digest(model.schema, tables) == manifest.digest
        yield partition, manifest.digest, pa.concat_tables(tables), pa.concat_tables(previews) if previews else None
