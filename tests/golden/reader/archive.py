"""The archive [A1-A7], its models [B3] and digests [A8]: bytes are compared with their SHA-256 before they are read."""

import hashlib
import json

import brotli
import numpy as np
import pyarrow as pa

from .block import Block, Preview
from .coders import weights
from .columns import Column
from .streams import Bytes, Record

T = pa.types
OWN = "dim_names", "permutation", "shape", "type_name", "uniform_shape", "vendor_name"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def sealed(data):
    """[A2] The body of a sealed file."""
    assert sha256(data[84:-2]).encode() == data[11:75]
    return json.loads(data[84:-2], object_hook=Record)


def packed(data):
    """[A2] The content of a packed file."""
    return json.loads(brotli.decompress(data), object_hook=Record)


def fetch(root, ref):
    """[A1] The object that a reference means."""
    data = (root / ref.name).read_bytes()
    assert (len(data), sha256(data)) == (ref.length, ref.sha256)
    return data


def snapshot(root):
    """[A4] Manifests by partition, each with its folder, and the shared objects by SHA-256."""
    parent, number, refs, shared = (root / "latentlake.json").read_bytes(), 0, {}, {}
    marker = commit = sealed(parent)
    while (path := root / f"_commits/{number:020d}.json").exists():
        commit = sealed(path.read_bytes())
        assert (commit.number, commit.parent) == (number, sha256(parent))
        refs |= {change.partition: change.manifest for change in commit.changes or []}
        shared |= {entry.sha256: Record(entry, name=entry.names[0]) for entry in commit.shared or []}
        parent, number = path.read_bytes(), number + 1
    assert (commit.format, commit.requires or []) == (0, [])
    manifests = {}
    for partition, ref in refs.items():
        if ref:
            manifests[partition] = Record(packed(fetch(root, ref)), folder=(root / ref.name).parent)
            assert (manifests[partition].archive, manifests[partition].partition) == (marker.archive, partition)
    return manifests, {digest: fetch(root, ref) for digest, ref in shared.items()}


def read_model(data):
    """[B3] A model: schema, columns, network and its tensors, mixing plan."""
    size = 8 + int.from_bytes(data[:8], "little")
    places = {name: entry["data_offsets"] for name, entry in json.loads(data[8:size]).items()}
    parts = {name: data[size + start : size + end] for name, (start, end) in places.items()}
    plan = Bytes(parts["plan"])
    n = plan.varint()
    head = Bytes(plan.sized().bytes(n))
    schema = pa.ipc.read_schema(pa.py_buffer(head.sized().data))
    mixing, text = head.sized().data, json.loads(head.take(), object_hook=Record)
    columns, network, tensors = [Column(record) for record in text["columns"]], text.network, {}
    blobs, at = [b"", *(plan.sized().data for _ in range(plan.varint()))], 0
    for column, field in zip(columns, schema, strict=True):
        column.prepare(field, blobs, at)
        at += column.digits
    for name, tensor in weights(parts["weights"]).items() if network else ():
        part, _, own = name.partition("/")
        tensors.setdefault(part, {})[own] = tensor
    vectors = {}
    for name, part in parts.items():
        if name.startswith("vector."):
            vectors.setdefault(int(name.split(".")[1]), {})[name.split(".")[2]] = part
    return Record(schema=schema, columns=columns, network=network, tensors=tensors, mixing=mixing, vectors=vectors)


def read(root):
    """Every partition's id, its digest (checked), its table, and its preview where it has one."""
    manifests, shared = snapshot(root)
    for partition, manifest in manifests.items():
        model, payloads = read_model(shared[manifest.model]), {}
        for layer in manifest.layers:
            data = fetch(root if "/" in layer.file.name else manifest.folder, layer.file)
            found = [data[at : at + size] for at, size in zip(layer.offsets, layer.lengths, strict=True)]
            assert layer.sha256 in (None, [sha256(payload) for payload in found])
            payloads[layer.layer] = found
        latents = payloads.get("latents", [b""] * len(manifest.block_rows))
        blocks = [*zip(latents, payloads.get("residuals", []), manifest.block_rows, strict=False)]
        previews = [Preview(model, z, rows).table() for z, rows in zip(latents, manifest.block_rows, strict=True) if z]
        tables = [Block(model, *block).table() for block in blocks] or previews
        assert digest(tables[0].schema, tables) == manifest.digest
        yield partition, manifest.digest, pa.concat_tables(tables), pa.concat_tables(previews) if previews else None


def digest(schema, tables):
    """[A8] That of a partition, from its blocks."""
    keys = json.dumps([field_key(field) for field in schema], separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    total = hashlib.sha256(f"latentlake digest 0\n{keys}\n".encode())
    for table in tables:
        columns = [hashlib.sha256(encoding(pa.concat_arrays(column.chunks))).digest() for column in table.columns]
        total.update(hashlib.sha256(table.num_rows.to_bytes(8, "little") + b"".join(columns)).digest())
    return total.hexdigest()


def field_key(field):
    return [field.name, type_key(field.type), field.nullable]


def type_key(kind):
    if isinstance(kind, pa.BaseExtensionType):
        named = {name: getattr(kind, name) for name in OWN if getattr(kind, name, None) is not None}
        own = kind.__arrow_ext_serialize__().hex() if isinstance(kind, pa.ExtensionType) else named
        return ["extension", kind.extension_name, own, type_key(kind.storage_type)]
    if T.is_dictionary(kind):
        return ["dictionary", type_key(kind.index_type), type_key(kind.value_type), kind.ordered]
    if T.is_map(kind):
        return ["map", kind.keys_sorted, field_key(kind.key_field), field_key(kind.item_field)]
    fields = [field_key(kind.field(i)) for i in range(kind.num_fields)]
    size = [kind.list_size] if T.is_fixed_size_list(kind) else []
    return [str(kind).split("<")[0].split("[")[0], *size, *fields] if fields or T.is_struct(kind) else str(kind)


def encoding(array):
    """The canonical encoding of an array; views, list views, unions and run ends are left out."""
    kind, valid, there = array.type, np.array(array.is_valid()), array.drop_null()
    if isinstance(kind, pa.BaseExtensionType) or T.is_dictionary(kind):
        return encoding(array.dictionary_decode() if T.is_dictionary(kind) else array.storage)
    head = len(array).to_bytes(8, "little") + (b"\0" if valid.all() else b"\1" + bitmap(valid))
    if T.is_null(kind):
        return head[:8]
    if T.is_boolean(kind):
        return head + bitmap(array.fill_null(False))
    if T.is_struct(kind):
        return head + b"".join(encoding(array.field(i).filter(pa.array(valid))) for i in range(kind.num_fields))
    if T.is_fixed_size_list(kind):
        return head + encoding(there.flatten())
    if kind.num_fields:
        lengths = [len(cell or ()) for cell in array.to_pylist()]
        items = pa.concat_arrays([cell.values for cell in there] or [array.values[:0]])
        return head + np.array(lengths, "<i8").tobytes() + encoding(items)
    if kind in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        cells = [cell or b"" for cell in array.cast(pa.large_binary()).to_pylist()]
        return head + np.array([*map(len, cells)], "<i8").tobytes() + b"".join(cells)
    raw = np.frombuffer(array.buffers()[1] or b"", np.uint8).reshape(-1, kind.byte_width)[array.offset :]
    return head + np.where(valid[:, None], raw[: len(array)], np.uint8(0)).tobytes()


def bitmap(flags):
    return np.packbits(np.array(flags), bitorder="little").tobytes()
