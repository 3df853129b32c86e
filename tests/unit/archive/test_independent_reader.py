"""A second reader, written from docs/format.md alone with the standard library and brotli, sees the same archive."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import brotli
import pyarrow as pa

from tests.faults import archive_sample as sample


def sealed(data: bytes) -> Any:
    """A2: the body of a sealed file."""
    start = len('{"sha256":"') + 64 + len('","body":')
    body = data[start:-2]
    assert data == b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","body":' + body + b"}\n"
    return json.loads(body)


def fetch(root: Path, ref: dict[str, Any]) -> bytes:
    """A1: an object, compared with its reference."""
    data = (root / ref["name"]).read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (ref["length"], ref["sha256"])
    return data


def packed(data: bytes) -> Any:
    return json.loads(brotli.decompress(data))


def test_the_page_is_enough_to_read_an_archive(tmp_path):
    root = tmp_path / "a"
    sample.make(root)
    marker = (root / "latentlake.json").read_bytes()
    parent, snapshot, shared = hashlib.sha256(marker).hexdigest(), {}, {}
    number = 0
    while (path := root / "_commits" / f"{number:020d}.json").exists():
        commit = sealed(path.read_bytes())
        assert (commit["number"], commit["parent"], commit["format"]) == (number, parent, 0)
        parent = hashlib.sha256(path.read_bytes()).hexdigest()
        snapshot |= {change["partition"]: change["manifest"] for change in commit.get("changes", [])}
        shared |= {entry["sha256"]: entry for entry in commit.get("shared", [])}
        assert (root / "_seen" / f"{number:020d}-{parent}").read_bytes() == b""
        number += 1
    assert snapshot.keys() == sample.VERSIONS.keys()
    for partition, ref in snapshot.items():
        manifest = packed(fetch(root, ref))
        assert (manifest["archive"], manifest["partition"]) == (sealed(marker)["archive"], partition)
        for name in shared[manifest["table"]]["names"]:
            record = packed(fetch(root, {**shared[manifest["table"]], "name": name}))
            assert pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(record["schema"]))) == sample.SCHEMA
        (layer,) = (layer for layer in manifest["layers"] if layer["layer"] == "residuals")
        assert "/" not in layer["file"]["name"]
        data = fetch(root, layer["file"] | {"name": f"{ref['name'].rpartition('/')[0]}/{layer['file']['name']}"})
        blocks = [data[o : o + n] for o, n in zip(layer["offsets"], layer["lengths"], strict=True)]
        assert [hashlib.sha256(block).hexdigest() for block in blocks] == layer["sha256"]
        tables = [pa.ipc.open_stream(block).read_all() for block in blocks]
        assert tables == sample.blocks_of(partition, sample.VERSIONS[partition])
        assert [table.num_rows for table in tables] == manifest["block_rows"]
