"""A table of very many columns is not trained on whole to find out that no network pays for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core import fitting, lake, weighing
from ae_core.columns import TablePlan
from ae_core.jobs.audit import audit
from ae_core.mixing import contexts
from ae_core.policy import Bound, ResolvedPolicy
from tests.properties.codecs import random_network

ROWS, COLUMNS = 2500, 12


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TablePlan]:
    """The plans that a network was asked for; random weights, which never pay, stand in for trained ones."""
    asked: list[TablePlan] = []
    symbols = fitting.symbol_table

    def note(plan: TablePlan, *rest):
        asked.append(plan)
        return symbols(plan, *rest)

    monkeypatch.setattr(fitting, "symbol_table", note)
    monkeypatch.setattr(
        fitting, "fit_network", lambda table, **_: (random_network(asked[-1], np.random.default_rng(0)), None)
    )
    monkeypatch.setattr(weighing, "MIXING_ROWS", 10**9)
    monkeypatch.setattr(fitting, "TRIED_SYMBOLS", 6)
    monkeypatch.setattr(fitting, "TRIED_COLUMNS", 4)
    monkeypatch.setattr(fitting, "TRIED_RUNS", 2)
    return asked


def train(latents: fitting.Latents):
    rng = np.random.default_rng(1)
    table = pa.table({f"c{place}": rng.integers(0, 30, ROWS) for place in range(COLUMNS)})
    policy = ResolvedPolicy(dict.fromkeys(table.column_names, Bound("exact")))
    return fitting.train_codec(table.schema, [table], policy, rows_served=ROWS, latents=latents)


def test_a_few_runs_of_columns_say_no_for_all(trained: list[TablePlan]) -> None:
    codec, report = train("auto")
    assert codec.network is None
    assert "does not pay for itself" in (report.reason or "")
    assert [[column.name for column in plan.columns] for plan in trained] == [["c0", "c1", "c10", "c11"]]


def test_who_asks_for_latents_gets_them_from_all_columns(trained: list[TablePlan]) -> None:
    codec, _ = train("always")
    assert codec.network is not None
    assert [len(plan.columns) for plan in trained] == [COLUMNS]


def test_blocks_of_many_columns_have_few_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory follows the cells of a block; and an archive is checked by its own blocks, whatever new ones are."""
    assert lake.block_rows(19) == lake.block_rows(512) == lake.BLOCK_ROWS
    assert lake.block_rows(2000) * 2000 <= lake.BLOCK_CELLS
    assert lake.block_rows(10**6) == lake.LEAST_BLOCK_ROWS
    monkeypatch.setattr(lake, "BLOCK_CELLS", 3 * 1024)
    random = np.random.default_rng(0)
    table = pa.table({name: pa.array([random.bytes(5) for _ in range(2500)], pa.binary()) for name in "abc"})
    (tmp_path / "lake").mkdir()
    pq.write_table(table, tmp_path / "lake/part.parquet")
    source, archive = str(tmp_path / "lake"), str(tmp_path / "archive")
    ae_core.compress(source, archive, range_="0")
    (partition,) = ae_core.open_archive(archive).partitions()
    assert partition.manifest.block_rows == (1024, 1024, 452)
    monkeypatch.undo()
    assert ae_core.verify(archive, deep=True).ok
    assert audit(archive, lake=source).ok
    assert pa.concat_tables(partition.blocks()).equals(table)


def test_contexts_of_many_columns_are_looked_for_among_few(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Search(contexts._Search):
        def best(self):
            seen.append(len(self.known))
            return contexts.ColumnModel(self.column, False, ((),))

    monkeypatch.setattr(contexts, "_Search", Search)
    for columns, most in ((contexts.MANY_COLUMNS, contexts.NEIGHBOURS), (contexts.MANY_COLUMNS + 1, 8)):
        seen.clear()
        contexts.choose(
            np.zeros((3, columns), np.int64), [2] * columns, [2] * columns, [True] * columns, [True] * columns
        )
        assert max(seen) == most
