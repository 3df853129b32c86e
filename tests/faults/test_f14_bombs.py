"""F14: a few kilobytes that ask for gigabytes or hours. An error before either is spent, and the caller lives."""

from __future__ import annotations

import json
import lzma
import time
import zlib
from collections.abc import Callable

import brotli
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import zstandard

from ae_core.archive import fields
from ae_core.archive.store import Listed
from ae_core.codec import Codec
from ae_core.columns.packing import join_parts, pack_ints, split_parts, unpack_bytes
from ae_core.columns.words import unpack_words
from ae_core.errors import Corrupt, LatentlakeError, LimitReached
from ae_core.untrusted.caps import Caps
from ae_core.untrusted.proxy import StoreServer, pack
from ae_core.untrusted.warm import load_kernels
from ae_core.varints import write_varint
from tests.counted import counted
from tests.faults.command import latentlake
from tests.hostile.golden_parts import (
    Golden,
    golden,
    relinked,
    with_manifest,
    with_shared,
    with_streams,
    write_archive,
)

MEMORY = 256 << 20
CAPS = ("--cap", f"memory={MEMORY}", "--cap", "bytes=200M", "--cap", "objects=1000", "--cap", "seconds=60")
ROOM = MEMORY + (300 << 20)
BIG = 1 << 30
Objects = dict[str, bytes]


