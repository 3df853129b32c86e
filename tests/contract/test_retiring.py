"""Taking things away where archives and lakes can live: gc of archives, and originals deleted by version."""

from __future__ import annotations

import hashlib
import time

import pytest
from fsspec.asyn import get_loop

import ae_core
from ae_core.archive import commit, gc
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.objects import ObjectStore
from ae_core.archive.originals import Original
from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import verify
from ae_core.errors import DataWouldBeLost, OutputExists, SnapshotExpired, StoreUnreachable
from ae_core.jobs.expire import expire
from ae_core.lake import file_version
from ae_core.originals import open_originals
from ae_core.remote.objects import Objects, Patience
from ae_core.remote.places import locate
from tests.contract.conftest import EVERY, Ground, kinds
from tests.contract.tables import ROWS, write_lake
from tests.faults import archive_sample as sample

PATH = "month=1/part-0.parquet"
NONE = gc.Retention(snapshots=1, days=0, orphan_days=0)


@pytest.mark.parametrize("ground", EVERY, indirect=True)
def test_gc_deletes_what_no_kept_snapshot_needs(ground):
    url = ground.url("archive")
    archive = commit.create_archive(url, writer="w")
    for version in (0, 1):
        sample.write(archive, ["month=1"], version=version)
    sample.stage_partition(archive, sample.stage_shared(archive, read_state(archive)), "month=7")
    assert gc.find(archive).all == ()  # by the store's own clock all of it is young
    done = gc.collect(open_archive(url), NONE, writer="w")
    assert len(done.deleted) == 6
    report = verify(url, decode=sample.decode)
    assert (report.ok, report.decoded, report.orphans) == (True, 1, 0)
    with pytest.raises(SnapshotExpired):
        open_snapshot(url, number=0)
    assert not gc.collect(open_archive(url), NONE, writer="w").deleted


def allowing(kind, running, using, **more) -> str:
    """A lake in a server, through a profile with `more` in it."""
    server = running(kind)
    using(server, {kind: {**server.profile, **more}})
    return server.url(f"lake-{len(more)}")


