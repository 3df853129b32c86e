"""Archives of every format that was ever released, read by today's code and by a reader written from the page alone.

A golden archive is bytes: no test makes it anew, because training gives other weights on every machine. What must come
out of it is in its folder. `make.py` says how one comes about, `test_features.py` what they must have between them.
"""

from __future__ import annotations

import ast
import io
import json
import lzma
import shutil
import tokenize
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.digest import partition_digest
from ae_core.archive.format import FORMAT
from ae_core.codec import Codec
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.columns.same import equal_cells
from ae_core.errors import Corrupt
from ae_core.mixing import MixingPlan
from ae_core.pipeline import decode_block, encode_block
from flows.cli.app import run
from tests.golden import features, reader
from tests.golden.make import ARCHIVES
from tests.unit.test_pipeline import codec, plain_codec, table_of

HOME = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HOME.glob("format-*/*/archive"))
MIXING = [folder for folder in FOLDERS if folder.name == "mixing"]
read_watched = cache(features.read_watched)  # once for all tests of this run


def name_of(folder: Path) -> str:
    return str(folder.relative_to(HOME))


@pytest.fixture(params=FOLDERS, ids=name_of)
def folder(request) -> Path:
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


def blocks_of(table: pa.Table, rows: list[int]) -> list[pa.Table]:
    ends = np.cumsum([0, *rows])
    return [table.slice(start, end - start) for start, end in pairwise(ends)]


def test_the_current_format_has_every_golden_archive():
    assert {folder.name for folder in FOLDERS if folder.parent.name == f"format-{FORMAT}"} == set(ARCHIVES)


# --- the public API and the command -----------------------------------------------------------------


def test_today_s_code_rebuilds_the_very_cells_and_digests(folder):
    archive = ae_core.open_archive(str(folder / "archive"))
    assert [partition.id for partition in archive.partitions()] == list(expected(folder))
    for partition in archive.partitions():
        wanted = expected(folder)[partition.id]
        blocks = list(partition.blocks(layer=partition.fullest))
        assert_same_cells(pa.concat_tables(blocks), expected_table(folder, partition.id))
        assert partition.manifest.digest == wanted["digest"]
        assert partition_digest(blocks[0].schema, blocks) == wanted["digest"]


def test_the_golden_table_is_what_the_digest_says(folder):
    for partition in ae_core.open_archive(str(folder / "archive")).partitions():
        wanted, table = expected(folder)[partition.id], expected_table(folder, partition.id)
        blocks = blocks_of(table, partition.manifest.block_rows)
        assert (partition_digest(table.schema, blocks), table.num_rows) == (wanted["digest"], wanted["rows"])


def test_previews_never_change(folder):
    for partition in ae_core.open_archive(str(folder / "archive")).partitions():
        if "preview_digest" in expected(folder)[partition.id]:
            preview = pa.concat_tables(partition.blocks(layer="preview"))
            assert partition_digest(preview.schema, [preview]) == expected(folder)[partition.id]["preview_digest"]


