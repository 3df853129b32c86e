"""The codecs that the archive is compared with, each decoded again and checked before its bytes count."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks import plain
from tests.benchmarks.fidelity import Bounds, worst_ratio

QUANTISED_BEST = "quantise + best of pcodec, zstd, xz, brotli"


@dataclass(frozen=True)
class Peer:
    """A codec of tables: ``encode(table, bounds)`` to bytes that ``decode`` alone rebuilds the table from.

    ``packages`` and ``modules`` (of this folder) decide the bytes: a remembered result counts for these alone.
    """

    encode: Callable[[pa.Table, Bounds], bytes]
    decode: Callable[[bytes], pa.Table]
    lossless: bool
    packages: tuple[str, ...] = ("pyarrow",)
    modules: tuple[str, ...] = ("peers",)
    trained: bool = False  # it trains for minutes on every table, so that it is run on tables of one part


@dataclass(frozen=True)
class Result:
    """What a peer made of some tables: bytes, seconds, and the largest error over bound (at most 1, checked)."""

    peer: str
    bytes: int
    encode_seconds: float
    decode_seconds: float
    worst_ratio: float


def parquet(codec: str, level: int) -> Callable[[pa.Table, Bounds], bytes]:
    """Parquet in one row group, every column with a dictionary or without, whichever is smaller."""

    def encode(table: pa.Table, _bounds: Bounds) -> bytes:
        names = table.column_names
        choices: tuple[list[str], ...] = (names, [])
        sizes = [_column_sizes(_parquet_file(table, codec, level, choice)) for choice in choices]
        better = [name for name, with_words, without in zip(names, *sizes, strict=True) if with_words <= without]
        return _parquet_file(table, codec, level, better)

    return encode


def _parquet_file(table: pa.Table, codec: str, level: int, dictionaries: Sequence[str]) -> bytes:
    encodings = {field.name: _encoding(field.type) for field in table.schema if field.name not in dictionaries}
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=codec,
        compression_level=level,
        row_group_size=max(1, table.num_rows),
        data_page_size=64 << 20,
        dictionary_pagesize_limit=16 << 20,
        write_statistics=False,
        use_dictionary=list(dictionaries),
        column_encoding={name: encoding for name, encoding in encodings.items() if encoding} or None,
    )
    return sink.getvalue()


def _column_sizes(file: bytes) -> list[int]:
    """Compressed bytes of each top-level column."""
    footer = pq.read_metadata(pa.BufferReader(file))
    sizes = dict.fromkeys(footer.schema.to_arrow_schema().names, 0)
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            name = chunk.path_in_schema if chunk.path_in_schema in sizes else chunk.path_in_schema.split(".")[0]
            sizes[name] += chunk.total_compressed_size
    return list(sizes.values())


def _encoding(kind: pa.DataType) -> str | None:
    if pa.types.is_floating(kind) and kind.bit_width > 16:
        return "BYTE_STREAM_SPLIT"
    if pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        return "DELTA_BINARY_PACKED"
    return None


def _quantised_parquet(table: pa.Table, bounds: Bounds) -> bytes:
    return parquet("zstd", 19)(plain.quantised(table, bounds), bounds)


def _read_parquet(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data))


_QUANTISING = ("numpy", "pyarrow", "pcodec", "zstandard", "brotli")
PEERS: Mapping[str, Peer] = {
    "Parquet zstd-19": Peer(parquet("zstd", 19), _read_parquet, lossless=True),
    "Parquet brotli-11": Peer(parquet("brotli", 11), _read_parquet, lossless=True),
    "quantise + Parquet zstd-19": Peer(
        _quantised_parquet, _read_parquet, lossless=False, packages=("numpy", "pyarrow"), modules=("peers", "plain")
    ),
    QUANTISED_BEST: Peer(plain.encode, plain.decode, lossless=False, packages=_QUANTISING, modules=("plain", "coders")),
}


def measure(name: str, tables: Sequence[pa.Table], bounds: Bounds, peers: Mapping[str, Peer] = PEERS) -> Result:
    """One of the peers over all tables (the parts of a partitioned table, or one), every table decoded and checked.

    Raises
    ------
    Violation
        The peer broke a bound or lost something.
    """
    peer = peers[name]
    size, encoding, decoding, ratio = 0, 0.0, 0.0, 0.0
    for table in tables:
        started = time.perf_counter()
        data = peer.encode(table, bounds)
        encoded = time.perf_counter()
        rebuilt = peer.decode(data)
        decoding += time.perf_counter() - encoded
        encoding += encoded - started
        size += len(data)
        ratio = max(ratio, worst_ratio(table, rebuilt, {} if peer.lossless else bounds))
    return Result(name, size, encoding, decoding, ratio)
