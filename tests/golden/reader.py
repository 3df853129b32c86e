"""A second decoder, written from docs/format.md alone: it shares no code with the project, and is slow.

python tests/golden/reader.py ARCHIVE      prints every partition's digest, recomputed from the archive's bytes

It covers all of the page but adaptive mixing (B11): archives that use it are refused.
"""

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

U64, MIN = 2**64, np.int64(-(2**63))
SPECIALS = {"null": 0, "nan": np.nan, "+inf": np.inf, "-inf": -np.inf, "-0": -0.0, "escape": 0}


class Bytes:
    """A cursor (B1, B2)."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        assert self.at + size <= len(self.data)
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    def sized(self):
        return self.take(self.varint())

    def rest(self):
        return self.data[self.at :]

    def parts(self, count):
        return [self.sized() for _ in range(count - 1)] + [self.rest()]


def sealed(data):
    digest, body = data[11:75], data[84:-2]
    assert hashlib.sha256(body).hexdigest().encode() == digest
    return json.loads(body)


def fetch(root, ref):
    data = (root / ref["name"]).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (ref["length"], ref["sha256"])
    return data


def snapshot(root):
    """Part A: manifests by partition, each with its folder; a function from SHA-256 to a shared object."""
    parent, number, manifests, shared = (root / "latentlake.json").read_bytes(), 0, {}, {}
    assert sealed(parent)["format"] == 0
    while (path := root / "_commits" / f"{number:020d}.json").exists():
        commit = sealed(path.read_bytes())
        assert (commit["number"], commit["parent"]) == (number, hashlib.sha256(parent).hexdigest())
        manifests |= {change["partition"]: change["manifest"] for change in commit.get("changes", [])}
        shared |= {entry["sha256"]: entry | {"name": entry["names"][0]} for entry in commit.get("shared", [])}
        parent, number = path.read_bytes(), number + 1
    found = {name: (ref["name"], brotli.decompress(fetch(root, ref))) for name, ref in manifests.items() if ref}
    found = {name: json.loads(text) | {"folder": Path(own).parent} for name, (own, text) in found.items()}
    return found, lambda sha256: fetch(root, shared[sha256])


def field_key(field):
    kind = key = field.type
    if pa.types.is_dictionary(kind):
        key = ["dictionary", str(kind.index_type), str(kind.value_type), kind.ordered]
    elif kind.num_fields:  # lists and structs; A8 has more
        key = [str(kind).split("<")[0], *(field_key(kind.field(i)) for i in range(kind.num_fields))]
    return [field.name, key if isinstance(key, list) else str(key), field.nullable]


def encoding(array):
    """The canonical encoding (A8) of the types of the golden archives."""
    kind, valid = array.type, np.array(array.is_valid())
    head = len(array).to_bytes(8, "little")
    head += b"\0" if valid.all() else b"\1" + np.packbits(valid, bitorder="little").tobytes()
    if pa.types.is_null(kind):
        return head[:8]
    if pa.types.is_dictionary(kind):
        return encoding(array.dictionary_decode())
    if pa.types.is_boolean(kind):
        return head + np.packbits(np.array(array.fill_null(False)), bitorder="little").tobytes()
    if pa.types.is_struct(kind):
        return head + b"".join(encoding(array.field(i).filter(pa.array(valid))) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or kind in (pa.string(), pa.binary()):
        binary = kind if pa.types.is_list(kind) else pa.binary()
        lengths = [len(cell or ()) for cell in array.cast(binary).to_pylist()]
        there = array.drop_null()
        below = encoding(there.flatten()) if binary is kind else b"".join(there.cast(binary).to_pylist())
        return head + np.array(lengths, "<i8").tobytes() + below
    raw = np.frombuffer(array.buffers()[1], np.uint8).reshape(-1, kind.byte_width)
    return head + np.where(valid[:, None], raw[array.offset :][: len(array)], np.uint8(0)).tobytes()


def digest(schema, tables):
    text = json.dumps([field_key(field) for field in schema], separators=(",", ":"), ensure_ascii=False)
    total = hashlib.sha256(f"latentlake digest 0\n{text}\n".encode())
    for table in tables:
        columns = [hashlib.sha256(encoding(pa.concat_arrays(column.chunks))).digest() for column in table.columns]
        total.update(hashlib.sha256(table.num_rows.to_bytes(8, "little") + b"".join(columns)).digest())
    return total.hexdigest()


def inflate(data, size):
    tag, out = data[0], data[1:]
    if tag == 1:
        out = zstandard.ZstdDecompressor().decompressobj().decompress(out)
    elif tag == 2:
        out = lzma.decompress(out, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}])
    elif tag == 3:
        out = brotli.decompress(out)
    assert len(out) == size
    return out


def letters(data):
    body = Bytes(data)
    size = body.varint()
    return Bytes(inflate(body.rest(), size))


def ints(data, count):
    if count == 0:
        return np.zeros(0, np.int64)
    tag, body = data[0], Bytes(data[1:])
    if tag == 2:
        return np.asarray(standalone.simple_decompress(body.data))
    code = body.varint()
    if tag == 1:
        lengths, steps = (ints(part, code) for part in body.parts(2))
        return np.repeat(np.cumsum(steps), lengths)
    if tag == 5:
        steps, places = body.parts(2)
        return np.cumsum(ints(steps, code))[ints(places, count)]
    base = code >> 1 if code % 2 == 0 else -((code + 1) >> 1)
    if tag == 0:
        return np.full(count, base, np.int64)
    width = 2 ** body.take(1)[0]
    raw = np.frombuffer(inflate(body.rest(), count * width), np.uint8)
    rows = raw.reshape(count, width) if tag == 4 else raw.reshape(width, count).T
    return wrapped(base + int.from_bytes(bytes(cell), "little") for cell in rows)


def wrapped(values):
    return np.array([value % U64 for value in values], np.uint64).view(np.int64)


def validity(data, count):
    return ints(data, count).astype(bool) if data else np.ones(count, bool)


def is_text(kind):
    return kind in (pa.string(), pa.binary()) or pa.types.is_fixed_size_binary(kind)


def array_of(kind, cells, valid):
    """The array of a type from storage, floats or bytes (B2)."""
    if is_text(kind):
        return pa.array([cell if ok else None for cell, ok in zip(cells, valid, strict=True)], pa.binary()).cast(kind)
    if pa.types.is_floating(kind):
        raw = cells.astype(f"f{kind.bit_width // 8}")
    elif pa.types.is_decimal(kind):
        raw = np.stack([cells, cells >> 63], 1)
    elif pa.types.is_boolean(kind):
        raw = np.packbits(cells.astype(bool), bitorder="little")
    else:
        raw = cells ^ MIN if pa.types.is_uint64(kind) else cells.astype(f"i{kind.bit_width // 8}")
    mask = np.packbits(valid, bitorder="little").tobytes()
    return pa.Array.from_buffers(kind, len(cells), [pa.py_buffer(mask), pa.py_buffer(raw.tobytes())])


def cells(data, count, kind):
    if count == 0:
        return pa.array([], kind)
    tag, body = data[0], Bytes(data[1:])
    if tag == 3:
        return pa.concat_arrays(pa.ipc.open_stream(letters(body.data).data).read_all().column(0).chunks)
    if tag == 4:
        return pa.concat_arrays(
            pq.ParquetFile(pa.BufferReader(body.data)).read(use_threads=False).column(0).cast(kind).chunks
        )
    first, *parts = body.parts({2: 3, 5: 4}.get(tag, 2))
    valid = validity(first, count)
    there = int(valid.sum())
    dtype = np.dtype(object if is_text(kind) else f"f{kind.bit_width // 8}" if pa.types.is_floating(kind) else np.int64)
    full = np.zeros(count, dtype)
    if tag == 1:
        full[valid] = standalone.simple_decompress(parts[0])
    elif tag == 5:
        size = Bytes(parts[0]).varint()
        listed = words(parts[1], size) if is_text(kind) else standalone.simple_decompress(parts[1])
        full[valid] = np.asarray(listed)[ints(parts[2], there)]
    elif tag == 0:
        full[valid] = ints(parts[0], there).astype(f"i{dtype.itemsize}").view(dtype)
    else:
        text = letters(parts[1])
        full[valid] = [text.take(length) for length in ints(parts[0], there).tolist()]
    return array_of(kind, full, valid)


def read_plan(data):
    """B3, B4: the schema and its columns, each with its record, domain, values and table."""
    data = Bytes(data)
    size = data.varint()
    head = Bytes(inflate(data.sized(), size))
    schema = pa.ipc.read_schema(pa.py_buffer(head.sized()))
    blobs = [b"", *(data.sized() for _ in range(data.varint()))]
    none = dict.fromkeys(("domain", "quantiser", "lookup", "linear"))
    columns = [SimpleNamespace(**none | record) for record in json.loads(head.rest())]
    for field, c in zip(schema, columns, strict=True):
        text = pa.types.is_dictionary(field.type) and is_text(field.type.value_type) and not field.type.ordered
        c.type, c.kind = field.type, field.type.value_type if text else field.type
        c.has_symbols = c.domain is not None and c.coder in ("network", "plain")
        if c.domain:
            c.levels, _, c.specials = c.domain
            c.escape, room = c.levels + len(c.specials) - 1, 256 - len(c.specials)
            c.low = 1 if c.levels <= room else max(64, -(-c.levels // room))
            c.high = -(-c.levels // c.low)
            if hasattr(c, "words"):
                c.values = np.append(words(blobs[c.words], c.levels), [b""] * len(c.specials))
            elif c.levels <= 64_000:
                c.values = numbers(blobs, c)
        if c.lookup:
            places, codes = Bytes(blobs[c.lookup["table"]]).parts(2)
            codes, delta = ints(codes[1:], c.lookup["count"]), codes[0]
            places = np.cumsum(ints(places, len(codes))).tolist()
            c.table = dict(zip(places, (np.cumsum(codes) if delta else codes).tolist(), strict=True))
    return schema, columns


def words(blob, count):
    lengths, shared, text = Bytes(blob[1:]).parts(3)
    text, found = letters(text), [b""]
    for length, keep in zip(ints(lengths, count).tolist(), ints(shared, count).tolist(), strict=True):
        found.append(found[-1][:keep] + text.take(length))
    return np.array(found[1:], object)


def numbers(blobs, c):
    listed = c.code.get("listed")
    levels = np.cumsum(ints(blobs[listed], c.levels)) if listed else c.code["first"] + np.arange(c.levels)
    values = rebuilt(c.code.get("quantiser") or c.quantiser, levels)
    return np.concatenate([values, np.array([SPECIALS[name] for name in c.specials]).astype(values.dtype)])


def rebuilt(quantiser, levels):
    """Storage or floats of levels (B4)."""
    q = SimpleNamespace(**quantiser)
    if q.kind == "IntGrid":
        starts, room = (level * q.step % U64 for level in levels.tolist()), q.hi - q.lo
        return wrapped(q.lo + (start if q.step == 1 else min(start + q.half, room)) for start in starts)
    if q.kind == "FloatGrid":
        return (float.fromhex(q.offset) + levels.astype("f8") * float.fromhex(q.step)).astype(f"f{q.width}")
    if q.kind == "FloatDecimal":
        return (rebuilt(q.grid | {"kind": "IntGrid"}, levels) / float(10**q.digits)).astype(f"f{q.width}")
    if q.kind == "FloatBits":
        sign = np.where(levels < 0, MIN >> 64 - 8 * q.width, 0)
        return (np.abs(levels) << q.drop | sign).astype(f"i{q.width}").view(f"f{q.width}")
    return levels


class Weights:
    """The arithmetic decoder (B7); `tensors` by name."""

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
        bit = int(self.point <= middle)
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        if node:
            p += (65536 * bit - p) * (2**17 // (2 * n + 3)) >> 16
            self.nodes[node] = min(max(p, 48), 65488), min(n + 1, 79)
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & 0xFFFFFFFF, self.high << 8 & 0xFFFFFFFF | 255
            self.point = self.point << 8 & 0xFFFFFFFF | int.from_bytes(self.code[self.at : self.at + 1], "big")
            self.at += 1
        return bit

    def tensor(self, shape):
        width = max(shape[-1], 1)
        rows, mean, overall = [[0] * width] * 2, [1024] * width, 1024  # two rows of zeros above
        for row in range(int(np.prod(shape)) // width):
            total, line = 0, []
            for j in range(width):
                expected = (2 * overall + 256 * total) // (2 + j) * mean[j] // max(overall, 16)
                context = min(max(expected.bit_length() - 1, 0), 23)
                length = size = negative = 0
                while self.bit("length", context, length):
                    length += 1
                if length:
                    lean, size = 2 * rows[-1][j] + rows[-2][j], 1
                    negative = self.bit("sign", min(abs(lean).bit_length(), 6), lean < 0, min(length, 4))
                    for _ in range(length - 1):
                        size = 2 * size + (self.bit(context, length, size) if size < 4 else self.bit())
                line.append(-size if negative else size)
                total += size
                mean[j] += (256 * size - mean[j]) >> (1 if row == 0 else 2)
            overall += (256 * total // width - overall) >> (1 if row < 2 else 3)
            rows.append(line)
        return np.array(rows[2:], np.int64).reshape(shape)


class Rans:
    """A rANS stream (B8)."""

    def __init__(self, data):
        state, *words = np.frombuffer(data[:8], "<u8").tolist() + np.frombuffer(data[8:], "<u4").tolist() or [2**31]
        self.state, self.words = state, words[::-1]

    def symbol(self, logits):
        t = np.minimum(logits.max() - logits, 2**22 - 1) * 369 >> 7
        f = t & 1023
        e = 32768 - (f * (22007 - (f * 5623 >> 10)) >> 10) >> np.minimum(t >> 10, 31)
        spread = (65536 - len(e) << 15) // int(e.sum())
        cum = [*(np.arange(len(e)) + ((np.cumsum(e) - e) * spread >> 15)).tolist(), 65536]
        slot = self.state % 2**16
        x = int(np.searchsorted(cum, slot, "right")) - 1
        self.state = (cum[x + 1] - cum[x]) * (self.state >> 16) + slot - cum[x]
        if self.state < 2**31:
            self.state = self.state << 32 | self.words.pop()
        return x


def decode_group(group, t, data, symbols):
    """B8: fills the coded positions of symbols (rows, positions)."""
    sizes, stream, (c0, b0) = group["alphabets"], Rans(data), t["start"]
    coded = [p for p in range(len(sizes)) if p not in group["given"]]
    W, V_at, T_at = t["W"].reshape(len(coded), len(c0), -1), 0, np.cumsum([0, *sizes])
    layers = {}
    for j, p in enumerate(coded):
        layers[p] = W[j], 16 * t["bw"][j] + 16, t["V"][V_at : V_at + sizes[p]], 16 * t["bv"][V_at : V_at + sizes[p]]
        V_at += sizes[p]
    copies = {p: [] for p in coded}
    for (p, *key), boost, gate in zip(group["candidates"], t["boost"], t["gate"], strict=True):
        copies[p].append((key, boost, gate, {}))
    bits, u = min(max((2 * len(symbols) - 1).bit_length(), 4), 17), c0
    for row in symbols:
        s, u = b0 + (u.clip(0, 255) @ t["M"] + 16 >> 5), c0
        for p, size in enumerate(sizes):
            if p in layers and size > 1:
                w, bw, v, bv = layers[p]
                h = (s.clip(-32768, 32767) @ w + bw >> 5).clip(0, 255)
                logits, seen = v @ h + bv, []
                for key, boost, gate, table in copies[p]:
                    index, check = place_of(key, row.tolist(), bits)
                    entry = table.get(index, (check, 0, 0))
                    _, value, kind = entry if entry[0] == check else (check, 0, 0)
                    logits[value] += boost[kind - 1] + gate @ h if kind else 0
                    seen.append((table, index, check, value, kind))
                row[p] = x = stream.symbol(logits)
                for table, index, check, value, kind in seen:
                    hit = 3 if kind < 3 else min(kind + 1, 8)
                    table[index] = check, x, 2 if kind == 0 else hit if value == x else 1
            s, u = s + t["T"][T_at[p] + row[p]], u + t["T"][T_at[p] + row[p]]
    assert (stream.state, stream.words) == (2**31, [])


def place_of(key, row, bits):
    g = sum(row[k] << 16 * i for i, k in enumerate(key)) * 0x9E3779B97F4A7C15 % U64
    hashed = (g ^ g >> 32) * 0xD6E8FEB86659FD93 % U64
    return hashed >> 64 - bits, (hashed >> 8) % 2**16


def streams_of(payload):
    data = Bytes(payload)
    sizes = [(data.sized().decode(), data.varint()) for _ in range(data.varint())]
    streams = {name: data.take(size) for name, size in sizes}
    assert data.at == len(payload)
    return streams


class Block:
    """One block's symbols (B1, B5), then its columns (B6)."""

    def __init__(self, model, latents, residuals, rows):
        self.schema, self.columns, self.network, self.weights = model
        near = streams_of(latents) if latents else {}
        self.rows, self.streams, self.symbols = rows, streams_of(residuals) | near, []
        for i, c in enumerate(self.columns):
            if c.has_symbols:
                c.at = len(self.symbols)
                codes = ints(self.streams.get(f"{i}:given"), rows) if c.coder == "plain" else np.zeros(rows, np.int64)
                self.symbols.append(np.where(codes < c.levels, codes // c.low, codes - c.levels + c.high))
                self.symbols += [np.where(codes < c.levels, codes % c.low, 0)] if c.low > 1 else []
        self.symbols = np.array(self.symbols, np.int64).reshape(len(self.symbols), rows).T.copy()
        if self.network:
            z = np.zeros((rows, len(self.network["prior"]["alphabets"])), np.int64)
            decode_group(self.network["prior"], self.tensors("z/"), near["z"], z)
            for number, group in enumerate(self.network["groups"]):
                joined = np.concatenate([z, self.symbols[:, group["positions"]]], 1)
                decode_group(group["frozen"], self.tensors(f"g{number}/"), self.streams[f"g{number}"], joined)
                self.symbols[:, group["positions"]] = joined[:, z.shape[1] :]

    def tensors(self, prefix):
        return {name.removeprefix(prefix): t for name, t in self.weights.items() if name.startswith(prefix)}

    def table(self):
        arrays = [self.array(i) for i in range(len(self.columns))]
        pairs = zip(arrays, self.schema.types, strict=True)
        return pa.table([a if a.type == k else a.dictionary_encode().cast(k) for a, k in pairs], schema=self.schema)

    def codes(self, i):
        c = self.columns[i]
        if not c.lookup:
            high, low = self.symbols[:, c.at], self.symbols[:, c.at + 1] if c.low > 1 else 0
            codes = np.where(high * c.low + low < c.levels, high * c.low + low, c.escape)
            return np.where(high < c.high, codes, high - c.high + c.levels)
        place = np.zeros(self.rows, np.int64)
        for key, size in zip(c.lookup["keys"], c.lookup["sizes"], strict=True):
            place = place * size + self.codes(key)
        codes, misses = np.array([c.table.get(p, -1) for p in place.tolist()]), self.streams.get(f"{i}:misses")
        if misses:
            body = Bytes(misses)
            if body.take(1) == b"\1":
                return ints(body.rest(), self.rows)
            count = body.varint()
            gaps, found = (ints(part, count) for part in body.parts(2))
            codes[np.cumsum(gaps) - 1] = found
        return codes

    def array(self, i):
        c = self.columns[i]
        if not self.rows:
            return pa.array([], c.kind)
        if c.linear and self.streams[f"{i}:rest"][0] == 1:
            valid, rest = Bytes(self.streams[f"{i}:rest"][1:]).parts(2)
            valid, total = validity(valid, self.rows), np.zeros(self.rows, np.int64)
            total[valid] = ints(rest, int(valid.sum()))
            for key, factor in zip(c.linear["inputs"], c.linear["coefficients"], strict=True):
                inputs = self.array(key)
                inputs = np.array(inputs.view(f"int{inputs.type.bit_width}").fill_null(0)).astype(np.int64)
                total += (inputs ^ MIN if pa.types.is_uint64(self.columns[key].kind) else inputs) * np.int64(factor)
            return array_of(c.kind, total, valid)
        if c.linear or not (c.domain or c.quantiser):
            return cells(self.streams[f"{i}:rest"][1:] if c.linear else self.streams[f"{i}:plain"], self.rows, c.kind)
        if c.domain:
            codes = self.codes(i)
            valid, escaped = codes != (c.levels if "null" in c.specials else -1), codes == c.escape
            base, exact = array_of(c.kind, c.values[codes], valid & ~escaped), self.streams.get(f"{i}:exceptions")
        else:
            state, levels, exact = Bytes(self.streams[f"{i}:plain"]).parts(3)
            state, full = ints(state, self.rows), np.zeros(self.rows, np.int64)
            full[state == 0], escaped = ints(levels, int((state == 0).sum())), state == 2
            base = array_of(c.kind, rebuilt(c.quantiser, full), state == 0)
        places = np.where(escaped, self.rows + np.cumsum(escaped) - 1, np.arange(self.rows))
        return pa.concat_arrays([base, cells(exact, int(escaped.sum()), c.kind)]).take(pa.array(places))


def read_model(data):
    size = int.from_bytes(data[:8], "little")
    entries = {name: entry["data_offsets"] for name, entry in json.loads(data[8 : 8 + size]).items()}
    parts = {name: data[8 + size + low : 8 + size + high] for name, (low, high) in entries.items()}
    if "mixing" in parts:
        raise NotImplementedError("the model codes columns by adaptive mixing (B11), which this reader does not cover")
    network = json.loads(zstandard.decompress(parts["structure"])).get("network")
    return *read_plan(parts["plan"]), network, Weights(parts["weights"]).tensors if network else {}


def read(root):
    """Every partition's id, the digest of its rebuilt data (checked), and the data."""
    manifests, shared = snapshot(root)
    for partition, manifest in manifests.items():
        model, count = read_model(shared(manifest["model"])), len(manifest["block_rows"])
        payloads = {"latents": [b""] * count}
        for layer in manifest["layers"]:
            data = fetch(root if "/" in layer["file"]["name"] else root / manifest["folder"], layer["file"])
            found = [data[at : at + size] for at, size in zip(layer["offsets"], layer["lengths"], strict=True)]
            assert count == 1 or [hashlib.sha256(payload).hexdigest() for payload in found] == layer["sha256"]
            payloads[layer["layer"]] = found
        blocks = zip(payloads["latents"], payloads["residuals"], manifest["block_rows"], strict=True)
        tables = [Block(model, *block).table() for block in blocks]
        assert digest(model[0], tables) == manifest["digest"]
        yield partition, manifest["digest"], pa.concat_tables(tables)


if __name__ == "__main__":
    for name, found, table in read(Path(sys.argv[1])):
        print(found, name, table.num_rows, "rows")
