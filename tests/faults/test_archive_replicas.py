"""Replicas and repairs: killed anywhere they are finished by the next run, and every kind of damage is put back."""

from __future__ import annotations

import os
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ae_core.archive import commit, gc
from ae_core.archive import state as states
from ae_core.archive.contract import PIECE
from ae_core.archive.copy import copy_archive
from ae_core.archive.format import ObjectRef
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.names import commit_name
from ae_core.archive.reader import open_snapshot
from ae_core.archive.repair import put_back, repair_log, repair_objects
from ae_core.archive.store import LocalStore
from ae_core.archive.verify import verify
from ae_core.errors import Corrupt, DataWouldBeLost, OutputExists, StoreUnsafe, UsageError
from tests.counted import counted
from tests.faults import archive_sample as sample

COMMITS = 3  # of `sample.make`


def contents(root: Path) -> dict[str, bytes]:
    """Every object but unfinished writes."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sample.files_of(root)}
    return {name: data for name, data in files.items() if not name.startswith("_tmp/")}


def repair(root: Path, replica: Path | None = None, step: Callable[[str], None] | None = None) -> list[str]:
    """What `verify --mend` or `--repair-from` does, through a store that can be stopped."""
    store, other = LocalStore(root, step), None if replica is None else LocalStore(replica)
    log = [] if other is None else repair_log(store, other)
    return [one.name for one in [*log, *repair_objects(store, verify(str(root)).findings, replica=other)]]


def killed_at(step: int, act: Callable[[Callable[[str], None]], object]) -> bool:
    """Whether `act` was killed, without warning, before its store step number `step`."""
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
            act(hook)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive") / "a"
    sample.make(root)
    return root


@pytest.fixture(scope="module")
def replica(archive: Path) -> Path:
    root = archive.with_name("replica")
    copy_archive(str(archive), str(root))
    return root


def test_a_replica_is_equal_byte_for_byte(archive, replica):
    assert contents(replica) == contents(archive)
    done = copy_archive(str(archive), str(replica))
    assert (done.head, done.commits, done.objects) == (COMMITS - 1, 0, 0)
    assert verify(str(replica), decode=sample.decode).head_sha256 == done.head_sha256


def test_a_replica_is_advanced(archive, tmp_path):
    mine, other = tmp_path / "a", tmp_path / "r"
    shutil.copytree(archive, mine)
    copy_archive(str(mine), str(other))
    sample.write(open_archive(str(mine)), ["month=3"])
    sample.write(open_archive(str(mine)), ["month=2"], version=1)
    done = copy_archive(str(mine), str(other))
    assert done.commits == 2
    assert contents(other) == contents(mine)


@pytest.mark.usefixtures("without_sync")
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=[pytest.mark.full, pytest.mark.ci])])
def test_kill_9_at_every_step_of_a_copy(stride, tmp_path):
    """The replica opens at every moment, what it shows decodes, and the next run finishes it."""
    source = commit.create_archive(str(tmp_path / "a"), writer=sample.WRITER)
    for version in range(2):
        sample.write(source, ["month=1"], version=version)
    archive = tmp_path / "a"
    step = heads = 0
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        dead = killed_at(
            step,
            lambda hook, root=root: copy_archive(str(archive), str(root), threads=1, target=LocalStore(root, hook)),
        )
        if dead and (root / "latentlake.json").exists():
            report = verify(str(root), decode=sample.decode)
            assert report.ok, (step, report.findings)
            heads += report.head >= 0
        copy_archive(str(archive), str(root))
        assert contents(root) == contents(archive), step
        shutil.rmtree(root)
        if not dead:
            break
        step += stride
    counted(f"{step // stride} of {step} kill points of a copy, {heads} of them with a head")
    assert step > 60
    assert heads > 15 // stride


def test_a_replica_with_a_history_of_its_own_is_refused(archive, tmp_path):
    mine, other, third = tmp_path / "a", tmp_path / "r", tmp_path / "third"
    shutil.copytree(archive, mine)
    copy_archive(str(mine), str(other))
    sample.write(open_archive(str(other)), ["month=3"])
    with pytest.raises(DataWouldBeLost, match="is ahead"):
        copy_archive(str(mine), str(other))
    sample.write(open_archive(str(mine)), ["month=4"])
    before = contents(other)
    with pytest.raises(DataWouldBeLost, match="history of its own"):
        copy_archive(str(mine), str(other))
    assert contents(other) == before
    commit.create_archive(str(third), writer=sample.WRITER)
    with pytest.raises(DataWouldBeLost, match="another archive"):
        copy_archive(str(mine), str(third))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(OutputExists):
        copy_archive(str(mine), str(tmp_path / "full"))


def test_a_damaged_source_is_not_copied_and_a_twin_stands_in(archive, tmp_path):
    mine = tmp_path / "a"
    shutil.copytree(archive, mine)
    next(mine.glob("models/*/object")).write_bytes(b"x")
    copy_archive(str(mine), str(tmp_path / "r"))
    assert contents(tmp_path / "r") == contents(archive)
    victim = next(mine.glob("partitions/month=10/*/residuals.parquet"))
    victim.write_bytes(b"x")
    with pytest.raises(Corrupt, match="residuals"):
        copy_archive(str(mine), str(tmp_path / "s"))
    assert verify(str(tmp_path / "s"), decode=sample.decode).ok  # the commits before it
    assert open_snapshot(str(tmp_path / "s")).number == 0


def test_what_a_source_has_given_up_is_not_missed(archive, tmp_path):
    mine = tmp_path / "a"
    shutil.copytree(archive, mine)
    gc.collect(open_archive(str(mine)), gc.Retention(snapshots=1, days=0, orphan_days=0), writer="gc")
    copy_archive(str(mine), str(tmp_path / "r"))
    assert contents(tmp_path / "r") == contents(mine)
    assert verify(str(tmp_path / "r"), decode=sample.decode).ok


def test_objects_that_an_interrupted_copy_left_damaged_are_stored_anew(archive, tmp_path):
    root = tmp_path / "r"
    copy_archive(str(archive), str(root))
    for number in range(COMMITS):
        (root / commit_name(number)).unlink()
    for path in root.glob("partitions/*/*/*"):
        path.write_bytes(b"cut")
    copy_archive(str(archive), str(root))
    assert contents(root) == contents(archive)


def damaged(archive: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Each file in turn, in one copy that is whole apart from it."""
    root = tmp_path / "copy"
    shutil.copytree(archive, root)
    for path in sample.files_of(root):
        if path.parent.name != "_seen":
            yield root, path


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "swapped", "link"])
def test_every_file_is_put_back_from_a_replica(archive, replica, tmp_path, damage):
    wanted = contents(archive)
    for root, path in damaged(archive, tmp_path):
        name = path.relative_to(root).as_posix()
        data = path.read_bytes()
        path.unlink()
        if damage == "link":
            path.symlink_to(archive / name)
        elif damage != "missing":
            other = next(one for one in sample.files_of(root) if one != path and one.stat().st_size)
            flipped = bytes([data[0] ^ 1]) + data[1:]
            path.write_bytes({"cut": data[: len(data) // 2], "flipped": flipped, "swapped": other.read_bytes()}[damage])
        assert name in repair(root, replica)
        assert contents(root) == wanted
        assert not path.is_symlink()


def test_everything_lost_at_once_is_put_back(archive, replica, tmp_path):
    """All that is left is one commit: by it the replica is known to be one of this archive."""
    root = tmp_path / "a"
    shutil.copytree(archive, root)
    for path in sample.files_of(root):
        if path.name != "00000000000000000001.json" and path.parent.name != "_seen":
            path.write_bytes(b"") if path.stat().st_size % 2 else path.unlink()
    repair(root, replica)
    assert contents(root) == contents(archive)


def test_a_stranger_is_no_replica(archive, tmp_path):
    mine, other = tmp_path / "a", tmp_path / "other"
    shutil.copytree(archive, mine)
    sample.make(other)
    (mine / commit_name(1)).unlink()
    with pytest.raises(UsageError, match="is not a replica"):
        repair(mine, other)


def test_a_diverged_replica_gives_back_what_both_have_and_no_more(archive, tmp_path):
    """Its later commits are another history; taking them would undo what was acknowledged here."""
    mine, other = tmp_path / "a", tmp_path / "r"
    shutil.copytree(archive, mine)
    copy_archive(str(mine), str(other))
    sample.write(open_archive(str(mine)), ["month=3"])
    sample.write(open_archive(str(other)), ["month=4"])
    wanted = contents(mine)
    (mine / commit_name(0)).write_bytes(b"x")
    (mine / commit_name(COMMITS)).unlink()
    assert repair(mine, other) == [commit_name(0)]
    del wanted[commit_name(COMMITS)]
    assert contents(mine) == wanted
    assert [finding.name for finding in verify(str(mine)).findings] == [commit_name(COMMITS)]


def test_a_commit_that_others_wrote_meanwhile_is_never_overwritten(archive, replica, tmp_path):
    """The newest commit went missing and a writer took its number: both are told apart, neither is lost by repair."""
    mine = tmp_path / "a"
    shutil.copytree(archive, mine)
    shutil.rmtree(mine / "_seen")
    newest = mine / commit_name(COMMITS - 1)
    newest.unlink()
    sample.write(open_archive(str(mine)), ["month=5"])
    before = newest.read_bytes()
    repair(mine, replica)
    assert newest.read_bytes() == before


@pytest.mark.parametrize("folder", ["models", "tables"])
def test_twins_mend_each_other(archive, tmp_path, folder):
    root = tmp_path / "a"
    shutil.copytree(archive, root)
    for twin in sorted(root.glob(f"{folder}/*/object")):
        for damage in (twin.unlink, lambda twin=twin: twin.write_bytes(b"x")):
            damage()
            assert repair(root) == [twin.relative_to(root).as_posix()]
            assert contents(root) == contents(archive)
    for twin in root.glob(f"{folder}/*/object"):
        twin.write_bytes(b"x")
    assert repair(root) == []
    assert len(verify(str(root)).findings) == 2


def test_a_checkpoint_is_made_again_from_the_commits(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "CHECKPOINT_EVERY", 3)
    archive = sample.make(tmp_path / "a")
    for version in range(5):
        sample.write(archive, ["month=2"], version=version + 10)
    wanted = contents(tmp_path / "a")
    name = read_state(archive).checkpoint.name
    (tmp_path / "a" / name).write_bytes(b"{}")
    assert repair(tmp_path / "a") == [name]
    assert contents(tmp_path / "a") == wanted


@pytest.mark.usefixtures("without_sync")
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=[pytest.mark.full, pytest.mark.ci])])
def test_kill_9_at_every_step_of_a_repair(stride, archive, replica, tmp_path):
    """Whatever the step, nothing that was whole is harmed, and the next run finishes the rest."""
    broken = tmp_path / "broken"
    shutil.copytree(archive, broken)
    (broken / commit_name(1)).unlink()
    (broken / commit_name(0)).write_bytes(b"x")
    next(broken.glob("models/*/object")).unlink()
    next(broken.glob("partitions/month=10/*/manifest.json.br")).write_bytes(b"x")
    next(broken.glob("partitions/month=2/*/residuals.parquet")).unlink()
    whole = {name for name, data in contents(broken).items() if data == contents(archive)[name]}
    step = 0
    while True:
        root = tmp_path / str(step)
        shutil.copytree(broken, root)
        dead = killed_at(step, lambda hook, root=root: repair(root, replica, hook))
        found = contents(root)
        assert all(found[name] == contents(archive)[name] for name in whole)
        assert set(found.values()) <= set(contents(archive).values()) | {b"x"}  # never a third thing
        repair(root, replica)
        assert contents(root) == contents(archive), step
        shutil.rmtree(root)
        if not dead:
            break
        step += stride
    counted(f"{step // stride} of {step} kill points of a repair")
    assert step > 30


