"""Deleting originals on a disk: only the version that was meant, never a newer one, taken up wherever it stopped."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from ae_core.archive.originals import Original
from ae_core.errors import DataWouldBeLost, LakeError
from ae_core.lake import file_version
from ae_core.originals import QUARANTINE, LocalOriginals, open_originals

KEY = "uid-3"


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake" / "month=1").mkdir(parents=True)
    return tmp_path / "lake"


def write(lake: Path, data: bytes = b"old", path: str = "month=1/a.parquet") -> Original:
    (lake / path).write_bytes(data)
    size, token = file_version(lake / path)
    return Original(path, size, token, hashlib.sha256(data).hexdigest())


def aside(lake: Path) -> list[Path]:
    return sorted((lake / QUARANTINE).rglob("*.original"))


def test_a_file_is_set_aside_first_and_deleted_after_the_wait(lake):
    file = write(lake)
    assert LocalOriginals(lake, 3600).remove(file, KEY) is None
    assert not (lake / file.path).exists()
    assert [path.read_bytes() for path in aside(lake)] == [b"old"]
    assert LocalOriginals(lake, 3600).remove(file, KEY) is None
    (since,) = (lake / QUARANTINE).rglob("*.since")
    os.utime(since, (0, 0))
    assert LocalOriginals(lake, 3600).remove(file, KEY) == "deleted"
    assert not aside(lake)
    assert LocalOriginals(lake, 3600).remove(file, KEY) == "deleted"  # and not "absent": a killed run asks again
    LocalOriginals(lake, 3600).clear(KEY)
    assert not (lake / QUARANTINE).exists()


def test_a_clock_that_went_back_deletes_nothing(lake):
    file = write(lake)
    LocalOriginals(lake, 3600).remove(file, KEY)
    (since,) = (lake / QUARANTINE).rglob("*.since")
    os.utime(since, (9e9, 9e9))
    assert LocalOriginals(lake, 3600).remove(file, KEY) is None


@pytest.mark.parametrize("touch", [False, True])
def test_a_newer_file_is_kept(lake, touch):
    """With `touch` it has the size and the time of the old one, so that only its bytes tell."""
    file = write(lake)
    status = (lake / file.path).stat()
    (lake / file.path).write_bytes(b"new")
    if touch:
        os.utime(lake / file.path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert file_version(lake / file.path) == (file.size, file.token)
    assert LocalOriginals(lake, 0).remove(file, KEY) == "changed"
    assert (lake / file.path).read_bytes() == b"new"
    assert not aside(lake)


def test_a_file_changed_while_it_was_aside_is_put_back(lake):
    """Somebody had it open for writing when it was moved."""
    file = write(lake)
    with open(lake / file.path, "r+b") as handle:
        assert LocalOriginals(lake, 3600).remove(file, KEY) is None
        handle.write(b"new")
    (since,) = (lake / QUARANTINE).rglob("*.since")
    os.utime(since, (0, 0))
    assert LocalOriginals(lake, 3600).remove(file, KEY) == "changed"
    assert (lake / file.path).read_bytes() == b"new"


def test_neither_of_two_newer_files_is_lost(lake):
    file = write(lake)
    with open(lake / file.path, "r+b") as handle:
        assert LocalOriginals(lake, 3600).remove(file, KEY) is None
        handle.write(b"two")
    (lake / file.path).write_bytes(b"three")
    assert LocalOriginals(lake, 3600).remove(file, KEY) == "changed"
    LocalOriginals(lake, 3600).clear(KEY)
    assert (lake / file.path).read_bytes() == b"three"
    assert [path.read_bytes() for path in aside(lake)] == [b"two"]


def test_what_is_set_aside_can_be_put_back(lake):
    file = write(lake)
    LocalOriginals(lake, 3600).remove(file, KEY)
    assert LocalOriginals(lake, 3600).keep(file, KEY) == "kept"
    assert (lake / file.path).read_bytes() == b"old"
    assert not aside(lake)


def test_a_missing_file_is_reported_as_absent(lake):
    file = write(lake)
    (lake / file.path).unlink()
    assert LocalOriginals(lake, 0).remove(file, KEY) == "absent"
    assert LocalOriginals(lake, 0).keep(file, KEY) == "absent"


def test_a_link_is_left_alone(lake, tmp_path):
    target = tmp_path / "elsewhere.parquet"
    target.write_bytes(b"old")
    (lake / "month=1" / "a.parquet").symlink_to(target)
    size, token = file_version(lake / "month=1" / "a.parquet")
    file = Original("month=1/a.parquet", size, token, hashlib.sha256(b"old").hexdigest())
    assert LocalOriginals(lake, 0).remove(file, KEY) == "kept"
    assert target.exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ""])
def test_a_name_outside_of_the_lake_is_refused(lake, path):
    with pytest.raises(LakeError, match="outside"):
        LocalOriginals(lake, 0).remove(Original(path, 1, "t", "a" * 64), KEY)


def test_a_racing_writer_never_loses_a_newer_file(lake):
    """A hundred deletes against a writer that replaces the file all the time: what it wrote last is always there."""
    lost = 0
    for round_ in range(100):
        file = write(lake)
        newest = [b"old"]
        go = threading.Event()

        def replace(newest=newest, go=go, round_=round_):
            go.wait()
            for index in range(3):
                data = f"new {round_} {index}".encode()
                scratch = lake / "month=1" / "scratch"
                scratch.write_bytes(data)
                os.replace(scratch, lake / "month=1" / "a.parquet")
                newest[0] = data

        writer = threading.Thread(target=replace)
        writer.start()
        go.set()
        LocalOriginals(lake, 0).remove(file, f"{KEY}{round_}")
        writer.join()
        lost += (lake / file.path).read_bytes() != newest[0]
    assert lost == 0


def test_originals_in_a_store_need_a_profile_that_allows_it(tmp_path, monkeypatch):
    profiles = tmp_path / "stores.toml"
    profiles.write_text('[here]\nprotocol = "s3"\nendpoint = "http://127.0.0.1:1"\n')
    monkeypatch.setenv("LATENTLAKE_STORES", str(profiles))
    for url in ("s3://bucket/lake", "here://bucket/lake", "ftp://host/lake", str(tmp_path / "none")):
        with pytest.raises(DataWouldBeLost):
            open_originals(url, wait=0)
