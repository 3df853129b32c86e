"""expire from end to end: every condition refuses for its own reason, and what is deleted can be brought back."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.log import open_archive, read_state
from ae_core.errors import CommitConflict, DataWouldBeLost, NotCommitted, OutputExists, UsageError
from ae_core.jobs import expire as job
from ae_core.jobs import verify_worker
from ae_core.jobs.drop import drop
from ae_core.jobs.expire_notes import MARKER, index_name
from ae_core.originals import LocalOriginals

DAY = 86_400
POLICY = """\
version: 1
default: {float: {range: 0.01}}
retire: {expire: {enabled: true, grace: 30d, wait: 24h, replica: none}}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two months of two files, compressed once."""
    root = tmp_path_factory.mktemp("template")
    for month in (1, 2):
        random = np.random.default_rng(month)
        table = pa.table({"x": random.normal(size=60), "k": random.integers(0, 5, 60)})
        (root / "lake" / f"month={month}").mkdir(parents=True)
        for part in range(2):
            pq.write_table(table.slice(30 * part, 30), root / "lake" / f"month={month}" / f"part-{part}.parquet")
    (root / "policy.yaml").write_text(POLICY)
    ae_core.compress(str(root / "lake"), str(root / "archive"), policy=str(root / "policy.yaml"))
    return root


class Place:
    """A copy of the lake and its archive, in which time passes at will."""

    def __init__(self, root: Path) -> None:
        self.root, self.lake, self.archive = root, root / "lake", root / "archive"
        self.policy = root / "policy.yaml"

    def pass_days(self, days: float) -> None:
        """Everything that was stored is older now, by the clock of the disk."""
        for path in [*self.archive.glob("_commits/*"), *self.lake.rglob("*.since")]:
            then = path.stat().st_mtime - days * DAY
            os.utime(path, (then, then))

    def expire(self, **more) -> dict[str, tuple[str, str]]:
        more = {"where": ["month=1"], "dry_run": False} | more
        result = job.expire(str(self.lake), str(self.archive), **more)
        return {row.partition: (row.action, row.reason) for row in result.partitions}

    def one(self, **more) -> tuple[str, str]:
        return self.expire(**more)["month=1"]

    def until_gone(self, **more) -> None:
        for days, action in ((31, "recorded"), (2, "set aside"), (2, "expired")):
            self.pass_days(days)
            assert self.one(**more)[0] == action

    @property
    def files(self) -> list[Path]:
        return sorted((self.lake / "month=1").glob("*.parquet"))

    @property
    def state(self):
        return read_state(open_archive(str(self.archive)))


@pytest.fixture
def place(template, tmp_path):
    shutil.copytree(template, tmp_path / "copy")
    return Place(tmp_path / "copy")


@pytest.fixture(autouse=True)
def _near(request, monkeypatch):
    """The comparison in this process, where a test is not about it: a fresh one takes a second and a half."""

    def prove(archive, proposal, sources, *, threads):
        return verify_worker.prove(verify_worker.VerifyRequest(archive, proposal, tuple(sources), threads))

    if request.node.name != "test_originals_go_step_by_step_and_come_back":
        monkeypatch.setattr(job, "prove_apart", prove)


def same_values(one: pa.Table, other: pa.Table) -> bool:
    return np.allclose(one["x"], other["x"], atol=0.2) and one["k"].equals(other["k"])


def test_originals_go_step_by_step_and_come_back(place):
    before = [pq.read_table(path) for path in place.files]
    assert place.one()[0] == "refused"  # a copy has new inodes, so the days begin anew
    place.until_gone()
    assert not place.files
    assert sorted(path.name for path in place.lake.iterdir()) == [
        index_name(open_archive(str(place.archive)).marker.archive),
        "month=1",
        "month=2",
    ]
    marker = json.loads((place.lake / "month=1" / MARKER).read_text())
    assert [file["fate"] for file in marker["files"]] == ["deleted", "deleted"]
    assert place.one() == ("done", "its originals were deleted before")
    assert ae_core.verify(str(place.archive), deep=True).ok

    ae_core.decode(str(place.archive), str(place.lake), where=["month=1"])
    assert all(same_values(pq.read_table(path), table) for path, table in zip(place.files, before, strict=True))
    with pytest.raises(OutputExists, match="never overwritten"):
        ae_core.decode(str(place.archive), str(place.lake), where=["month=1"])
    with pytest.raises(UsageError, match="whole partitions"):
        ae_core.decode(str(place.archive), str(place.lake), where=["month=1"], columns=["x"])

    result = ae_core.compress(str(place.lake), str(place.archive), policy=str(place.policy))
    actions = {row.partition: row for row in result.partitions}
    assert actions["month=1"].action == "skipped"
    assert "rebuilt from archive" in actions["month=1"].reason
    other = ae_core.compress(str(place.lake), str(place.root / "new"), policy=str(place.policy))
    assert [row.action for row in other.partitions] == ["skipped", "compressed"]


def test_queries_go_on_while_originals_go_and_come_back(place):
    """Every row once at each step, and marked as what it is."""

    def seen():
        table = ae_core.open_lake(str(place.lake), str(place.archive)).scan(where={"month": 1}).to_table()
        return table.num_rows, set(table["_fidelity"].to_pylist())

    assert seen() == (60, {"original"})
    for days, files in ((31, "original"), (2, "bounded"), (2, "bounded")):
        place.pass_days(days)
        place.one()
        assert seen() == (60, {files})
    late = place.lake / "month=1" / "late.parquet"
    pq.write_table(pa.table({"x": [1.0], "k": [1]}), late)
    assert seen() == (61, {"bounded", "original"})
    late.unlink()
    ae_core.decode(str(place.archive), str(place.lake), where=["month=1"])
    assert len(place.files) == 2
    assert seen() == (60, {"bounded"})


def test_readers_of_parquet_pass_over_quarantine_marker_and_index(place):
    """While files are set aside, and when they are gone: the other partition's rows, and no error."""
    every = f"{place.lake}/**/*.parquet"
    for days, action in ((31, "recorded"), (2, "set aside"), (2, "expired")):
        place.pass_days(days)
        assert place.one()[0] == action
        rows = 120 if action == "recorded" else 60
        assert pa.dataset.dataset(place.lake, partitioning="hive").count_rows() == rows
        assert pq.read_table(place.lake).num_rows == rows
        assert duckdb.sql(f"select count(*) from read_parquet('{every}')").fetchall() == [(rows,)]
        assert pl.scan_parquet(every).select(pl.len()).collect().item() == rows
        lazy = pl.scan_parquet(place.lake, hidden_file_prefix="_")
        assert lazy.select(pl.len()).collect().item() == rows
    assert (place.lake / "month=1" / MARKER).exists()


