"""Page data come back from few bytes and the decoded blocks, close enough to draw and without a secret."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from ae_core.errors import Corrupt
from ae_core.report import pagedata
from ae_core.report.records import TableDetail

from .helpers import EXACT, FakeBound, measure, within


def tables(rows: int = 3_000) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(8)
    i = np.cumsum(rng.integers(-9, 10, rows))
    f = rng.gamma(1, 50, rows)
    original = {"s": ["k", "l", None] * (rows // 3), "i": i, "f": f, "same": i, "secret": i + 10**9}
    moved = {"i": i + rng.integers(-5, 6, rows), "f": f + rng.uniform(-1, 1, rows), "secret": i + 10**9 + 1}
    return pa.table(original), pa.table(original | moved)


BOUNDS = {
    "s": EXACT,
    "i": within(5),
    "f": within(1),
    "same": within(5),
    "secret": FakeBound("abs", Fraction(1), sensitive=True),
}


def redrawn(detail: TableDetail, rebuilt: pa.Table, *, block: int = 700) -> TableDetail:
    record = json.loads(json.dumps(pagedata.store(detail)))
    drawing = pagedata.Redrawing(record, rebuilt.schema, {"secret"})
    for first in range(0, rebuilt.num_rows, block):
        drawing.add(rebuilt.slice(first, block))
    return drawing.finish()


def test_what_is_drawn_again_is_what_was_measured_but_for_rounded_counts():
    original, rebuilt = tables()
    wanted = measure(original, rebuilt, BOUNDS).detail
    found = redrawn(wanted, rebuilt)
    assert found.worst_rows == wanted.worst_rows
    for one, two in zip(found.columns, wanted.columns, strict=True):
        assert (one.name, one.withheld, len(one.errors)) == (two.name, two.withheld, len(two.errors))
        assert (one.error_step, one.error_limit) == (two.error_step, two.error_limit)
        _close(one.errors, two.errors)
        assert (one.histogram is None) == (two.histogram is None)
        if one.histogram is None or two.histogram is None:
            continue
        same = [(h.exponent, h.start, h.rebuilt, h.below[1], h.above[1]) for h in (one.histogram, two.histogram)]
        assert same[0] == same[1]  # the rebuilt side is counted, not kept
        _close(
            (one.histogram.below[0], *one.histogram.original, one.histogram.above[0]),
            (two.histogram.below[0], *two.histogram.original, two.histogram.above[0]),
        )


def _close(found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Running sums are off by half a unit at most, whatever the number of bins; a unit is a 34th of the tallest."""
    off = np.abs(np.cumsum([0, *found]) - np.cumsum([0, *wanted]))
    assert off.max() <= max(max(wanted, default=0) / 34 / 2 + 1, 0)


def test_thousands_of_bins_below_a_unit_still_add_up():
    counts = [10_000] + [100] * 2_000
    unit, digits = pagedata.digits_of(counts)
    assert unit > 2 * 100
    assert sum(pagedata.counts_of(unit, digits)) == pytest.approx(sum(counts), abs=unit / 2)


@pytest.mark.parametrize("counts", [(), (0,), (1,), (0, 34, 0), (35, 1), (10**12, 3, 10**12)])
def test_counts_in_digits(counts):
    unit, digits = pagedata.digits_of(counts)
    assert len(digits) == len(counts)
    found = pagedata.counts_of(unit, digits)
    assert max(counts, default=0) > 34 or found == counts
    _close(found, counts)


def test_a_table_that_came_back_whole_has_no_page_data():
    original, _ = tables(30)
    assert pagedata.store(measure(original, original, BOUNDS).detail) == {
        "errors": [], "values": [], "rows": [], "cells": [],
    }  # fmt: skip


def test_secrets_are_neither_kept_nor_drawn_even_from_a_record_that_asks_for_them():
    original, rebuilt = tables(300)
    detail = measure(original, rebuilt, BOUNDS).detail
    assert "1000000" not in json.dumps(pagedata.store(detail))
    record = {"errors": [], "values": [[4, 0, 10**9, 1, "111"]], "rows": [[5, 1.0]], "cells": [[4, 1_000_000_001]]}
    drawing = pagedata.Redrawing(record, rebuilt.schema, {"secret"})
    drawing.add(rebuilt)
    found = drawing.finish()
    assert found.columns[4].histogram is None
    assert (found.worst_rows[0].original[4], found.worst_rows[0].rebuilt[4]) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"errors": 5},
        {"errors": [[1, 1]]},
        {"errors": [[99, 1, 5, 1, "11"]]},
        {"errors": [[1, 1, 5, 0, "11"]]},
        {"errors": [[1, 1, 5, 1, "1!"]]},
        {"errors": [[1, 1, 0, 1, "11"]]},
        {"errors": [[1, -1, 5, 1, "11"]]},
        {"values": [[0, 0, 0, 1, "111"]]},  # of a column of words
        {"values": [[1, 0, 0, 1, "1"]]},
        {"values": [[1, 10**30, 0, 1, "111"]]},
        {"values": [[1, 0, 10**30, 1, "111"]]},
        {"values": [[1, 0, 0, 10**30, "111"]]},
        {"rows": [["x", 1.0]]},
        {"rows": [[1, 1.0]], "cells": [[1]]},
        {"cells": None},
    ],
)
def test_malformed_page_data_are_refused(change):
    _, rebuilt = tables(3)
    good = {"errors": [], "values": [], "rows": [], "cells": []}
    pagedata.Redrawing(good, rebuilt.schema, ())
    with pytest.raises(Corrupt, match="page data"):
        pagedata.Redrawing(good | change, rebuilt.schema, ())


def test_rows_that_are_not_there_are_left_out():
    _, rebuilt = tables(3)
    record = {"errors": [], "values": [], "rows": [[10**12, 1.0], [-1, 2.0], [2, 3.0]], "cells": [[1, 7, 8, 9]]}
    drawing = pagedata.Redrawing(record, rebuilt.schema, ())
    drawing.add(rebuilt)
    assert [(row.row, row.original[1]) for row in drawing.finish().worst_rows] == [(2, 9)]