def test_an_object_of_any_size_is_put_back_in_little_memory(tmp_path):
    """Copy and repair move pieces; one that differs at its very end is noticed, and replaces nothing."""
    source, target = (LocalStore(tmp_path / name) for name in ("a", "b"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    size = 9 * PIECE + 7
    with (tmp_path / "a" / "big").open("wb") as file:
        file.truncate(size)
    ref = ObjectRef("big", size, source.digest("big")[1])
    tracemalloc.start()
    put_back(target, ref, source.pieces("big", size, ref.sha256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * PIECE
    with (tmp_path / "a" / "big").open("r+b") as file:
        file.seek(size - 1)
        file.write(b"x")
    with pytest.raises(Corrupt, match="big: SHA-256"):
        put_back(target, ref, source.pieces("big", size, ref.sha256))
    assert target.digest("big") == (size, ref.sha256)
    assert not list(tmp_path.glob("b/_tmp/*"))


def test_a_full_disk_stops_a_repair_and_leaves_what_was_there(archive, replica, tmp_path, monkeypatch):
    root = tmp_path / "a"
    shutil.copytree(archive, root)
    victim = next(root.glob("partitions/month=2/*/residuals.parquet"))
    victim.write_bytes(b"x")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnsafe, match="No space left"):
            repair(root, replica)
    assert victim.read_bytes() == b"x"
    assert not list(root.glob("_tmp/*"))
    repair(root, replica)
    assert contents(root) == contents(archive)
