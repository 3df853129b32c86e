"""OpenZL's typed graphs as a coder: every array is tried under each graph and level, the smallest frame is kept.

The graphs are those that its documentation offers for numbers: the generic compressor, FieldLZ, zstd, entropy coding,
each alone or after delta, zigzag, tokens, packing of the range, or a split into byte lanes. A frame says how it was
made, so one decoder reads all. OpenZL can also search graphs by training its command on a file; the Python package
has no such call, and that is not tried here.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.benchmarks.coders import SIMPLE, TYPES, Array, Coder, narrow

AVAILABLE = importlib.util.find_spec("openzl") is not None
if AVAILABLE:
    import openzl.ext as zl
    from openzl.ext import graphs, nodes

LEVELS = (9, 22)
_UNSUITABLE = RuntimeError  # a graph that does not take this array
_OFF = 2  # value of a checksum parameter: the other peers carry no checksums either

Graph = Callable[[Any], Any]  # compressor -> id of the graph built in it


def _after(node: Callable[[Any, Any], Any], graph: Graph) -> Graph:
    return lambda compressor: node(compressor, graph(compressor))


def _graphs(level: int) -> Mapping[str, Graph]:
    def generic(compressor: Any) -> Any:
        return graphs.Compress()(compressor)

    def field_lz(compressor: Any) -> Any:
        return graphs.FieldLz(compression_level=level)(compressor)

    def zstd(compressor: Any) -> Any:
        return graphs.Zstd(compression_level=level)(compressor)

    def entropy(compressor: Any) -> Any:
        return graphs.Entropy()(compressor)

    def tokens(index: Graph) -> Graph:
        return lambda c: nodes.TokenizeNumeric(sort=True)(c, generic(c), index(c))

    def delta(then: Graph) -> Graph:
        return _after(nodes.DeltaInt(), then)

    def lanes(then: Graph) -> Graph:
        return _after(nodes.ConvertNumToStructLE(), _after(nodes.TransposeSplit(), then))

    return {
        "generic": generic,
        "field lz": field_lz,
        "zstd": _after(nodes.ConvertNumToSerialLE(), zstd),
        "entropy": entropy,
        "bitpack": lambda compressor: graphs.Bitpack()(compressor),
        "range, generic": _after(nodes.RangePack(), generic),
        "delta, generic": delta(generic),
        "delta, field lz": delta(field_lz),
        "delta, zigzag, generic": delta(_after(nodes.Zigzag(), generic)),
        "delta, lanes, generic": delta(lanes(generic)),
        "tokens, generic": tokens(generic),
        "tokens, field lz": tokens(field_lz),
        "tokens, delta, generic": tokens(delta(generic)),
        "lanes, generic": lanes(generic),
        "lanes, zstd": lanes(zstd),
        "lanes, entropy": lanes(entropy),
    }


def _frames(values: Array) -> dict[str, bytes]:
    """The frame of every graph that takes the array of unsigned integers."""
    found = {}
    for level in LEVELS:
        for name, graph in _graphs(level).items():
            compressor = zl.Compressor()
            for parameter, value in (
                (zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION),
                (zl.CParam.CompressionLevel, level),
                (zl.CParam.ContentChecksum, _OFF),
                (zl.CParam.CompressedChecksum, _OFF),
            ):
                compressor.set_parameter(parameter, value)
            compressor.select_starting_graph(graph(compressor))
            context = zl.CCtx()
            context.ref_compressor(compressor)
            try:
                found[f"{name} {level}"] = bytes(context.compress([zl.Input(zl.Type.Numeric, values)]))
            except _UNSUITABLE:
                continue
    return found


def _put(values: Array) -> bytes:
    """Tag of the type, the lowest value where there are negative ones, and the smallest frame."""
    values = narrow(values)
    tag, low, unsigned = TYPES.index(values.dtype.str[1:]), b"", f"u{values.itemsize}"
    if values.dtype.kind == "i":
        least = int(values.min(initial=0))
        low, values = struct.pack("<q", least), values.astype(np.uint64) - np.uint64(least % 2**64)
        values = values.astype(unsigned)
    frame = min(_frames(values.view(unsigned)).values(), key=len) if len(values) else b""
    return bytes([tag]) + low + frame


def _get(data: bytes) -> Array:
    dtype = np.dtype("<" + TYPES[data[0]])
    frame = data[9:] if dtype.kind == "i" else data[1:]
    if not frame:
        return np.empty(0, dtype)
    (output,) = zl.DCtx().decompress(frame)
    values = np.array(output.content.as_nparray())
    if dtype.kind == "i":
        (least,) = struct.unpack_from("<q", data, 1)
        return (values.astype(np.uint64) + np.uint64(least % 2**64)).astype(np.int64).astype(dtype)
    return values.view(dtype)


# Texts and layouts are bytes without a type: zstd, xz or brotli as for the other peers.
OPENZL = Coder(_put, _get, SIMPLE.put_bytes, SIMPLE.get_bytes)
