"""Random tables, policies, codecs and blocks keep every promise; `make fuzz` goes on for as long as one likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.properties import fuzz
from tests.properties.recipes import Recipe, recipes
from tests.properties.trips import run, run_lake

FAST = 160 if os.environ.get("HYPOTHESIS_PROFILE", "everyday") == "everyday" else 5000


@settings(max_examples=FAST)
@given(recipes(90))
def test_any_table_keeps_its_policy(recipe: Recipe) -> None:
    run(recipe)


@pytest.mark.full
@pytest.mark.ci
@pytest.mark.timeout(1800)
@settings(max_examples=3000)
@given(recipes(700))
def test_thousands_of_tables_keep_their_policy(recipe: Recipe) -> None:
    run(recipe)


@pytest.mark.full
@settings(max_examples=40)
@given(recipe=recipes(400))
def test_any_lake_keeps_its_policy(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through Parquet files, partitions, row groups, the archive and the fresh process that proves it."""
    run_lake(recipe, tmp_path_factory.mktemp("lake"))


@settings(max_examples=20)
@given(recipes())
def test_a_recipe_comes_back_from_its_line(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_broken_promise_is_shrunk_saved_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends with the smallest table that breaks what it looks at, in a file that breaks it again."""

    def breaks(recipe: Recipe) -> None:
        assert len(recipe.columns) < 2

    search = fuzz.Search(breaks, tmp_path, examples=200)
    assert not search.round()
    assert search.failing is not None
    assert len(search.failing.columns) == 2
    path = fuzz.save(search.failing, tmp_path, "table")
    monkeypatch.setattr(fuzz, "run", breaks)
    with pytest.raises(AssertionError):
        fuzz.replay(path)
