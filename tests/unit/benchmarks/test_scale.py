"""The grown tables are what they say: rows in order and round again, columns with noise, always the same."""

import json

import pyarrow as pa
import pytest

from tests.benchmarks import scale
from tests.benchmarks.scale import Point, repeated, widened


@pytest.fixture
def table():
    return pa.table({"n": list(range(7)), "s": [f"w{i}" for i in range(7)], "f": [i / 2 for i in range(7)]})


def test_rows_repeat_in_order_in_parts_of_bounded_size(table):
    parts = list(repeated(table, 17, 5))
    assert [part.num_rows for part in parts] == [5, 5, 5, 2]
    assert pa.concat_tables(parts)["n"].to_pylist() == [i % 7 for i in range(17)]
    assert [part.num_rows for part in repeated(table, 16, 16)] == [16]


def test_columns_are_real_ones_and_then_noisy_copies_of_their_types(table):
    assert widened(table, 2).equals(table.select(["n", "s"]))
    wide = widened(table, 8)
    assert wide.select(table.column_names).equals(table)
    assert wide.column_names[3:] == ["n_3", "s_4", "f_5", "n_6", "s_7"]
    assert [field.type for field in wide.schema] == [pa.int64(), pa.string(), pa.float64()] * 2 + [
        pa.int64(),
        pa.string(),
    ]
    assert not wide["f_5"].equals(table["f"])
    assert set(wide["s_4"].to_pylist()) <= set(table["s"].to_pylist())
    assert widened(table, 8).equals(wide)


def test_cost_per_cell_is_shown_and_drawn(tmp_path):
    points = [
        Point("rows", rows, 5, rows, rows // 2, 10.0, rows / 1e4, rows / 1e5, 10**8, 10**8, 0.5)
        for rows in (10_000, 100_000)
    ]
    scale.write(points, tmp_path)
    text = (tmp_path / "scale.md").read_text()
    assert text.count("| 0.2000 | 20,000 | 2,000 |") == 2
    assert json.loads((tmp_path / "scale.json").read_text())["points"][1]["rows"] == 100_000
    assert (tmp_path / "scale.png").read_bytes()[:4] == b"\x89PNG"
