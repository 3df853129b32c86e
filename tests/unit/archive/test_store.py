"""The local disk's own: links, syncs, folders. What every store keeps is in tests/contract/test_store_calls.py."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from ae_core.archive.store import LocalStore, NameTaken, open_store
from ae_core.errors import CommitUnknown, Corrupt, StoreUnsafe, UsageError


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def test_what_was_not_stored_leaves_nothing_in_the_way(store):
    store.create("x", b"one")
    with pytest.raises(NameTaken):
        store.create("x", b"two")
    with pytest.raises(StoreUnsafe, match="exists already"):
        store.put_new("x", b"two")
    assert [entry.name for entry in store.list("")] == ["x"]


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


def test_the_probe_refuses_a_store_that_overwrites(tmp_path):
    class Lies(LocalStore):
        def _publish(self, name: str, pieces: Iterable[bytes]) -> None:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(pieces))

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
