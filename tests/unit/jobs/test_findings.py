"""What `plan` finds out about columns, and what it warns of before a policy loses something that it should not."""

from __future__ import annotations

from fractions import Fraction
from html import unescape

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.errors import OutputExists
from ae_core.jobs.findings import look
from ae_core.policy import Bound
from flows.cli import app

RANDOM = np.random.default_rng(0)
TEMPERATURE = RANDOM.normal(15, 8, 1000)


def found(name, values):
    column = pa.chunked_array([pa.array(values)])
    return look(pa.field(name, column.type), column, len(column.unique().drop_null()))


def test_a_sentinel_is_named_and_kept_out_of_the_range():
    finding = found("temp", np.where(np.arange(1000) % 50 == 0, -999.0, TEMPERATURE))
    assert finding.sentinels == (-999,)
    assert "-999 stands far from the rest" in finding.lines[0]
    assert finding.spread == pytest.approx(50, rel=0.2)
    (warning,) = finding.warnings("temp", Bound("abs", Fraction(10)))
    assert "far values widen its range" in warning
    assert finding.warnings("temp", Bound("abs", Fraction(1, 100))) == ()


def test_a_far_maximum_is_noticed_and_an_ordinary_tail_is_not():
    assert found("load", np.append(TEMPERATURE, 1e6)).spread is not None
    assert found("load", TEMPERATURE).spread is None
    assert found("load", np.append(TEMPERATURE, 55.0)).sentinels == ()


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("anything", list(range(500)), "identifier"),
        ("customer_id", list(RANDOM.integers(0, 9, 500)), "identifier"),
        ("zip", ["a", "b"] * 200, "identifier"),
        ("fare", list(TEMPERATURE), "money"),
        ("x", list(np.round(TEMPERATURE, 2)), "money"),
        ("y", [7.0] * 300, "constant"),
    ],
)
def test_identifiers_money_and_constants(name, values, kind):
    finding = found(name, values)
    assert getattr(finding, kind)
    assert finding.warnings(name, Bound("exact")) == ()
    assert bool(finding.warnings(name, Bound("abs", Fraction(1)))) == (kind != "constant")


def test_measurements_are_none_of_these():
    finding = found("temp", TEMPERATURE)
    assert (finding.identifier, finding.money, finding.constant) == (False, False, False)
    assert finding.lines == ()
    assert found("valid", [True] * 200 + [False] * 200).lines == ()
    assert (
        found("when", list(RANDOM.integers(1_600_000_000, 1_700_000_000, 300) // 2 * 2))
        .lines[-1]
        .startswith("looks like a time in seconds")
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("plan") / "lake"
    root.mkdir()
    table = {
        "id": pa.array(range(3000)),
        "temp": pa.array(np.append(RANDOM.normal(15, 8, 2999), -999.0)),
        "fare": pa.array(np.round(RANDOM.gamma(3, 9, 3000), 2)),
        "word": pa.array([f"w{i % 7}" for i in range(3000)]),
        "none": pa.nulls(3000),
        "tags": pa.array([["a"]] * 3000),
        "part": pa.array(["x", "y", "z"] * 1000).dictionary_encode(),
    }
    pq.write_table(pa.table(table), root / "a.parquet")
    return str(root)


def test_the_proposal_follows_the_findings(lake):
    profile = ae_core.plan(lake, train=False)
    bounds = {column.name: column.bound for column in profile.columns}
    assert bounds["id"] == bounds["fare"] == "exact"
    assert 0.03 < float(bounds["temp"].removeprefix("±")) < 0.07
    assert profile.warnings == ()
    sizes = [one.bytes for one in profile.by_range]
    assert [one.range for one in profile.by_range] == [0, 0.001, 0.01, 0.05]
    assert sizes == sorted(sizes, reverse=True)
    assert all((one.coder, one.bytes) == ("plain", one.plain_bytes) for one in profile.by_range)
    warned = ae_core.plan(lake, range_=0.01, train=False).warnings
    assert [line.split()[0] for line in warned] == ["id", "temp", "fare"]


def test_explain_says_everything_of_one_column(lake, capsys):
    assert app.run(["plan", lake, "--explain", "temp"]) == 0
    said = capsys.readouterr().out
    assert "-999 stands far from the rest" in said
    assert "99.9 %" in said
    for name in ("none", "tags", "part", "word"):
        assert app.run(["plan", lake, "--explain", name]) == 0
    assert app.run(["plan", lake, "--explain", "nothing"]) == 2
    assert "no column 'nothing'" in capsys.readouterr().err


def test_the_page_has_picture_findings_and_warnings(lake, tmp_path):
    page = tmp_path / "plan.html"
    profile = ae_core.plan(lake, range_=0.01, html=str(page), train=False)
    text = unescape(page.read_text())
    assert text.count("<svg") == 1
    for said in (*profile.warnings, *(line for column in profile.columns for line in column.findings)):
        assert said in text
    assert profile.html == str(page)
    with pytest.raises(OutputExists):
        ae_core.plan(lake, html=str(page))


@pytest.mark.full
@pytest.mark.ci
def test_a_short_training_predicts_about_what_an_archive_takes(tmp_path):
    """Within a minute, not far from the archive, and never less than three quarters of it."""
    random = np.random.default_rng(3)
    rows = 60_000
    kind = random.integers(0, 40, rows)
    table = pa.table({
        "kind": [f"k{i}" for i in kind],
        "size": np.round(kind * 3 + random.normal(0, 2, rows), 3),
        "cost": np.round(kind * kind + random.normal(0, 9, rows), 3),
        "hour": np.sort(random.integers(0, 5000, rows)),
    })  # fmt: skip
    (tmp_path / "lake").mkdir()
    pq.write_table(table, tmp_path / "lake" / "a.parquet")
    profile = ae_core.plan(str(tmp_path / "lake"))
    assert all(one.preview_error is not None for one in profile.by_range if one.coder == "network")
    predicted = {one.range: one.bytes for one in profile.by_range}[0.01]
    ae_core.compress(str(tmp_path / "lake"), str(tmp_path / "archive"), range_=0.01)
    size = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*") if path.is_file())
    assert 0.75 * size < predicted < 1.6 * size, (predicted, size)


def test_sensitive_columns_show_no_value(lake, tmp_path, capsys):
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\ncolumns:\n  word: {bound: exact, sensitive: true}\n")
    assert app.run(["plan", lake, "--policy", str(policy), "--explain", "word"]) == 0
    assert "w3" not in capsys.readouterr().out
