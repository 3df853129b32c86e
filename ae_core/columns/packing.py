"""Integers and bytes <-> the smallest of a few plain coders, with sizes that hostile bytes cannot inflate.

Every decoder is told how much it has to give; whatever else the bytes say is Corrupt.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterable
from typing import Any

import brotli
import numpy as np
import numpy.typing as npt
import zstandard
from pcodec import ChunkConfig, standalone

from ae_core.columns.storage import Ints
from ae_core.errors import Corrupt
from ae_core.mixing.text import MOST_TEXT, decode_text, encode_text
from ae_core.varints import read_varint, write_varint

_RAW, _ZSTD, _XZ, _BROTLI, _MIXED = range(5)
_CONSTANT, _RUNS, _PCO, _BYTES, _CELLS, _WORDS = range(6)
_SMALL = 1 << 16
_PIECE = 1 << 22
MAX_BYTES = 1 << 40  # of bytes in one piece; what is really there is bounded by memory
PCO_LEVEL = 12  # a block takes some 20 ms; on floats from a lattice it saves a tenth against level 8
_STEP = 16  # bytes given to brotli at once: they can unfold to some 16 MiB at most, so no bomb gets far
_NEAR = 1.25  # a rival that a quick look puts this far behind is not tried in earnest
_XZ_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 23}]
_WIDTHS = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))


def join_parts(parts: Iterable[bytes]) -> bytes:
    """Parts one after the other, each behind its length except the last."""
    listed = list(parts)
    return b"".join(write_varint(len(part)) + part for part in listed[:-1]) + listed[-1]


def split_parts(data: bytes, count: int) -> list[bytes]:
    """The inverse of `join_parts` for a known number of parts."""
    parts, at = [], 0
    for _ in range(count - 1):
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise Corrupt("column stream: a part is cut off: verify the archive")
        parts.append(data[at : at + length])
        at += length
    return [*parts, data[at:]]


def pack_bytes(data: bytes) -> bytes:
    """One byte naming the coder, then the smallest of raw, zstd, brotli and xz."""
    best = bytes([_RAW]) + data
    level = 19 if len(data) <= 1 << 23 else 9
    rivals: list[tuple[int, Callable[[], bytes]]] = [
        (_ZSTD, lambda: zstandard.ZstdCompressor(level=level, write_content_size=False).compress(data))
    ]
    if 256 <= len(data) <= 1 << 20:
        rivals.append((_XZ, lambda: lzma.compress(data, lzma.FORMAT_RAW, filters=_XZ_FILTERS)))
    if len(data) <= _SMALL:
        rivals.append((_BROTLI, lambda: brotli.compress(data, quality=11, lgwin=22)))
    for tag, compress in rivals:
        rival = bytes([tag]) + compress()
        if len(rival) < len(best):
            best = rival
    return best


def pack_text(text: bytes, separator: int) -> bytes | None:
    """Bytes that `unpack_bytes` reads, by mixing; None where the text is too long for it."""
    return bytes([_MIXED]) + encode_text(text, separator) if len(text) <= MOST_TEXT else None


def unpack_bytes(data: bytes, size: int) -> bytes:
    """The bytes behind `data`, which must be exactly `size` long."""
    if not data:
        raise Corrupt("column stream: empty: verify the archive")
    tag, body = data[0], data[1:]
    if size > MAX_BYTES:
        raise Corrupt(f"column stream: {size} bytes in one piece: verify the archive")
    try:
        out = _inflate(tag, body, size)
    except (zstandard.ZstdError, lzma.LZMAError, brotli.error, EOFError) as error:
        raise Corrupt(f"column stream: cannot be decompressed ({error}): verify the archive") from None
    if len(out) != size:
        raise Corrupt(f"column stream: {len(out)} bytes where {size} were expected: verify the archive")
    return out


def _inflate(tag: int, body: bytes, size: int) -> bytes:
    if tag == _RAW:
        return body
    if tag == _MIXED:
        return decode_text(body, size)
    if tag == _ZSTD:
        return inflate_zstd(body, size)
    if tag == _XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_XZ_FILTERS).decompress(body, max_length=size + 1)
    if tag == _BROTLI:
        engine, parts, total = brotli.Decompressor(), [], 0
        for start in range(0, len(body), _STEP):
            parts.append(engine.process(body[start : start + _STEP]))
            total += len(parts[-1])
            if total > size:
                break
        return b"".join(parts)
    raise Corrupt(f"column stream: unknown coder {tag}: verify the archive")


def inflate_zstd(body: bytes, size: int) -> bytes:
    """The bytes of one zstd frame, `size` and one more at most; memory follows what is there, not what is declared."""
    parts, left = [], size + 1
    with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
        while left and (part := reader.read(min(left, _PIECE))):
            parts.append(part)
            left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _unzigzag(code: int) -> int:
    return code >> 1 if not code & 1 else -((code + 1) >> 1)


def pack_ints(values: npt.NDArray[Any]) -> bytes:
    """int64 values by the smallest of: one constant, runs, pcodec, general compressors, indices into a sorted list.

    No values give no bytes.
    """
    cells = np.ascontiguousarray(values, dtype=np.int64)
    if not len(cells):
        return b""
    low, high = int(cells.min()), int(cells.max())
    if low == high:
        return bytes([_CONSTANT]) + write_varint(_zigzag(low))
    edges = np.flatnonzero(cells[1:] != cells[:-1]) + 1
    best = _pack_runs(cells, edges) if len(edges) * 4 < len(cells) else None
    if best is not None and len(edges) * 64 < len(cells):
        return best
    found = _smallest_array(cells)
    words, places = np.unique(cells, return_inverse=True)
    if 10 * len(words) <= 9 * len(cells) and high - low > 2 * len(words):
        listed = join_parts([_smallest_array(np.diff(words, prepend=np.int64(0))), _smallest_array(places)])
        found = min(found, bytes([_WORDS]) + write_varint(len(words)) + listed, key=len)
    return min([found, *([best] if best else [])], key=len)


def _smallest_array(cells: Ints) -> bytes:
    """pcodec or a general compressor, on bytes cell by cell or plane by plane."""
    low, high = int(cells.min()), int(cells.max())
    if low == high:
        return bytes([_CONSTANT]) + write_varint(_zigzag(low))
    best = _pack_pco(cells)
    head, body = _narrow(cells, low, high)
    layouts = [(_CELLS, body.tobytes())]
    if body.itemsize > 1:
        layouts.append((_BYTES, body.view(np.uint8).reshape(len(cells), -1).T.tobytes()))
    quick = [len(zstandard.ZstdCompressor(level=3).compress(raw)) for _, raw in layouts]
    for (tag, raw), size in zip(layouts, quick, strict=True):
        # what repeats far apart is found by the strong coders alone: a quick look at whole cells tells little
        near = _NEAR * (1.6 if tag == _CELLS and body.itemsize > 2 else 1)
        if len(cells) <= 4096 or size < near * len(best):
            best = min(best, bytes([tag]) + head + pack_bytes(raw), key=len)
    return best


def _narrow(cells: Ints, low: int, high: int) -> tuple[bytes, npt.NDArray[Any]]:
    width = sum(high - low >= 1 << bits for bits in (8, 16, 32))
    body = (cells.view(np.uint64) - np.uint64(low % 2**64)).astype(_WIDTHS[width])
    return write_varint(_zigzag(low)) + bytes([width]), body


def _pack_runs(cells: Ints, edges: npt.NDArray[np.int64]) -> bytes:
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(cells)]]))
    heads = cells[starts]
    deltas = np.diff(heads, prepend=np.int64(0))
    return bytes([_RUNS]) + write_varint(len(starts)) + join_parts([pack_ints(lengths), pack_ints(deltas)])


def _pack_pco(cells: Ints) -> bytes:
    return bytes([_PCO]) + standalone.simple_compress(cells, ChunkConfig(compression_level=PCO_LEVEL))


def unpack_ints(data: bytes, count: int) -> Ints:
    """The `count` int64 values behind `data`."""
    if count == 0:
        return np.zeros(0, np.int64)
    if not data:
        raise Corrupt("column stream: numbers are missing: verify the archive")
    tag, body = data[0], data[1:]
    if tag == _CONSTANT:
        value = _unzigzag(read_varint(body, 0)[0])
        return np.full(count, _int64(value), np.int64)
    if tag == _RUNS:
        return _unpack_runs(body, count)
    if tag == _PCO:
        return unpack_pco(body, np.zeros(count, np.int64))
    if tag in (_BYTES, _CELLS):
        return _unpack_narrow(body, count, planes=tag == _BYTES)
    if tag == _WORDS:
        return _unpack_words(body, count)
    raise Corrupt(f"column stream: unknown number coder {tag}: verify the archive")


def _int64(value: int) -> int:
    if -(2**63) <= value < 2**63:
        return value
    raise Corrupt("column stream: a number is out of range: verify the archive")


def _unpack_runs(body: bytes, count: int) -> Ints:
    runs, at = read_varint(body, 0)
    if not 0 < runs <= count:
        raise Corrupt("column stream: impossible number of runs: verify the archive")
    packed_lengths, packed_heads = split_parts(body[at:], 2)
    lengths = unpack_ints(packed_lengths, runs)
    if lengths.min() < 1 or lengths.max() > count or int(lengths.sum()) != count:
        raise Corrupt("column stream: runs do not fill the block: verify the archive")
    return np.repeat(np.cumsum(unpack_ints(packed_heads, runs)), lengths)


def _unpack_words(body: bytes, count: int) -> Ints:
    size, at = read_varint(body, 0)
    packed_words, packed_places = split_parts(body[at:], 2)
    places = unpack_places(packed_places, count, size)
    return np.cumsum(unpack_ints(packed_words, size))[places]


def unpack_places(data: bytes, count: int, words: int) -> Ints:
    """`count` places in a list of so many words; raises Corrupt where there can be no such list, before it is made."""
    if not 0 < words <= count:
        raise Corrupt("column stream: impossible number of words: verify the archive")
    places = unpack_ints(data, count)
    if int(places.min()) < 0 or int(places.max()) >= words:
        raise Corrupt("column stream: a cell that names no word: verify the archive")
    return places


def _unpack_narrow(body: bytes, count: int, *, planes: bool) -> Ints:
    code, at = read_varint(body, 0)
    if at >= len(body) or not planes <= body[at] < len(_WIDTHS):
        raise Corrupt("column stream: unknown width: verify the archive")
    kind = _WIDTHS[body[at]]
    raw = np.frombuffer(unpack_bytes(body[at + 1 :], count * kind.itemsize), np.uint8)
    cells = np.ascontiguousarray(raw.reshape(kind.itemsize, count).T) if planes else raw
    unsigned = cells.view(kind).reshape(count).astype(np.uint64)
    return (unsigned + np.uint64(_int64(_unzigzag(code)) % 2**64)).view(np.int64)


def unpack_pco(body: bytes, target: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`target` filled from a pcodec file that must hold exactly as many numbers of its type."""
    try:
        progress = standalone.simple_decompress_into(body, target)
    except (RuntimeError, TypeError, ValueError) as error:
        raise Corrupt(f"column stream: not a pcodec file ({error}): verify the archive") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what a failed check inside of pcodec becomes
            raise
        raise Corrupt("column stream: not a pcodec file: verify the archive") from None
    if progress.n_processed != len(target) or not progress.finished:
        raise Corrupt("column stream: wrong number of values: verify the archive")
    return target