def zeros_zstd(size: int) -> bytes:
    engine = zstandard.ZstdCompressor(level=1).compressobj()
    piece = bytes(1 << 22)
    return b"".join([*(engine.compress(piece) for _ in range(size // len(piece))), engine.flush()])


def text_stream(source: Golden) -> tuple[str, int]:
    """The name of a stream of a plain text column, and its rows."""
    rows = source.blocks[1].rows
    for index, column in enumerate(source.codec.plan.columns):
        name = f"{index}:plain"
        if name in source.blocks[1].streams["residuals"] and pa.types.is_string(column.type):
            return name, rows
    raise AssertionError("the golden archive has no plain text column")


def replaced_stream(make: Callable[[int], bytes]) -> Objects:
    source = golden("network")
    name, rows = text_stream(source)
    streams = source.blocks[1].streams["residuals"] | {name: make(rows)}
    return with_streams(source, source.blocks[1].partition, "residuals", streams)


def long_text(rows: int) -> bytes:
    """One cell of a gigabyte, the others empty."""
    lengths = np.zeros(rows, np.int64)
    lengths[0] = BIG
    return b"\x02" + join_parts([b"", pack_ints(lengths), write_varint(BIG) + b"\x01" + zeros_zstd(BIG)])


def shared_words(rows: int) -> bytes:
    """As many words as cells, each a byte longer than the one before, from a megabyte on."""
    start = 8 << 20
    lengths = np.ones(rows, np.int64)
    lengths[0] = start
    shared = start + np.arange(-1, rows - 1)
    shared[0] = 0
    letters = bytes(start + rows - 1)
    words = join_parts(
        [pack_ints(lengths), pack_ints(shared), write_varint(len(letters)) + b"\x03" + brotli.compress(letters)]
    )
    return b"\x05" + join_parts([b"", write_varint(rows), words, pack_ints(np.arange(rows))])


def parquet_rows(rows: int) -> bytes:
    """A page of a hundred million cells."""
    sink = pa.BufferOutputStream()
    table = pa.table({"c": pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**7, np.int32)), ["x" * 40])})
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(3):
            writer.write_table(table)
    return b"\x04" + sink.getvalue().to_pybytes()


def xz_bomb(rows: int) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 23}]
    body = lzma.compress(bytes(BIG // 4), lzma.FORMAT_RAW, filters=filters)
    lengths = np.zeros(rows, np.int64)
    lengths[0] = BIG
    return b"\x02" + join_parts([b"", pack_ints(lengths), write_varint(BIG) + b"\x02" + body * 4])


def deep_commit() -> Objects:
    source = golden("network")
    objects = dict(source.objects)
    name = max(one for one in objects if one.startswith("_commits/"))
    body = b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}"
    objects[name] = b'{"sha256":"' + fields.sha256_hex(body).encode() + b'","body":' + body + b"}\n"
    return objects


def brotli_manifest() -> Objects:
    source = golden("network")
    name = source.snapshot.state.partitions["month=1"].name
    return relinked(source, replaced={name: brotli.compress(b" " * (128 << 20), quality=1)})


def wide_manifest() -> Objects:
    """Thirty million lists in sixty megabytes of JSON, in a few hundred bytes."""
    source = golden("network")
    name = source.snapshot.state.partitions["month=1"].name
    return relinked(source, replaced={name: brotli.compress(b'{"a":[' + b"[]," * (20 << 20) + b"0]}", quality=1)})


def many_rows() -> Objects:
    count = 20_000
    change = {"block_rows": [1 << 17] * count}

    def more(manifest: dict) -> dict:
        for layer in manifest["layers"]:
            layer |= {key: layer[key] * count for key in ("offsets", "lengths")} | {"sha256": ["0" * 64] * count}
        return manifest | change

    return with_manifest(golden("network"), "month=1", more)


def long_block() -> Objects:
    return with_manifest(golden("network"), "month=1", lambda manifest: manifest | {"block_rows": [1 << 40]})


def model_with(weights: bytes | None = None, plan: bytes | None = None) -> bytes:
    tensors = dict(golden("network").tensors)
    tensors |= {"weights": weights} if weights is not None else {}
    tensors |= {"plan": plan} if plan is not None else {}
    return safetensors.numpy.save({name: np.frombuffer(raw, np.uint8) for name, raw in tensors.items()})


def zeros_plan(size: int) -> bytes:
    """A plan whose text unfolds to that many zeros."""
    packed = b"\x01" + zeros_zstd(size)
    return write_varint(size) + write_varint(len(packed)) + packed + write_varint(0)


def header(entries: list) -> bytes:
    text = zlib.compress(json.dumps(entries).encode())
    return len(text).to_bytes(4, "little") + text + bytes(64)


BOMBS: dict[str, Callable[[], Objects]] = {
    "a cell of a gigabyte": lambda: replaced_stream(long_text),
    "words that share": lambda: replaced_stream(shared_words),
    "rows in a page": lambda: replaced_stream(parquet_rows),
    "xz": lambda: replaced_stream(xz_bomb),
    "rows in blocks": many_rows,
    "rows in one block": long_block,
    "depth of JSON": deep_commit,
    "brotli": brotli_manifest,
    "values in JSON": wide_manifest,
    "tensor shapes": lambda: with_shared(
        golden("network"), "model", model_with(header([[f"w{i}", "i", [0, 1 << 24]] for i in range(10_000)]))
    ),
    "a tensor": lambda: with_shared(golden("network"), "model", model_with(header([["w", "i", [1 << 24, 1 << 24]]]))),
    "a plan": lambda: with_shared(golden("network"), "model", model_with(plan=zeros_plan(BIG))),
    "streams": lambda: with_streams(golden("network"), "month=2", "residuals", {f"{i}": b"" for i in range(400_000)}),
}
EVERYDAY = ("a cell of a gigabyte", "values in JSON")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Kernels that are compiled already: a bomb's seconds are not those of the compiler."""
    load_kernels()


def check(bomb: str, tmp_path) -> None:
    archive = write_archive(tmp_path / "archive", BOMBS[bomb]())
    size = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
    done = latentlake("decode", archive, tmp_path / "out", "--untrusted", *CAPS, "--threads", 1)
    counted(f"{bomb}: {size:,} bytes, {done.seconds:.1f} s, {done.memory >> 20} MiB: {done.err.strip()[:100]}")
    assert done.code in (1, 2), (done.out, done.err)
    assert len(done.err.strip().splitlines()) == 1
    assert "internal error" not in done.err
    assert done.seconds < 5 + 2, "of the processor: two are the command's and its child's start"
    assert done.memory < ROOM
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize("bomb", EVERYDAY)
def test_f14_a_bomb_ends_as_an_error(bomb, tmp_path):
    check(bomb, tmp_path)


@pytest.mark.full
@pytest.mark.ci
@pytest.mark.parametrize("bomb", [bomb for bomb in BOMBS if bomb not in EVERYDAY])
def test_f14_more_bombs_end_as_errors(bomb, tmp_path):
    check(bomb, tmp_path)


def test_f14_a_million_objects_are_not_listed():
    class Endless:
        url = "memory"

        def list(self, prefix):
            return (Listed(f"partitions/{i}", 1) for i in range(10**6))

    start = time.process_time()
    with pytest.raises(LimitReached, match="100001 objects"):
        StoreServer(Endless(), Caps()).answer(pack(["list", ""]))
    assert time.process_time() - start < 5


def test_f14_what_is_declared_is_not_allocated(tmp_path):
    """Sizes beyond any memory are refused by ordinary readers too."""
    for size in (1 << 34, 1 << 50, 1 << 69):
        with pytest.raises(Corrupt):
            unpack_bytes(b"\x01" + zeros_zstd(1 << 22), size)
    *_, words, _ = split_parts(shared_words(500)[1:], 4)
    with pytest.raises(Corrupt, match="words of more than"):
        unpack_words(words, pa.string(), 500)
    with pytest.raises(LatentlakeError):
        Codec.from_bytes(model_with(plan=zeros_plan(64 << 20)))
    with pytest.raises(LatentlakeError):
        Codec.from_bytes(model_with(header([["w", "i", [1 << 24, 2]]])))
