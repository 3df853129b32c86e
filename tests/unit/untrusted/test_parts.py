"""The parts of --untrusted by themselves: caps, frames, the store's two ends, rows that are believed nothing."""

from __future__ import annotations

import os
import time

import pyarrow as pa
import pytest

from ae_core.archive.store import LocalStore
from ae_core.errors import Corrupt, LimitReached, StoreUnsafe, UsageError
from ae_core.untrusted.arrow import read_table
from ae_core.untrusted.caps import DEFAULT, Caps
from ae_core.untrusted.channel import ASK, DATA, Channel, Gone
from ae_core.untrusted.proxy import StoreProxy, StoreServer, pack, pack_error, raise_error
from tests.hostile.golden_parts import golden, write_archive
from tests.hostile.memory_store import MemoryStore


def test_caps_are_those_of_the_trust_model_and_can_be_raised_by_name():
    assert (DEFAULT.rows, DEFAULT.bytes, DEFAULT.objects, DEFAULT.model) == (2**31, 2**31, 100_000, 2**28)
    assert Caps.parse(["memory=8GiB", " rows = 5", "bytes=3k"]) == Caps(memory=8 << 30, rows=5, bytes=3000)
    for text in ("memory", "memory=", "mem=5", "rows=-1", "rows=5X", "rows=1=2"):
        with pytest.raises(UsageError, match="give NAME=NUMBER"):
            Caps.parse([text])


def test_a_cap_that_is_reached_says_how_to_raise_it():
    Caps(rows=5).check("rows", 5, "month=1")
    with pytest.raises(LimitReached, match="month=1: 6 rows, the cap is 5.*--cap rows=6") as reached:
        Caps(rows=5).check("rows", 6, "month=1")
    assert reached.value.exit_code == 2


@pytest.fixture
def pipes():
    """A channel each for guard and worker."""
    (read_a, write_a), (read_b, write_b) = os.pipe(), os.pipe()
    handles = {read_a, write_a, read_b, write_b}
    yield Channel(read_a, write_b, time.monotonic() + 2), Channel(read_b, write_a), (read_b, write_a)
    for handle in handles:
        try:
            os.close(handle)
        except OSError:
            continue


def test_frames_arrive_whole_and_never_beyond_their_limit(pipes):
    guard, worker, (_, write) = pipes
    worker.send(ASK, b"x" * 30_000)
    assert guard.receive(30_000) == (ASK, b"x" * 30_000)
    os.write(write, ASK + (1 << 62).to_bytes(8, "little"))
    with pytest.raises(LimitReached):
        guard.receive(1 << 20)


def test_a_worker_that_is_silent_or_gone_ends_the_wait(pipes):
    guard, _, (read, write) = pipes
    os.write(write, DATA + (5).to_bytes(8, "little") + b"ab")
    start = time.monotonic()
    with pytest.raises(LimitReached, match="out of time"):
        guard.receive(10)
    assert time.monotonic() - start < 5
    os.close(write)
    os.close(read)
    fresh = Channel(guard._read, guard._write)
    with pytest.raises(Gone):
        fresh.receive(10)
    with pytest.raises(Gone):
        fresh.send(DATA, b"x" * 100_000)


def test_the_store_answers_as_itself_and_writes_nothing(tmp_path):
    source = golden("mixing")
    root = write_archive(tmp_path / "a", source.objects)
    before = sorted(path for path in tmp_path.rglob("*"))
    server = StoreServer(LocalStore(root), DEFAULT)

    class Wire:
        def send(self, kind, data):
            self.answer = server.answer(data)

        def receive(self, limit):
            return self.answer

    store = StoreProxy(Wire(), "there", 1 << 30)
    name = next(name for name in source.objects if "residuals" in name)
    data = source.objects[name]
    length, sha256 = store.digest(name)
    assert (length, store.size(name)) == (len(data), len(data))
    assert store.get(name, length, sha256) == data
    assert store.read("latentlake.json", 1 << 20) == source.objects["latentlake.json"]
    assert store.read("missing", 10) is None
    assert store.digest("missing") is None
    assert {entry.name for entry in store.list("")} == set(source.objects)
    for name in ("../a/latentlake.json", "/etc/hostname"):
        with pytest.raises(Corrupt):
            store.read(name, 100)
    writes = (
        lambda: store.create("x", b""),
        lambda: store.put_new("x", b""),
        lambda: store.delete("x"),
        lambda: store.restore("x", [b""]),
    )
    for refused in (*writes, store.probe, store.clock):
        with pytest.raises(StoreUnsafe):
            refused()
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_what_a_worker_asks_for_is_capped_where_it_is_answered():
    source = golden("network")
    model = next(name for name in source.objects if name.startswith("models/"))
    store = MemoryStore(source.objects)
    for caps, question in (
        (Caps(model=10), ["get", model, 14_000, "0" * 64]),
        (Caps(bytes=10), ["get_range", model, 0, 11, "0" * 64]),
        (Caps(objects=0), ["size", model]),
        (Caps(objects=3), ["list", ""]),
    ):
        with pytest.raises(LimitReached):
            StoreServer(store, caps).answer(pack(question))
    _, data = StoreServer(store, DEFAULT).answer(pack(["get", model, -1, "0" * 64]))
    with pytest.raises(Corrupt):
        raise_error(data)
    with pytest.raises(Corrupt):
        raise_error(StoreServer(store, DEFAULT).answer(pack(["delete", model]))[1])


def test_errors_cross_as_themselves_and_nothing_else_does():
    with pytest.raises(UsageError, match="no such column"):
        raise_error(pack_error(UsageError("no such column")))
    for name in ("SystemExit", "KeyboardInterrupt", "annotations", "nonsense"):
        with pytest.raises(Corrupt, match="text"):
            raise_error(pack([name, "text"]))


def stream(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_rows_are_read_as_they_were_sent():
    table = pa.table({"a": [1, None, 3], "b": pa.array(["x", "y", "x"]).dictionary_encode(), "c": [[1], [], None]})
    assert read_table(stream(table)).equals(table)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_rows_are_refused_unread(codec):
    """A megabyte could stand for a terabyte."""
    for table in (
        pa.table({"a": pa.array([0] * 100_000)}),
        pa.table({"a": pa.array(["x" * 100] * 1000).dictionary_encode()}),
    ):
        with pytest.raises(Corrupt, match="compressed"):
            read_table(stream(table, compression=codec))


def test_rows_whose_buffers_lie_are_refused():
    letters = pa.py_buffer(b"\xff\xfe\xfd")
    lying = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 3, 0, 0, 0])), letters])
    with pytest.raises(Corrupt, match="not legal"):
        read_table(stream(pa.table({"a": lying})))
    marked = stream(pa.table({"a": ["abc", "defgh"]}))
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, 3, 8))
    assert offsets in marked
    with pytest.raises(Corrupt):
        read_table(marked.replace(offsets, offsets[:8] + (1 << 30).to_bytes(4, "little")))
    for data in (b"", b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff\xff\x7f", os.urandom(200)):
        with pytest.raises(Corrupt):
            read_table(data)
    whole = stream(pa.table({"a": ["xyz"] * 50}))
    for at in range(8, len(whole), 7):
        spoilt = bytearray(whole)
        spoilt[at] ^= 0x55
        try:
            read_table(spoilt).validate(full=True)
        except Corrupt:
            continue
