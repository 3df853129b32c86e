"""What the archive's own files accept: exact round trips, and a refusal for everything that is not understood."""

from __future__ import annotations

import json
import resource
from dataclasses import replace

import brotli
import pytest

from ae_core.archive import fields
from ae_core.archive import format as f
from ae_core.archive.level import Level
from ae_core.errors import Corrupt, UnsupportedFormat

SHA = "ab" * 32
REF = f.ObjectRef("partitions/month=1/u/manifest.json.br", 10, SHA)
SHARED = f.SharedRef("model", 5, SHA, ("models/a/object", "models/b/object"))
COMMIT = f.Commit(
    number=3,
    parent=SHA,
    uid="u",
    op_key="k",
    writer="w",
    time="2026-01-01T00:00:00+00:00",
    changes=(f.Change("month=1", REF), f.Change("gone", None)),
    shared=(SHARED,),
    report=f.ObjectRef("_reports/r.json", 1, SHA),
    condemned=("partitions/x/y",),
    note="first",
)
MANIFEST = f.Manifest(
    archive="uid",
    partition="month=1",
    keys={"month": "1"},
    table=SHA,
    model=None,
    block_rows=(3, 2),
    layers=(
        f.LayerFile(
            "residuals",
            f.ObjectRef("partitions/a/residuals.parquet", 100, SHA),
            (f.BlockEntry(4, 10, SHA), f.BlockEntry(40, 0, SHA)),
        ),
    ),
    sources=(f.SourceFile("part-0.parquet", 5, 77, "t", "m", SHA),),
    digest=SHA,
    certificate={"max": [0.25, 1e-30, None]},
    no_latents_reason="too small",
)


def layer(**change):
    """A layer's entry that fits `MANIFEST`, but for `change`."""
    file = {"name": "a", "length": 9, "sha256": SHA}
    return {"file": file, "layer": "x", "lengths": [1, 1], "offsets": [0, 1], "sha256": [SHA, SHA]} | change


def test_files_come_back_as_they_were_written():
    marker = f.Marker("uid", "w")
    record = f.TableRecord(b"\x00\xff", {"version": 1})
    assert f.read_marker(f.marker_bytes(marker), "m") == marker
    assert f.read_commit(f.commit_bytes(COMMIT), "c") == COMMIT
    assert f.read_manifest(f.manifest_bytes(MANIFEST), "m") == MANIFEST
    assert f.read_table(f.table_bytes(record), "t") == record
    assert MANIFEST.rows == 5
    assert MANIFEST.layer("latents") is None


def test_layer_files_beside_their_manifest_are_named_without_the_folder():
    mine = replace(MANIFEST.layers[0], file=replace(MANIFEST.layers[0].file, name="partitions/m/1/residuals.parquet"))
    other = replace(mine, layer="latents", file=replace(mine.file, name="partitions/m/0/latents.parquet"))
    manifest = replace(MANIFEST, layers=(mine, other))
    data = f.manifest_bytes(manifest, "partitions/m/1/manifest.json.br")
    names = [layer["file"]["name"] for layer in fields.unpack_json(data, "m")["layers"]]
    assert names == ["residuals.parquet", "partitions/m/0/latents.parquet"]
    assert f.read_manifest(data, "partitions/m/1/manifest.json.br") == manifest


def test_the_only_block_of_a_file_has_no_hash_of_its_own():
    one = replace(MANIFEST.layers[0], blocks=(f.BlockEntry(4, 10, None),))
    manifest = replace(MANIFEST, layers=(one,), block_rows=(5,))
    data = f.manifest_bytes(manifest)
    assert "sha256" not in fields.unpack_json(data, "m")["layers"][0]
    assert f.read_manifest(data, "m") == manifest


def test_equal_content_gives_equal_bytes():
    shuffled = replace(MANIFEST, certificate=dict(reversed(MANIFEST.certificate.items())))
    assert f.manifest_bytes(shuffled) == f.manifest_bytes(MANIFEST)


@pytest.mark.parametrize(
    ("write", "read", "what"),
    [
        (f.marker_bytes, f.read_marker, f.Marker("uid", "w", Level(7, reader="1.0.0"))),
        (f.commit_bytes, f.read_commit, replace(COMMIT, level=Level(7, reader="1.0.0"))),
        (f.manifest_bytes, f.read_manifest, replace(MANIFEST, format=7)),
    ],
)
def test_a_newer_format_is_refused_and_named(write, read, what):
    with pytest.raises(UnsupportedFormat, match="format 7"):
        read(write(what), "x")