def stored(lake: str, data: bytes) -> tuple[Objects, str, Original]:
    place = locate(lake)
    objects, path = Objects(place), f"{place.path}/{PATH}"
    objects.put(path, data)
    size, token = file_version(objects.info(path))
    return objects, path, Original(PATH, size, token, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("kind", kinds("moto", "seaweedfs", "azurite"))
def test_only_the_version_that_was_compared_is_deleted(kind, running, using):
    lake = allowing(kind, running, using, allow_expiry=True)
    originals = open_originals(lake, wait=0)
    objects, path, file = stored(lake, b"old")
    objects.put(path, b"new")
    assert originals.remove(file, "key") == "changed"
    assert objects.read(path, 0, 3) == b"new"
    _, _, file = stored(lake, b"new one")
    assert originals.keep(file, "key") == "kept"
    assert originals.remove(file, "key") == "deleted"
    assert not objects.isfile(path)
    assert originals.remove(file, "key") == "absent"
    assert originals.keep(file, "key") == "absent"
    originals.write_note("_latentlake_expired.json", {"what": "a note"})
    assert list(objects.find(locate(lake).path)) == [f"{locate(lake).path}/_latentlake_expired.json"]


@pytest.mark.parametrize("kind", kinds("seaweedfs", "azurite"))
def test_originals_expire_and_come_back(kind, running, using, tmp_path, monkeypatch):
    """From end to end in a store: recorded, deleted by version, restored without overwriting, or not at all."""
    server = running(kind)
    using(server, {kind: {**server.profile, "allow_expiry": True}})
    ground = Ground(kind, server.url(tmp_path.name), server)
    lake, archive, policy = write_lake(ground, tmp_path), ground.url("archive"), tmp_path / "policy.yaml"
    policy.write_text(
        "version: 1\ndefault: {float: {range: 0.01}}\n"
        "retire: {expire: {enabled: true, grace: 1d, wait: 1h, replica: none}}\n"
    )
    ae_core.compress(lake, archive, policy=str(policy))
    late = "flights/month=2/part-0.parquet"
    for days, action in ((1.1, "recorded"), (2.2, "expired")):
        monkeypatch.setattr(ObjectStore, "clock", lambda _, days=days: time.time() + days * 86_400)
        done = expire(lake, archive, dry_run=False, where=["month=1"])
        assert [row.action for row in done.partitions] == [action]
    files = [name for name in ground.names("flights") if name.endswith(".parquet")]
    assert files == [late.removeprefix("flights/")]
    untouched = ground.bytes(late)

    real, path = Objects.create_file, "month=1/part-0.parquet"

    def failing(objects, local, target):
        real(objects, local, target)
        raise StoreUnreachable("no answer")

    with monkeypatch.context() as broken:  # the report is the last to go up, and fails
        broken.setattr(Objects, "create_file", lambda *call: real(*call) if PATH in call[2] else failing(*call))
        with pytest.raises(StoreUnreachable):
            ae_core.decode(archive, lake, where=["month=1"])
    assert path not in ground.names("flights"), "what a failed restoring had uploaded is taken back"
    (tmp_path / "strange").write_bytes(b"somebody else's")
    ground.put(f"flights/{path}", tmp_path / "strange")
    with pytest.raises(OutputExists, match="never overwritten"):
        ae_core.decode(archive, lake, where=["month=1"])
    assert ground.bytes(f"flights/{path}") == b"somebody else's"
    Objects(locate(lake)).delete(f"{locate(lake).path}/{path}")
    assert ae_core.decode(archive, lake, where=["month=1"]).rows == ROWS
    with pytest.raises(OutputExists, match="never overwritten"):
        ae_core.decode(archive, lake, where=["month=1"])
    assert ground.bytes(late) == untouched
    again = ae_core.compress(lake, archive, policy=str(policy))
    assert {row.partition: row.action for row in again.partitions} == {"month=1": "skipped", "month=2": "unchanged"}


@pytest.mark.parametrize("ground", kinds("moto", "seaweedfs", "azurite", "fakegcs"), indirect=True)
def test_a_file_is_stored_where_none_is(ground, tmp_path):
    """Small ones in one request, large ones in parts; what is there stays."""
    objects = ground.objects()
    for name, size in (("small", 10), ("large", 70 << 20 if ground.kind == "azurite" else 35 << 20)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        path = locate(ground.url(name)).path
        objects.create_file(str(tmp_path / name), path)
        assert objects.info(path)["size"] == size
        with pytest.raises(FileExistsError):
            objects.create_file(str(tmp_path / "small"), path)
        assert objects.info(path)["size"] == size


def test_a_profile_has_to_allow_it(running, using):
    with pytest.raises(DataWouldBeLost, match="allow_expiry"):
        open_originals(allowing("moto", running, using), wait=0)


@pytest.mark.parametrize("kind", kinds("fakegcs"))
def test_a_store_that_ignores_the_condition_is_refused(kind, running, using):
    """The emulator deletes whatever the version is."""
    with pytest.raises(DataWouldBeLost, match="whatever its version"):
        open_originals(allowing(kind, running, using, allow_expiry=True), wait=0)


def test_the_request_to_a_google_bucket_carries_the_condition():
    """No emulator honours it; a real bucket does, and `open_originals` has it proved there."""

    class Bucket:
        loop = get_loop()

        async def _call(self, *arguments, **more):
            self.seen = (arguments, more)

    objects = Objects.__new__(Objects)
    objects.place, objects.patience, objects.fs = locate("gs://bucket/lake"), Patience(), Bucket()
    assert objects.delete_version("bucket/lake/a.parquet", "17") == "deleted"
    assert objects.fs.seen == (("DELETE", "b/{}/o/{}", "bucket", "lake/a.parquet"), {"ifGenerationMatch": "17"})
