"""Files made to do harm, their hashes right: a typed error or a plain value, nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ae_core.archive import fields
from ae_core.archive import format as f
from ae_core.archive.names import is_name
from ae_core.errors import LatentlakeError
from tests.unit.archive import test_format as samples

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "../x", "/etc/passwd", "a" * 65, "0" * 64, "\x00", "\ud800", "__class__"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.text(max_size=20),
)
COMMIT = json.loads(f.commit_bytes(samples.COMMIT))["body"]
MANIFEST = fields.unpack_json(f.manifest_bytes(samples.MANIFEST), "m")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def changed(body: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """`body` with one to three values anywhere in it replaced."""
    result = copy.deepcopy(body)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(result)[1:]))
        holder: Any = result
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = data.draw(HOSTILE)
    return result


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_commits_with_hostile_values(data):
    try:
        commit = f.read_commit(fields.seal(changed(COMMIT, data)), "c")
    except LatentlakeError:
        return
    refs = [change.manifest for change in commit.changes if change.manifest] + [
        r for s in commit.shared for r in s.twins
    ]
    assert all(is_name(ref.name) and 0 <= ref.length < 1 << 63 for ref in refs)
    assert all(map(is_name, commit.condemned))


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_manifests_with_hostile_values(data):
    try:
        manifest = f.read_manifest(fields.pack_json(changed(MANIFEST, data)), "m")
    except LatentlakeError:
        return
    for layer in manifest.layers:
        assert is_name(layer.file.name)
        assert len(layer.blocks) == len(manifest.block_rows)
        assert all(0 <= block.offset <= block.offset + block.length <= layer.file.length for block in layer.blocks)
    assert manifest.rows >= 0


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_nothing(data):
    for read in (f.read_marker, f.read_commit, f.read_manifest, f.read_table):
        try:
            read(data, "x")
        except LatentlakeError:
            continue
        raise AssertionError(f"{read.__name__} accepted {data!r}")


@given(st.binary(max_size=60), st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=300, deadline=None)
def test_spliced_frames(insert, start, end):
    """The hash is right, the frame is not: a stranger's manifest may hold anything."""
    whole = f.manifest_bytes(samples.MANIFEST)
    spliced = whole[:start] + insert + whole[end:]
    try:
        f.read_manifest(spliced, "m")
    except LatentlakeError:
        return
    assert fields.unpack_json(spliced, "m")
