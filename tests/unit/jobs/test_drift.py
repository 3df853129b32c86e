"""A held model is reused while it fits the rows that are due; a new one is kept where it makes fewer bytes, its own
counted; what was archived before stays as it was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.reader import open_snapshot
from ae_core.dataset import open_archive
from ae_core.jobs import drift
from ae_core.jobs.compress import compress_lake
from ae_core.jobs.plan import survey
from ae_core.jobs.prepare import prepare
from ae_core.jobs.request import CompressRequest
from ae_core.lake import list_partitions
from ae_core.records import training_reports

ROWS = 1_500
POLICY = "version: 1\ncolumns:\n  level: {abs: 0.5}\n"


# --- the decision -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "then", "now", "model", "asks"),
    [
        (1_000_000, 20.0, 20.0, 100_000, False),
        (1_000_000, 20.0, 15.0, 100_000, False),  # better than ever
        (1_000_000, 20.0, 21.5, 100_000, False),  # 187,500 bytes more: less than two copies
        (1_000_000, 20.0, 22.5, 100_000, True),  # 312,500 more
        (10_000, 20.0, 40.0, 100_000, False),  # twice the bits, on too few rows
        (1_000_000_000, 20.0, 20.3, 100_000, False),  # 37 MB more, but within what samples differ by
        (1_000_000, None, 40.0, 100_000, False),
        (0, 20.0, None, 100_000, False),
    ],
)
def test_training_has_to_pay_for_the_model_by_a_margin(rows, then, now, model, asks):
    seen = drift.weigh(rows, then, now, model)
    assert drift.asks_for_training(seen) is asks
    assert (seen.decision, seen.bits_new) == ("reused", None)
    assert seen.bytes_saved >= 0
    assert seen.model_bytes > 2 * model


def test_the_new_model_is_kept_only_where_it_makes_fewer_bytes_its_own_counted():
    seen = drift.weigh(8_000, 20.0, 40.0, 1_000)
    stored = drift.stored_bytes(1_000, 500)
    even = 40.0 - stored / 1_000
    smaller, equal = drift.settle(seen, even - 0.01, stored), drift.settle(seen, even, stored)
    assert (smaller.decision, equal.decision) == ("retrained", "reused")
    assert smaller.bytes_saved == stored + 10
    worse = drift.settle(seen, 45.0, stored)
    assert (worse.decision, worse.bytes_saved, worse.bits_then, worse.bits_now) == ("reused", -5_000, 20.0, 40.0)


# --- a lake that changes ------------------------------------------------------------------------------


class Lake:
    """A lake, its archive, and months of it by what they are like."""

    def __init__(self, root):
        self.url, self.archive = str(root / "lake"), str(root / "archive")
        self.policy = root / "policy.yaml"
        self.policy.write_text(POLICY)
        self.folder = root / "lake"
        self.months = 0

    def add(self, kind: str) -> str:
        self.months += 1
        random = np.random.default_rng(self.months)
        shift = {"before": 0, "after": 1_000}[kind]
        table = pa.table(
            {
                "kind": [f"{kind} {number}" for number in random.integers(0, 40, ROWS)],
                "level": np.cumsum(random.normal(0, 0.3, ROWS)) % 50 + shift,
                "count": (random.integers(0, 50, ROWS) + shift).astype(np.int32),
            }
        )
        return self.put(table)

    def put(self, table: pa.Table) -> str:
        folder = self.folder / f"month={self.months}"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "part.parquet")
        return folder.name

    def compress(self):
        return compress_lake(self.url, self.archive, policy=str(self.policy), page_data=False)

    def digests(self) -> dict[str, str]:
        found = open_archive(self.archive)
        return {partition.id: partition.manifest.digest for partition in found.partitions()}


@pytest.fixture
def lake(tmp_path):
    """Two archived months."""
    made = Lake(tmp_path)
    made.add("before")
    made.add("before")
    assert made.compress().model.drift.decision == "trained"
    return made


def test_rows_like_those_before_are_coded_with_the_held_model(lake, monkeypatch):
    monkeypatch.setattr("ae_core.fitting.train_codec", None)  # nothing is trained
    lake.add("before")
    use = lake.compress().model
    assert (use.reused, use.seconds, use.drift.decision, use.drift.rows_due) == (True, 0.0, "reused", ROWS)
    assert use.drift.bits_now == pytest.approx(use.drift.bits_then, rel=0.05)
    assert len(training_reports(open_snapshot(lake.archive))) == 1


def test_rows_of_another_kind_get_a_model_and_older_partitions_stay(lake, monkeypatch):
    before = lake.digests()
    lake.add("after")
    lake.add("after")
    result = lake.compress()
    use = result.model
    assert (use.reused, use.drift.decision) == (False, "retrained")
    assert use.drift.bits_now > 2 * use.drift.bits_then
    assert use.drift.bytes_saved > use.drift.model_bytes > 2 * use.bytes
    reports = training_reports(open_snapshot(lake.archive))
    assert list(reports)[-1] == use.digest
    assert reports[use.digest]["drift"]["reason"] == use.drift.reason
    # what was promised is what is there: new months as small as old ones
    sizes = [row.archive_bytes for row in result.partitions]
    assert max(sizes) < 1.1 * min(sizes)
    # every month decodes, by the model that it was coded with, to what was recorded
    assert before.items() < lake.digests().items()
    assert ae_core.verify(lake.archive, deep=True).ok
    assert len({partition.manifest.model for partition in open_archive(lake.archive).partitions()}) == 2

    monkeypatch.setattr("ae_core.fitting.train_codec", None)  # either model serves what is like its rows
    lake.add("after")
    again = lake.compress().model
    assert (again.digest, again.drift.decision) == (use.digest, "reused")
    lake.add("before")
    older = lake.compress().model
    assert (older.digest, older.drift.decision) == (next(iter(reports)), "reused")


def test_a_new_model_that_is_no_smaller_is_left_out(tmp_path):
    """Every value is as likely as any other now: more bits a row, and no model can help it."""
    lake = Lake(tmp_path)
    lake.policy.write_text("version: 1\n")
    for chance in (0.02, 1.0):
        lake.months += 1
        random = np.random.default_rng(lake.months)
        values = np.where(random.random((3, 4 * ROWS)) < chance, random.integers(0, 200, (3, 4 * ROWS)), 0)
        lake.put(pa.table({name: row.astype(np.int32) for name, row in zip("abc", values, strict=True)}))
        result = lake.compress()
    use = result.model
    assert (use.reused, use.drift.decision) == (True, "reused")
    assert use.seconds > 0  # it was tried
    assert use.drift.bits_new is not None
    assert use.drift.bytes_saved < use.drift.model_bytes
    assert len(training_reports(open_snapshot(lake.archive))) == 1
    assert ae_core.verify(lake.archive, deep=True).ok


def test_a_model_that_is_trained_to_the_bytes_of_an_earlier_one_is_stored_once(lake, monkeypatch):
    """It was passed over when models were scored; the run goes on from the newest commit all the same."""
    monkeypatch.setattr(drift, "SCORED_MODELS", 1)
    first = open_archive(lake.archive).partitions()[0].manifest.model
    lake.add("after")
    second = lake.compress()
    for name in ("month=1", "month=2"):  # changed, to the same rows
        path = lake.folder / name / "part.parquet"
        pq.write_table(pq.read_table(path), path, compression="zstd")
    third = lake.compress()
    assert third.model.digest == first != second.model.digest
    assert third.model.drift.decision == "retrained"
    assert third.commits == (second.head + 1, second.head + 2)
    assert len(training_reports(open_snapshot(lake.archive))) == 2


def test_a_few_partitions_are_read_however_many_are_due(tmp_path):
    lake = Lake(tmp_path)
    for _ in range(2 * drift.SCORED_PARTITIONS + 1):
        lake.months += 1
        lake.put(pa.table({"x": [float(lake.months)]}))
    sample = drift.scored_sample(list_partitions(lake.url))
    assert 1 < len(sample) <= drift.SCORED_PARTITIONS
    assert drift.scored_sample([]) == []


def test_a_model_whose_report_names_no_bits_is_reused(lake, monkeypatch):
    lake.add("after")
    monkeypatch.setattr("ae_core.jobs.target.training_reports", _without_drift(training_reports))
    request = CompressRequest.checked(lake.url, lake.archive, policy=str(lake.policy))
    found = survey(request)
    use = prepare(request, found, found.groups[0]).use
    assert (use.drift.decision, use.drift.bits_then) == ("reused", None)


def _without_drift(read):
    def reports(snapshot):
        return {model: {**report, "drift": {"bits_new": "many"}} for model, report in read(snapshot).items()}

    return reports
