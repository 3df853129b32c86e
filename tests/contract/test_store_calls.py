"""Every store keeps the same promises: one winner for every name, whole bytes or an error, listings that are true."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import pytest

from ae_core.archive.contract import NameTaken
from ae_core.archive.fields import sha256_hex
from ae_core.archive.objects import ObjectStore
from ae_core.errors import Corrupt, StoreDenied
from ae_core.remote.identity import identity_of
from ae_core.remote.objects import Objects
from ae_core.remote.places import locate
from ae_core.remote.versions import token_of
from tests.contract.conftest import EVERY, FULL, REMOTE, kinds
from tests.contract.servers import AZURITE_KEY

every = pytest.mark.parametrize("ground", EVERY, indirect=True)
remote = pytest.mark.parametrize("ground", REMOTE, indirect=True)


@every
def test_bytes_come_back_whole_and_in_part(ground):
    store = ground.store()
    data = os.urandom(300_000)
    store.put_new("a/b/c", data)
    assert store.get("a/b/c", len(data), sha256_hex(data)) == data
    assert store.get_range("a/b/c", 10, 20, sha256_hex(data[10:30])) == data[10:30]
    assert store.read("a/b/c", len(data)) == data
    assert store.size("a/b/c") == len(data)
    assert store.digest("a/b/c") == (len(data), sha256_hex(data))
    (listed,) = store.list("a")
    assert (listed.name, listed.size) == ("a/b/c", len(data))
    assert abs(listed.modified - time.time()) < 60
    assert list(store.list("nothing")) == []
    assert {entry.name for entry in store.list("")} == {"a/b/c"}


@every
def test_an_empty_object_is_one(ground):
    store = ground.store()
    store.put_new("a/empty", b"")
    assert store.size("a/empty") == 0
    assert store.read("a/empty", 10) == b""
    assert store.get("a/empty", 0, sha256_hex(b"")) == b""
    assert store.digest("a/empty") == (0, sha256_hex(b""))
    assert [entry.size for entry in store.list("a")] == [0]


@every
def test_what_is_missing_or_wrong_is_named(ground):
    store = ground.store()
    store.create("folder/x", b"abc")
    for name in ("x", "folder/y", "nothing/x"):
        assert store.read(name, 10) is None
        assert store.size(name) is None
        assert store.digest(name) is None
    with pytest.raises(Corrupt, match="y: missing"):
        store.get("y", 1, "0" * 64)
    with pytest.raises(Corrupt, match="x: 3 bytes, should be 2"):
        store.get("folder/x", 2, sha256_hex(b"ab"))
    with pytest.raises(Corrupt, match="x: 3 bytes, (should be|at least) 4"):
        store.get("folder/x", 4, sha256_hex(b"abcd"))
    with pytest.raises(Corrupt, match="x: SHA-256"):
        store.get("folder/x", 3, sha256_hex(b"abd"))
    with pytest.raises(Corrupt, match="x: 3 bytes, at least 4"):
        store.get_range("folder/x", 2, 2, sha256_hex(b"c"))
    with pytest.raises(Corrupt, match="x: larger"):
        store.read("folder/x", 2)


@every
def test_a_name_is_taken_once_and_keeps_its_bytes(ground):
    store = ground.store()
    store.create("x", b"one")
    with pytest.raises(NameTaken):
        store.create("x", b"two")
    assert store.read("x", 10) == b"one"


@every
def test_what_was_lost_or_damaged_is_restored_under_its_name(ground):
    store = ground.store()
    store.put_new("folder/x", b"damaged")
    for name in ("folder/x", "folder/y"):
        store.restore(name, [b"ri", b"ght"])
        assert store.digest(name) == (5, sha256_hex(b"right"))
        assert store.get(name, 5, sha256_hex(b"right")) == b"right"


@every
def test_one_of_eight_racing_threads_wins_every_name(ground):
    """Each through a client of its own, as processes would have."""
    wins: list[tuple[int, int]] = []
    names = 4

    def race(writer: int) -> None:
        store = ground.store()
        for index in range(names):
            try:
                store.create(f"race/{index}", b"%d" % writer)
                wins.append((index, writer))
            except NameTaken:
                pass

    threads = [threading.Thread(target=race, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = sorted(index for index, _ in wins)
    # a client that asked again after its own success was told that it lost: never two winners, rarely none
    assert told == sorted(set(told))
    assert all(ground.store().read(f"race/{index}", 9) == b"%d" % writer for index, writer in wins)
    assert len(list(ground.store().list("race"))) == names


@every
def test_delete_is_done_once_and_asked_as_often_as_wished(ground):
    store = ground.store()
    store.create("a/x", b"one")
    store.delete("a/x")
    store.delete("a/x")
    store.delete("never/there")
    assert store.read("a/x", 9) is None
    assert list(store.list("a")) == []
    store.create("a/x", b"two")


@every
def test_the_clock_is_the_stores_and_the_probes_leave_nothing(ground):
    store = ground.store()
    assert abs(store.clock() - time.time()) < 30
    store.probe()
    assert list(store.list("")) == []


@every
@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "s3://other/x", "a//b", "x?versionId=1", "a#1"])
def test_hostile_names_reach_no_object(ground, name):
    store = ground.store()
    for call in (lambda: store.read(name, 9), lambda: store.create(name, b""), lambda: store.delete(name)):
        with pytest.raises(Corrupt):
            call()


@remote
def test_nothing_is_seen_through_a_cache(ground):
    """What another client wrote is there after this one has listed, looked and read (F9)."""
    mine, other = ground.store(), ObjectStore(locate(ground.url("archive")))
    assert list(mine.list("a")) == []
    assert mine.size("a/x") is None
    other.put_new("a/x", b"first")
    assert mine.size("a/x") == 5
    assert [entry.name for entry in mine.list("a")] == ["a/x"]
    other.replace("a/x", b"a longer second")
    assert mine.size("a/x") == 15
    assert mine.read("a/x", 99) == b"a longer second"
    assert [entry.size for entry in mine.list("a")] == [15]
    other.delete("a/x")
    assert mine.read("a/x", 99) is None
    assert list(mine.list("a")) == []


@pytest.mark.parametrize("ground", kinds("moto", "seaweedfs", "azurite"), indirect=True)
def test_a_version_is_deleted_and_no_other(ground):
    store = ground.store()
    store.put_new("x", b"first")
    first = store.token("x")
    listed = ground.objects().find(locate(ground.url("archive")).path)
    assert [token_of(info) for info in listed.values()] == [first]
    store.replace("x", b"second")
    assert store.token("x") != first
    assert store.delete_version("x", first) == "changed"
    assert store.read("x", 9) == b"second"
    assert store.delete_version("x", store.token("x")) == "deleted"
    assert store.delete_version("x", first) == "absent"


@remote
def test_a_store_travels_as_its_place_alone(ground):
    """Pickled for another process it holds no secret, and it opens there."""
    objects = ground.objects()
    objects.put(f"{objects.place.path}-pickled", b"x")
    data = cloudpickle.dumps(objects)
    for secret in objects.access.secrets:
        assert secret.encode() not in data
        assert secret not in repr(objects.access)
    again = cloudpickle.loads(data)
    assert isinstance(again, Objects)
    assert again.read(f"{objects.place.path}-pickled", 0, 9) == b"x"


@remote
def test_a_large_object_goes_up_whole(ground):
    data = os.urandom(1 << 20) * (12 if ground.kind == "moto" else 60)
    store = ground.store()
    store.put_new("big", data)
    assert store.digest("big") == (len(data), sha256_hex(data))
    piece = data[7_000_000:7_000_100]
    assert store.get_range("big", 7_000_000, 100, sha256_hex(piece)) == piece
    with pytest.raises(Corrupt, match="big: SHA-256"):
        store.restore("copy", store.pieces("big", len(data), sha256_hex(b"other")))
    assert store.size("copy") is None
    store.restore("copy", store.pieces("big", len(data), sha256_hex(data)))
    assert store.digest("copy") == (len(data), sha256_hex(data))


@every
def test_a_neighbour_with_a_longer_name_is_another_place(ground):
    mine, other = ground.store("archive"), ground.store("archive2")
    mine.put_new("a/x", b"1")
    other.put_new("a/y", b"2")
    assert [entry.name for entry in mine.list("")] == ["a/x"]
    mine.put_new("a2/z", b"3")
    assert [entry.name for entry in mine.list("a")] == ["a/x"]


@pytest.mark.full
@pytest.mark.parametrize("ground", [*FULL, "moto"], indirect=True)
def test_a_listing_of_many_pages_is_whole(ground):
    """Stores answer a thousand names at a time, Azure five thousand."""
    count = 5_100 if ground.kind == "azurite" else 1_100
    store = ground.store()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda index: store.create(f"a/{index}", b""), range(count)))
    assert sum(1 for _ in store.list("a")) == count


# --- ambient credentials ------------------------------------------------------------------------------


def _ambient_round_trip(url: str) -> str:
    store = ObjectStore(locate(url))
    store.put_new("x", b"ambient")
    assert store.read("x", 9) == b"ambient"
    return identity_of(store.objects)


@pytest.mark.parametrize("ground", kinds("moto"), indirect=True)
def test_ambient_credentials_of_s3_need_no_profile(ground, monkeypatch):
    _, (key, secret) = zip(*ground.server.environment.items(), strict=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ground.server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    who = _ambient_round_trip("s3://lake/ambient")
    assert who == "access key of 14 characters found by env (ambient credentials)"


@pytest.mark.parametrize("ground", kinds("moto"), indirect=True)
def test_no_credentials_at_all_is_said(ground, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ground.server.port}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreDenied, match="nobody: no credentials were found"):
        ObjectStore(locate("s3://lake/ambient")).read("x", 9)


@pytest.mark.parametrize("ground", kinds("azurite"), indirect=True)
def test_ambient_credentials_of_azure_need_no_profile(ground, monkeypatch):
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
        f"BlobEndpoint=http://127.0.0.1:{ground.server.port}/devstoreaccount1;",
    )
    who = _ambient_round_trip("az://lake/ambient")
    assert who.startswith("account devstoreaccount1, ")
    assert who.endswith("(ambient credentials)")
    assert AZURITE_KEY not in who
