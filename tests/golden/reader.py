"""A second decoder, written from docs/format.md alone: slow, without the project's code, and without a network's speed.

    python tests/golden/reader.py ARCHIVE          every partition's digest, recomputed from the bytes

Comments name the sections of the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import brotli
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from pcodec import standalone

np.seterr(over="ignore")
U64, MIN = 2**64, np.int64(-(2**63))
FLOATS = {"nan": np.nan, "+inf": np.inf, "-inf": -np.inf, "-0": -0.0}


class Bytes:
    """A cursor over bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        assert self.at + size <= len(self.data)
        self.at += size
        return self.data[self.at - size : self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def varint(self):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    def zigzag(self):
        code = self.varint()
        return code >> 1 if code % 2 == 0 else -((code + 1) >> 1)

    def sized(self):
        size = self.varint()
        return inflate(self.rest(), size)

    def parts(self, count):
        return [self.take(self.varint()) for _ in range(count - 1)] + [self.rest()]


# --- part A ---------------------------------------------------------------------------------------


def sealed(data):
    digest, body = data[11:75], data[len('{"sha256":"","body":') + 64 : -2]
    assert hashlib.sha256(body).hexdigest().encode() == digest
    return json.loads(body)


def fetch(root, ref):
    data = (root / ref["name"]).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (ref["length"], ref["sha256"])
    return data


def read_archive(root):
    """Manifests by partition, and a function from SHA-256 to a shared object's bytes."""
    parent, number, manifests, shared = (root / "latentlake.json").read_bytes(), 0, {}, {}
    assert sealed(parent)["format"] == 0
    while (path := root / "_commits" / f"{number:020d}.json").exists():
        commit = sealed(path.read_bytes())
        assert (commit["number"], commit["parent"]) == (number, hashlib.sha256(parent).hexdigest())
        manifests |= {change["partition"]: change["manifest"] for change in commit.get("changes", [])}
        shared |= {entry["sha256"]: entry for entry in commit.get("shared", [])}
        parent, number = path.read_bytes(), number + 1
    packed = {name: json.loads(zstandard.decompress(fetch(root, ref))) for name, ref in manifests.items() if ref}
    return packed, lambda sha256: fetch(root, shared[sha256] | {"name": shared[sha256]["names"][0]})


def type_key(kind):
    def field(f):
        return [f.name, type_key(f.type), f.nullable]

    if pa.types.is_dictionary(kind):
        return ["dictionary", type_key(kind.index_type), type_key(kind.value_type), kind.ordered]
    if pa.types.is_list(kind) or pa.types.is_struct(kind):
        return [str(kind).split("<")[0], *(field(kind.field(i)) for i in range(kind.num_fields))]
    return str(kind)


def encoding(array):
    """A8, for the types of the golden archives; works on Python values, so that no buffer layout matters."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return encoding(array.dictionary_decode())
    out, valid = len(array).to_bytes(8, "little"), np.array(array.is_valid())
    if pa.types.is_null(kind):
        return out
    out += b"\0" if valid.all() else b"\1" + np.packbits(valid, bitorder="little").tobytes()
    if pa.types.is_boolean(kind):
        return out + np.packbits([bool(cell) for cell in array.to_pylist()], bitorder="little").tobytes()
    if pa.types.is_struct(kind):
        return out + b"".join(encoding(array.field(i).filter(pa.array(valid))) for i in range(kind.num_fields))
    if pa.types.is_list(kind):
        lengths = [len(cell or ()) for cell in array.to_pylist()]
        return out + np.array(lengths, "<i8").tobytes() + encoding(array.drop_null().flatten())
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        cells = [(cell or "").encode() if isinstance(cell, str | None) else cell for cell in array.to_pylist()]
        return out + np.array([len(cell) for cell in cells], "<i8").tobytes() + b"".join(cells)
    width = kind.byte_width
    raw = array.buffers()[1].to_pybytes()[array.offset * width :][: len(array) * width]
    rows = np.frombuffer(raw, np.uint8).reshape(len(array), width)
    return out + np.where(valid[:, None], rows, 0).astype(np.uint8).tobytes()


def digest(schema, tables):
    keys = [[field.name, type_key(field.type), field.nullable] for field in schema]
    text = json.dumps(keys, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    total = hashlib.sha256(b"latentlake digest 0\n" + text + b"\n")
    for table in tables:
        block = hashlib.sha256(table.num_rows.to_bytes(8, "little"))
        for column in table.columns:
            block.update(hashlib.sha256(encoding(pa.concat_arrays(column.chunks))).digest())
        total.update(block.digest())
    return total.hexdigest()


# --- B1, B2 -----------------------------------------------------------------------------------------


def streams_of(payload):
    data = Bytes(payload)
    sizes = [(data.take(data.varint()).decode(), data.varint()) for _ in range(data.varint())]
    found = {name: data.take(size) for name, size in sizes}
    assert data.at == len(payload)
    return found


def inflate(data, size):
    tag, body = data[0], data[1:]
    if tag == 1:
        body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    elif tag == 2:
        body = lzma.decompress(body, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}])
    elif tag == 3:
        body = brotli.decompress(body)
    assert len(body) == size
    return body


def ints(data, count):
    if count == 0:
        return np.zeros(0, np.int64)
    tag, body = data[0], Bytes(data[1:])
    if tag == 0:
        return np.full(count, body.zigzag(), np.int64)
    if tag == 1:
        runs = body.varint()
        lengths, steps = (ints(part, runs) for part in body.parts(2))
        return np.repeat(np.cumsum(steps), lengths)
    if tag == 2:
        return np.asarray(standalone.simple_decompress(body.rest()))
    base, width = body.zigzag(), 2 ** body.take(1)[0]
    planes = np.frombuffer(inflate(body.rest(), count * width), np.uint8).reshape(width, count)
    return np.array([(base + int.from_bytes(c, "little")) % U64 for c in planes.T.tolist()], np.uint64).view(np.int64)


def kind_of(kind):
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "text"
    nested = pa.types.is_nested(kind) or pa.types.is_null(kind) or pa.types.is_dictionary(kind)
    return "other" if nested else "int"


def make(kind, cells, valid):
    """An array from storage (int), floats or bytes."""
    if kind_of(kind) == "text":
        texts = [cell.decode() if pa.types.is_string(kind) else cell for cell in cells]
        return pa.array([text if ok else None for text, ok in zip(texts, valid, strict=True)], kind)
    if kind_of(kind) == "float":
        raw = cells.astype(f"f{kind.bit_width // 8}")
    elif pa.types.is_decimal(kind):
        raw = np.stack([cells, cells >> 63], 1)
    elif pa.types.is_boolean(kind):
        raw = np.packbits(cells.astype(bool), bitorder="little")
    else:
        raw = cells ^ MIN if pa.types.is_uint64(kind) else cells.astype(f"i{kind.bit_width // 8}")
    mask = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(kind, len(cells), [mask, pa.py_buffer(raw.tobytes())])


def storage(array):
    """B2: the storage of integers and times, nulls as 0."""
    cells = array.view(f"int{array.type.bit_width}").cast(pa.int64()).fill_null(0).to_numpy()
    return cells ^ MIN if pa.types.is_uint64(array.type) else cells


def validity(data, count):
    return ints(data, count).astype(bool) if data else np.ones(count, bool)


def cells(data, count, kind):
    if count == 0:
        return pa.array([], kind)
    tag, body = data[0], Bytes(data[1:])
    if tag == 3:
        array = pa.ipc.open_stream(body.sized()).read_all().column(0)
    elif tag == 4:
        array = pq.read_table(pa.BufferReader(body.rest())).column(0).cast(kind)
    else:
        first, *parts = body.parts(3 if tag == 2 else 2)
        valid = validity(first, count)
        there = int(valid.sum())
        if tag == 2:
            text = Bytes(Bytes(parts[1]).sized())
            full = np.zeros(count, object)
            full[:] = b"\0" * (kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0)
            full[valid] = [text.take(int(length)) for length in ints(parts[0], there)]
            return make(kind, full, valid)
        dtype = np.dtype(f"f{kind.bit_width // 8}" if kind_of(kind) == "float" else np.int64)
        full = np.zeros(count, dtype)
        if tag == 1:
            full[valid] = standalone.simple_decompress(parts[0])
        else:
            full[valid] = ints(parts[0], there).astype(f"i{dtype.itemsize}").view(dtype)
        return make(kind, full, valid)
    return pa.concat_arrays(array.chunks)


# --- B3, B4: the plan -------------------------------------------------------------------------------


def read_plan(data):
    data = Bytes(data)
    size = data.varint()
    head = Bytes(inflate(data.take(data.varint()), size))
    schema = pa.ipc.read_schema(pa.py_buffer(head.take(head.varint())))
    records = json.loads(head.rest())
    blobs = [b"", *(data.take(data.varint()) for _ in range(data.varint()))]
    columns = []
    for field, record in zip(schema, records, strict=True):
        unwrapped = pa.types.is_dictionary(field.type) and not field.type.ordered
        c = SimpleNamespace(**record, field=field, kind=field.type.value_type if unwrapped else field.type)
        c.coded, c.given = c.coder == "network", c.coder == "plain" and "domain" in record
        if "domain" in record:
            read_domain(c, record, blobs)
        if "lookup" in record:
            table = Bytes(blobs[c.lookup["table"]]).parts(2)
            c.places = np.cumsum(ints(table[0], c.lookup["count"])).tolist()
            codes = ints(table[1][1:], c.lookup["count"])
            c.table = dict(zip(c.places, (np.cumsum(codes) if table[1][0] else codes).tolist(), strict=True))
        columns.append(c)
    return schema, columns


def read_domain(c, record, blobs):
    c.levels, c.ordinal, c.specials = c.domain
    room = 256 - len(c.specials)
    low = max(64, -(-c.levels // room))
    c.radices = [c.levels] if c.levels <= room else [-(-c.levels // low), low]
    c.alphabets = [c.radices[0] + len(c.specials), *c.radices[1:]]
    c.size = c.levels + len(c.specials)
    if "words" in record:
        lengths, shared, tail = Bytes(blobs[c.words][1:]).parts(3)
        text = Bytes(Bytes(tail).sized())
        c.values, word = [], b""
        for length, keep in zip(ints(lengths, c.levels).tolist(), ints(shared, c.levels).tolist(), strict=True):
            word = word[:keep] + text.take(length)
            c.values.append(word)
        c.values += [c.values[0] if c.values else b""] * len(c.specials)
        return
    if "listed" in c.code:
        levels = np.cumsum(ints(blobs[c.code["listed"]], c.levels))
    else:
        levels = c.code["first"] + np.arange(c.levels)
    values = rebuild(c.code.get("quantiser") or c.quantiser, levels)
    c.values = np.concatenate([values, [FLOATS.get(special, 0) for special in c.specials]]).astype(values.dtype)


def rebuild(q, levels):
    """The storage or floats of quantiser levels."""
    q = SimpleNamespace(**q)
    if q.kind == "IntGrid":
        width, out = q.hi - q.lo, []
        for level in levels.tolist():
            far = level * q.step % U64
            at = level if q.step == 1 else width if width < q.half else min(far + q.half, width)
            out.append((q.lo + at) % U64)
        return np.array(out, np.uint64).view(np.int64)
    if q.kind == "FloatGrid":
        return (float.fromhex(q.offset) + levels.astype("f8") * float.fromhex(q.step)).astype(f"f{q.width}")
    if q.kind == "FloatDecimal":
        whole = rebuild({"kind": "IntGrid"} | q.grid, levels)
        return (whole.astype("f8") / float(10**q.digits)).astype(f"f{q.width}")
    if q.kind == "FloatBits":
        bits = (np.abs(levels) << q.drop).astype(f"u{q.width}")
        sign = np.where(levels < 0, 1 << (8 * q.width - 1), 0).astype(np.uint64).astype(f"u{q.width}")
        return (bits | sign).view(f"f{q.width}")
    return levels


# --- B7: weights --------------------------------------------------------------------------------------


class Weights:
    """The arithmetic decoder of all tensors."""

    def __init__(self, data):
        size = int.from_bytes(data[:4], "little")
        self.code, self.low, self.high, self.at, self.nodes = data[4 + size :], 0, 2**32 - 1, 4, {}
        self.point = int.from_bytes(self.code[:4].ljust(4, b"\0"), "big")
        described = json.loads(zlib.decompress(data[4 : 4 + size]))
        self.tensors = {name: self.tensor(shape) for name, _, shape in described}
        assert self.at - 3 == len(self.code)

    def bit(self, *node):
        p, n = self.nodes.get(node, (32768, 0))
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = self.point <= middle
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        if node:
            p += (65536 - p if bit else -p) * (2**17 // (2 * n + 3)) >> 16
            self.nodes[node] = min(max(p, 48), 65488), min(n + 1, 79)
        while self.low >> 24 == self.high >> 24:
            more = self.code[self.at] if self.at < len(self.code) else 0
            self.low, self.high = self.low << 8 & 0xFFFFFFFF, self.high << 8 & 0xFFFFFFFF | 255
            self.point, self.at = self.point << 8 & 0xFFFFFFFF | more, self.at + 1
        return int(bit)

    def tensor(self, shape):
        columns = max(shape[-1], 1)
        rows = [[0] * columns, [0] * columns]  # two rows of zeros above
        mean, overall = [1024] * columns, 1024
        for row in range(int(np.prod(shape)) // columns):
            total, line = 0, []
            for j in range(columns):
                expected = (2 * overall + 256 * total) // (2 + j) * mean[j] // max(overall, 16)
                context = min(max(expected.bit_length() - 1, 0), 23)
                length, size, value = 0, 0, 0
                while self.bit("length", context, length):
                    length += 1
                if length:
                    lean = 2 * rows[-1][j] + rows[-2][j]
                    negative = self.bit("sign", min(abs(lean).bit_length(), 6), lean < 0, min(length, 4))
                    size = 1
                    for _ in range(length - 1):
                        size = 2 * size + (self.bit(context, length, size) if size < 4 else self.bit())
                    value = -size if negative else size
                line.append(value)
                total += size
                mean[j] += (256 * size - mean[j]) >> (1 if row == 0 else 2)
            overall += (total * 256 // columns - overall) >> (1 if row < 2 else 3)
            rows.append(line)
        return np.array(rows[2:], np.int64).reshape(shape)


# --- B8: context groups -------------------------------------------------------------------------------


class Stream:
    """A rANS stream."""

    def __init__(self, data):
        words = np.frombuffer(data, "<u4").tolist()
        self.state, self.words = (words[0] | words[1] << 32, words[:1:-1]) if data else (2**31, [])
        assert 2**31 <= self.state < 2**63

    def symbol(self, logits):
        d = np.minimum(logits.max() - logits, 2**22 - 1)
        t = d * 369 >> 7
        f = t & 1023
        e = 32768 - (f * (22007 - (f * 5623 >> 10)) >> 10) >> np.minimum(t >> 10, 31)
        below = np.cumsum(e) - e
        cum = np.arange(len(e)) + (below * ((65536 - len(e) << 15) // e.sum()) >> 15)
        slot = self.state % 2**16
        x = int(np.searchsorted(cum, slot, "right")) - 1
        frequency = int(cum[x + 1] if x + 1 < len(cum) else 65536) - int(cum[x])
        self.state = frequency * (self.state >> 16) + slot - int(cum[x])
        if self.state < 2**31:
            self.state = self.state << 32 | self.words.pop()
        return x


def decode_group(meta, tensors, data, symbols):
    """Fill the coded positions of symbols (rows, positions)."""
    t = {name: tensor.astype(np.int64) for name, tensor in tensors.items()}
    first = np.cumsum([0, *meta["alphabets"]])
    coded = [p for p in range(len(meta["alphabets"])) if p not in meta["given"]]
    W = t["W"].reshape(len(coded), -1, meta["hidden"])
    ends = np.cumsum([meta["alphabets"][p] for p in coded])
    tables = [{} for _ in meta["candidates"]]
    bits = min(max((2 * len(symbols) - 1).bit_length(), 4), 17)
    stream, (u, b0) = Stream(data), t["start"]
    for row in symbols:
        s, u = b0 + ((u.clip(0, 255) @ t["M"] + 16) >> 5), t["start"][0]
        for p, size in enumerate(meta["alphabets"]):
            if p in coded and size > 1:
                j = coded.index(p)
                h = ((s.clip(-32768, 32767) @ W[j] + 16 * t["bw"][j] + 16) >> 5).clip(0, 255)
                logits = t["V"][ends[j] - size : ends[j]] @ h + 16 * t["bv"][ends[j] - size : ends[j]]
                mine = []
                for c, (_, *key) in enumerate(meta["candidates"]):
                    if meta["candidates"][c][0] == p:
                        index, check = place_of([int(row[k]) for k in key], bits)
                        entry = tables[c].get(index, (check, 0, 0))
                        entry = entry if entry[0] == check else (check, 0, 0)
                        mine.append((c, index, entry))
                        if entry[2]:
                            logits[entry[1]] += t["boost"][c][entry[2] - 1] + t["gate"][c] @ h
                row[p] = stream.symbol(logits)
                for c, index, (check, value, kind) in mine:
                    hit = 3 if kind < 3 else min(kind + 1, 8)
                    tables[c][index] = check, int(row[p]), 2 if kind == 0 else hit if value == row[p] else 1
            s, u = s + t["T"][first[p] + row[p]], u + t["T"][first[p] + row[p]]
    assert stream.state == 2**31
    assert not stream.words


def place_of(key, bits):
    g = sum(k << 16 * i for i, k in enumerate(key)) * 0x9E3779B97F4A7C15 % U64
    hashed = (g ^ g >> 32) * 0xD6E8FEB86659FD93 % U64
    return hashed >> 64 - bits, (hashed >> 8) % 2**16


# --- B1, B5, B6: blocks -------------------------------------------------------------------------------


def read_model(data):
    size = int.from_bytes(data[:8], "little")
    places = {name: entry["data_offsets"] for name, entry in json.loads(data[8 : 8 + size]).items()}
    part = {name: data[8 + size + low : 8 + size + high] for name, (low, high) in places.items()}
    network = json.loads(zstandard.decompress(part["structure"])).get("network")
    return *read_plan(part["plan"]), network, Weights(part["weights"]).tensors if network else {}


def decode_block(model, latents, residuals, rows):
    schema, columns, network, weights = model
    streams = streams_of(residuals)
    places = [(i, digit) for i, c in enumerate(columns) if c.coded or c.given for digit in range(len(c.radices))]
    symbols = np.zeros((rows, len(places)), np.int64)
    for i, c in enumerate(columns):
        if c.given:
            codes = ints(streams[f"{i}:given"], rows)
            low = c.radices[-1] if len(c.radices) == 2 else 1
            special = codes >= c.levels
            symbols[:, places.index((i, 0))] = np.where(special, codes - c.levels + c.radices[0], codes // low)
            if low > 1:
                symbols[:, places.index((i, 1))] = np.where(special, 0, codes % low)
    if network:

        def tensors(prefix):
            return {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}

        z = np.zeros((rows, len(network["prior"]["alphabets"])), np.int64)
        decode_group(network["prior"], tensors("z/"), streams_of(latents)["z"], z)
        for number, group in enumerate(network["groups"]):
            joined = np.concatenate([z, symbols[:, group["positions"]]], 1)
            decode_group(group["frozen"], tensors(f"g{number}/"), streams[f"g{number}"], joined)
            symbols[:, group["positions"]] = joined[:, z.shape[1] :]
    block = Block(columns, places, symbols, streams)
    return pa.table([block.array(i, full=True) for i in range(len(columns))], schema=schema)


class Block:
    """The columns of one block."""

    def __init__(self, columns, places, symbols, streams):
        self.columns, self.places, self.symbols, self.streams = columns, places, symbols, streams
        self.rows = len(symbols)

    def codes(self, i):
        c = self.columns[i]
        if hasattr(c, "lookup"):
            place = np.zeros(self.rows, np.int64)
            for key, size in zip(c.lookup["keys"], c.lookup["sizes"], strict=True):
                place = place * size + self.codes(key)
            codes = np.array([c.table.get(p, -1) for p in place.tolist()], np.int64)
            misses = Bytes(self.streams.get(f"{i}:misses", b""))
            if misses.data[:1] == b"\1":
                return ints(misses.data[1:], self.rows)
            if misses.data:
                _, count = misses.take(1), misses.varint()
                gaps, values = misses.parts(2)
                codes[np.cumsum(ints(gaps, count)) - 1] = ints(values, count)
            return codes
        high = self.symbols[:, self.places.index((i, 0))]
        if len(c.radices) == 1:
            return high
        codes = high * c.radices[1] + self.symbols[:, self.places.index((i, 1))]
        codes = np.where(codes >= c.levels, c.size - 1, codes)
        return np.where(high >= c.radices[0], high - c.radices[0] + c.levels, codes)

    def array(self, i, full=False):
        c = self.columns[i]
        if c.coder == "linear":
            array = self.linear(i, c)
        elif "domain" in vars(c):
            array = self.coded(i, c)
        else:
            array = self.plain(i, c)
        wrapped = full and array.type != c.field.type
        return array.dictionary_encode().cast(c.field.type) if wrapped else array

    def linear(self, i, c):
        tag, body = self.streams[f"{i}:rest"][0], self.streams[f"{i}:rest"][1:]
        if tag == 0:
            return cells(body, self.rows, c.kind)
        first, rest = Bytes(body).parts(2)
        valid = validity(first, self.rows)
        total = np.zeros(self.rows, np.int64)
        total[valid] = ints(rest, int(valid.sum()))
        for key, factor in zip(c.linear["inputs"], c.linear["coefficients"], strict=True):
            total += storage(self.array(key)) * np.int64(factor)
        return make(c.kind, total, valid)

    def coded(self, i, c):
        codes = self.codes(i)
        values = np.array([c.values[code] for code in codes.tolist()], object if kind_of(c.kind) == "text" else None)
        valid = (codes < c.size - 1) & (codes != (c.levels if "null" in c.specials else -1))
        return patched(make(c.kind, values, valid), codes == c.size - 1, self.streams.get(f"{i}:exceptions", b""))

    def plain(self, i, c):
        data = self.streams[f"{i}:plain"]
        if not hasattr(c, "quantiser"):
            return cells(data, self.rows, c.kind)
        first, levels, exact = Bytes(data).parts(3)
        state = ints(first, self.rows)
        full = np.zeros(self.rows, np.int64)
        full[state == 0] = ints(levels, int((state == 0).sum()))
        return patched(make(c.kind, rebuild(c.quantiser, full), state == 0), state == 2, exact)


def patched(base, where, data):
    """`base` with the cells where `where` is true from a stream of exact ones."""
    exact = cells(data, int(where.sum()), base.type)
    index = np.where(where, len(base) + np.cumsum(where) - 1, np.arange(len(base)))
    return pa.concat_arrays([base, exact]).take(pa.array(index))


def read_partitions(root):
    """Partition, digest of its rebuilt data, and the data; the digest must be that of the manifest."""
    manifests, shared = read_archive(root)
    for partition, manifest in manifests.items():
        model = read_model(shared(manifest["model"]))
        schema = model[0]
        if "schema" in manifest.get("extra", {}):
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(manifest["extra"]["schema"])))
        payloads = {}
        for layer in manifest["layers"]:
            data = fetch(root, layer["file"])
            found = [data[at : at + n] for at, n in zip(layer["offsets"], layer["lengths"], strict=True)]
            assert [hashlib.sha256(payload).hexdigest() for payload in found] == layer["sha256"]
            payloads[layer["layer"]] = found
        count = len(manifest["block_rows"])
        triples = zip(
            payloads.get("latents", [b""] * count), payloads["residuals"], manifest["block_rows"], strict=True
        )
        tables = [decode_block(model, *triple) for triple in triples]
        found = digest(schema, tables)
        assert found == manifest["digest"]
        yield partition, found, pa.concat_tables(tables).replace_schema_metadata(schema.metadata)


if __name__ == "__main__":
    for name, found, table in read_partitions(Path(sys.argv[1])):
        print(found, name, table.num_rows, "rows")
