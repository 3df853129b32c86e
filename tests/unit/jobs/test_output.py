"""Decoded files: the originals' names and row counts, losses in the metadata, and nothing half-written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core.errors import Corrupt, OutputExists
from ae_core.jobs.output import ColumnLoss, PartitionWriter, new_folder, safe_name, slice_files
from ae_core.jobs.results import WrittenFile

LOSS = ColumnLoss("bounded", "±0.5", 0.25, 0.1, "uid", 3)


def _table(first, rows):
    schema = pa.schema([pa.field("x", pa.int64(), metadata={"unit": "m"})], metadata={"k": "v"})
    return pa.table({"x": list(range(first, first + rows))}, schema=schema)


def _write(root, files, tables):
    writer = PartitionWriter(root, [WrittenFile(*file) for file in files], {"x": LOSS})
    for table in tables:
        writer.write(table)
    return writer.close()


def test_rows_are_dealt_to_files_whatever_the_blocks(tmp_path):
    written = _write(tmp_path, [("m=1/a", 5), ("m=1/b", 1), ("m=1/c", 4)], [_table(0, 7), _table(7, 3)])
    assert [file.rows for file in written] == [5, 1, 4]
    assert [pq.read_table(tmp_path / file.name)["x"].to_pylist() for file in written] == [
        [0, 1, 2, 3, 4],
        [5],
        [6, 7, 8, 9],
    ]


def test_metadata_keeps_the_originals_and_adds_the_losses(tmp_path):
    _write(tmp_path, [("a", 2)], [_table(0, 2)])
    schema = pq.read_schema(tmp_path / "a")
    assert schema.metadata[b"k"] == b"v"
    field = schema.field("x").metadata
    assert field[b"unit"] == b"m"
    assert field[b"latentlake.bound"].decode() == "±0.5"
    assert field[b"latentlake.max_error"] == b"0.25"
    assert field[b"latentlake.layer"] == b"bounded"


def test_an_empty_partition_still_becomes_a_file(tmp_path):
    assert _write(tmp_path, [("a", 0)], [_table(0, 0)]) == (WrittenFile("a", 0),)
    assert pq.read_table(tmp_path / "a").num_rows == 0


def test_files_without_rows_stand_among_others(tmp_path):
    files = [("a", 0), ("b", 2), ("c", 0), ("d", 0), ("e", 1), ("f", 0), ("g", 0)]
    for tables in ([_table(0, 3)], [_table(0, 0), _table(0, 2), _table(2, 1)]):
        written = _write(tmp_path / str(len(tables)), files, tables)
        assert [(file.name, file.rows) for file in written] == files
        for name, rows in files:
            assert pq.ParquetFile(tmp_path / str(len(tables)) / name).metadata.num_rows == rows


@pytest.mark.parametrize("rows", [2, 4])
def test_a_wrong_number_of_rows_is_damage(tmp_path, rows):
    with pytest.raises(Corrupt):
        _write(tmp_path, [("a", 3)], [_table(0, rows)])


def test_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "out"

    def half():
        with new_folder(str(out)) as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert list((tmp_path / "deep").iterdir()) == []
    with new_folder(str(out)) as folder:
        (folder / "whole").write_text("x")
        assert not out.exists()
    assert (out / "whole").read_text() == "x"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_existing_output_is_refused(tmp_path):
    with pytest.raises(OutputExists), new_folder(str(tmp_path)):
        pytest.fail("the body must not run")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x", "a\x00"])
def test_names_that_lead_outside_are_refused(name):
    with pytest.raises(Corrupt):
        safe_name(name)


def test_slice_counts_rows_of_each_file():
    files = [WrittenFile("a", 5), WrittenFile("b", 5), WrittenFile("c", 5)]
    assert [file.rows for file in slice_files(files, 3, 11)] == [2, 5, 1]
    assert [file.rows for file in slice_files(files, 6, 7)] == [0, 1, 0]