def test_a_restoring_that_was_killed_is_finished(place):
    place.until_gone()
    ae_core.decode(str(place.archive), str(place.lake), where=["month=1"])
    second = place.files[1]
    whole = second.read_bytes()
    second.unlink()
    ae_core.decode(str(place.archive), str(place.lake), where=["month=1"])
    assert second.read_bytes() == whole


def test_a_file_in_the_way_of_a_restoring_is_never_overwritten(place):
    place.until_gone()
    path = place.lake / "month=1" / "part-1.parquet"
    pq.write_table(pa.table({"x": [1.0], "k": [1]}), path)
    before = path.read_bytes()
    with pytest.raises(OutputExists, match=r"part-1\.parquet"):
        ae_core.decode(str(place.archive), str(place.lake), where=["month=1"])
    assert path.read_bytes() == before
    assert len(place.files) == 1


def test_a_dry_run_changes_nothing(place):
    place.pass_days(31)
    before = sorted(place.root.rglob("*"))
    assert place.one(dry_run=True)[0] == "due"
    assert sorted(place.root.rglob("*")) == before


@pytest.mark.parametrize("days", [0, 29.9, -31])
def test_a_young_partition_is_refused(place, days):
    place.pass_days(days)
    action, reason = place.one()
    assert (action, "its policy waits 30 days" in reason) == ("refused", True)