def test_the_command_finds_nothing_wrong_and_decodes_the_same(folder, tmp_path, capsys):
    assert run(["verify", str(folder / "archive"), "--deep", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["findings"], found["decoded"]) == (True, [], len(expected(folder)))
    for one in ae_core.open_archive(str(folder / "archive")).partitions():
        partition, out = one.id, tmp_path / one.id
        chosen = ["--where", partition, "--layer", one.fullest]
        assert run(["decode", str(folder / "archive"), str(out), *chosen]) == 0
        parts = [pq.read_table(path, partitioning=None) for path in sorted((out / partition).glob("*"))]
        written = io.BytesIO()
        pq.write_table(expected_table(folder, partition), written)
        wanted = pq.read_table(pa.BufferReader(written.getvalue()))  # some types become others in Parquet
        table = pa.concat_tables(parts).replace_schema_metadata(wanted.schema.metadata)
        assert_same_cells(table.cast(wanted.schema), wanted)


# --- the page's reader --------------------------------------------------------------------------------


def test_a_reader_written_from_the_page_alone_agrees(folder):
    found = {partition: rest for partition, *rest in read_watched(folder / "archive")[0]}
    assert list(found) == list(expected(folder))
    for partition, (digest, table, preview) in found.items():
        wanted = expected(folder)[partition]
        assert digest == wanted["digest"]
        assert_same_cells(table.replace_schema_metadata(), expected_table(folder, partition).replace_schema_metadata())
        told = preview and reader.digest(preview.schema, [preview])
        assert told == wanted.get("preview_digest")


@pytest.mark.parametrize("model", [codec(), plain_codec()], ids=["network", "plain"])
@pytest.mark.parametrize(("rows", "seed"), [(500, 0), (300, 1), (1, 2), (0, 0)])
def test_what_is_written_today_is_what_the_page_says(model, rows, seed):
    """Where this fails, the format has changed: so must the page, its reader and the golden archive."""
    table = table_of(max(rows, 5), seed).slice(0, rows)
    block = encode_block(model, table)
    payloads = block.latents or b"", block.residuals
    found = reader.Block(reader.read_model(model.to_bytes()), *payloads, rows).table()
    wanted = decode_block(model, block.latents, block.residuals, rows)
    assert reader.digest(found.schema, [found]) == partition_digest(wanted.schema, [wanted])


READER = sorted(Path(reader.__file__).parent.glob("*.py"))
MOST_LINES = 897
"""Of the page's reader, without blank lines, comments and docstrings. Whatever the format gains has to fit in here, or
to be worth a higher number: a third of them decodes mixing and networks (B7, B8, B11: 307), a seventh the archive and
its digests (A: 120), the rest columns and their streams (B1 to B6: 273), vectors (B12: 100), previews (B9: 59) and
texts (B13: 38)."""


def test_the_page_s_reader_uses_nothing_of_the_project():
    own = {"hashlib", "json", "lzma", "math", "sys", "zlib", "pathlib"}
    others = {"brotli", "numpy", "pcodec", "pyarrow", "zstandard"}
    for path in READER:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= own | others, path.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1 or str(node.module).split(".")[0] in own | others, path.name
            assert getattr(node, "id", "") not in ("__import__", "eval", "exec"), path.name


def test_the_page_s_reader_stays_small():
    assert sum(len(lines_of_code(path.read_text())) for path in READER) <= MOST_LINES


def lines_of_code(text: str) -> set[int]:
    """Numbers of the lines that hold code: no blank ones, comments or docstrings."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            found |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            found -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return found


@pytest.mark.parametrize("damage", ["layer", "model"])
def test_the_page_s_reader_refuses_a_changed_byte(folder, tmp_path, damage):
    """Its agreement would mean little if it did not look at the bytes."""
    root = tmp_path / "archive"
    shutil.copytree(folder / "archive", root)
    pattern = {"layer": "partitions/*/*/*.parquet", "model": "models/*/object"}[damage]
    for path in root.glob(pattern):
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    with pytest.raises(AssertionError):
        next(reader.read(root))


def test_golden_archives_stay_small(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 150_000


# --- adaptive mixing ---------------------------------------------------------------------------------


def mixing_codec(folder: Path) -> Codec:
    manifests, shared = reader.snapshot(folder / "archive")
    (model,) = {manifest.model for manifest in manifests.values()}
    return Codec.from_bytes(shared[model])


def mixing_block(folder: Path) -> tuple[dict[str, bytes], int]:
    """The streams of the second partition's only block, and its rows: it holds what the model never saw."""
    manifests, _ = reader.snapshot(folder / "archive")
    manifest = manifests["month=2"]
    (layer,) = manifest["layers"]
    data = (manifest.folder / layer.file.name).read_bytes()
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
