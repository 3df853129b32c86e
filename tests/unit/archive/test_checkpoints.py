"""Checkpoints: what is read through one is what the commits say, and nothing depends on one."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ae_core.archive import commit, log
from ae_core.archive import state as states
from ae_core.archive.log import Archive, commits_after, read_log, read_state
from ae_core.archive.names import commit_name
from ae_core.archive.state import State, advance
from ae_core.archive.store import LocalStore
from ae_core.archive.verify import verify
from ae_core.errors import Corrupt, UsageError
from tests.faults import archive_sample as sample
from tests.faults import large_archive


class Counting(LocalStore):
    """A store that counts what is read."""

    names: list[str]

    def read(self, name: str, limit: int) -> bytes | None:
        self.names.append(name)
        return super().read(name, limit)


def counting(root: Path) -> tuple[Archive, Counting]:
    store = Counting(root)
    store.names = []
    archive = log.open_archive(str(root), store=store)
    store.names.clear()
    return archive, store


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint every four commits, and none read that is not needed."""
    monkeypatch.setattr(states, "CHECKPOINT_EVERY", 4)
    monkeypatch.setattr(log, "READERS", 1)


def same(found: State, wanted: State) -> bool:
    """`recent` says only what was read one by one."""
    return replace(found, recent=()) == replace(wanted, recent=())


def from_the_start(archive: Archive, number: int | None = None) -> State:
    return advance(State(), read_log(archive, number=number))


def written(root: Path, count: int) -> Archive:
    archive = commit.create_archive(str(root), writer=sample.WRITER)
    for index in range(count):
        sample.write(archive, [f"month={index % 7}"], version=index)
    return archive


@pytest.mark.usefixtures("often")
def test_the_state_of_every_commit_is_that_of_the_whole_log(tmp_path):
    written(tmp_path / "a", 23)
    archive, store = counting(tmp_path / "a")
    for number in range(23):
        assert same(read_state(archive, number=number), from_the_start(archive, number))
    assert same(read_state(archive), from_the_start(archive))
    store.names.clear()
    state = read_state(archive)
    assert len(set(store.names)) <= 6  # the commits after the checkpoint, and the one that is not there yet
    assert state.checkpoint is not None
    assert [one.commit.number for one in commits_after(archive, state, 2)] == list(range(3, 23))
    assert [one.commit.number for one in commits_after(archive, state, 21)] == [22]
    assert commits_after(archive, state, 22) == ()
    assert same(read_state(archive, known=read_state(archive, number=9)), state)
    report = verify(str(tmp_path / "a"), decode=sample.decode)
    assert report.ok
    assert report.orphans == 0
    with pytest.raises(UsageError, match="the newest is 22"):
        read_state(archive, number=23)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_lost_checkpoint_costs_time_alone_and_is_named(tmp_path, damage):
    archive = written(tmp_path / "a", 10)
    wanted = from_the_start(archive)
    victim = tmp_path / "a" / wanted.checkpoint.name
    data = victim.read_bytes()
    victim.unlink()
    if damage != "missing":
        victim.write_bytes(data[:-1] if damage == "cut" else data.replace(b"month", b"minth", 1))
    assert same(read_state(archive), wanted)
    assert [finding.name for finding in verify(str(tmp_path / "a")).findings] == [wanted.checkpoint.name]
    sample.write(archive, ["month=1"], version=99)  # and writers go on


@pytest.mark.usefixtures("often")
def test_a_commit_that_is_missing_behind_a_checkpoint_is_found_by_verify(tmp_path):
    archive = written(tmp_path / "a", 10)
    (tmp_path / "a" / commit_name(1)).unlink()
    assert read_state(archive).head == 9
    assert commit_name(1) in {finding.name for finding in verify(str(tmp_path / "a")).findings}
    (tmp_path / "a" / commit_name(9)).write_bytes(b"{}")
    with pytest.raises(Corrupt):
        read_state(archive)


@pytest.mark.usefixtures("often")
def test_a_checkpoint_of_another_archive_or_commit_is_not_taken(tmp_path):
    archive = written(tmp_path / "a", 6)
    state = read_state(archive)
    data = (tmp_path / "a" / state.checkpoint.name).read_bytes()
    for field, value in (("archive", "0" * 32), ("number", 2), ("partitions", [["month=1"]]), ("format", "0")):
        changed = json.dumps({**json.loads(data), field: value}).encode()
        with pytest.raises(Corrupt):
            states.read_checkpoint(changed, state.checkpoint, archive.marker.archive)
    assert states.read_checkpoint(data, state.checkpoint, archive.marker.archive).head == state.covered


def test_50000_partitions_open_in_two_seconds(tmp_path):
    """The target of the design; seconds of the processor, for the machine may do other things meanwhile."""
    large_archive.make(tmp_path / "a", 50_000, batch=40)
    archive, store = counting(tmp_path / "a")
    seconds = []
    for _ in range(3):
        store.names.clear()
        start = time.process_time()
        state = read_state(archive)
        seconds.append(time.process_time() - start)
    print(f"{len(state.partitions)} partitions, {state.head + 1} commits: opened in {min(seconds):.2f} s")
    assert len(state.partitions) == 50_000
    assert len(set(store.names)) <= states.CHECKPOINT_AT_MOST + 1
    assert min(seconds) < 2


@pytest.mark.full
@pytest.mark.ci
def test_8000_commits_open_in_two_seconds(tmp_path):
    """Six partitions a commit, as `compress` leaves them; the checkpoints that are not condemned weigh little."""
    large_archive.make(tmp_path / "a", 50_000, batch=6)
    archive, _ = counting(tmp_path / "a")
    start = time.process_time()
    state = read_state(archive)
    seconds = time.process_time() - start
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "a" / "_checkpoints").iterdir()}
    print(f"{state.head + 1} commits opened in {seconds:.2f} s; {len(sizes)} checkpoints, {sum(sizes.values())} bytes")
    assert seconds < 2
    assert same(state, from_the_start(archive))
    assert len(sizes) - sum(name.startswith("_checkpoints/") for name in state.condemned) == 1
