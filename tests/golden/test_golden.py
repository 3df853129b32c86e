"""Archives of every format that was ever released, read by today's code and by a reader written from the page alone.

A golden archive is bytes: no test makes it anew, because training gives other weights on every machine. What must come
out of it is in its folder. `make.py` says how one comes about.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ae_core
from ae_core.archive.digest import partition_digest
from ae_core.archive.format import FORMAT
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.columns.same import equal_cells
from ae_core.errors import Corrupt
from ae_core.mixing import MixingPlan
from ae_core.pipeline import Codec, decode_block, encode_block
from tests.golden import reader
from tests.unit.test_pipeline import codec, plain_codec, table_of

HOME = Path(__file__).parent
FOLDERS = sorted(HOME.glob("format-*"))
MIXING = sorted(HOME.glob("format-*/mixing"))  # what the page's reader does not cover
WIDE = sorted(HOME.glob("format-*/wide"))  # nor this


def name_of(folder: Path) -> str:
    return str(folder.relative_to(HOME))


@pytest.fixture(params=FOLDERS, ids=name_of)
def folder(request) -> Path:
    return request.param


@pytest.fixture(params=[*FOLDERS, *MIXING, *WIDE], ids=name_of)
def any_folder(request) -> Path:
    return request.param


@pytest.fixture(params=MIXING, ids=name_of)
def mixing_folder(request) -> Path:
    return request.param


def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text())


def expected_table(folder: Path, partition: str) -> pa.Table:
    with lzma.open(folder / f"{partition}.arrow.xz") as file:
        return pa.ipc.open_stream(file.read()).read_all()


def assert_same_cells(found: pa.Table, wanted: pa.Table) -> None:
    assert found.schema.equals(wanted.schema, check_metadata=True)
    assert found.num_rows == wanted.num_rows
    for name in wanted.column_names:
        same = equal_cells(pa.concat_arrays(found.column(name).chunks), pa.concat_arrays(wanted.column(name).chunks))
        assert same.all(), f"{name}: rows {np.flatnonzero(~same)[:5]} differ"


def test_the_current_format_has_a_golden_archive():
    assert HOME / f"format-{FORMAT}" in FOLDERS
    assert HOME / f"format-{FORMAT}" / "mixing" in MIXING
    assert HOME / f"format-{FORMAT}" / "wide" in WIDE


def test_a_deep_check_of_the_golden_archive_finds_nothing(any_folder):
    result = ae_core.verify(str(any_folder / "archive"), deep=True, threads=1)
    assert result.ok, result.findings
    assert (result.decoded, result.orphans) == (len(expected(any_folder)), 0)


def test_today_s_code_rebuilds_the_very_cells_and_digests(any_folder):
    archive = ae_core.open_archive(str(any_folder / "archive"))
    assert [partition.id for partition in archive.partitions()] == list(expected(any_folder))
    for partition in archive.partitions():
        wanted = expected(any_folder)[partition.id]
        table = pa.concat_tables(partition.blocks())
        assert_same_cells(table, expected_table(any_folder, partition.id))
        assert partition.manifest.digest == wanted["digest"]
        assert partition_digest(table.schema, partition.blocks()) == wanted["digest"]


def test_the_golden_table_is_what_the_digest_says(any_folder):
    """The digest is over blocks; golden partitions are smaller than one."""
    for partition, wanted in expected(any_folder).items():
        table = expected_table(any_folder, partition)
        assert (partition_digest(table.schema, [table]), table.num_rows) == (wanted["digest"], wanted["rows"])


def test_previews_never_change(folder):
    for partition in ae_core.open_archive(str(folder / "archive")).partitions():
        preview = pa.concat_tables(partition.blocks(layer="preview"))
        assert partition_digest(preview.schema, [preview]) == expected(folder)[partition.id]["preview_digest"]


def test_a_reader_written_from_the_page_alone_agrees(folder):
    found = {partition: (digest, table) for partition, digest, table in reader.read(folder / "archive")}
    assert {partition: digest for partition, (digest, _) in found.items()} == {
        partition: wanted["digest"] for partition, wanted in expected(folder).items()
    }
    for partition, (_, table) in found.items():
        assert_same_cells(table, expected_table(folder, partition))


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
@pytest.mark.parametrize(("rows", "seed"), [(500, 0), (300, 1), (1, 2), (0, 0)])
def test_what_is_written_today_is_what_the_page_says(model, rows, seed):
    """Where this fails, the format has changed: so must the page, its reader and the golden archive."""
    table = table_of(max(rows, 5), seed).slice(0, rows)
    block = encode_block(model, table)
    found = reader.Block(reader.read_model(model.to_bytes()), block.latents, block.residuals, rows).table()
    wanted = decode_block(model, block.latents, block.residuals, rows)
    assert reader.digest(found.schema, [found]) == partition_digest(wanted.schema, [wanted])


def test_the_page_s_reader_uses_nothing_of_the_project():
    lines = Path(reader.__file__).read_text().splitlines()
    imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    own = {"hashlib", "json", "lzma", "sys", "zlib", "pathlib", "types"}
    assert imports <= own | {"brotli", "numpy", "pcodec", "pyarrow", "zstandard"}


@pytest.mark.parametrize("damage", ["layer", "model"])
def test_the_page_s_reader_refuses_a_changed_byte(folder, tmp_path, damage):
    """Its agreement would mean little if it did not look at the bytes."""
    root = tmp_path / "archive"
    shutil.copytree(folder / "archive", root)
    pattern = {"layer": "partitions/month=2/*/residuals.parquet", "model": "models/*/object"}[damage]
    for path in root.glob(pattern):
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    with pytest.raises(AssertionError):
        dict(digest[:2] for digest in reader.read(root))


def test_the_wide_golden_archive_covers_every_way_of_coding():
    for folder in WIDE:
        archive = ae_core.open_archive(str(folder / "archive"))
        model = archive.codec(archive.partition(month=1).manifest)
        wide = [c for c in model.plan.columns if c.domain is not None and c.domain.wide]
        assert model.network is not None
        assert {c.coder for c in wide} == {"mixing", "plain"}
        assert {type(c.code).__name__ for c in wide} == {"NumberCode", "PatternCode"}
        assert any(getattr(c.code, "shift", 0) for c in wide if c.coder == "mixing")
        assert any(c.quantiser is not None for c in wide)
        assert any(one.again is not None for one in model.mixing.models)


def test_golden_archives_stay_small(folder):
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert sum(sizes) < 300_000  # of three archives


def test_the_golden_archive_covers_every_way_of_coding(folder):
    """Who makes it anew must not lose what it protects."""
    manifests, shared = reader.snapshot(folder / "archive")
    models = {manifest["model"] for manifest in manifests.values()}
    assert all(hashlib.sha256(shared(model)).hexdigest() == model for model in models)
    schema, columns, network, _ = reader.read_model(shared(models.pop()))
    quantisers = [c.quantiser or getattr(c, "code", {}).get("quantiser") for c in columns]
    assert {c.coder for c in columns} == {"network", "plain", "lookup", "linear"}
    assert {q["kind"] for q in quantisers if q} == {
        "RawInts", "IntGrid", "IntBits", "FloatGrid", "FloatDecimal", "FloatBits",
    }  # fmt: skip
    assert {len(c.lookup["keys"]) for c in columns if c.lookup} >= {0, 1}
    assert any(c.domain and c.coder == "plain" for c in columns)
    assert any(hasattr(c, "words") and c.low > 1 for c in columns)
    assert any(c.domain and "listed" in getattr(c, "code", {}) for c in columns)
    assert network["groups"][0]["frozen"]["candidates"]
    assert any(pa.types.is_nested(kind) for kind in schema.types)


# --- adaptive mixing ---------------------------------------------------------------------------------


def mixing_codec(folder: Path) -> Codec:
    manifests, shared = reader.snapshot(folder / "archive")
    (model,) = {manifest["model"] for manifest in manifests.values()}
    return Codec.from_bytes(shared(model))


def test_the_mixing_archive_covers_what_a_mixing_plan_can_say(mixing_folder):
    """Who makes it anew must not lose what it protects."""
    plan = mixing_codec(mixing_folder)
    assert (plan.network, {c.coder for c in plan.plan.columns}) == (None, {"mixing", "plain"})
    models = plan.mixing.models
    assert {model.residual for model in models} == {False, True}
    assert any(len(model.contexts[-1]) > 1 for model in models)
    assert any(tap.reference for model in models for tap in model.taps if tap.column != model.column)
    references = {feature[2] for model in models for feature in model.features}
    assert any(min(reference, default=-1) >= 0 for reference in references)
    assert {(-1,), (-2,)} <= references
    assert any(plan.mixing.levels[model.column] > 256 for model in models)


def test_the_page_s_reader_refuses_what_it_does_not_cover(mixing_folder):
    with pytest.raises(NotImplementedError, match=r"adaptive mixing \(B11\), which this reader does not cover"):
        next(reader.read(mixing_folder / "archive"))


def mixing_block(folder: Path) -> tuple[dict[str, bytes], int]:
    """The streams of the second partition's only block, and its rows: it holds what the model never saw."""
    manifests, _ = reader.snapshot(folder / "archive")
    manifest = manifests["month=2"]
    (layer,) = manifest["layers"]
    data = (folder / "archive" / manifest["folder"] / layer["file"]["name"]).read_bytes()
    payload = data[layer["offsets"][0] :][: layer["lengths"][0]]
    return unpack_streams(payload), manifest["block_rows"][0]


