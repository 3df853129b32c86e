"""A lake too small for a model, so that every step of a run takes no time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core.jobs.plan import survey
from ae_core.jobs.prepare import prepare
from ae_core.jobs.request import CompressRequest


@pytest.fixture
def lake(tmp_path):
    for month in (1, 2):
        random = np.random.default_rng(month)
        (tmp_path / "lake" / f"month={month}").mkdir(parents=True)
        table = pa.table({"x": random.normal(size=50 * month), "k": random.integers(0, 5, 50 * month)})
        # pandas leaves such metadata, different in each partition
        table = table.replace_schema_metadata({"index": str(month)})
        pq.write_table(table, tmp_path / "lake" / f"month={month}" / "part.parquet")
    return tmp_path / "lake"


@pytest.fixture
def run(lake, tmp_path):
    """The request, what was found, and the prepared archive of a run that has not encoded anything yet."""
    request = CompressRequest.checked(str(lake), str(tmp_path / "archive"), range_="0.01")
    found = survey(request)
    return request, found, prepare(request, found, found.groups[0])
