"""A lake of two small months, in any store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.contract.conftest import Ground

ROWS = 120


def month(number: int, rows: int = ROWS) -> pa.Table:
    """A few columns of every family."""
    random = np.random.default_rng(number)
    return pa.table(
        {
            "place": pa.array([f"P{i % 5}" for i in range(rows)]),
            "fare": pa.array(np.round(random.normal(20, 3, rows), 2)),
            "count": pa.array(random.integers(0, 50, rows)),
        }
    )


def write_lake(ground: Ground, folder: Path, months: tuple[int, ...] = (1, 2)) -> str:
    """The lake's URL."""
    for number in months:
        file = folder / f"month-{number}.parquet"
        pq.write_table(month(number), file)
        ground.put(f"flights/month={number}/part-0.parquet", file)
    return ground.url("flights")
