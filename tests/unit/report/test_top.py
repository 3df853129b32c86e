"""The rows of a column's largest values, whatever blocks they come in."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ae_core.report.top import TOP, TopRows

from .helpers import measure, within


@pytest.mark.parametrize("block", [1, 7, 1_000])
@pytest.mark.parametrize("values", [3, 40, 10**9])
def test_the_largest_rows_are_those_of_a_sort(block, values):
    cells = np.random.default_rng(values).integers(0, values, 500).astype(float)
    top = TopRows()
    for first in range(0, 500, block):
        part = cells[first : first + block]
        top.add(part, np.arange(first, first + len(part)))
    wanted = np.lexsort((np.arange(500), -cells))[:TOP]
    assert top._rows.tolist() == wanted.tolist()


def test_a_certificate_counts_the_rows_that_left_the_top():
    before = np.arange(100, dtype=np.int64) * 10
    after = before.copy()
    after[99] = 0
    lost = measure(pa.table({"x": before, "same": before}), pa.table({"x": after, "same": before}),
                   {"x": within(1000), "same": within(1)}, block=30)  # fmt: skip
    assert [column.top_lost for column in lost.columns] == [1, None]
