"""One case of the fuzzer, made from its seed alone: what is spoilt, how it is read, and what may come of it.

    damaged     a file changes as accidents and meddlers change it; every SHA-256 stays as it was written
    payload     streams of a block change; everything that refers to them fits again
    model       plan, structure, mixing plan, weights change; the same
    metadata    JSON values of marker, commits, manifests, table records change; the same

A damaged archive is refused by name, or gives the very bytes that were stored: nothing else. In the others every hash
is right, so that anything legal may come out: an error of ours, or a table that Arrow finds sound.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.numpy

from ae_core.archive import fields
from ae_core.archive.digest import PartitionDigest
from ae_core.archive.names import MARKER
from ae_core.archive.reader import open_snapshot
from ae_core.codec import Codec
from ae_core.coder.payload import pack_streams
from ae_core.coder.weights import pack_tensors, unpack_tensors
from ae_core.columns.packing import pack_bytes, pack_ints, unpack_bytes
from ae_core.dataset import Archive
from ae_core.errors import Corrupt, LatentlakeError
from ae_core.jobs.listing import archive_log, list_archive, show_partition
from ae_core.jobs.verify import verify
from ae_core.pipeline import StoredBlock, decode_blocks, preview_blocks
from ae_core.varints import read_varint, write_varint
from tests.hostile.damage import spoil_bytes, spoil_json
from tests.hostile.golden_parts import NAMES, Block, Golden, golden, packed, relinked, with_shared
from tests.hostile.memory_store import MemoryStore
from tests.hostile.reading import answer

STUMBLES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, OSError, pa.ArrowException)
"""What `dataset.decoded` turns into Corrupt when decoding a block stumbles over it."""
SHARES = {"damaged": 30, "payload": 35, "model": 25, "metadata": 10}


def run_case(seed: int) -> tuple[str, str]:
    """Kind of the case and what came of it; raises what must not happen."""
    rng = random.Random(seed)
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    source = golden(rng.choice(NAMES))
    return kind, _CASES[kind](rng, source)


# --- hashes as they were ---------------------------------------------------------------------------


def _damaged(rng: random.Random, source: Golden) -> str:
    objects, hit = dict(source.objects), set[str]()
    names = [name for name in objects if not name.startswith("_seen/")]
    for _ in range(rng.choice((1, 1, 1, 2))):
        name, other = rng.choice(names), rng.choice(names)
        kind = rng.randrange(8)
        if kind == 0:
            objects.pop(name, None)
        elif kind == 1:
            objects[name], objects[other] = source.objects[other], source.objects[name]
            hit.add(other)
        elif kind == 2:
            objects[name] = source.objects[other]
        elif kind == 3:  # a whole object of another archive
            foreign = golden(rng.choice([one for one in NAMES if one != source.name])).objects
            alike = [key for key in foreign if key.split("/")[0] == name.split("/")[0]]
            objects[name] = foreign[rng.choice(alike)] if alike else b""
        else:
            objects[name] = spoil_bytes(rng, source.objects[name], [source.objects[other]])
        hit.add(name)
    changed = {name for name in hit if objects.get(name) != source.objects[name]}
    return answer(source, objects, rng.choice(source.snapshot.partitions), changed)


# --- hashes made to fit ----------------------------------------------------------------------------


def _payload(rng: random.Random, source: Golden) -> str:
    block = min(rng.sample(source.blocks, min(2, len(source.blocks))), key=lambda one: one.rows)
    other = rng.choice(source.blocks)
    rows = block.rows
    layer = rng.choice(list(block.streams))
    if rng.randrange(12) == 0:
        parts = {"residuals": block.residuals, "latents": block.latents or b""}
        parts[layer] = spoil_bytes(rng, parts[layer], [other.residuals])
        residuals, latents = parts["residuals"], parts["latents"] if block.latents is not None else None
    else:
        streams = {name: dict(some) for name, some in block.streams.items()}
        for _ in range(rng.choice((1, 1, 2, 3))):
            _spoil_stream(rng, streams, layer, other)
        residuals = pack_streams(streams["residuals"])
        latents = pack_streams(streams["latents"]) if "latents" in streams else None
    if rng.randrange(10) == 0:
        rows = rng.choice((0, 1, rows - 1, rows + 1, 2 * rows, 70_000, 1 << 17))
    return _decode(rng, source.codec, Block(block.partition, rows, latents, residuals))


def _spoil_stream(rng: random.Random, streams: dict[str, dict[str, bytes]], layer: str, other: Block) -> None:
    held = streams[layer]
    if not held:
        return
    name = rng.choice(list(held))
    foreign = other.streams.get(layer, {})
    kind = rng.randrange(10)
    if kind == 0:
        held[name] = foreign.get(name, b"")
    elif kind == 1:
        held[name] = held[rng.choice(list(held))]
    elif kind == 2:
        del held[name]
    elif kind == 3:
        held[name] = _small_stream(rng)
    else:
        held[name] = spoil_bytes(rng, held[name], [*held.values(), *foreign.values()])


def _small_stream(rng: random.Random) -> bytes:
    """A stream of few bytes that asks for much, or of numbers that nothing expects."""
    kind = rng.randrange(6)
    if kind == 0:
        return bytes([rng.randrange(8)]) + write_varint(rng.choice((0, 1, 1 << 31, 1 << 62, (1 << 70) - 1)))
    if kind == 1:
        return bytes([rng.randrange(8)]) + rng.randbytes(rng.randrange(40))
    if kind == 2:
        return bytes([1]) * rng.randrange(3000)
    edges = (0, 1, -1, 255, 256, 65535, 1 << 31, (1 << 63) - 1, -(1 << 63))
    values = np.array([rng.choice(edges) for _ in range(rng.choice((1, 300, 500)))], np.int64)
    return (b"" if kind == 3 else bytes([rng.randrange(6)])) + pack_ints(values)


def _model(rng: random.Random, source: Golden) -> str:
    tensors = dict(source.tensors)
    for _ in range(rng.choice((1, 1, 1, 1, 2))):
        name = rng.choice(list(tensors))
        if rng.randrange(6) == 0 or tensors[name] != source.tensors[name]:
            tensors[name] = spoil_bytes(rng, tensors[name], list(tensors.values()))
        else:
            tensors[name] = _SPOILT[name](rng, tensors[name])
    if rng.randrange(20) == 0:
        tensors.pop(rng.choice(list(tensors)))
    data = safetensors.numpy.save({name: np.frombuffer(raw, np.uint8) for name, raw in tensors.items()})
    if rng.randrange(20) == 0:
        data = spoil_bytes(rng, data, [source.model])
    try:
        codec = Codec.from_bytes(data)
    except LatentlakeError:
        return "refused"
    block = min(source.blocks, key=lambda one: one.rows)
    if rng.randrange(3) == 0:  # bytes that the spoilt model makes more of than noise
        streams = {name: dict(some) for name, some in block.streams.items()}
        _spoil_stream(rng, streams, rng.choice(list(streams)), block)
        latents = pack_streams(streams["latents"]) if "latents" in streams else None
        block = Block(block.partition, block.rows, latents, pack_streams(streams["residuals"]))
    return _decode(rng, codec, block)


def _spoil_plan(rng: random.Random, data: bytes) -> bytes:
    """The plan with records or blobs spoilt, packed again."""
    size, at = read_varint(data, 0)
    packed_size, at = read_varint(data, at)
    head = unpack_bytes(data[at : at + packed_size], size)
    at += packed_size
    count, at = read_varint(data, at)
    blobs = []
    for _ in range(count):
        length, at = read_varint(data, at)
        blobs.append(data[at : at + length])
        at += length
    parts, start = [], 0
    for _ in range(2):
        length, start = read_varint(head, start)
        parts.append(head[start : start + length])
        start += length
    (schema, mixing), text = parts, head[start:]
    kind = rng.randrange(13)
    if kind == 0:
        schema = spoil_bytes(rng, schema, [])
    elif kind >= 10 and mixing:
        mixing = _spoil_mixing(rng, mixing)
    elif kind <= 2 and blobs:
        place = rng.randrange(len(blobs))
        blobs[place] = _small_stream(rng) if rng.randrange(3) == 0 else spoil_bytes(rng, blobs[place], blobs)
    else:
        text = json.dumps(spoil_json(rng, json.loads(text)), ensure_ascii=True).encode()
    head = b"".join((write_varint(len(schema)), schema, write_varint(len(mixing)), mixing, text))
    inner = pack_bytes(head) if len(head) < 4096 else b"\0" + head
    out = write_varint(len(head)) + write_varint(len(inner)) + inner + write_varint(len(blobs))
    return out + b"".join(write_varint(len(blob)) + blob for blob in blobs)


def _spoil_weights(rng: random.Random, data: bytes) -> bytes:
    """Weights that no training finds: extremes, other shapes, tensors in each other's places."""
    tensors = unpack_tensors(data)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(tensors))
        old = tensors[name]
        info, kind = np.iinfo(old.dtype), rng.randrange(16)
        if kind == 0:
            shape = list(old.shape)
            if shape:
                shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 3, 17, 256))
            tensors[name] = np.resize(old, shape) if old.size else np.zeros(shape, old.dtype)
        elif kind == 1:
            tensors[name] = tensors[rng.choice(list(tensors))].copy()
        elif kind == 2:
            tensors.pop(name) if len(tensors) > 1 else None
        elif kind == 3:
            tensors[name] = old.astype(rng.choice((np.int8, np.int16, np.int32)))
        elif old.size:
            new = old.copy().reshape(-1)
            scale = min(rng.choice((1, 3, 20, 100, 1000, info.max // 4, info.max)), info.max)
            where = rng.sample(range(old.size), min(old.size, rng.choice((1, 5, 100))))
            new[where] = [rng.randint(-scale, scale) for _ in where]
            tensors[name] = new.reshape(old.shape)
    return pack_tensors(tensors)


def _spoil_mixing(rng: random.Random, data: bytes) -> bytes:
    """The plan's numbers, one to three of them changed, removed or added."""
    numbers, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        numbers.append(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(numbers))
        kind = rng.randrange(6)
        if kind == 0:
            del numbers[place]
        elif kind == 1:
            numbers.insert(place, rng.choice((0, 1, 2, 10, 1 << 16)))
        elif kind <= 4:
            numbers[place] = max(0, numbers[place] + rng.choice((-1, 1, 2, -2, 16)))
        else:
            numbers[place] = rng.choice((0, 1, 2, 3, 7, 14, 15, 255, 1 << 16, 1 << 31, 1 << 44, 1 << 60, 1 << 62))
    return b"".join(map(write_varint, numbers))


_SPOILT: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "plan": _spoil_plan,
    "weights": _spoil_weights,
}


def _decode(rng: random.Random, codec: Codec, block: Block) -> str:
    """Decode a block, some of its columns or its preview; what comes out must be sound."""
    stored = [StoredBlock(block.latents, block.residuals, block.rows)]
    columns = None
    if rng.randrange(3) == 0:
        columns = rng.sample(codec.plan.schema.names, rng.randint(1, min(3, len(codec.plan.schema))))
    preview = codec.network is not None and rng.randrange(6) == 0
    try:
        (table,) = (preview_blocks if preview else decode_blocks)(codec, stored, columns)
        if table.num_rows != block.rows:
            raise Corrupt("rows")
    except LatentlakeError:
        return "refused"
    except STUMBLES as error:
        return f"stumbled ({type(error).__name__})"
    table.validate()  # no buffer is shorter than what refers to it
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return "illegal values"
    PartitionDigest(table.schema).add(table)
    return "decoded"


def _metadata(rng: random.Random, source: Golden) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        body = json.loads(source.objects[MARKER])["body"]
        objects = relinked(source, marker=spoil_json(rng, body))
    elif kind <= 2:
        commits = list(source.commits)
        place = rng.randrange(len(commits))
        commits[place] = spoil_json(rng, commits[place])
        objects = relinked(source, commits=commits)
    else:
        name = rng.choice([name for name in source.objects if name.endswith(".json.br") or name.startswith("tables/")])
        value = fields.unpack_json(source.objects[name], name)
        data = packed(spoil_json(rng, value)) if rng.randrange(8) else spoil_bytes(rng, source.objects[name], [])
        if name.startswith("tables/"):
            objects = with_shared(source, "table", data)
        else:
            objects = relinked(source, replaced={name: data})
    store: Any = MemoryStore(objects)
    try:
        pid = rng.choice(source.snapshot.partitions)
        job = rng.randrange(5)
        if job == 0:
            list_archive("memory", store=store)
        elif job == 1:
            show_partition("memory", pid, store=store)
        elif job == 2:
            archive_log("memory", store=store)
        elif job == 3:
            verify("memory", deep=rng.randrange(4) == 0, threads=1, store=store)
        else:
            for partition in Archive(open_snapshot("memory", store=store)).partitions():
                partition.schema_of()
                list(partition.blocks(threads=1))
    except LatentlakeError:
        return "refused"
    return "read"


_CASES: dict[str, Callable[[random.Random, Golden], str]] = {
    "damaged": _damaged,
    "payload": _payload,
    "model": _model,
    "metadata": _metadata,
}
