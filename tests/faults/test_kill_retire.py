"""gc, drop, fade and expire killed with SIGKILL before every single step: the next run finishes what was begun.

After every case the archive opens, whatever was committed before decodes to the same digest, no original is gone that
the archive does not hold, and running the same again ends as if it had run once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ae_core.archive import expire, gc, retire, stage
from ae_core.archive.log import Archive, open_archive, read_log, read_state
from ae_core.archive.originals import Intent, Original
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.store import LocalStore
from ae_core.archive.verify import Decoded, verify
from ae_core.lake import file_version
from ae_core.originals import LocalOriginals
from tests.counted import counted
from tests.faults import archive_sample as sample

Step = Callable[[str], None]
NONE = gc.Retention(snapshots=1, days=0, orphan_days=0)
LAKE_FILES = ("month=2/part-0.parquet", "month=2/part-1.parquet", "month=10/part-0.parquet")


@dataclass(frozen=True)
class Place:
    """An archive, and the lake whose partitions month=2 and month=10 it holds."""

    root: Path

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    def open(self, step: Step | None = None) -> Archive:
        return open_archive(str(self.archive), store=LocalStore(self.archive, step))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("template"))
    sample.make(place.archive)
    for name in LAKE_FILES:
        path = place.lake / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return place


def prepare(template: Place, root: Path) -> Place:
    """A copy that may be changed."""
    shutil.copytree(template.root, root, dirs_exist_ok=True)
    return Place(root)


def collect(place: Place, step: Step) -> None:
    gc.collect(place.open(step), NONE, writer="w")


def drop(place: Place, step: Step) -> None:
    archive = place.open(step)
    state = read_state(archive)
    gone = [pid for pid in ("month=1", "month=10") if pid in state.partitions]
    if gone:
        retire.drop(archive, state, gone, reason="why", only_copy=False, writer="w")


def fade(place: Place, step: Step) -> None:
    archive = place.open(step)
    state = read_state(archive)
    manifest = Snapshot(archive, state).manifest("month=2")
    if manifest.layer("residuals") is None:
        return
    proposal = retire.stage_faded(archive, [retire.Fading(manifest, "f" * 64)], kept={"latents"})
    report = stage.put_report(archive, {"faded": ["month=2"]})
    retire.commit_faded(archive, state, proposal, report=report, reason="", only_copy=False, writer="w")


def expire_originals(place: Place, step: Step) -> None:
    """Intents where there are none, then as far as it goes; the waits are over at once."""
    archive = place.open(step)
    state = read_state(archive)
    due = [pid for pid in ("month=2", "month=10") if pid not in state.only_copies]
    if due:
        intents = [_intent(place, state.partitions[pid].sha256, pid) for pid in due]
        expire.intend(archive, state, intents, report=None, writer="w")
    originals = LocalOriginals(place.lake, 0, step)
    for pid, held in sorted(read_state(archive).only_copies.items()):
        if held.open:
            expire.carry_out(archive, pid, originals, replica=None, writer="w")


def _intent(place: Place, manifest: str, pid: str) -> Intent:
    files = []
    for name in LAKE_FILES:
        if name.startswith(f"{pid}/"):
            size, token = file_version(place.lake / name)
            files.append(Original(name, size, token, hashlib.sha256(name.encode()).hexdigest()))
    return Intent(pid, manifest, str(place.lake), tuple(files))


def killed_at(place: Place, work: Callable[[Place, Step], None], step: int) -> bool:
    """Whether the work, in a process of its own, was killed before its step number `step`; False if it ended before."""
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
            work(place, hook)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def check_whole(place: Place) -> None:
    """The archive opens and decodes, and what is gone from the lake is in it."""
    report = verify(str(place.archive), decode=_decode)
    assert report.ok, report.findings
    state = read_state(place.open())
    for name in LAKE_FILES:
        pid = name.split("/")[0]
        if not (place.lake / name).exists():
            assert pid in state.only_copies
            assert list(sample.read_blocks(open_snapshot(str(place.archive)), pid)) == sample.blocks_of(pid, 0)


def _decode(snapshot, partitions):
    for pid in partitions:
        manifest = snapshot.manifest(pid)
        faded = manifest.layer("residuals") is None
        yield from [Decoded(pid, manifest.digest)] if faded else sample.decode(snapshot, [pid])


@pytest.mark.usefixtures("without_sync")
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=[pytest.mark.full, pytest.mark.ci])])
@pytest.mark.parametrize("work", [collect, drop, fade, expire_originals])
def test_kill_9_before_every_step(stride, template, tmp_path, work):
    step = 0
    while True:
        place = prepare(template, tmp_path / str(step))
        was_killed = killed_at(place, work, step)
        check_whole(place)
        work(place, lambda _: None)
        if work is not collect:
            collect(place, lambda _: None)  # whatever was left over is only a leftover
        check_whole(place)
        check_done(place, work)
        if not was_killed:
            break
        step += stride
    counted(f"{work.__name__}: killed before {step // stride} of {step} steps, finished by the next run every time")
    assert step > 5


def check_done(place: Place, work: Callable[[Place, Step], None]) -> None:
    """What a run that nobody killed leaves behind."""
    state = read_state(place.open())
    listed = {entry.name for entry in place.open().store.list("") if not entry.name.startswith("_tmp/")}
    assert not state.condemned & listed
    assert verify(str(place.archive)).orphans <= 1  # a write that was stopped, in _tmp
    if work is drop:
        assert set(state.partitions) == {"month=2"}
    if work is fade:
        manifest = open_snapshot(str(place.archive)).manifest("month=2")
        assert [layer.layer for layer in manifest.layers] == ["latents"]
    if work is expire_originals:
        fates = {path: fate for held in state.only_copies.values() for path, fate in held.expired.fates}
        assert fates == dict.fromkeys(LAKE_FILES, "deleted")
        assert not any((place.lake / name).exists() for name in LAKE_FILES)
        assert not list(place.lake.rglob("*.original"))


@pytest.mark.usefixtures("without_sync")
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=[pytest.mark.full, pytest.mark.ci])])
def test_a_file_that_changes_while_an_expiry_is_half_done_is_kept(stride, template, tmp_path):
    """Killed before every step; then one of the files that are left is edited, in the same size and time."""
    step = 0
    kept = 0
    while True:
        place = prepare(template, tmp_path / str(step))
        was_killed = killed_at(place, expire_originals, step)
        left = [name for name in LAKE_FILES if (place.lake / name).exists()]
        if left and read_state(place.open()).only_copies:
            path = place.lake / left[0]
            status = path.stat()
            path.write_bytes(b"x" * status.st_size)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            expire_originals(place, lambda _: None)
            fates = {
                path: fate
                for logged in read_log(place.open())
                for ended in logged.commit.expired
                for path, fate in ended.fates
            }
            assert fates.pop(left[0]) == "changed"
            assert path.read_bytes() == b"x" * status.st_size
            assert set(fates.values()) <= {"deleted"}
            kept += 1
        if not was_killed:
            break
        step += stride
    counted(f"a file was edited at {kept} of {step // stride} points of an expiry, and kept at each")
    assert kept > 10 // stride


def test_an_archive_that_is_dropped_or_damaged_in_between_gives_nothing_up(template, tmp_path):
    """F7 and F20: between intent and deletion the archive loses what it held."""
    place = prepare(template, tmp_path)
    archive = place.open()
    state = read_state(archive)
    intents = [_intent(place, state.partitions[pid].sha256, pid) for pid in ("month=2", "month=10")]
    expire.intend(archive, state, intents, report=None, writer="w")
    retire.drop(archive, read_state(archive), ["month=10"], reason="given up", only_copy=True, writer="w")
    folder = place.archive / state.partitions["month=2"].name.rsplit("/", 1)[0]
    (folder / "residuals.parquet").unlink()
    originals = LocalOriginals(place.lake, 0)
    done = expire.carry_out(archive, "month=2", originals, replica=None, writer="w")
    assert {fate for _, fate in done.fates} == {"kept"}
    assert "missing" in done.problem
    assert all((place.lake / name).exists() for name in LAKE_FILES)
    assert not read_state(archive).only_copies


def test_a_replica_that_is_behind_keeps_the_originals(template, tmp_path):
    place = prepare(template, tmp_path)
    archive = place.open()
    state = read_state(archive)
    expire.intend(
        archive, state, [_intent(place, state.partitions["month=2"].sha256, "month=2")], report=None, writer="w"
    )
    other = sample.make(tmp_path / "other")
    done = expire.carry_out(archive, "month=2", LocalOriginals(place.lake, 0), replica=replace(other), writer="w")
    assert "replica" in done.problem
    assert all((place.lake / name).exists() for name in LAKE_FILES)