def test_the_second_wait_is_kept(place):
    place.pass_days(31)
    place.one()
    place.pass_days(0.9)
    assert place.one()[0] == "waiting"
    place.pass_days(0.2)
    assert place.one()[0] == "set aside"
    place.pass_days(0.9)
    assert place.one()[0] == "set aside"
    assert len(list(place.lake.rglob("*.original"))) == 2


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("{}", "does not enable expire"),
        ("{expire: {enabled: false}}", "does not enable expire"),
        ("{pinned: true, expire: {enabled: true, replica: none}}", "pinned"),
        ("{expire: {enabled: true, replica: /nowhere}}", "no such folder"),
        ("{expire: {enabled: true, replica: ARCHIVE}}", "it is the archive itself"),
        ("{expire: {enabled: true, replica: OTHER}}", "it is another archive"),
    ],
)
def test_the_policy_has_to_allow_it(place, block, reason):
    from ae_core.archive.commit import create_archive

    create_archive(str(place.root / "other"), writer="w")
    place.pass_days(31)
    text = block.replace("ARCHIVE", str(place.archive)).replace("OTHER", str(place.root / "other"))
    place.policy.write_text(f"version: 1\nretire: {text}\n")
    action, why = place.one(policy=str(place.policy))
    assert action == "refused"
    assert reason in why
    assert len(place.files) == 2


def test_a_replica_has_to_hold_every_byte(place):
    place.pass_days(31)
    replica = place.root / "replica"
    shutil.copytree(place.archive, replica)
    place.policy.write_text(f"version: 1\nretire: {{expire: {{enabled: true, replica: {replica}}}}}\n")
    victim = next((replica / "partitions" / "month=1").rglob("residuals.parquet"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1])
    action, why = place.one(policy=str(place.policy))
    assert (action, "residuals.parquet" in why) == ("refused", True)
    victim.write_bytes(whole)
    assert place.one(policy=str(place.policy))[0] == "recorded"
    victim.unlink()
    place.pass_days(2)
    action, why = place.one(policy=str(place.policy))
    assert (action, "replica" in why) == ("kept", True)
    assert len(place.files) == 2
    assert not place.state.only_copies


def test_an_intent_ends_when_the_policy_changes_its_mind(place):
    place.pass_days(31)
    place.one()
    place.pass_days(2)
    assert place.one()[0] == "set aside"
    place.policy.write_text("version: 1\n")
    action, why = place.one(policy=str(place.policy))
    assert (action, "any more" in why) == ("kept", True)
    assert len(place.files) == 2
    assert not list(place.lake.rglob("_latentlake*"))


# --- F12: the source changes ---------------------------------------------------------------------------


