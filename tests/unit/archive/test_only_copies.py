"""What the log says about originals, and who is refused because of it."""

from __future__ import annotations

import pytest

from ae_core.archive import commit, expire, retire
from ae_core.archive.format import Change, commit_bytes, read_commit
from ae_core.archive.log import open_archive, read_log, read_state
from ae_core.archive.originals import Expired, Intent, Original, only_copy_dict, read_only_copy
from ae_core.archive.stage import Proposal
from ae_core.errors import CommitConflict, Corrupt, DataWouldBeLost
from tests.faults import archive_sample as sample

FILES = (Original("month=1/part-0.parquet", 9, "token", "a" * 64), Original("month=1/part-1.parquet", 8, "t", "b" * 64))


class Fates:
    """Originals whose fates are given."""

    def __init__(self, *fates):
        self.fates = list(fates)
        self.kept = 0

    def remove(self, file, key):
        return self.fates.pop(0)

    def keep(self, file, key):
        self.kept += 1
        return "kept"


@pytest.fixture
def archive(tmp_path):
    sample.make(tmp_path / "a")
    return open_archive(str(tmp_path / "a"))


def intent_of(archive, pid="month=1"):
    return Intent(pid, read_state(archive).partitions[pid].sha256, "/lake", FILES)


def intend(archive, pid="month=1"):
    return expire.intend(archive, read_state(archive), [intent_of(archive, pid)], report=None, writer="w")


def carry(archive, originals, **more):
    return expire.carry_out(archive, "month=1", originals, replica=None, writer="w", **more)


def drop(archive, *, accepted=False):
    return retire.drop(archive, read_state(archive), ["month=1"], reason="why", only_copy=accepted, writer="w")


def test_a_commit_keeps_all_that_it_says_of_originals(archive):
    intend(archive)
    carry(archive, Fates("deleted", "changed"))
    drop(archive, accepted=True)
    for logged in read_log(archive)[-3:]:
        again = read_commit(commit_bytes(logged.commit), "c")
        assert again == logged.commit
    intended, ended, dropped = (logged.commit for logged in read_log(archive)[-3:])
    assert intended.intents[0].files == FILES
    assert ended.expired == (Expired("month=1", 3, ((FILES[0].path, "deleted"), (FILES[1].path, "changed"))),)
    assert (dropped.reason, dropped.only_copy) == ("why", True)


def test_a_proposal_travels_with_all_of_it(archive):
    proposal = Proposal(
        intents=(intent_of(archive),), expired=(Expired("p", 3, (("f", "kept"),)),), reason="r", only_copy=True
    )
    assert Proposal.from_json(proposal.to_json()) == proposal
    assert Proposal() + proposal == proposal


def test_from_the_intent_on_a_partition_is_the_only_copy(archive):
    number = intend(archive).number
    state = read_state(archive)
    held = state.only_copies["month=1"]
    assert (held.number, held.open) == (number, True)
    assert read_only_copy(only_copy_dict(held), "x") == held
    with pytest.raises(DataWouldBeLost, match="month=1 is the only copy"):
        drop(archive)
    with pytest.raises(DataWouldBeLost):
        sample.write(archive, ["month=1"], version=7)
    with pytest.raises(CommitConflict):
        intend(archive)


def test_deleted_originals_leave_an_only_copy_for_ever(archive):
    intend(archive)
    done = carry(archive, Fates("deleted", "changed"))
    held = read_state(archive).only_copies["month=1"]
    assert (done.commit, held.open, held.expired.gone) == (4, False, True)
    assert read_only_copy(only_copy_dict(held), "x") == held
    with pytest.raises(DataWouldBeLost):
        drop(archive)
    drop(archive, accepted=True)
    assert "month=1" not in read_state(archive).only_copies


def test_kept_originals_end_it(archive):
    intend(archive)
    carry(archive, Fates("changed", "kept"))
    assert "month=1" not in read_state(archive).only_copies
    drop(archive)


def test_an_intent_stays_open_while_a_file_is_set_aside(archive):
    intend(archive)
    assert carry(archive, Fates("deleted", None)).commit is None
    assert read_state(archive).only_copies["month=1"].open
    assert carry(archive, Fates("absent", "deleted")).commit is not None


def test_originals_are_kept_when_the_archive_no_longer_holds_them(archive, tmp_path):
    """Between intent and deletion an object is damaged."""
    intend(archive)
    victim = next((tmp_path / "a" / "partitions" / "month=1").rglob("residuals.parquet"))
    state = read_state(archive)
    folder = state.partitions["month=1"].name.rsplit("/", 1)[0]
    victim = tmp_path / "a" / folder / "residuals.parquet"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    originals = Fates()
    done = carry(archive, originals)
    assert originals.kept == len(FILES)
    assert "residuals.parquet" in done.problem
    assert "month=1" not in read_state(archive).only_copies


def test_what_happened_in_between_stands_against_an_intent(archive):
    state = read_state(archive)
    intent = intent_of(archive)
    sample.write(archive, ["month=1"], version=3)
    with pytest.raises(CommitConflict, match="month=1"):
        expire.intend(archive, state, [intent], report=None, writer="w")


def test_an_intent_in_between_stands_against_a_drop(archive):
    state = read_state(archive)
    intend(archive)
    with pytest.raises(CommitConflict, match="month=1"):
        retire.drop(archive, state, ["month=1"], reason="r", only_copy=True, writer="w")


def test_the_end_of_another_intent_is_refused(archive):
    intend(archive)
    proposal = Proposal(expired=(Expired("month=1", 2, (("f", "deleted"),)),))
    with pytest.raises(CommitConflict, match="no open intent"):
        commit.append(archive, lambda _: proposal, op_key="x", since=read_state(archive).head, writer="w")


def test_a_fate_that_nobody_knows_is_damage():
    with pytest.raises(Corrupt, match="deleted, absent, changed, kept"):
        Proposal.from_json(
            Proposal(expired=(Expired("p", 1, (("f", "lost"),)),), changes=(Change("p", None),)).to_json()  # type: ignore[arg-type]
        )
