"""F6: objects in each other's places, between partitions, snapshots and archives."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from ae_core.archive import fields
from ae_core.archive.reader import open_snapshot
from ae_core.dataset import Archive
from ae_core.errors import Corrupt
from tests.counted import counted
from tests.hostile.golden_parts import NAMES, golden, packed, relinked
from tests.hostile.memory_store import MemoryStore
from tests.hostile.reading import answer


@pytest.mark.parametrize("name", NAMES)
def test_f06_objects_of_one_archive_that_changed_places(name):
    source, counts = golden(name), Counter[str]()
    for one, two in itertools.combinations(source.objects, 2):
        if source.objects[one] != source.objects[two]:
            objects = source.objects | {one: source.objects[two], two: source.objects[one]}
            for partition in source.snapshot.partitions:
                counts[answer(source, objects, partition, {one, two})] += 1
    counted(dict(counts))
    assert counts["refused"] > 100


def test_f06_objects_of_another_archive():
    source, other = golden("network"), golden("wide")
    counts = Counter[str]()
    for one, two in itertools.product(source.objects, other.objects):
        if source.objects[one] != other.objects[two]:
            for partition in source.snapshot.partitions:
                counts[answer(source, source.objects | {one: other.objects[two]}, partition, {one})] += 1
    counted(dict(counts))
    assert counts["refused"] > 100


def test_f06_a_manifest_of_another_partition_or_archive_is_refused_though_every_hash_is_right():
    """Somebody who rewrites the log cannot let one partition, or one archive, answer for another."""
    source = golden("network")
    first, second = (source.snapshot.state.partitions[p].name for p in source.snapshot.partitions)
    with pytest.raises(Corrupt, match="is about partition month=2"):
        read(relinked(source, replaced={first: source.objects[second]}))
    manifest = fields.unpack_json(source.objects[first], first)
    with pytest.raises(Corrupt, match="of archive 0000"):
        read(relinked(source, replaced={first: packed(manifest | {"archive": "0" * 32})}))


def read(objects: dict[str, bytes]) -> None:
    for partition in Archive(open_snapshot("memory", store=MemoryStore(objects))).partitions():
        list(partition.blocks())
