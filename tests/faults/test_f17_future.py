"""F17: files of releases still to come: refused with the version that is needed, or read where they can be."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from ae_core.archive.format import FORMAT
from ae_core.archive.names import MARKER
from ae_core.archive.reader import open_snapshot
from ae_core.columns.packing import unpack_bytes
from ae_core.dataset import Archive
from ae_core.errors import Corrupt, UnsupportedFormat
from ae_core.jobs.verify import verify
from ae_core.varints import read_varint, write_varint
from tests.hostile.golden_parts import golden, relinked, with_manifest, with_shared
from tests.hostile.memory_store import MemoryStore

NEXT = FORMAT + 1


def read(objects: dict[str, bytes]) -> int:
    """Rows of all partitions, decoded."""
    archive = Archive(open_snapshot("memory", store=MemoryStore(objects)))
    return sum(block.num_rows for partition in archive.partitions() for block in partition.blocks(threads=1))


def marker(**change: Any) -> dict[str, bytes]:
    source = golden("network")
    return relinked(source, marker=json.loads(source.objects[MARKER])["body"] | change)


def commit(**change: Any) -> dict[str, bytes]:
    source = golden("network")
    return relinked(source, commits=[*source.commits[:-1], source.commits[-1] | change])


def manifest(**change: Any) -> dict[str, bytes]:
    return with_manifest(golden("network"), "month=2", lambda value: value | change)


@pytest.mark.parametrize("file", [marker, commit, manifest])
def test_f17_a_newer_format_is_refused_with_the_format_that_is_needed(file):
    with pytest.raises(UnsupportedFormat, match=f"format {NEXT}, .*: install latentlake 9.1 or newer") as refused:
        read(file(format=NEXT, reader="9.1"))
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("file", [marker, commit, manifest])
def test_f17_an_unknown_required_feature_is_refused_by_its_name(file):
    with pytest.raises(UnsupportedFormat, match="needs time-travel: install a newer latentlake"):
        read(file(requires=["time-travel"]))


@pytest.mark.parametrize("file", [marker, commit, manifest])
def test_f17_unknown_fields_that_nobody_requires_change_nothing(file):
    objects = file(weather={"sunny": [1, None, "x"]})
    assert read(objects) == 2200
    assert verify("memory", deep=True, threads=1, store=MemoryStore(objects)).ok


def test_f17_verify_does_not_take_a_newer_file_for_a_damaged_one():
    for objects in (marker(format=NEXT), commit(format=NEXT), manifest(format=NEXT)):
        with pytest.raises(UnsupportedFormat):
            verify("memory", deep=True, threads=1, store=MemoryStore(objects))


def test_f17_an_unknown_layer_is_left_alone():
    def more(value: dict) -> dict:
        return value | {"layers": [*value["layers"], value["layers"][0] | {"layer": "refinement"}]}

    assert read(with_manifest(golden("network"), "month=2", more)) == 2200


def test_f17_unknown_operations_of_a_model_are_refused():
    """Coders of columns, kinds of networks and quantisers, forms of streams: each list is closed."""
    source = golden("network")
    changes = (("coder", "network", "quantum"), ("kind", "FloatGrid", "FloatGrad"), ("kind", "group", "graph"))
    for key, *words in changes:
        old, new = (f'"{key}":"{word}"'.encode() for word in words)
        with pytest.raises(Corrupt):
            read(with_shared(source, "model", model_with(plan=edited_plan(source.tensors["plan"], old, new))))


def edited_plan(data: bytes, old: bytes, new: bytes) -> bytes:
    size, at = read_varint(data, 0)
    packed_size, at = read_varint(data, at)
    head = unpack_bytes(data[at : at + packed_size], size)
    assert old in head
    changed = head.replace(old, new)
    rest = data[at + packed_size :]
    return write_varint(len(changed)) + write_varint(len(changed) + 1) + b"\0" + changed + rest


def model_with(**tensors: bytes) -> bytes:
    found = golden("network").tensors | tensors
    return safetensors.numpy.save({name: np.frombuffer(raw, np.uint8) for name, raw in found.items()})
