"""The steps between a lake and a commit: read until the source stands still, prove apart, commit once."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.reader import open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.dataset import open_archive
from ae_core.errors import BoundViolated, CommitConflict, Corrupt, SourceChanging, UsageError
from ae_core.jobs import apart, encode
from ae_core.jobs.commit import Batcher, commit_batch, operation_key, prove_batch
from ae_core.jobs.encode import encode_partition
from ae_core.jobs.plan import survey
from ae_core.jobs.prepare import prepare


def _prepared(request):
    found = survey(request)
    return prepare(request, found, found.groups[0])


def _staged(run):
    _, found, prepared = run
    return prepared, [encode_partition(prepared, partition, threads=1) for partition in found.due]


def test_staged_is_invisible_until_committed(run):
    prepared, batch = _staged(run)
    assert open_snapshot(prepared.archive).partitions == ()
    outcomes = commit_batch(prepared, batch)
    assert [(one.partition, one.action, one.commit) for one in outcomes] == [
        ("month=1", "compressed", 1),
        ("month=2", "compressed", 1),
    ]
    assert open_snapshot(prepared.archive).partitions == ("month=1", "month=2")


def test_the_same_batch_is_committed_once(run):
    prepared, batch = _staged(run)
    assert commit_batch(prepared, batch)[0].commit == 1
    assert commit_batch(prepared, batch)[0].commit == 1
    assert open_snapshot(prepared.archive).number == 1


def test_a_source_that_changes_back_is_a_new_operation(run):
    prepared, batch = _staged(run)
    first = operation_key(prepared, "uid", batch, {})
    assert operation_key(prepared, "uid", batch, {}) == first
    assert operation_key(prepared, "uid", batch, {"month=1": "other manifest"}) != first
    assert operation_key(prepared, "uid", batch[:1], {}) != first


def test_two_runs_on_the_same_partitions_conflict(run):
    prepared, batch = _staged(run)
    _, other = _staged(run)
    commit_batch(prepared, batch[:1])
    with pytest.raises(CommitConflict, match="month=1"):
        commit_batch(prepared, other)


def test_source_that_keeps_changing_is_given_up_after_three_readings(run, monkeypatch):
    _, found, prepared = run
    partition = found.due[0]
    path = Path(partition.lake) / partition.path_of(partition.files[0])
    readings = 0
    real = encode.read_blocks

    def touched(*arguments):
        nonlocal readings
        readings += 1
        yield from real(*arguments)
        os.utime(path, ns=(readings, readings))

    monkeypatch.setattr(encode, "read_blocks", touched)
    with pytest.raises(SourceChanging, match="month=1"):
        encode_partition(prepared, partition, threads=1)
    assert readings == encode.READ_ATTEMPTS


def test_source_that_changes_before_the_commit_is_left_out(run, lake):
    prepared, batch = _staged(run)
    os.utime(lake / "month=1" / "part.parquet", ns=(1, 1))
    outcomes = {one.partition: one for one in commit_batch(prepared, batch)}
    assert outcomes["month=1"].action == "failed"
    assert "changed" in outcomes["month=1"].reason
    assert outcomes["month=2"].action == "compressed"
    assert open_snapshot(prepared.archive).partitions == ("month=2",)


def test_the_fresh_process_finds_other_data(run, lake):
    """The source is exchanged behind an unchanged token: what was encoded is not what is there."""
    prepared, batch = _staged(run)
    path = lake / "month=1" / "part.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1).append_column("y", table["x"].slice(1)).select(["x", "k"]), path)
    proofs = {proof.partition: proof for proof in prove_batch(prepared, batch)}
    assert proofs["month=1"].problem is not None
    assert proofs["month=2"].problem is None


@pytest.mark.parametrize("hurt", [0, 1])
def test_damaged_uploads_are_never_committed(run, hurt):
    """Blocks of both partitions are decoded together; only the damaged one is left out."""
    prepared, batch = _staged(run)
    names = sorted(Proposal.from_json(batch[hurt].proposal).names)
    victim = Path(prepared.archive) / next(name for name in names if name.endswith("residuals.parquet"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    outcomes = {one.partition: one for one in commit_batch(prepared, batch)}
    damaged, whole = (batch[place].source.id for place in (hurt, 1 - hurt))
    assert outcomes[damaged].action == "failed"
    assert "residuals.parquet" in outcomes[damaged].reason
    assert open_snapshot(prepared.archive).partitions == (whole,)


def test_a_missing_manifest_stops_the_whole_batch(run):
    prepared, batch = _staged(run)
    name = next(name for name in Proposal.from_json(batch[0].proposal).names if "manifest" in name)
    (Path(prepared.archive) / name).unlink()
    with pytest.raises(Corrupt, match="nothing was committed"):
        commit_batch(prepared, batch)


def test_the_fresh_process_never_imports_torch(run, monkeypatch):
    prepared, batch = _staged(run)
    answers = []
    real = apart.subprocess.run

    def listen(*arguments, **more):
        done = real(*arguments, **more)
        answers.append(done.stdout)
        return done

    monkeypatch.setattr(apart.subprocess, "run", listen)
    prove_batch(prepared, batch)
    assert b'"torch": false' in answers[0]


def test_a_cell_outside_its_bound_is_never_staged(run, monkeypatch):
    _, found, prepared = run
    real = encode.pipeline.decode_blocks

    def wrong(*arguments, **more):
        (table,) = real(*arguments, **more)
        return [table.set_column(0, table.schema.field(0), [[value + 1.0 for value in table["x"].to_pylist()]])]

    monkeypatch.setattr(encode.pipeline, "decode_blocks", wrong)
    with pytest.raises(BoundViolated, match="x"):
        encode_partition(prepared, found.due[0], threads=1)
    assert not list(Path(prepared.archive).rglob("manifest.json.br"))


def test_the_model_is_prepared_once(run):
    request, _, prepared = run
    again = _prepared(request)
    assert (again.model, again.use.reused, again.commit) == (prepared.model, True, None)
    other = request.model_copy(update={"policy": "version: 1\ndefault: {float: exact}\n"})
    assert not _prepared(other).use.reused


def test_each_partition_keeps_its_own_schema_metadata(run, lake):
    prepared, batch = _staged(run)
    commit_batch(prepared, batch)
    archive = open_archive(prepared.archive)
    assert [partition.schema.metadata for partition in archive.partitions()] == [{b"index": b"1"}, {b"index": b"2"}]


def test_batches_are_due_by_number_or_time(run):
    _, batch = _staged(run)
    by_number = Batcher(partitions=2, size=1 << 40, seconds=1e9)
    assert by_number.add(batch[0]) == []
    assert by_number.add(batch[1]) == batch
    assert by_number.flush() == []
    assert Batcher(partitions=9, size=1 << 40, seconds=0.0).add(batch[0]) == batch[:1]


def test_partition_needs_one_match(run):
    prepared, batch = _staged(run)
    commit_batch(prepared, batch)
    archive = open_archive(prepared.archive)
    assert archive.partition(month=2).rows == 100
    assert [task.high - task.low for task in archive.partition(month=2).tasks()] == [100]
    with pytest.raises(UsageError):
        archive.partition(month=3)
    with pytest.raises(UsageError, match="2 partitions"):
        archive.partition()
    with pytest.raises(UsageError, match="each one once"):
        archive.scan(columns=["x", "x"])


def test_page_data_can_be_left_out(run):
    _, found, prepared = run
    bare = encode_partition(dataclasses.replace(prepared, page_data=False), found.due[0])
    full = encode_partition(prepared, found.due[0])
    assert bare.archive_bytes < full.archive_bytes
    commit_batch(prepared, [bare])
    assert ae_core.verify(prepared.archive, deep=True).ok
