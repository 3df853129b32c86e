"""A question about one column is answered without a training, and so without what trains."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq

CODE = """
import json, sys
from ae_core.jobs.profile import profile_lake
found = profile_lake(sys.argv[1], train=False)
told = [[one.range, one.coder, one.bytes, one.plain_bytes, sum(one.columns.values())] for one in found.by_range]
print(json.dumps([told, "torch" in sys.modules]))
"""


def test_explaining_a_column_imports_no_torch(tmp_path, repository):
    (tmp_path / "lake").mkdir()
    table = pa.table({"a": [i * 37 % 500 for i in range(3000)], "b": [f"w{i % 7}" for i in range(3000)]})
    pq.write_table(table, tmp_path / "lake" / "part.parquet")
    command = [sys.executable, "-c", CODE, str(tmp_path / "lake")]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    told, torch = json.loads(done.stdout)
    assert not torch
    assert [(one[0], one[1]) for one in told] == [(0, "plain"), (0.001, "plain"), (0.01, "plain"), (0.05, "plain")]
    for _, _, size, plain, columns in told:
        assert 0 < size == columns == plain
    assert told[0][2] > told[3][2]  # a wider bound takes fewer bytes
