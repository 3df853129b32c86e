"""F8: a store that was proved to create once and starts to overwrite later stops whoever finds out, and says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from ae_core.archive import commit, stage
from ae_core.archive.log import Archive, open_archive, read_state
from ae_core.archive.names import COMMITS, commit_name
from ae_core.archive.reader import open_snapshot
from ae_core.archive.store import LocalStore
from ae_core.archive.verify import verify
from ae_core.errors import ArchiveDamaged, StoreUnsafe
from tests.faults import archive_sample as sample


class Turning(LocalStore):
    """Honest until `lies`; from then on commits overwrite what is there, and `created` says so each time."""

    lies = False

    def _publish(self, name: str, pieces: Iterable[bytes], *, replacing: bool = False) -> None:
        super()._publish(name, pieces, replacing=replacing or (self.lies and name.startswith(COMMITS)))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """One commit over month=1, by a store that is proved honest."""
    store = Turning(tmp_path)
    store.probe()
    archive = commit.create_archive(str(tmp_path), writer=sample.WRITER, store=store)
    sample.write(archive, ["month=1"])
    return archive


def staged(archive: Archive, pid: str) -> stage.Proposal:
    state = read_state(archive)
    return sample.stage_partition(archive, sample.stage_shared(archive, state), pid)


def write_beside(archive: Archive, pid: str, other: str) -> commit.Committed:
    """Commit `pid`, while another writer, from the same head, is acknowledged its commit of `other`."""
    proposal, first = staged(archive, pid), staged(archive, other)
    since = read_state(archive).head
    acknowledged = []

    def build(_state):
        if not acknowledged:
            acknowledged.append(commit.append(archive, lambda _: first, op_key="first", since=since, writer="first"))
        return proposal

    return commit.append(archive, build, op_key="second", since=since, writer="second")


def test_f08_an_honest_store_lets_the_second_writer_rebase(archive):
    assert write_beside(archive, "month=2", "month=3").number == 2


def test_f08_the_writer_that_overwrites_another_is_stopped(archive, tmp_path):
    """The first one's commit cannot come back; nobody is left to believe that it is there."""
    archive.store.lies = True
    with pytest.raises(StoreUnsafe, match="no longer honours create-if-absent"):
        write_beside(archive, "month=2", "month=3")
    with pytest.raises(StoreUnsafe, match="created again"):
        lying_probe(archive)
    report = verify(str(tmp_path), decode=sample.decode)
    assert [finding.name for finding in report.findings] == [commit_name(1)]
    assert "is not the commit that was acknowledged" in report.findings[0].detail
    # what was committed before is there, and on an honest store the next run completes
    assert list(sample.read_blocks(open_snapshot(str(tmp_path)), "month=1")) == sample.blocks_of("month=1", 0)
    again = sample.write(open_archive(str(tmp_path)), ["month=3"], op_key="first")
    assert (again.number, again.again) == (2, False)
    assert open_snapshot(str(tmp_path)).partitions == ("month=1", "month=2", "month=3")


def lying_probe(archive: Archive) -> None:
    """The probe of a run that begins now, on a store that overwrites everything."""

    class Lying(Turning):
        def _publish(self, name: str, pieces: Iterable[bytes], *, replacing: bool = False) -> None:
            LocalStore._publish(self, name, pieces, replacing=True)

    Lying(Path(archive.store.url)).probe()


def test_f08_the_writer_that_is_overwritten_before_it_reads_back_is_told(archive):
    """Between creating and reading back: the other's bytes are there."""
    archive.store.lies = True
    proposal = staged(archive, "month=2")
    real = archive.store.read

    def read(name, limit):
        if name == commit_name(1) and not overwritten:
            overwritten.append(name)
            (Path(archive.store.url) / name).write_bytes(b"another writer's commit")
        return real(name, limit)

    overwritten: list[str] = ["not yet"]
    archive.store.read = read
    create = archive.store.create

    def created(name, data):
        create(name, data)
        if name == commit_name(1):
            overwritten.clear()

    archive.store.create = created
    with pytest.raises(StoreUnsafe, match="was overwritten by another writer"):
        commit.append(archive, lambda _: proposal, op_key="k", since=0, writer="w")


def test_f08_nothing_is_written_over_a_commit_that_went_missing(archive, tmp_path):
    """A store that loses the newest commit, or answers with an old state for good: the number is not taken again."""
    sample.write(archive, ["month=2"])
    lost = (tmp_path / commit_name(1)).read_bytes()
    (tmp_path / commit_name(1)).unlink()
    with pytest.raises(ArchiveDamaged, match=r"0001\.json was there and is missing; nothing was written"):
        sample.write(archive, ["month=3"])
    assert not (tmp_path / commit_name(1)).exists()
    (tmp_path / commit_name(1)).write_bytes(lost)
    assert sample.write(archive, ["month=3"]).number == 2
    assert verify(str(tmp_path), decode=sample.decode).ok