def edit(path: Path, *, unnoticed: bool) -> bytes:
    """Another content of the same size; `unnoticed` with the same time, too."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    if unnoticed:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return bytes(data)


@pytest.mark.parametrize("unnoticed", [False, True])
def test_an_original_edited_before_is_refused(place, unnoticed):
    data = edit(place.files[1], unnoticed=unnoticed)
    place.pass_days(31)
    action, reason = place.one()
    assert (action, "is not the version that was compressed" in reason) == ("refused", True)
    assert place.files[1].read_bytes() == data


def test_an_original_that_came_or_went_is_refused(place):
    shutil.copy(place.files[0], place.lake / "month=1" / "part-2.parquet")
    place.pass_days(31)
    assert "not those that were compressed" in place.one()[1]


def test_an_original_edited_while_it_is_compared_is_refused(place, monkeypatch):
    place.pass_days(31)
    real = job.prove_apart

    def prove(*arguments, **more):
        proofs = real(*arguments, **more)
        edit(place.files[1], unnoticed=False)
        return proofs

    monkeypatch.setattr(job, "prove_apart", prove)
    assert "changed while they were compared" in place.one()[1]
    assert not place.state.only_copies


@pytest.mark.parametrize("unnoticed", [False, True])
def test_an_original_edited_after_the_intent_is_kept(place, unnoticed):
    place.pass_days(31)
    assert place.one()[0] == "recorded"
    place.pass_days(2)
    data = edit(place.files[1], unnoticed=unnoticed)
    at_once = {"opener": lambda lake, wait: LocalOriginals(Path(lake), 0)}
    action, _ = place.one(**at_once)
    assert action == "kept"
    assert [path.read_bytes() for path in place.files] == [data]
    assert place.state.only_copies["month=1"].expired.gone
    # what is left in the lake changed: compressing it would replace the only copy of the file that is gone
    with pytest.raises(DataWouldBeLost, match="month=1"):
        ae_core.compress(str(place.lake), str(place.archive), policy=str(place.policy))


def test_an_archive_that_decodes_to_something_else_is_refused(place, monkeypatch):
    """The fresh process has the last word."""
    from dataclasses import replace

    place.pass_days(31)
    real = job.prove_apart

    def prove(*arguments, **more):
        return [replace(proof, problem="3 cells are outside their bounds") for proof in real(*arguments, **more)]

    monkeypatch.setattr(job, "prove_apart", prove)
    action, reason = place.one()
    assert (action, "outside their bounds" in reason) == ("refused", True)


def test_another_writer_in_between_stands_against_the_intent(place, monkeypatch):
    place.pass_days(31)
    real = job.prove_apart

    def prove(*arguments, **more):
        drop(str(place.archive), reason="meanwhile", where=["month=1"], dry_run=False)
        return real(*arguments, **more)

    monkeypatch.setattr(job, "prove_apart", prove)
    with pytest.raises((CommitConflict, NotCommitted, UsageError)):
        place.one()
    assert len(place.files) == 2


def test_another_lake_is_refused(place):
    place.pass_days(31)
    place.one()
    place.pass_days(2)
    place.lake.rename(place.root / "moved")
    result = job.expire(str(place.root / "moved"), str(place.archive), where=["month=1"], dry_run=False)
    assert result.refused == ("month=1",)
    assert "not of this lake" in result.partitions[0].reason


def test_only_the_chosen_are_touched_and_the_others_go_on(place):
    place.pass_days(31)
    edit(place.files[0], unnoticed=False)
    actions = {name: action for name, (action, _) in place.expire(where=None).items()}
    assert actions == {"month=1": "refused", "month=2": "recorded"}


def test_a_rule_of_retirement_trains_nothing_anew(place):
    """Another retire block, and a new partition: a new record of the policy, the bounds and the model as they were."""
    table = pq.read_table(place.files[0])
    (place.lake / "month=3").mkdir()
    pq.write_table(table, place.lake / "month=3" / "part-0.parquet")
    place.policy.write_text(POLICY.replace("30d", "90d"))
    start = time.perf_counter()
    result = ae_core.compress(str(place.lake), str(place.archive), policy=str(place.policy))
    assert time.perf_counter() - start < 60
    assert result.model.reused
    manifests = {p.id: p for p in ae_core.open_archive(str(place.archive)).partitions()}
    assert manifests["month=3"].table.written.retire.expire.grace == 90 * DAY
    assert manifests["month=1"].table.written.retire.expire.grace == 30 * DAY
    assert manifests["month=3"].table.policy == manifests["month=1"].table.policy
    again = ae_core.compress(str(place.lake), str(place.archive), policy=str(place.policy))
    assert {row.action for row in again.partitions} == {"unchanged"}
