"""Originals in an object store: deleted on condition of the version, or not at all."""

from __future__ import annotations

import hashlib

import pytest

from ae_core.archive.originals import Original
from ae_core.errors import DataWouldBeLost
from ae_core.lake import file_version
from ae_core.originals import open_originals
from ae_core.remote.objects import Objects
from ae_core.remote.places import locate
from tests.contract import servers

PATH = "month=1/part-0.parquet"


def opened(kind, tmp_path, monkeypatch, request, **more):
    """A lake in a running server, through a profile with `more` in it."""
    running = servers.start(kind, tmp_path / kind)
    try:
        server = running.__enter__()
    except servers.Missing as missing:
        pytest.skip(str(missing))
    request.addfinalizer(lambda: running.__exit__(None, None, None))
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    settings = tmp_path / "stores.toml"
    servers.write_settings(settings, {kind: {**server.profile, **more}})
    monkeypatch.setenv("LATENTLAKE_STORES", str(settings))
    return server.url("lake")


def stored(lake: str, data: bytes) -> tuple[Objects, str, Original]:
    place = locate(lake)
    objects, path = Objects(place), f"{place.path}/{PATH}"
    objects.put(path, data)
    size, token = file_version(objects.info(path))
    return objects, path, Original(PATH, size, token, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("kind", ["moto", "seaweedfs", "azurite"])
def test_only_the_version_that_was_compared_is_deleted(kind, tmp_path, monkeypatch, request):
    lake = opened(kind, tmp_path, monkeypatch, request, allow_expiry=True)
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


def test_a_profile_has_to_allow_it(tmp_path, monkeypatch, request):
    lake = opened("moto", tmp_path, monkeypatch, request)
    with pytest.raises(DataWouldBeLost, match="allow_expiry"):
        open_originals(lake, wait=0)


def test_a_store_that_ignores_the_condition_is_refused(tmp_path, monkeypatch, request):
    lake = opened("fakegcs", tmp_path, monkeypatch, request, allow_expiry=True)
    with pytest.raises(DataWouldBeLost, match="whatever its version"):
        open_originals(lake, wait=0)
