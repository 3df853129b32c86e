"""What is planted is found and mended, what is right stays, and every change is told."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ae_core.uses.alternatives import Alternatives, Variants
from ae_core.uses.denoising import denoise_block
from ae_core.uses.spelling import Spelling
from ae_core.uses.surprise import surprise
from tests.unit.uses.test_surprise import changed


def test_a_cell_that_its_key_determines_is_mended(codec, month) -> None:
    right = month.column("site_id")[3].as_py()
    other = next(v for v in month.column("site_id").to_pylist() if v != right)
    found = denoise_block(codec, changed(month, "site_id", 3, other), evidence=12)
    assert found.table.column("site_id")[3].as_py() == right
    index = codec.plan.index_of["site_id"]
    assert [(c.row, c.column) for c in found.changes if c.column == index and c.row == 3] == [(3, index)]


def test_a_typing_error_is_mended_and_an_unlike_word_stays(codec, month) -> None:
    row = next(i for i, kind in enumerate(month.column("kind").to_pylist()) if kind is not None)
    right = month.column("kind")[row].as_py()
    table = changed(changed(month, "kind", row, right + "x"), "kind", row + 10, "nowhere near")
    found = denoise_block(codec, table, evidence=4)
    assert found.table.column("kind")[row].as_py() == right
    assert found.table.column("kind")[row + 10].as_py() == "nowhere near"


def test_a_sum_that_does_not_add_up_is_mended(codec, month) -> None:
    row = next(i for i, v in enumerate(month.column("clock").to_pylist()) if v is not None)
    right = month.column("clock")[row].as_py()
    found = denoise_block(codec, changed(month, "clock", row, right + 777), evidence=12)
    assert found.table.column("clock")[row].as_py() == right


def test_nulls_are_filled_where_that_is_asked_and_not_elsewhere(codec, month) -> None:
    nulls = month.column("paid").null_count
    assert nulls
    filled = denoise_block(codec, month, evidence=1e9, fill=["paid"])
    assert filled.table.column("paid").null_count == 0
    assert len(filled.changes) == nulls
    assert denoise_block(codec, month, evidence=1e9).changes == ()


def test_the_changes_are_the_difference_of_the_tables(codec, month) -> None:
    found = denoise_block(codec, month, evidence=12)
    told = {(change.row, change.column) for change in found.changes}
    assert found.table.schema.equals(month.schema)
    for index, name in enumerate(month.schema.names):
        old, new = month.column(name).to_pylist(), found.table.column(name).to_pylist()
        differ = {row for row, (a, b) in enumerate(zip(old, new, strict=True)) if a is not b and repr(a) != repr(b)}
        assert differ <= {row for row, column in told if column == index}


def test_a_row_as_it_is_costs_what_its_surprise_says(codec, month) -> None:
    block = Alternatives(codec, month)
    index = codec.plan.index_of["driver"]
    rows = np.array([0, 5, 1000])
    (bits,) = block.bits([Variants(rows, index, block.codes[index][rows])])
    (found,) = surprise(codec, [month])
    known = [name for name in found.columns if not any(
        (block.codes[i] == c.domain.escape)[rows].any() for i, c in enumerate(codec.plan.columns)
        if c.name == name and c.domain is not None)]  # fmt: skip
    expected = found.latents[rows] + sum(found.columns[name][rows] for name in known)
    assert (bits >= expected - 1e-2).all()
    assert (bits <= found.bits[rows] + 1e-2).all()


@pytest.mark.parametrize(
    ("word", "near"), [("JFKK", ["JFK"]), ("JKF", ["JFK"]), ("JXK", ["JFK"]), ("FK", ["JFK"]), ("XYZ", [])]
)
def test_words_one_error_away(word: str, near: list[str]) -> None:
    words = ["JFK", "LGA", "EWR"]
    assert [words[number] for number in Spelling(words).near(word)] == near


def test_an_empty_block(codec, month) -> None:
    found = denoise_block(codec, month.slice(0, 0), evidence=12, fill=["paid"])
    assert found.changes == ()
    assert found.table.num_rows == 0
    assert isinstance(found.table, pa.Table)
