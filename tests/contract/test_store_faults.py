"""A proxy between writer and store: lost answers, errors, silence (F10), lies (F8), refusals (F11, F19)."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ae_core.archive import commit
from ae_core.archive.log import open_archive
from ae_core.archive.objects import ObjectStore
from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import verify
from ae_core.errors import CommitUnknown, StoreDenied, StoreUnreachable, StoreUnsafe
from ae_core.jobs.doctor import doctor
from ae_core.remote.objects import Patience
from ae_core.remote.places import locate
from tests.contract.conftest import EVERY, NIGHTLY, REMOTE, kinds
from tests.contract.proxy import Rule, proxy
from tests.faults import archive_sample as sample

SHORT = Patience(request=2.0, call=5.0, listing=5.0)
TINY = Patience(request=0.5, call=1.5, listing=1.5)
FOREVER = 1 << 30
FULL = [pytest.mark.full]

remote = pytest.mark.parametrize("ground", REMOTE, indirect=True)
nightly = pytest.mark.parametrize("ground", NIGHTLY, indirect=True)


@pytest.fixture
def broken(ground, using):
    """The ground's store through a proxy: profile `broken`; an archive with one commit lies there."""
    with proxy(ground.server.port) as between:
        using(ground.server, {"broken": ground.server.behind(between.port)})
        sample.write(commit.create_archive(ground.url("archive"), writer=sample.WRITER), ["month=1"])
        between.url = ground.url("archive").replace(f"{ground.kind}://", "broken://")
        between.store = ObjectStore(locate(between.url), SHORT)
        yield between


def puts_commit(method: str, target: str) -> bool:
    return method == "PUT" and "_commits" in target


def writes(method: str, target: str) -> bool:
    return method == "PUT" or (method == "POST" and "upload" in target) or (method == "DELETE")


def rule_for(kind: str, fault: str, times: int = 1) -> Rule:
    """A rule for the PUT of commit 1; GCS names an object in the body, so there the uploads are counted."""
    if kind != "fakegcs":
        return Rule(fault, puts_commit, times)
    seen = 0

    def picks(method: str, target: str) -> bool:
        nonlocal seen
        seen += method == "POST" and "upload" in target
        return seen > UPLOADS_BEFORE_COMMIT and method == "POST" and "upload" in target

    return Rule(fault, picks, times)


UPLOADS_BEFORE_COMMIT = 4
"""Objects that `sample.write` stages before it commits to an archive whose model and table are held already."""


def write(between, deadline: float = 12.0) -> commit.Committed:
    """Commit month=2 through the proxy, with little patience."""
    archive = open_archive(between.url, store=between.store)
    state = commit.read_state(archive)
    proposal = sample.stage_partition(archive, sample.stage_shared(archive, state), "month=2")
    proposal = proposal + sample.stage.Proposal(report=sample.stage.put_report(archive, {"verified": ["month=2"]}))
    return commit.append(
        archive, lambda _: proposal, op_key="k" * 64, since=state.head, writer="test", deadline=deadline
    )


def check_after(ground, head: int) -> None:
    """What was acknowledged is there once, everything opens, and the next run finishes."""
    report = verify(ground.url("archive"), decode=sample.decode)
    assert report.ok, report.findings
    assert report.head == head
    again = sample.write(open_archive(ground.url("archive")), ["month=2"], op_key="k" * 64)
    assert (again.number, again.again) == (1, head == 1)
    assert open_snapshot(ground.url("archive")).partitions == ("month=1", "month=2")
    assert verify(ground.url("archive"), decode=sample.decode).ok


@remote
def test_a_commit_whose_answer_was_lost_is_our_own(ground, broken):
    """It was carried out: it is recognised, and not made twice."""
    broken.rule = rule_for(ground.kind, "lost")
    assert write(broken).number == 1
    assert broken.rule.hits == 1
    check_after(ground, 1)


@nightly
@pytest.mark.parametrize("fault", ["hang", *(pytest.param(one, marks=FULL) for one in ("reset", "busy", "swallow"))])
def test_a_request_that_fails_once_is_made_good(ground, broken, fault):
    """Carried out and never answered, reset, refused as too busy, never answered and not carried out."""
    broken.rule = rule_for(ground.kind, fault)
    done = write(broken)
    assert broken.rule.hits == 1
    assert done.number == 1
    check_after(ground, 1)


@pytest.mark.parametrize("ground", ["moto"], indirect=True)
def test_a_conflict_that_names_nobody_is_asked_again(ground, broken):
    """S3 answers 409 where two requests meet; the same number is free afterwards."""
    broken.rule = rule_for(ground.kind, "conflict")
    assert write(broken).number == 1
    assert broken.rule.hits == 1
    check_after(ground, 1)


