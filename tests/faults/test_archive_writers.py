"""Writers that are killed or race each other: the archive always opens, and what was acknowledged stays."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from ae_core.archive import commit, log, stage
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.reader import open_snapshot
from ae_core.archive.store import LocalStore
from ae_core.archive.verify import verify
from ae_core.errors import CommitConflict, StoreUnsafe
from tests.counted import counted
from tests.faults import archive_sample as sample

# A fresh interpreter each: a fork of a test process that has run flows inherits their locks.
FRESH = multiprocessing.get_context("spawn")


def run_killed_at(root: Path, step: int) -> int | None:
    """Exit code of a writer that is killed before its store step number `step`; None if it was killed."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(_: str) -> None:
            nonlocal count
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        code = 9
        try:
            sample.write(open_archive(str(root), store=LocalStore(root, hook)), ["month=3"], op_key="k" * 64)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


@pytest.mark.usefixtures("without_sync")
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=[pytest.mark.full, pytest.mark.ci])])
def test_kill_9_before_every_store_step(stride, tmp_path):
    """Whatever the step, the old snapshot or the new one is there, whole, and the next run finishes the rest."""
    step = 0
    while True:
        root = tmp_path / str(step)
        archive = commit.create_archive(str(root), writer=sample.WRITER)
        sample.write(archive, ["month=1"])
        outcome = run_killed_at(root, step)
        report = verify(str(root), decode=sample.decode)
        assert report.ok, (step, report.findings)
        assert report.partitions in ((1, 2) if outcome is None else (2,))
        again = sample.write(open_archive(str(root)), ["month=3"], op_key="k" * 64)
        assert again.number == 1
        assert open_snapshot(str(root)).partitions == ("month=1", "month=3")
        assert verify(str(root), decode=sample.decode).ok
        if outcome == 0:
            break
        step += stride
    counted(f"{step // stride} of {step} kill points")
    assert step >= 40


@pytest.mark.parametrize("limit", [100, 400, 700, 1000])
def test_a_full_disk_names_the_place_and_leaves_the_archive_whole(tmp_path, limit):
    """The largest file allowed shrinks, so that objects of every kind fail in turn; afterwards the run succeeds."""
    root = tmp_path / "a"
    sample.write(commit.create_archive(str(root), writer=sample.WRITER), ["month=1"])
    child = FRESH.Process(target=_write_with_limit, args=(str(root), limit))
    child.start()
    child.join()
    assert child.exitcode == 0
    report = verify(str(root), decode=sample.decode)
    assert report.ok
    assert report.partitions == 1
    assert not list(root.glob("_tmp/*"))
    sample.write(open_archive(str(root)), ["month=3"], op_key="k" * 64)
    assert verify(str(root), decode=sample.decode).ok


def _write_with_limit(root: str, limit: int) -> None:
    archive = open_archive(root)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(StoreUnsafe, match="could not be written"):
        sample.write(archive, ["month=3"], op_key="k" * 64)


def _commit_many(root: str, writer: int, count: int) -> None:
    archive = open_archive(root)
    for index in range(count):
        sample.write(archive, [f"w{writer}/n{index}"])


def test_eight_writers_at_once_lose_no_commit(tmp_path):
    root = tmp_path / "a"
    commit.create_archive(str(root), writer=sample.WRITER)
    children = [FRESH.Process(target=_commit_many, args=(str(root), writer, 4)) for writer in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 8
    report = verify(str(root), decode=sample.decode)
    assert report.ok
    assert (report.head, report.partitions, report.decoded) == (31, 32, 32)


def test_two_writers_of_one_partition_one_loses_cleanly(tmp_path):
    root = tmp_path / "a"
    archive = commit.create_archive(str(root), writer=sample.WRITER)
    state = read_state(archive)
    first = sample.stage_partition(archive, sample.stage_shared(archive, state), "month=1", 0)
    second = sample.stage_partition(archive, sample.stage_shared(archive, state), "month=1", 1)
    commit.append(archive, lambda _: first, op_key="a", since=state.head, writer="one")
    with pytest.raises(CommitConflict, match="month=1"):
        commit.append(archive, lambda _: second, op_key="b", since=state.head, writer="two")
    assert list(sample.read_blocks(open_snapshot(str(root)), "month=1")) == sample.blocks_of("month=1", 0)
    report = verify(str(root))
    assert report.ok
    assert report.orphans > 0


def test_a_condemned_object_is_never_referred_to_again(tmp_path):
    """A collector condemned what this writer had just uploaded or relied on: the writer gives up."""
    archive = commit.create_archive(str(tmp_path / "a"), writer=sample.WRITER)
    sample.write(archive, ["month=1"])
    state = read_state(archive)
    mine = sample.stage_partition(archive, sample.stage_shared(archive, state), "month=2")
    for name in (min(mine.names), mine.shared[0].names[1]):
        dead = stage.Proposal(condemned=(name,))
        commit.append(archive, lambda _, dead=dead: dead, op_key=name, since=read_state(archive).head, writer="gc")
        with pytest.raises(CommitConflict, match="given up"):
            commit.append(archive, lambda _: mine, op_key="c", since=state.head, writer="late")


def test_a_snapshot_stays_what_it_is_while_others_commit(tmp_path):
    root = tmp_path / "a"
    archive = sample.make(root)
    before = open_snapshot(str(root))
    sample.write(archive, ["month=2"], version=7)
    assert list(sample.read_blocks(before, "month=2")) == sample.blocks_of("month=2", 0)
    assert list(sample.read_blocks(open_snapshot(str(root)), "month=2")) == sample.blocks_of("month=2", 7)
    assert list(sample.read_blocks(open_snapshot(str(root), number=0), "month=1")) == sample.blocks_of("month=1", 0)


def test_a_reader_sees_whole_snapshots_during_commits(tmp_path):
    root = tmp_path / "a"
    archive = commit.create_archive(str(root), writer=sample.WRITER)
    sample.write(archive, ["month=1", "month=2"])
    child = FRESH.Process(target=_rewrite, args=(str(root), 12))
    child.start()
    while child.is_alive():
        snapshot = open_snapshot(str(root))
        for pid in ("month=1", "month=2"):
            assert list(sample.read_blocks(snapshot, pid)) == sample.blocks_of(pid, snapshot.number)
        time.sleep(0.002)
    child.join()
    assert child.exitcode == 0
    assert open_snapshot(str(root)).number == 12


def _rewrite(root: str, count: int) -> None:
    archive = open_archive(root)
    for version in range(1, count + 1):
        sample.write(archive, ["month=1", "month=2"], version=version)


def test_the_log_alone_is_read_for_what_is_new(tmp_path):
    archive = sample.make(tmp_path / "a")
    known = log.read_state(archive, number=0)
    assert log.read_state(archive, known=known) == log.read_state(archive)
