"""gc deletes what no kept snapshot needs, and nothing else; who comes too late is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ae_core.archive import gc, log, retire, stage
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.store import LocalStore
from ae_core.archive.verify import verify
from ae_core.errors import ArchiveDamaged, CommitConflict, SnapshotExpired
from tests.faults import archive_sample as sample

DAY = 86_400
NONE = gc.Retention(snapshots=1, days=0, orphan_days=0)


class Skewed(LocalStore):
    """A store whose clock is some days ahead of the times of its objects, or behind them."""

    def __init__(self, root: Path, days: float) -> None:
        super().__init__(root)
        self.days = days

    def clock(self) -> float:
        return super().clock() + self.days * DAY


@pytest.fixture
def root(tmp_path):
    sample.make(tmp_path / "a")
    return tmp_path / "a"


def at(root: Path, days: float) -> log.Archive:
    return open_archive(str(root), store=Skewed(root, days))


def collect(root: Path, retention: gc.Retention = NONE, days: float = 30) -> gc.Collected:
    return gc.collect(at(root, days), retention, writer="w")


def data_files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in sample.files_of(root) if p.parent.parent.name == "month=1"}


def test_an_old_version_goes_and_every_current_one_stays(root):
    before = data_files(root)
    assert len(before) == 6
    done = collect(root)
    assert len(done.deleted) == 3
    assert data_files(root) < before
    report = verify(str(root), decode=sample.decode)
    assert (report.ok, report.decoded, report.orphans) == (True, 3, 0)
    assert not collect(root).deleted


def test_what_is_kept_is_counted_by_number_and_by_age(root):
    """Three commits; the version that the third replaced was the newest until then."""
    for retention in (gc.Retention(2, 0, 0), gc.Retention(1, 40, 0)):
        assert not collect(root, retention).deleted
    os.utime(root / "_commits/00000000000000000002.json", (0, 0))
    assert not collect(root, gc.Retention(2, 7, 0)).deleted
    assert len(collect(root, gc.Retention(1, 7, 0)).deleted) == 3


@pytest.mark.parametrize("days", [-400, -1, 0])
def test_a_clock_that_is_behind_deletes_nothing(root, days):
    assert not collect(root, gc.Retention(1, 7, 1), days=days).deleted


def test_nothing_is_deleted_before_it_is_condemned_in_the_log(root):
    store = Skewed(root, 30)
    real, seen = store.delete, []

    def delete(name: str) -> None:
        seen.append(name in read_state(open_archive(str(root))).condemned)
        real(name)

    store.delete = delete
    gc.collect(open_archive(str(root), store=store), NONE, writer="w")
    assert seen == [True] * 3


def test_leftovers_of_writers_go_when_they_are_old(root):
    archive = open_archive(str(root))
    sample.stage_partition(archive, sample.stage_shared(archive, read_state(archive)), "month=7")
    (root / "_tmp" / "0").write_bytes(b"half")
    found = gc.find(at(root, 0.5), gc.Retention(10, 7, 1))
    assert found.all == ()
    found = gc.find(at(root, 2), gc.Retention(10, 7, 1))
    assert (len(found.orphans), len(found.unfinished), len(found.expired)) == (3, 1, 0)
    assert len(collect(root, gc.Retention(10, 7, 1), days=2).deleted) == 4
    assert verify(str(root)).orphans == 0


def test_a_writer_whose_uploads_were_condemned_gives_up(root):
    archive = open_archive(str(root))
    state = read_state(archive)
    proposal = sample.stage_partition(archive, sample.stage_shared(archive, state), "month=7")
    collect(root)
    with pytest.raises(CommitConflict, match="given up"):
        sample.commit.append(archive, lambda _: proposal, op_key="k", since=state.head, writer="w")


def test_a_model_that_nobody_uses_yet_stays_and_one_that_nobody_uses_any_more_goes(root):
    archive = open_archive(str(root))
    state = read_state(archive)
    shared = stage.Proposal(shared=(stage.put_shared(archive, state, "model", b"trained, and nothing more yet"),))
    sample.commit.append(archive, lambda _: shared, op_key="m", since=state.head, writer="w")
    collect(root, gc.Retention(2, 0, 0))
    assert len(list((root / "models").iterdir())) == 4
    retire.drop(
        archive, read_state(archive), ["month=1", "month=2", "month=10"], reason="r", only_copy=False, writer="w"
    )
    collect(root)
    assert not list((root / "models").rglob("object"))
    assert verify(str(root)).ok


def test_a_reader_of_an_expired_snapshot_is_told_so_and_never_gets_other_data(root):
    pinned = open_snapshot(str(root), number=1)
    assert list(sample.read_blocks(pinned, "month=1")) == sample.blocks_of("month=1", 0)
    collect(root)
    with pytest.raises(SnapshotExpired, match="snapshot 1 has expired"):
        list(sample.read_blocks(pinned, "month=1"))
    with pytest.raises(SnapshotExpired, match="snapshot 1 has expired"):
        open_snapshot(str(root), number=1)
    head = open_snapshot(str(root))
    assert list(sample.read_blocks(head, "month=1")) == sample.blocks_of("month=1", 1)


def test_a_snapshot_is_refused_as_soon_as_its_objects_are_condemned(root, monkeypatch):
    """Also while they are still there: what a killed gc leaves must not be readable today and gone tomorrow."""
    monkeypatch.setattr(gc, "_delete", lambda archive, entry: entry)
    collect(root)
    with pytest.raises(SnapshotExpired):
        open_snapshot(str(root), number=1)


def test_nothing_is_deleted_while_a_kept_manifest_cannot_be_read(root):
    snapshot = open_snapshot(str(root))
    (root / snapshot.state.partitions["month=2"].name).write_bytes(b"?")
    before = sample.files_of(root)
    with pytest.raises(ArchiveDamaged, match="nothing is deleted"):
        collect(root)
    assert sample.files_of(root) == before


def test_many_names_are_condemned_in_commits_that_fit(root, monkeypatch):
    monkeypatch.setattr(gc, "_CONDEMN_BYTES", 90)
    done = collect(root)
    assert len(done.commits) == 3
    assert verify(str(root), decode=sample.decode).ok


def test_a_commit_in_between_takes_its_objects_back(root, monkeypatch):
    """gc worked out its list; before its commit another writer made one of the objects reachable."""
    archive = open_archive(str(root))
    state = read_state(archive)
    proposal = sample.stage_partition(archive, sample.stage_shared(archive, state), "month=7")
    real, done = gc.append, []

    def late(opened, build, **more):
        if not done:
            done.append(sample.commit.append(archive, lambda _: proposal, op_key="k", since=state.head, writer="w"))
        return real(opened, build, **more)

    monkeypatch.setattr(gc, "append", late)
    collect(root)
    report = verify(str(root), decode=sample.decode)
    assert (report.ok, report.decoded) == (True, 4)


def test_a_dry_run_changes_nothing(root):
    before = {path: path.read_bytes() for path in sample.files_of(root)}
    assert len(gc.find(at(root, 30), NONE).all) == 3
    assert {path: path.read_bytes() for path in sample.files_of(root)} == before


def test_a_faded_partition_keeps_what_it_shares(root):
    archive = open_archive(str(root))
    state = read_state(archive)
    manifest = Snapshot(archive, state).manifest("month=2")
    proposal = retire.stage_faded(archive, [retire.Fading(manifest, "d" * 64)], kept={"latents"})
    report = stage.put_report(archive, {})
    retire.commit_faded(archive, state, proposal, report=report, reason="", only_copy=False, writer="w")
    collect(root)
    faded = open_snapshot(str(root))
    assert [layer.layer for layer in faded.manifest("month=2").layers] == ["latents"]
    assert len(list(faded.payloads(faded.manifest("month=2"), "latents"))) == 2
    assert not (root / manifest.layers[1].file.name).exists()
    assert retire.bounded_digest(faded.manifest("month=2")) == manifest.digest
    assert verify(str(root)).ok
