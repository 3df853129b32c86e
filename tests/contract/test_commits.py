"""The commit protocol on every store: no commit is lost or made twice, whatever several processes do at once."""

from __future__ import annotations

import multiprocessing

import pytest

from ae_core.archive import commit
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.names import COMMITS
from ae_core.archive.objects import ObjectStore
from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import verify
from ae_core.errors import CommitConflict, OutputExists, UsageError
from ae_core.remote.places import locate
from tests.contract.conftest import EVERY, FULL, REMOTE, kinds
from tests.faults import archive_sample as sample

FRESH = multiprocessing.get_context("spawn")  # no event loop of this process is shared
WRITERS, COMMITS_EACH = 4, 3


def _commit_many(url: str, writer: int) -> None:
    archive = open_archive(url)
    for index in range(COMMITS_EACH):
        sample.write(archive, [f"w{writer}/n{index}"])


@pytest.mark.full  # the local disk has its own test, with eight
@pytest.mark.parametrize("ground", [*kinds(*FULL), "moto"], indirect=True)
def test_writers_in_processes_of_their_own_lose_no_commit(ground):
    url = ground.url("archive")
    commit.create_archive(url, writer=sample.WRITER)
    children = [FRESH.Process(target=_commit_many, args=(url, writer)) for writer in range(WRITERS)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * WRITERS
    report = verify(url, decode=sample.decode)
    assert report.ok, report.findings
    total = WRITERS * COMMITS_EACH
    assert (report.head, report.partitions, report.decoded) == (total - 1, total, total)


@pytest.mark.parametrize("ground", EVERY, indirect=True)
def test_two_writers_of_one_partition_one_loses_cleanly(ground):
    url = ground.url("archive")
    archive = commit.create_archive(url, writer=sample.WRITER)
    state = read_state(archive)
    staged = [sample.stage_partition(archive, sample.stage_shared(archive, state), "month=1", v) for v in (0, 1)]
    commit.append(archive, lambda _: staged[0], op_key="a", since=state.head, writer="one")
    with pytest.raises(CommitConflict, match="month=1"):
        commit.append(archive, lambda _: staged[1], op_key="b", since=state.head, writer="two")
    again = commit.append(archive, lambda _: staged[0], op_key="a", since=state.head, writer="one")
    assert (again.number, again.again) == (0, True)
    assert list(sample.read_blocks(open_snapshot(url), "month=1")) == sample.blocks_of("month=1", 0)
    assert verify(url).ok


@pytest.mark.parametrize("ground", EVERY, indirect=True)
def test_an_archive_is_made_once_and_in_an_empty_place(ground):
    url = ground.url("archive")
    with pytest.raises(UsageError, match="no archive"):
        open_archive(url)
    commit.create_archive(url, writer=sample.WRITER)
    with pytest.raises(OutputExists):
        commit.create_archive(url, writer=sample.WRITER)


@pytest.mark.parametrize("ground", REMOTE, indirect=True)
def test_a_stale_listing_hides_no_commit(ground):
    """F9: the head is found by asking for the next number, whatever a listing says."""

    class Stale(ObjectStore):
        def list(self, prefix):
            return iter(()) if prefix == COMMITS else super().list(prefix)

    archive = commit.create_archive(ground.url("archive"), writer=sample.WRITER)
    sample.write(archive, ["month=1"])
    stale = Stale(locate(ground.url("archive")))
    assert open_snapshot(ground.url("archive"), store=stale).partitions == ("month=1",)
    assert sample.write(open_archive("", store=stale), ["month=2"]).number == 1
    assert verify(ground.url("archive"), store=stale, decode=sample.decode).head == 1
