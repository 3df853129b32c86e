"""Numbers, bytes and cells in streams [B1, B2]."""

import lzma

import brotli
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from pcodec import standalone

from .coders import Text

T, MIN = pa.types, np.int64(-(2**63))
LZMA2 = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 23}]


class Record(dict):
    """A JSON object: its fields by name, None where one is missing."""

    __getattr__, __setattr__ = dict.get, dict.__setitem__


class Bytes:
    """A cursor."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size=None):
        start, self.at = self.at, len(self.data) if size is None else self.at + size
        assert self.at <= len(self.data)
        return self.data[start : self.at]

    def varint(self):
        byte = self.take(1)[0]
        return byte if byte < 128 else byte - 128 + 128 * self.varint()

    def folded(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def sized(self):
        return Bytes(self.take(self.varint()))

    def parts(self, count):
        return [*(self.sized() for _ in range(count - 1)), self]

    def bytes(self, size):
        tag, data = self.take(1)[0], self.take()
        if tag == 1:
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        elif tag == 4:
            data = Text(data, size).text
        elif tag > 1:
            data = lzma.decompress(data, lzma.FORMAT_RAW, None, LZMA2) if tag == 2 else brotli.decompress(data)
        assert len(data) == size
        return data

    def text(self):
        return Bytes(self.bytes(self.varint()))

    def ints(self, n):
        tag = self.take(1)[0] if n else 0
        if tag == 2:
            return np.array(standalone.simple_decompress(self.take()))
        if tag in (1, 5):
            k, (first, second) = self.varint(), self.parts(2)
            a, b = first.ints(k), second.ints(k if tag == 1 else n)
            return np.repeat(np.cumsum(b), a) if tag == 1 else np.cumsum(a)[b]
        base, raw = np.int64(self.folded() if n else 0), np.zeros((n, 8), np.uint8)
        if tag:
            width = 2 ** self.take(1)[0]
            found = np.frombuffer(self.bytes(n * width), np.uint8)
            raw[:, :width] = found.reshape(n, width) if tag == 4 else found.reshape(width, n).T
        return raw.view(np.int64)[:, 0] + base

    def letters(self, text, n):
        """n texts, whose lengths are here, or told by the last byte of all."""
        if n and self.at == len(self.data):
            return text.data[:-1].split(text.data[-1:])
        return [text.take(size) for size in self.ints(n)]

    def valid(self, n):
        return self.ints(n) == 1 if self.at < len(self.data) else np.ones(n, bool)

    def words(self, count):
        """[B3]"""
        (lengths, shared, text), found = self.parts(3), [b""]
        for letters, keep in zip(lengths.letters(text.text(), count), shared.ints(count), strict=True):
            found.append(found[-1][:keep] + letters)
        return np.array(found, object)[1:]

    def cells(self, n, kind):
        """The Arrow array of cells(n, type)."""
        if n == 0:
            return pa.array([], kind)
        tag = self.take(1)[0]
        if tag == 3:
            return pa.concat_arrays(pa.ipc.open_stream(self.text().data).read_all().column(0).chunks)
        if tag == 4:
            page = pq.ParquetFile(pa.BufferReader(self.take())).read(use_threads=False)
            return pa.concat_arrays(page.column(0).cast(kind).chunks)
        valid, *rest = self.parts({2: 3, 5: 4}.get(tag, 2))
        valid, full = valid.valid(n), np.zeros(n, dtype_of(kind))
        if tag == 2:
            full[valid] = rest[0].letters(rest[1].text(), valid.sum())
        elif tag == 5:
            k, data = rest[0].varint(), rest[1]
            listed = data.words(k) if is_letters(kind) else np.array(standalone.simple_decompress(data.take()))
            full[valid] = listed[rest[2].ints(valid.sum())]
        elif tag == 1:
            full[valid] = standalone.simple_decompress(rest[0].take())
        else:
            full[valid] = rest[0].ints(valid.sum()).astype(f"i{full.itemsize}").view(full.dtype)
        return array_of(kind, full, valid)


def streams_of(payload):
    """[B1] The streams of a payload, by name."""
    data = Bytes(payload)
    sizes = [(data.sized().data.decode(), data.varint()) for _ in range(data.varint() if payload else 0)]
    found = {name: data.take(size) for name, size in sizes}
    assert data.at == len(payload)
    return found


def is_letters(kind):
    binary = T.is_binary(kind) or T.is_large_binary(kind) or T.is_fixed_size_binary(kind)
    return binary or T.is_string(kind) or T.is_large_string(kind)


def dtype_of(kind):
    return object if is_letters(kind) else f"f{kind.bit_width // 8}" if T.is_floating(kind) else np.int64


def array_of(kind, cells, valid):
    """The array of storage, floats or letters."""
    if is_letters(kind) or T.is_boolean(kind):
        return pa.array(cells, mask=~valid).cast(kind)
    width = kind.bit_width // 8
    raw = np.stack([cells, cells >> 63], 1) if width == 16 else cells.astype(f"{cells.dtype.kind}{width}")
    raw = raw ^ MIN if T.is_uint64(kind) else raw
    mask = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(kind, len(cells), [mask, pa.py_buffer(raw.tobytes())])


def cells_of(array):
    """The inverse: storage, floats or letters, 0 or empty where null."""
    kind, valid = array.type, np.array(array.is_valid())
    if is_letters(kind):
        return np.array([*(cell or b"" for cell in array.cast(pa.large_binary()).to_pylist()), None])[:-1]
    if T.is_boolean(kind):
        return np.array(array.fill_null(False)).astype(np.int64)
    width = kind.bit_width // 8
    raw = np.frombuffer(array.buffers()[1], f"{'f' if T.is_floating(kind) else 'i'}{min(width, 8)}")
    cells = raw.reshape(-1, max(width // 8, 1))[array.offset :][: len(array), 0].astype(dtype_of(kind))
    return np.where(valid, cells ^ MIN if T.is_uint64(kind) else cells, cells.dtype.type(0))
