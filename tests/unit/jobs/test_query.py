"""`audit --query` states the change of any answer, says where it cannot, and shows nothing sensitive."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.store import LocalStore
from ae_core.errors import Corrupt, OutputExists, UsageError
from ae_core.jobs.audit import audit
from ae_core.jobs.export import audit as export_audit
from ae_core.jobs.query import audit_query

POLICY = """\
version: 1
columns:
  x: {abs: 0.5}
  who: {bound: exact, sensitive: true}
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    root = tmp_path_factory.mktemp("query")
    for month in (1, 2):
        random = np.random.default_rng(month)
        (root / "lake" / f"month={month}").mkdir(parents=True)
        table = pa.table(
            {
                "x": random.normal(50, 9, 400),
                "k": [f"k{i}" for i in random.integers(0, 3, 400)],
                "who": [f"secret{i}" for i in range(400)],
            }
        )
        pq.write_table(table, root / "lake" / f"month={month}" / "part.parquet")
    (root / "policy.yaml").write_text(POLICY)
    ae_core.compress(str(root / "lake"), str(root / "archive"), policy=str(root / "policy.yaml"))
    return root


@pytest.fixture
def lake(once, tmp_path):
    return shutil.copytree(once / "lake", tmp_path / "lake")


def mean(table):
    return np.mean(table["x"].to_numpy())


def test_the_difference_is_that_of_the_two_answers(once, lake):
    found = audit_query(str(once / "archive"), "select month, avg(x) m, count(*) n from t group by 1", lake=str(lake))
    assert found.compared == ("month=1", "month=2")
    assert found.not_compared == {}
    before = {row[0]: row[1] for row in found.original}
    after = {row[0]: row[1] for row in found.archived}
    for month in (1, 2):
        original = pq.read_table(lake / f"month={month}" / "part.parquet", partitioning=None)
        rebuilt = ae_core.open_archive(str(once / "archive")).scan(where={"month": month}).to_table()
        assert before[month] == pytest.approx(mean(original), rel=1e-12)
        assert after[month] == pytest.approx(mean(rebuilt), rel=1e-12)
    change = {c.column: c for c in found.changes}
    assert change["n"].absolute == 0
    assert change["m"].absolute == pytest.approx(max(abs(before[m] - after[m]) for m in (1, 2)), rel=1e-3)
    assert 0 < change["m"].absolute <= 0.5


def test_what_cannot_be_compared_is_said_and_answered_from_the_archive(once, lake):
    shutil.rmtree(lake / "month=1")
    query = "select month, avg(x) m from t group by 1 order by 1"
    found = audit_query(str(once / "archive"), query, lake=str(lake))
    assert found.compared == ("month=2",)
    assert found.not_compared == {"month=1": "its originals are gone"}
    assert [row[0] for row in found.answer] == [1, 2]
    assert [row[0] for row in found.archived] == [2]
    without = audit_query(str(once / "archive"), query)
    assert without.answer == found.answer
    assert without.compared == ()
    assert set(without.not_compared.values()) == {"no originals given: --lake LAKE compares with them"}


def test_an_original_that_changed_is_not_compared(once, lake):
    table = pq.read_table(lake / "month=1" / "part.parquet", partitioning=None)
    pq.write_table(table.slice(1), lake / "month=1" / "part.parquet")
    found = audit_query(str(once / "archive"), "select sum(x) from t", lake=str(lake))
    assert found.compared == ("month=2",)
    assert "is not the file that was compressed" in found.not_compared["month=1"]
    pq.write_table(table, lake / "month=2" / "more.parquet")
    assert audit_query(str(once / "archive"), "select 1", lake=str(lake)).compared == ()


def test_a_missing_original_is_not_measured_as_equal(once, lake, tmp_path):
    """Two files were compressed and one is gone: neither audit may take the rest for the whole."""
    table = pq.read_table(lake / "month=1" / "part.parquet", partitioning=None)
    pq.write_table(table, lake / "month=1" / "second.parquet")
    ae_core.compress(str(lake), str(tmp_path / "archive"), range_=0, where=["month=1"])
    (lake / "month=1" / "second.parquet").unlink()
    (one,) = audit(str(tmp_path / "archive"), lake=str(lake)).partitions
    assert "second.parquet was compressed and is no longer in the lake" in one.problem


def test_sensitive_columns_are_not_in_the_table(once, lake):
    assert "who" not in audit_query(str(once / "archive"), "select * from t limit 1", lake=str(lake)).columns
    with pytest.raises(UsageError, match=r"sensitive columns are left out of t: who"):
        audit_query(str(once / "archive"), "select who from t")


def test_damage_met_by_a_query_is_damage(once, monkeypatch):
    def cut(self, name, length, sha256):
        if "residuals" in name:
            raise Corrupt(f"{name}: missing")
        return real(self, name, length, sha256)

    real = LocalStore.get
    monkeypatch.setattr(LocalStore, "get", cut)
    with pytest.raises(Corrupt, match="missing"):
        audit_query(str(once / "archive"), "select avg(x) from t")
    with pytest.raises(Corrupt, match="not 00 as expected"):
        audit_query(str(once / "archive"), "select 1", expect_head="00")


def test_an_export_is_whole_and_pins_the_archive(once, tmp_path):
    result = export_audit(str(once / "archive"), export=str(tmp_path / "audit"))
    head = json.loads((tmp_path / "audit" / "head.json").read_text())
    assert head["head_sha256"] == result.head_sha256
    for name, digest in head["sha256"].items():
        assert hashlib.sha256((tmp_path / "audit" / name).read_bytes()).hexdigest() == digest
    figures = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert figures["ok"] is True
    assert "<html" in (tmp_path / "audit" / "index.html").read_text()
    assert "secret" not in (tmp_path / "audit" / "index.html").read_text() + json.dumps(figures)
    export_audit(str(once / "archive"), expect_head=head["head_sha256"])
    with pytest.raises(OutputExists):
        export_audit(str(once / "archive"), export=str(tmp_path / "audit"))
    with pytest.raises(Corrupt):
        export_audit(str(once / "archive"), export=str(tmp_path / "other"), expect_head="00")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit"]
