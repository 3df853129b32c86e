"""The local store: one winner for every name, nothing half-written, nothing outside."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ae_core.archive.fields import sha256_hex
from ae_core.archive.store import Listed, LocalStore, NameTaken, open_store
from ae_core.errors import CommitUnknown, Corrupt, StoreUnsafe, UsageError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def test_bytes_come_back_whole_and_in_part(store):
    data = os.urandom(100_000)
    store.put_new("a/b/c", data)
    assert store.get("a/b/c", len(data), sha256_hex(data)) == data
    assert store.get_range("a/b/c", 10, 20, sha256_hex(data[10:30])) == data[10:30]
    assert store.read("a/b/c", len(data)) == data
    assert store.size("a/b/c") == len(data)
    assert store.digest("a/b/c") == (len(data), sha256_hex(data))
    assert list(store.list("a")) == [Listed("a/b/c", len(data))]
    assert list(store.list("nothing")) == []


def test_what_is_missing_is_none_or_corrupt(store):
    assert store.read("x", 10) is None
    assert store.size("x/y") is None
    assert store.digest("x") is None
    with pytest.raises(Corrupt, match="x: missing"):
        store.get("x", 1, "0" * 64)


def test_a_wrong_length_or_hash_names_the_object(store):
    store.create("x", b"abc")
    with pytest.raises(Corrupt, match="x: 3 bytes, should be 2"):
        store.get("x", 2, sha256_hex(b"ab"))
    with pytest.raises(Corrupt, match="x: SHA-256"):
        store.get("x", 3, sha256_hex(b"abd"))
    with pytest.raises(Corrupt, match="x: 3 bytes, at least 4"):
        store.get_range("x", 2, 2, sha256_hex(b"c"))
    with pytest.raises(Corrupt, match="x: larger"):
        store.read("x", 2)


def test_a_name_is_taken_once_and_keeps_its_bytes(store):
    store.create("x", b"one")
    with pytest.raises(NameTaken):
        store.create("x", b"two")
    with pytest.raises(StoreUnsafe):
        store.put_new("x", b"two")
    assert store.read("x", 10) == b"one"
    assert list(store.list("_tmp")) == []


def test_one_of_twelve_racing_threads_wins_every_name(store):
    wins: list[tuple[int, int]] = []

    def race(writer: int) -> None:
        for index in range(20):
            try:
                store.create(f"race/{index}", b"%d" % writer)
                wins.append((index, writer))
            except NameTaken:
                pass

    threads = [threading.Thread(target=race, args=(writer,)) for writer in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(index for index, _ in wins) == list(range(20))
    assert all(store.read(f"race/{index}", 9) == b"%d" % writer for index, writer in wins)


def test_a_write_that_fails_leaves_nothing(store, monkeypatch):
    monkeypatch.setattr(os, "fsync", _fail_on_files(os.fsync))
    with pytest.raises(StoreUnsafe, match="x could not be written"):
        store.create("x", b"data")
    monkeypatch.undo()
    assert list(store.list("")) == []


def _fail_on_files(fsync):
    def fail(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            fsync(handle)
        else:
            raise OSError(28, "No space left on device")

    return fail


def test_a_folder_that_cannot_be_synced_leaves_the_outcome_unknown(store, monkeypatch):
    store.create("y", b"")

    def fail(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CommitUnknown, match="x is there"):
        store.create("x", b"data")


def test_links_out_of_the_archive_are_not_followed(store, tmp_path):
    secret = tmp_path.parent / "secret"
    secret.mkdir()
    (secret / "x").write_bytes(b"secret")
    (tmp_path / "folder").symlink_to(secret)
    (tmp_path / "file").symlink_to(secret / "x")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder/x", "file", "pipe", "folder"):
        with pytest.raises(Corrupt):
            store.read(name, 100)
    with pytest.raises(StoreUnsafe):
        store.create("folder/new", b"")
    assert {entry.name: entry.size for entry in store.list("")} == {"folder": None, "file": None, "pipe": None}
    assert sorted(os.listdir(secret)) == ["x"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "file:///etc/passwd"])
def test_hostile_names_reach_no_file(store, name):
    calls = (lambda: store.read(name, 9), lambda: store.create(name, b""), lambda: store.size(name))
    for call in calls:
        with pytest.raises(Corrupt):
            call()


def test_the_probe_accepts_a_disk_and_leaves_nothing(store):
    store.probe()
    assert list(store.list("")) == []


def test_the_probe_refuses_a_store_that_overwrites(tmp_path):
    class Lies(LocalStore):
        def _publish(self, name: str, data: bytes) -> None:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    with pytest.raises(StoreUnsafe, match="created again"):
        Lies(tmp_path).probe()


def test_a_disk_without_hard_links_is_refused(store, monkeypatch):
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreUnsafe, match="hard links"):
        store.probe()


def test_urls_without_a_store_are_refused(tmp_path):
    with pytest.raises(UsageError, match="archives on ftp:// are not supported"):
        open_store("ftp://host/key")
    with pytest.raises(UsageError, match="no such folder"):
        open_store(str(tmp_path / "nothing"))
    assert open_store(f"file://{tmp_path}").url == str(tmp_path)


def test_reading_works_where_writing_is_forbidden(store, tmp_path):
    store.create("x", b"abc")
    tmp_path.chmod(0o555)
    try:
        assert store.read("x", 3) == b"abc"
        if os.geteuid():  # root may write anywhere
            with pytest.raises(StoreUnsafe):
                store.create("y", b"")
    finally:
        tmp_path.chmod(0o755)
