"""The policy's checks: run before anything is committed, in the verifying process, and recorded where they pass."""

from __future__ import annotations

import builtins

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.errors import CheckFailed, PolicyError, UsageError
from ae_core.policy import load_policy

POLICY = """\
version: 1
columns:
  x: {abs: 0.5}
checks:
  - {name: mean by k, sql: "select k, avg(x) from t group by k", tolerance: {abs: 0.5}}
  - {sql: "select month, count(*) from t group by 1", tolerance: exact}
"""


@pytest.fixture
def lake(tmp_path):
    for month in (1, 2):
        random = np.random.default_rng(month)
        (tmp_path / "lake" / f"month={month}").mkdir(parents=True)
        table = pa.table({"x": random.normal(0, 9, 400), "k": [f"k{i}" for i in random.integers(0, 5, 400)]})
        pq.write_table(table, tmp_path / "lake" / f"month={month}" / "part.parquet")
    return tmp_path / "lake"


def compress(lake, policy, **options):
    file = lake.parent / "policy.yaml"
    file.write_text(policy)
    return ae_core.compress(str(lake), str(lake.parent / "archive"), policy=str(file), **options)


def test_checks_that_pass_stand_in_result_and_certificate(lake):
    result = compress(lake, POLICY)
    assert [(c.name, c.passed) for row in result.partitions for c in row.checks] == [
        ("mean by k", True),
        ("select month, count(*) from t group by 1", True),
    ] * 2
    certificate = ae_core.open_archive(str(lake.parent / "archive")).partition(month=1).certificate
    mean, count = certificate.checks
    assert 0 < mean.worst <= 0.5
    assert mean.rows == 5
    assert (count.kind, count.worst, count.rows) == ("exact", 0, 1)
    assert type(certificate).from_dict(certificate.to_dict()) == certificate


def test_a_failing_check_keeps_its_partition_out(lake):
    strict = POLICY.replace("tolerance: {abs: 0.5}", "tolerance: {abs: 1e-9}").replace(
        "from t group by k", "from t where month = 2 group by k"
    )
    with pytest.raises(
        CheckFailed, match=r"committed: month=1; not committed: month=2: check 'mean by k': avg\(x\) is off by"
    ) as caught:
        compress(lake, strict)
    assert caught.value.exit_code == 1
    assert "where k=k" in str(caught.value)
    archive = ae_core.open_archive(str(lake.parent / "archive"))
    assert [partition.id for partition in archive.partitions()] == ["month=1"]


def test_a_failing_check_names_no_value_where_one_is_sensitive(lake):
    strict = POLICY.replace("tolerance: {abs: 0.5}", "tolerance: exact").replace(
        "columns:", "columns:\n  k: {bound: exact, sensitive: true}"
    )
    with pytest.raises(CheckFailed, match="is off by") as caught:
        compress(lake, strict, where=["month=1"])
    assert "k=k" not in str(caught.value)


def test_the_verifying_process_finds_it_even_if_the_writer_says_it_passed(lake, monkeypatch):
    monkeypatch.setattr("ae_core.jobs.encode.run_checks", lambda *_: ())
    with pytest.raises(CheckFailed):
        compress(lake, POLICY.replace("{abs: 0.5}}", "exact}"), where=["month=1"])
    assert ae_core.open_archive(str(lake.parent / "archive")).partitions() == ()


def test_changed_checks_neither_train_nor_compress_anew(lake):
    compress(lake, POLICY, where=["month=1"])
    again = compress(lake, POLICY.split("checks:")[0])
    assert again.model.reused
    assert [row.action for row in again.partitions] == ["unchanged", "compressed"] or {
        row.partition: row.action for row in again.partitions
    } == {"month=1": "unchanged", "month=2": "compressed"}


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ('{sql: "select nothing from t", tolerance: exact}', "check 'select nothing from t': Binder Error"),
        ('{sql: "delete from t", tolerance: exact}', "give one SELECT"),
        ("{sql: \"select * from read_csv('/etc/passwd')\", tolerance: exact}", "disabled"),
        ('{sql: "select 1 from t"}', "checks.0.tolerance"),
        ('{sql: "select 1", tolerance: {abs: -1}}', "must not be negative"),
        ('{sql: "select 1", tolerance: 5}', "a tolerance is exact"),
        ('{sql: "", tolerance: exact}', "checks.0.sql"),
    ],
)
def test_a_check_that_cannot_run_is_refused_before_anything_is_made(lake, check, said):
    with pytest.raises(PolicyError) as caught:
        compress(lake, f"version: 1\nchecks:\n  - {check}\n")
    assert said in str(caught.value)
    assert not (lake.parent / "archive").exists()


def test_without_duckdb_a_policy_with_checks_says_what_to_install(lake, monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *rest: (_ for _ in ()).throw(ImportError) if name == "duckdb" else real(name, *rest),
    )
    with pytest.raises(UsageError, match=r"pip install 'latentlake\[sql\]'"):
        compress(lake, POLICY)


def test_policies_with_checks_come_back_from_yaml():
    policy = load_policy(POLICY)
    assert load_policy(policy.to_yaml()) == policy
    assert "checks" not in policy.without_checks().model_dump()
