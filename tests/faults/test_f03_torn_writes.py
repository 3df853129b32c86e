"""F3: every object cut short, padded, or half of it never written; and a store that keeps a part and says "done"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from ae_core.archive import log, stage
from ae_core.archive.reader import open_snapshot
from ae_core.archive.store import LocalStore
from ae_core.errors import Corrupt, LatentlakeError, StoreUnsafe
from tests.counted import counted
from tests.faults import archive_sample as sample
from tests.hostile.golden_parts import NAMES, golden
from tests.hostile.reading import answer


@pytest.mark.parametrize("name", NAMES)
def test_f03_a_torn_object_is_named_or_not_needed(name):
    source, counts = golden(name), Counter[str]()
    for file, data in source.objects.items():
        half = len(data) // 2
        torn = {b"", data[:1], data[:half], data[:-1], data[:half] + bytes(len(data) - half), data + b"\0"} - {data}
        for spoilt in torn:
            for partition in source.snapshot.partitions:
                counts[answer(source, source.objects | {file: spoilt}, partition, {file})] += 1
    counted(dict(counts))
    assert counts["refused"] > 50
    assert counts["identical"] > 50  # of the other partition, of a twin, of reports


class Forgetful(LocalStore):
    """Keeps half of what it is given under names that begin with `prefix`."""

    prefix = "partitions/"

    def _publish(self, name: str, pieces: Iterable[bytes]) -> None:
        data = b"".join(pieces)
        super()._publish(name, [data[: len(data) // 2] if name.startswith(self.prefix) else data])


def _write_anew(archive: log.Archive) -> None:
    """Objects of every kind: what the archive has already it would not write again."""
    stage.put_shared(archive, log.State(), "model", b"a model of some length")
    stage.put_shared(archive, log.State(), "table", b"a table of some length")
    sample.write(archive, ["month=1"], version=2)


@pytest.mark.parametrize("prefix", ["partitions/", "models/", "tables/", "_reports/"])
def test_f03_a_store_that_keeps_half_is_found_out_before_the_commit(tmp_path, prefix):
    root = tmp_path / "a"
    sample.make(root)
    before = open_snapshot(str(root)).number
    store = Forgetful(root)
    store.prefix = prefix
    archive = log.open_archive(str(root), store=store)
    with pytest.raises(StoreUnsafe, match=prefix):
        _write_anew(archive)
    snapshot = open_snapshot(str(root))
    assert snapshot.number == before
    for pid, version in sample.VERSIONS.items():
        assert list(sample.read_blocks(snapshot, pid)) == sample.blocks_of(pid, version)


def test_f03_half_a_commit_is_never_acknowledged(tmp_path):
    root = tmp_path / "a"
    sample.make(root)
    store = Forgetful(root)
    store.prefix = "_commits/"
    archive = log.open_archive(str(root), store=store)
    with pytest.raises(LatentlakeError):
        sample.write(archive, ["month=2"], version=3)
    with pytest.raises(Corrupt, match="_commits/00000000000000000003.json"):
        open_snapshot(str(root))
    assert open_snapshot(str(root), number=2).number == 2
