"""Commits under a store that loses answers, lies, or is slow: once, or an error that says what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from ae_core.archive import commit, fields
from ae_core.archive.format import Marker, marker_bytes
from ae_core.archive.level import Level
from ae_core.archive.log import Archive, open_archive, read_state
from ae_core.archive.names import commit_name
from ae_core.archive.reader import open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.archive.state import State
from ae_core.archive.store import Listed, LocalStore, NameTaken, OutcomeUnknown
from ae_core.archive.verify import verify
from ae_core.errors import (
    ArchiveDamaged,
    CommitUnknown,
    Corrupt,
    LayerMissing,
    NotCommitted,
    OutputExists,
    StoreUnsafe,
    UnsupportedFormat,
    UsageError,
)
from tests.faults import archive_sample as sample

EMPTY = Proposal()


class Flaky(LocalStore):
    """Does `script[i]` at the i-th create of a commit: "lost" is stored without an answer, "late" is neither."""

    def __init__(self, root: Path, *script: str) -> None:
        super().__init__(root)
        self.script = list(script)

    def create(self, name: str, data: bytes) -> None:
        action = self.script.pop(0) if self.script and name.startswith("_commits/") else "ok"
        if action == "overwritten":
            super().create(name, data)
            (Path(self.url) / name).write_bytes(b"the other's")
        elif action == "late":
            raise OutcomeUnknown(name)
        else:
            super().create(name, data)
            if action == "lost":
                raise OutcomeUnknown(name)
            if action == "retried":
                raise NameTaken(name)


def flaky(tmp_path: Path, *script: str) -> Archive:
    root = tmp_path / "a"
    commit.create_archive(str(root), writer="w")
    return open_archive(str(root), store=Flaky(root, *script))


def append(archive: Archive, op_key: str = "k", **options: object) -> commit.Committed:
    return commit.append(archive, lambda _: EMPTY, op_key=op_key, since=-1, writer="w", pause=lambda _: None, **options)


@pytest.mark.parametrize("answer", ["ok", "lost", "retried"])
def test_our_own_commit_is_recognised_whatever_the_answer(tmp_path, answer):
    archive = flaky(tmp_path, answer)
    done = append(archive)
    assert (done.number, done.again) == (0, False)
    assert read_state(archive).head == 0


def test_a_request_that_never_arrived_is_sent_again_under_the_same_number(tmp_path):
    assert append(flaky(tmp_path, "late", "late", "ok")).number == 0


def test_a_store_that_never_answers_leaves_the_outcome_unknown(tmp_path):
    with pytest.raises(CommitUnknown, match="operation k"):
        append(flaky(tmp_path, *["late"] * 100_000), deadline=0.05)


def test_a_store_that_overwrites_is_caught_when_reading_back(tmp_path):
    with pytest.raises(StoreUnsafe, match="overwritten"):
        append(flaky(tmp_path, "overwritten"))


def test_an_operation_is_done_once_however_often_it_is_run(tmp_path):
    archive = flaky(tmp_path)
    first, second = append(archive), append(archive)
    assert (second.number, second.sha256, second.again) == (first.number, first.sha256, True)
    assert append(archive, "other").number == 1


def test_a_lost_race_takes_the_next_number_and_sees_the_other_commit(tmp_path):
    archive = flaky(tmp_path)
    seen = []

    def build(state: State) -> Proposal:
        seen.append(state.head)
        if len(seen) == 1:
            append(open_archive(archive.store.url), "rival")
        return EMPTY

    done = commit.append(archive, build, op_key="k", since=-1, writer="w", pause=lambda _: None)
    assert done.number == 1
    assert seen == [-1, 0]


def test_races_lost_for_ever_are_given_up(tmp_path):
    archive = flaky(tmp_path)

    def build(state: State) -> Proposal:
        append(open_archive(archive.store.url), f"rival {state.head}")
        return EMPTY

    with pytest.raises(NotCommitted, match="3 tries"):
        commit.append(archive, build, op_key="k", since=-1, writer="w", tries=3, pause=lambda _: None)


def test_a_commit_that_is_too_large_is_refused(tmp_path):
    with pytest.raises(NotCommitted, match="too large"):
        append(flaky(tmp_path), note="x" * fields.MAX_COMMIT)


def test_a_stale_listing_hides_no_commit(tmp_path):
    class Stale(LocalStore):
        def list(self, prefix: str):
            return iter([Listed(commit_name(0), 1)] if prefix == "_commits" else [])

    root = tmp_path / "a"
    sample.make(root)
    assert read_state(open_archive(str(root), store=Stale(root))).head == 2


def test_a_gap_in_the_log_is_damage(tmp_path):
    root = tmp_path / "a"
    sample.make(root)
    (root / commit_name(1)).unlink()
    with pytest.raises(ArchiveDamaged, match="_commits/00000000000000000001.json: missing"):
        open_snapshot(str(root))


def test_an_archive_is_made_once_and_in_a_place_of_its_own(tmp_path):
    root = tmp_path / "a"
    commit.create_archive(str(root), writer="w")
    with pytest.raises(OutputExists):
        commit.create_archive(str(root), writer="w")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_bytes(b"")
    with pytest.raises(OutputExists):
        commit.create_archive(str(tmp_path / "b"), writer="w")
    assert not (tmp_path / "b" / "latentlake.json").exists()
    for place in ("b/file", "b/file/below"):
        with pytest.raises(OutputExists, match="in the way"):
            commit.create_archive(str(tmp_path / place), writer="w")


def test_no_archive_is_a_usage_error(tmp_path):
    for call in (open_snapshot, verify):
        with pytest.raises(UsageError, match="no archive"):
            call(str(tmp_path))


def test_an_archive_of_a_newer_release_is_refused_with_its_format(tmp_path):
    root = tmp_path / "a"
    sample.make(root)
    (root / "latentlake.json").write_bytes(marker_bytes(Marker("uid", "latentlake 9", Level(3))))
    for call in (open_snapshot, verify):
        with pytest.raises(UnsupportedFormat, match="format 3"):
            call(str(root))


def test_snapshots_blocks_and_layers_that_do_not_exist(tmp_path):
    root = tmp_path / "a"
    sample.make(root)
    with pytest.raises(UsageError, match="newest is 2"):
        open_snapshot(str(root), number=3)
    with pytest.raises(UsageError, match="from 0"):
        open_snapshot(str(root), number=-1)
    snapshot = open_snapshot(str(root))
    with pytest.raises(UsageError, match="no partition month=7"):
        snapshot.manifest("month=7")
    with pytest.raises(LayerMissing, match="latents, residuals"):
        list(snapshot.payloads(snapshot.manifest("month=1"), "refinement"))
    manifest = snapshot.manifest("month=1")
    (second,) = snapshot.payloads(manifest, "latents", [1])
    assert second == b"latents of month=1 1 1"


def test_partitions_sort_as_people_count(tmp_path):
    sample.make(tmp_path / "a")
    assert open_snapshot(str(tmp_path / "a")).partitions == ("month=1", "month=2", "month=10")


def test_a_pinned_head_must_match(tmp_path):
    sample.make(tmp_path / "a")
    head = open_snapshot(str(tmp_path / "a")).sha256
    assert open_snapshot(str(tmp_path / "a"), expect_head=head).number == 2
    with pytest.raises(Corrupt, match="as expected"):
        open_snapshot(str(tmp_path / "a"), expect_head="0" * 64)


def test_what_is_staged_can_be_read_and_decoded_before_the_commit(tmp_path):
    """The fresh process that verifies gets the proposal as JSON."""
    archive = commit.create_archive(str(tmp_path / "a"), writer="w")
    staged = sample.stage_partition(archive, sample.stage_shared(archive, read_state(archive)), "month=5")
    assert Proposal.from_json(staged.to_json()) == staged
    before = open_snapshot(str(tmp_path / "a"))
    after = before.with_proposal(Proposal.from_json(staged.to_json()))
    assert before.partitions == ()
    assert list(sample.read_blocks(after, "month=5")) == sample.blocks_of("month=5", 0)


def test_a_model_is_stored_twice_and_once_for_all(tmp_path):
    root = tmp_path / "a"
    archive = sample.make(root)
    assert len(list(root.glob("models/*/object"))) == 2
    state = read_state(archive)
    assert sample.stage_shared(archive, state).shared[0] in state.shared.values()


def test_a_partition_of_another_name_is_refused(tmp_path):
    """A manifest that is whole but stands under another partition's id."""
    archive = commit.create_archive(str(tmp_path / "a"), writer="w")
    staged = sample.stage_partition(archive, sample.stage_shared(archive, read_state(archive)), "month=5")
    moved = Proposal(
        tuple(type(change)("month=6", change.manifest) for change in staged.changes),
        staged.shared,
        names=staged.names,
        needs=staged.needs,
    )
    commit.append(archive, lambda _: moved, op_key="k", since=-1, writer="w")
    with pytest.raises(Corrupt, match="is about partition month=5"):
        open_snapshot(str(tmp_path / "a")).manifest("month=6")
    assert [finding.problem for finding in verify(str(tmp_path / "a")).findings] == ["foreign"]
