"""Replicas between a local disk and every store, both ways, and repairs from them."""

from __future__ import annotations

import pytest

from ae_core.archive import commit
from ae_core.archive.copy import copy_archive
from ae_core.archive.log import open_archive
from ae_core.archive.names import MARKER, commit_name
from ae_core.archive.repair import repair_log, repair_objects
from ae_core.archive.verify import verify
from tests.contract.conftest import EVERY
from tests.faults import archive_sample as sample


@pytest.mark.parametrize("ground", EVERY, indirect=True)
def test_a_replica_is_made_advanced_damaged_and_repaired(ground, tmp_path):
    here, there = tmp_path / "here", ground.url("replica")
    archive = commit.create_archive(str(here), writer=sample.WRITER)
    sample.write(archive, ["month=1"])
    copy_archive(str(here), there)
    sample.write(open_archive(str(here)), ["month=2"])
    done = copy_archive(str(here), there)
    assert done.commits == 1
    wanted = verify(str(here)).head_sha256
    assert verify(there, decode=sample.decode).head_sha256 == done.head_sha256 == wanted

    store = ground.store("replica")
    names = [entry.name for entry in store.list("") if entry.name.startswith(("models/", "partitions/month=2"))]
    for name in (MARKER, commit_name(0), *names):
        store.restore(name, [b"damaged"])
    local = open_archive(str(here)).store
    repair_log(store, local)
    repaired = repair_objects(store, verify(there).findings, replica=local)
    assert {one.name for one in repaired} == set(names)
    assert verify(there, decode=sample.decode).ok

    back = copy_archive(there, str(tmp_path / "back"))
    assert back.head_sha256 == wanted
    assert {path.name: path.read_bytes() for path in sample.files_of(tmp_path / "back")} == {
        path.name: path.read_bytes() for path in sample.files_of(here)
    }
