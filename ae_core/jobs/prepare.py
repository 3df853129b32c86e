"""The model that a run encodes with: the archive's own while it fits the rows that are due, else a trained one.

The commit of a trained model comes before the first partition, so that a run which is killed never trains again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ae_core.archive.commit import append
from ae_core.archive.fields import canonical_json, sha256_hex
from ae_core.archive.format import read_table, table_bytes
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal, put_report, put_shared
from ae_core.codec import Codec
from ae_core.jobs import drift
from ae_core.jobs.plan import Group, Survey, resolve_table
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import CompressRequest, noted
from ae_core.jobs.results import Drift, ModelUse
from ae_core.jobs.sampling import read_sample, row_counts
from ae_core.jobs.target import HeldModel, open_target, writer_name
from ae_core.policy import Check, load_policy
from ae_core.records import TRAINING_CPU, TableInfo, check_stored, read_table_info


@dataclass(frozen=True)
class Prepared:
    """What a partition is encoded with, by name only, so that it may travel to another process.

    `since` is the head of the log before the run's first upload; `commit` is the one that brought the model, None
    when it was there. `format` is the archive's, which its manifests keep; `note` is the caller's, for the commits of
    the run.
    """

    archive: str
    table: str
    model: str
    since: int
    use: ModelUse
    commit: int | None
    page_data: bool
    format: int
    note: str = ""
    checks: tuple[Check, ...] = ()


def prepare(request: CompressRequest, found: Survey, group: Group, *, progress: Progress = silent) -> Prepared:
    """Open or make the archive, and reuse its model for the group's schema and policy or train one and commit it.

    A model is trained where there is none, and where the rows that are due have drifted so far from the held one that
    a new one is expected to pay for itself; the new one is committed where it does.

    Raises
    ------
    StoreUnsafe
        Before anything is trained, when the store is not safe to commit to.
    NotCommitted
        When the model's commit did not land.
    """
    info = resolve_table(request, group)
    target = open_target(request.archive)
    sample = drift.scored_sample(group.due)
    rows = sum(sum(row_counts(partition)) for partition in group.due)
    held = () if group.held is None else group.held.models[: drift.SCORED_MODELS]
    scored = (_score(target, model, sample, rows, request.threads) for model in held)
    best = next(scored, None)
    if best is not None and drift.asks_for_training(best.drift):
        best = min((best, *scored), key=lambda use: use.drift.bits_now or 0.0)
    if best is not None and not drift.asks_for_training(best.drift):
        return _reuse(request, group, target, best)
    trained = _train(request, group, info, rows, progress)
    bits = drift.bits_a_row(trained.codec, sample, threads=request.threads)
    if best is None:
        return _commit(request, found, info, target, trained, drift.first_training(rows, bits, trained.stored))
    seen = drift.settle(best.drift, bits, trained.stored)
    if seen.decision == "retrained":
        return _commit(request, found, info, target, trained, seen)
    return _reuse(request, group, target, replace(best, seconds=trained.seconds, drift=seen))


def _score(target: Snapshot, held: HeldModel, sample: Sequence[pa.Table], rows: int, threads: int) -> ModelUse:
    """The use of a held model, with what speaks against it."""
    codec = Codec.from_bytes(target.shared(held.ref.sha256))
    bits = drift.bits_a_row(codec, sample, threads=threads)
    seen = drift.weigh(rows, held.bits_a_row, bits, held.ref.length)
    return ModelUse(held.ref.sha256, held.ref.length, True, 0.0, codec.no_latents_reason, seen)


def _reuse(request: CompressRequest, group: Group, target: Snapshot, use: ModelUse) -> Prepared:
    held = group.held
    assert held is not None
    if held.ref is not None:
        return _prepared(request, target, held.ref.sha256, target.number, use, None)
    archive, state = target.archive, target.state
    # other rules of retirement, or another layout
    table = put_shared(archive, state, "table", table_bytes(held.info.record()))
    for twin in table.twins:
        check_stored(archive.store, twin)
    key = sha256_hex(f"policy {archive.marker.archive} {target.number} {table.sha256}".encode())
    proposal = Proposal(shared=(table,))
    note = noted("policy", request.note)
    done = append(archive, lambda _: proposal, op_key=key, since=state.head, writer=writer_name(), note=note)
    return _prepared(request, target, table.sha256, done.number, use, done.number)


def _prepared(
    request: CompressRequest, target: Snapshot, table: str, since: int, use: ModelUse, commit: int | None
) -> Prepared:
    checks = load_policy(request.policy + "\n").checks
    given = request.page_data, target.level.format, request.note, checks
    return Prepared(request.archive, table, use.digest, since, use, commit, *given)


@dataclass(frozen=True)
class _Trained:
    """A model that is not in the archive yet: its codec and bytes, and what is reported of its training."""

    codec: Codec
    data: bytes
    report: Mapping[str, Any]
    seconds: float

    @property
    def stored(self) -> int:
        """Bytes that it would add to the archive."""
        return drift.stored_bytes(len(self.data), len(canonical_json(self.report)))


def _train(request: CompressRequest, group: Group, info: TableInfo, rows: int, progress: Progress) -> _Trained:
    start, cpu = time.perf_counter(), time.process_time()
    from ae_core.fitting import train_codec  # imports torch, which a run that reuses its model never needs

    sample = read_sample(group.due)
    codec, report = train_codec(
        info.schema,
        sample,
        info.policy,
        rows_served=rows,
        seed=request.seed,
        latents=info.policy.latents,
        progress=lambda stage, share: progress(stage, round(100 * share), 100),
    )
    seconds = time.perf_counter() - start
    about = {
        "sample_rows": sum(block.num_rows for block in sample),
        "seconds": round(seconds, 3),
        TRAINING_CPU: round(time.process_time() - cpu, 3),
    }
    return _Trained(codec, codec.to_bytes(), about | {"training": _compact(report.to_dict())}, seconds)


def _commit(
    request: CompressRequest, found: Survey, info: TableInfo, target: Snapshot, trained: _Trained, seen: Drift
) -> Prepared:
    archive, state = target.archive, target.state
    table = put_shared(archive, state, "table", table_bytes(info.record()))
    model = put_shared(archive, state, "model", trained.data)
    names = {"model": model.sha256, "table": table.sha256}
    training = put_report(archive, {**names, **trained.report, "drift": _compact(asdict(seen))})
    new = [shared for shared in (table, model) if shared.sha256 not in state.shared]
    for ref in (*(twin for shared in new for twin in shared.twins), training):
        check_stored(archive.store, ref)
    proposal = Proposal(shared=(table, model), report=training, names=frozenset({training.name}))
    known = -1 if found.snapshot is None else found.snapshot.number
    done = append(
        archive,
        lambda _: proposal,
        # a run that is tried again surveyed the same snapshot; a later one may train an earlier model anew
        op_key=sha256_hex(f"model {archive.marker.archive} {known} {table.sha256} {model.sha256}".encode()),
        since=state.head,
        writer=writer_name(),
        note=noted("model", request.note),
    )
    use = ModelUse(model.sha256, model.length, False, trained.seconds, trained.codec.no_latents_reason, seen)
    return _prepared(request, target, table.sha256, done.number, use, done.number)


def _compact(value: Any) -> Any:
    """The same plain data with four significant digits: a curve needs no more, and every byte is in the archive."""
    if isinstance(value, Mapping):
        return {key: _compact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_compact(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


@lru_cache(maxsize=2)
def load_codec(archive: str, model: str) -> Codec:
    """The codec of a model in an archive; kept, because every partition of a run asks for the same one."""
    return Codec.from_bytes(open_snapshot(archive).shared(model))


@lru_cache(maxsize=2)
def load_table(archive: str, table: str) -> TableInfo:
    """Schema and policy that a table record holds."""
    snapshot = open_snapshot(archive)
    return read_table_info(read_table(snapshot.shared(table), f"table record {table}"), f"table record {table}")