def test_an_unknown_required_feature_is_refused_and_named():
    with pytest.raises(UnsupportedFormat, match="time-travel"):
        f.read_marker(f.marker_bytes(f.Marker("uid", "w", Level(requires=("time-travel",)))), "x")
    with pytest.raises(UnsupportedFormat, match="time-travel"):
        f.read_manifest(f.manifest_bytes(replace(MANIFEST, requires=("time-travel",))), "x")


def test_unknown_optional_fields_are_ignored():
    body = json.loads(f.commit_bytes(COMMIT))["body"]
    assert f.read_commit(fields.seal({**body, "weather": "fine"}), "c") == COMMIT


def test_every_flipped_byte_of_a_sealed_file_is_found_before_parsing(monkeypatch):
    data = f.commit_bytes(COMMIT)
    monkeypatch.setattr(fields, "parse_json", lambda *_: pytest.fail("parsed before its hash was checked"))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(Corrupt):
            fields.unseal(bytes(changed), "c")
    for length in (0, 1, 30, 80, 85, len(data) - 1):
        with pytest.raises(Corrupt):
            fields.unseal(data[:length], "c")


@pytest.mark.parametrize(
    "change",
    [
        {"parent": "short"},
        {"parent": None},
        {"number": -1},
        {"number": True},
        {"number": 1 << 63},
        {"number": 1.0},
        {"writer": 5},
        {"changes": {}},
        {"changes": [5]},
        {"changes": [{"partition": "p", "manifest": {"name": "../x", "length": 1, "sha256": SHA}}]},
        {"shared": [{"kind": "code", "length": 1, "names": ["a", "b"], "sha256": SHA}]},
        {"shared": [{"kind": "model", "length": 1, "names": ["a"], "sha256": SHA}]},
        {"condemned": ["/etc/passwd"]},
        {"report": []},
    ],
)
def test_malformed_commits_with_a_right_hash_are_corrupt(change):
    body = json.loads(f.commit_bytes(COMMIT))["body"]
    with pytest.raises(Corrupt, match="name|c"):
        f.read_commit(fields.seal({**body, **change}), "c")


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [layer(lengths=[5, 5], offsets=[0, 5])]},
        {"layers": [layer(lengths=[5], offsets=[0], sha256=[SHA])]},
        {"layers": [layer(offsets=[0])]},
        {"layers": [layer(file={"name": "/a", "length": 9, "sha256": SHA})]},
        {"layers": [layer(sha256=["short", SHA])]},
        {"block_rows": [1, -1]},
        {"keys": {"month": 1}},
        {"sources": [["a", 1]]},
        {"table": None},
    ],
)
def test_malformed_manifests_are_corrupt(change):
    body = fields.unpack_json(f.manifest_bytes(MANIFEST), "m")
    with pytest.raises(Corrupt):
        f.read_manifest(fields.pack_json({**body, **change}), "m")


def test_bombs_are_refused_before_they_have_unfolded():
    bomb = brotli.compress(b" " * (fields.MAX_MANIFEST * 4), quality=5)
    assert len(bomb) < 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Corrupt, match="allowed"):
        fields.unpack_json(bomb, "m")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 2 * fields.MAX_MANIFEST
    whole = f.manifest_bytes(MANIFEST)
    for broken in (b"", b"no brotli", whole[:-1], whole + b"\0"):
        with pytest.raises(Corrupt):
            fields.unpack_json(broken, "m")
    for depth in (fields.MAX_DEPTH + 1, 100_000):
        with pytest.raises(Corrupt):
            fields.parse_json(b'{"a":' + b"[" * depth + b"]" * depth + b"}", "m")
    assert fields.parse_json(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", "m")


def test_json_that_is_no_object_or_has_no_numbers_is_refused():
    for data in (b"[]", b"5", b"", b"{", b"\xff\xfe"):
        with pytest.raises(Corrupt):
            fields.parse_json(data, "m")
    with pytest.raises(ValueError, match="JSON"):
        fields.canonical_json({"a": float("nan")})