def test_a_flipped_byte_of_a_mixing_stream_is_damage_or_a_table(mixing_folder):
    """A layer's hash tells damage first; behind it nothing may crash or lose a row, whatever the bytes."""
    codec = mixing_codec(mixing_folder)
    streams, rows = mixing_block(mixing_folder)
    wanted, told = codec.plan.schema, 0
    for at in range(0, len(streams["mixing"]), 7):
        data = bytearray(streams["mixing"])
        data[at] ^= 1 << at % 8
        try:
            table = decode_block(codec, None, pack_streams(streams | {"mixing": bytes(data)}), rows)
        except Corrupt:
            told += 1
        else:
            assert (table.schema, table.num_rows) == (wanted, rows)
    assert told > 0


@pytest.mark.parametrize("keep", [0, 1, 40])
def test_a_cut_mixing_stream_is_damage_or_a_table(mixing_folder, keep):
    codec = mixing_codec(mixing_folder)
    streams, rows = mixing_block(mixing_folder)
    try:
        table = decode_block(codec, None, pack_streams(streams | {"mixing": streams["mixing"][:keep]}), rows)
    except Corrupt:
        return
    assert (table.schema, table.num_rows) == (codec.plan.schema, rows)


def test_a_flipped_byte_of_a_mixing_plan_is_damage_or_a_plan(mixing_folder):
    codec = mixing_codec(mixing_folder)
    streams, rows = mixing_block(mixing_folder)
    raw, told = codec.mixing.to_bytes(), 0
    for at in range(len(raw)):
        data = bytearray(raw)
        data[at] ^= 1 << at % 8
        try:
            plan = MixingPlan.from_bytes(bytes(data))
            table = decode_block(
                Codec.from_bytes(replace(codec, mixing=plan).to_bytes()), None, pack_streams(streams), rows
            )
        except Corrupt:
            told += 1
        else:
            assert table.num_rows == rows
    assert told > len(raw) // 4
