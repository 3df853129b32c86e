"""The lines about the seven things, and the page of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ae_core
from ae_core.jobs.use_results import Dimensions, DimensionTrial
from tests.benchmarks.uses import dimensions
from tests.benchmarks.uses.__main__ import collect
from tests.benchmarks.uses.data import Figures
from tests.benchmarks.uses.previews import ahead
from tests.benchmarks.uses.seven import HEAD, NOT_YET, seven
from tests.docs.uses_page import replaced

SCORE = "trained here, tested on real rows"
DEMO = {"archive": 2_000_000, "peers": {"quantise + best of pcodec, zstd, xz, brotli": 3e6, "Parquet zstd-19": 4e6}}
PARTS = {
    "demo": [DEMO],
    "features": [
        {"task": "t", "latents": "0.9", "PCA, same d": "0.8", "raw columns": "0.95"},
        {"task": "t", "latents": "0.7", "PCA, same d": "0.7", "raw columns": "0.95"},
    ],
    "anomalies": [
        {
            "set": "a",
            "bits (ours): AUC / AP": "0.1 / 0.9",
            "error (ours): AUC / AP": "0 / 0",
            "LOF: AUC / AP": "1 / 0.8",
        },
        {
            "set": "b",
            "bits (ours): AUC / AP": "0.9 / 0.8",
            "error (ours): AUC / AP": "0 / 0",
            "LOF: AUC / AP": "0 / 0.9",
        },
    ],
    "generation": [
        {"table": "x", "rows from": "real rows", SCORE: "0.9"},
        {"table": "x", "rows from": "TVAE", SCORE: "0.8"},
    ],
    "previews": [
        {"column": "all numbers", "ours": "2.0", "PCA, equal bytes": "3.0", "PCA, equal d": "1.0"},
        {"column": "all numbers", "ours": "2.0", "PCA, equal bytes": "2.0", "PCA, equal d": "2.0"},
        {"column": "all categories", "ours": "80", "PCA, equal bytes": "70", "PCA, equal d": "80"},
        {"column": "x", "ours": "0", "PCA, equal bytes": "9", "PCA, equal d": "9"},
    ],
}


def lines() -> dict[str, str]:
    return {str(what): str(told) for what, told in seven(PARTS).rows}


def test_there_are_seven_lines_and_those_of_parts_that_never_ran_say_so() -> None:
    assert len(lines()) == 7
    assert [what for what, told in lines().items() if told == NOT_YET] == [
        "dimensionality reduction",
        "noise reduction",
    ]
    assert all(told == NOT_YET for _, told in seven({}).rows)


def test_a_tie_is_no_win_and_losses_are_told() -> None:
    found = lines()
    assert "components in 1 of 2, of the raw columns in 0" in found["feature learning"]
    assert found["anomaly detection"].endswith("of 2 sets ahead of LOF on 1")
    assert found["better than PCA"].endswith("numbers on 1 and 0 of 2 tables, categories on 1 and 0 of 1 tables")
    assert found["generation"].endswith("x: real rows 0.9, TVAE 0.8")
    assert "2.00 MB" in found["compression"]


def test_all_parts_that_were_ever_measured_are_collected(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "results.json").write_text(json.dumps(DEMO))
    (tmp_path / "bench" / "uses-features.json").write_text(json.dumps(PARTS["features"]))
    found = collect(tmp_path)
    assert list(found) == ["seven", "features"]
    assert tuple(found["seven"][0]) == HEAD
    assert Figures.of(found["features"]).records() == PARTS["features"]


def test_columns_ahead_are_counted_by_what_is_better() -> None:
    error, right = "error, % of range", "right, %"
    columns: list[tuple[object, ...]] = [
        ("t", "a", "", "", "1.0", "2.0", "1.0", error),
        ("t", "b", "", "", "9.0", "9.5", "9.0", right),
    ]
    assert ahead(columns)[5:7] == ("ours on 1 of 2", "ours on 0 of 2")


def test_dimensions_are_told_with_the_knee(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trials = tuple(
        DimensionTrial(d, d - d // 4, 0.5, 7.0, 30.0, 3.0 + d, 10**6, 10**6, 500_000, chosen=d == 2) for d in (2, 4)
    )
    found = Dimensions("lake", 10, 5, 2, "why", trials, None, None, 1.0)
    monkeypatch.setattr(ae_core, "dimensions", lambda lake, *, range_: found)
    records = dimensions.run(tmp_path).records()
    assert [one["latents"] for one in records] == [2, "4 (3 used)"]
    told = {str(what): str(line) for what, line in seven({"dimensions": records}).rows}["dimensionality reduction"]
    assert told.startswith("flights, 2 latents of 5.00 bits a row")
    assert "; 4 (3 used) latents of 7.00 bits" in told


def test_the_page_takes_marked_tables_alone() -> None:
    page = "typed\n<!-- measured: a -->\nold\n<!-- up to here -->\ntyped too"
    new = replaced(page, {"a": [{"one": 1, "two": "x"}]})
    table = "| one | two |\n|---|---|\n| 1 | x |"
    assert new == f"typed\n<!-- measured: a -->\n{table}\n<!-- up to here -->\ntyped too"
    assert replaced(new, {"a": [{"one": 1, "two": "x"}]}) == new
    with pytest.raises(KeyError):
        replaced(page, {})
