"""F4: every byte of every file, one after the other: an error by name, or data that does not rest on that byte."""

from __future__ import annotations

from collections import Counter

import pytest

from ae_core.archive.verify import verify
from tests.counted import counted
from tests.hostile.golden_parts import NAMES, golden
from tests.hostile.memory_store import MemoryStore
from tests.hostile.reading import answer

STRIDE = 97


def flip(name: str, stride: int, bits: int) -> Counter[str]:
    """Flip bits of every `stride`-th byte of all files, and read both partitions each time."""
    source, counts = golden(name), Counter[str]()
    for file, data in source.objects.items():
        for at in range(0, len(data), stride):
            for bit in range(bits):
                spoilt = bytearray(data)
                spoilt[at] ^= 1 << (at + bit) % 8
                objects = source.objects | {file: bytes(spoilt)}
                for partition in source.snapshot.partitions:
                    counts[answer(source, objects, partition, {file})] += 1
    counted(f"{name}: {dict(counts)}")
    return counts


def test_f04_flipped_bits_change_no_data():
    counts = Counter[str]()
    for name in NAMES:
        counts += flip(name, STRIDE, 1)
    assert counts["refused"] > 1000
    assert counts["identical"] > 1000


@pytest.mark.full
@pytest.mark.ci
def test_f04_every_byte_of_a_small_archive():
    size = sum(map(len, golden("mixing").objects.values()))
    assert sum(flip("mixing", 1, 2).values()) == 2 * 2 * size


@pytest.mark.full
@pytest.mark.timeout(1800)  # a quarter of a million reads
def test_f04_every_byte_of_larger_archives():
    assert flip("network", 1, 1)["refused"] > 0
    assert flip("wide", 1, 1)["refused"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_f04_verify_names_what_reading_a_partition_may_not_need(name):
    """A flipped report or twin harms no reader today; verify tells before it does."""
    source = golden(name)
    for file, data in source.objects.items():
        if data and file not in source.snapshot.state.condemned:
            spoilt = bytes([data[0] ^ 1]) + data[1:]
            found = verify("memory", store=MemoryStore(source.objects | {file: spoilt})).findings
            assert file in {finding.name for finding in found}