@nightly
@pytest.mark.parametrize("fault", ["swallow", pytest.param("busy", marks=FULL)])
def test_a_store_that_stays_silent_ends_as_unknown_in_time(ground, broken, fault):
    broken.rule = rule_for(ground.kind, fault, FOREVER)
    start = time.monotonic()
    with pytest.raises(CommitUnknown, match=f"landed is unknown.*operation {'k' * 64}"):
        write(broken, deadline=1.0)
    assert time.monotonic() - start < 25
    check_after(ground, 0)


@nightly
def test_a_store_that_answers_nothing_at_all_is_given_up_in_time(ground, broken):
    broken.rule = Rule("swallow", lambda *_: True, FOREVER)
    store = ObjectStore(locate(broken.url), TINY)
    start = time.monotonic()
    for call in (
        lambda: store.read("latentlake.json", 99),
        lambda: list(store.list("")),
        lambda: store.put_new("x", b""),
    ):
        with pytest.raises(StoreUnreachable, match="no answer|in time"):
            call()
    assert time.monotonic() - start < 20


@remote
def test_reading_works_where_writing_is_refused(ground, broken):
    """F19: 403 on every PUT and DELETE."""
    broken.rule = Rule("denied", writes, FOREVER)
    snapshot = open_snapshot(broken.url, store=broken.store)
    assert list(sample.read_blocks(snapshot, "month=1")) == sample.blocks_of("month=1", 0)
    with pytest.raises(StoreUnsafe, match="could not be written: access denied") as refused:
        broken.store.probe()
    assert "broken" in str(refused.value)
    with pytest.raises(StoreUnsafe, match="access denied"):
        write(broken)
    broken.rule = None
    check_after(ground, 0)


@nightly
def test_a_wrong_clock_is_explained(ground, broken):
    """F11: S3 refuses requests that are dated more than 15 minutes off."""
    broken.rule = Rule("skewed", lambda *_: True, FOREVER)
    explained = "clock is more than 15 minutes off" if ground.kind != "fakegcs" else "access denied"
    with pytest.raises(StoreDenied, match=explained):
        broken.store.read("latentlake.json", 99)


@pytest.mark.parametrize("ground", ["moto"], indirect=True)
def test_a_store_that_drops_the_condition_is_found_out(ground, broken):
    """F8, and a mutant of the store: the very same server is safe, and not safe without the condition."""
    assert doctor(ground.url("other")).safe
    broken.rule = Rule("unconditional", lambda *_: True, FOREVER)
    report = doctor(broken.url)
    assert not report.safe
    assert [check.ok for check in report.checks][:4] == [False, False, True, True]
    with pytest.raises(StoreUnsafe, match="created again"):
        commit.create_archive(broken.url + "-new", writer="test")
    assert [name for name in ground.names("archive-new") if not name.startswith("_tmp/")] == []
    assert not re.search("canary", str(report))


@pytest.mark.parametrize("ground", kinds("moto", "fakegcs"), indirect=True)  # the others sign the condition
def test_a_store_that_starts_lying_later_stops_the_writer(ground, broken):
    """F8: proved when the archive was made; then two writers from one head are both told that they created it."""
    archive = open_archive(broken.url, store=broken.store)
    shared = sample.stage_shared(archive, commit.read_state(archive))
    first, second = (sample.stage_partition(archive, shared, pid) for pid in ("month=2", "month=3"))
    broken.rule = Rule("unconditional", lambda *_: True, FOREVER)

    def build(_):
        if not told:
            told.append(commit.append(archive, lambda _: first, op_key="1", since=0, writer="first"))
        return second

    told: list[commit.Committed] = []
    with pytest.raises(StoreUnsafe, match="no longer honours create-if-absent"):
        commit.append(archive, build, op_key="2", since=0, writer="second")
    assert [done.number for done in told] == [1]
    broken.rule = None
    assert not verify(ground.url("archive")).ok
    assert list(sample.read_blocks(open_snapshot(broken.url, store=broken.store), "month=1"))


@pytest.mark.parametrize("ground", EVERY, indirect=True)
def test_doctor_finds_every_tested_store_safe(ground, tmp_path: Path):
    report = doctor(ground.url("nothing/there/yet"))
    assert report.safe
    assert report.conditional_delete == (ground.kind != "fakegcs")  # the emulator ignores the condition
    assert abs(report.clock_skew or 0.0) < 30
    assert not ground.names("")
