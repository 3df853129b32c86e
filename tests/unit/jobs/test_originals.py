"""Compressing reads originals and does nothing else to them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

import ae_core


def test_compress_leaves_every_original_as_it_was(tmp_path):
    lake = tmp_path / "lake"
    for month in (1, 2):
        (lake / f"month={month}").mkdir(parents=True)
        table = pa.table({"x": [float(i % 7) for i in range(200)], "k": [i % 5 for i in range(200)]})
        pq.write_table(table, lake / f"month={month}" / "part.parquet")

    def state():
        found = sorted(path for path in lake.rglob("*"))
        return [
            (path, path.stat().st_mtime_ns, path.stat().st_ino, path.is_file() and path.read_bytes()) for path in found
        ]

    before = state()
    for path in lake.rglob("*.parquet"):
        path.chmod(0o444)
    ae_core.compress(str(lake), str(tmp_path / "archive"), range_="0.01")
    assert state() == before
