"""How the peers write arrays and bytes: the smallest of several coders, named in front so that it can be undone."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import brotli
import numpy as np
import pcodec
import zstandard

Array = np.ndarray[Any, Any]
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64)


@dataclass(frozen=True)
class Coder:
    """A way to write arrays and bytes, and to read them again."""

    put: Callable[[Array], bytes]
    get: Callable[[bytes], Array]
    put_bytes: Callable[[bytes], bytes]
    get_bytes: Callable[[bytes], bytes]


BYTE_CODERS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "zstd": (
        lambda data: zstandard.ZstdCompressor(19).compress(data),
        lambda data: zstandard.ZstdDecompressor().decompress(data),
    ),
    "xz": (
        lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=_xz(len(data))),
        lambda data: lzma.decompress(data, lzma.FORMAT_RAW, filters=_xz(1 << 26)),
    ),
    "brotli": (lambda data: brotli.compress(data, quality=11, lgwin=24), brotli.decompress),
}


def _xz(window: int) -> list[dict[str, int]]:
    """xz -9e, with a dictionary no larger than the data: setting up 64 MB takes longer than a small column does."""
    size = min(max(window, 4096), 1 << 26)
    return [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}]


def narrow(values: Array) -> Array:
    """Integers in the narrowest type that holds them."""
    if values.dtype.kind in "iu":
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        fits = (dtype for dtype in _INTEGERS if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max)
        values = values.astype(next(fits))
    return np.ascontiguousarray(values)


def pcodec_bytes(values: Array, level: int) -> bytes:
    """A narrowed array by pcodec, which has no type of one byte."""
    wide = values.astype(np.int16) if values.itemsize == 1 else values
    packed: bytes = pcodec.standalone.simple_compress(wide, pcodec.ChunkConfig(compression_level=level))
    return packed


def quick_size(values: Array) -> int:
    """About how many bytes an array takes: the best coders need seconds for each."""
    values = narrow(values)
    return min(len(pcodec_bytes(values, 4)), len(zstandard.ZstdCompressor(9).compress(values.tobytes())))


def _put(values: Array) -> bytes:
    values = narrow(values)
    tag = bytes([TYPES.index(values.dtype.str[1:])])
    return min(b"r" + tag + _put_bytes(values.tobytes()), b"p" + tag + pcodec_bytes(values, 12), key=len)


def _get(data: bytes) -> Array:
    dtype = np.dtype("<" + TYPES[data[1]])
    if data[:1] == b"p":
        return np.asarray(pcodec.standalone.simple_decompress(data[2:])).astype(dtype)
    return np.frombuffer(_get_bytes(data[2:]), dtype)


def _put_bytes(data: bytes) -> bytes:
    coded = [b"-" + data, *(name[:1].encode() + coder[0](data) for name, coder in BYTE_CODERS.items())]
    return min(coded, key=len)


def _get_bytes(data: bytes) -> bytes:
    decoders = {name[:1].encode(): decompress for name, (_, decompress) in BYTE_CODERS.items()}
    return data[1:] if data[:1] == b"-" else decoders[data[:1]](data[1:])


SIMPLE = Coder(_put, _get, _put_bytes, _get_bytes)
