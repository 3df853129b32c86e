"""The model that a run encodes with: the archive's own where it has one, else trained once and committed at once.

The commit of the model comes before the first partition, so that a run which is killed never trains again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ae_core import pipeline
from ae_core.archive.commit import append
from ae_core.archive.format import read_table, table_bytes
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal, put_report, put_shared
from ae_core.jobs.plan import Survey, resolve_table
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import ModelUse
from ae_core.jobs.sampling import read_sample, row_counts
from ae_core.jobs.target import open_target, writer_name
from ae_core.records import TableInfo, check_stored, read_table_info


@dataclass(frozen=True)
class Prepared:
    """What a partition is encoded with, by name only, so that it may travel to another process.

    `since` is the head of the log before the run's first upload; `commit` is the one that brought the model, None
    when it was there.
    """

    archive: str
    table: str
    model: str
    since: int
    use: ModelUse
    commit: int | None
    page_data: bool


def prepare(request: CompressRequest, found: Survey, *, progress: Progress = silent) -> Prepared:
    """Open or make the archive, and reuse its model for this schema and policy or train one and commit it.

    Raises
    ------
    StoreUnsafe
        Before anything is trained, when the store is not safe to commit to.
    NotCommitted
        When the model's commit did not land.
    """
    info = resolve_table(request, found)
    target = open_target(request.archive)
    held = found.held
    if held is not None and held.model is not None:
        model = held.model
        codec = pipeline.Codec.from_bytes(target.shared(model.sha256))
        use = ModelUse(model.sha256, model.length, True, 0.0, codec.no_latents_reason)
        return Prepared(request.archive, held.ref.sha256, model.sha256, target.number, use, None, request.page_data)
    return _train(request, found, info, target, progress)


def _train(request: CompressRequest, found: Survey, info: TableInfo, target: Snapshot, progress: Progress) -> Prepared:
    start = time.perf_counter()
    from ae_core.fitting import train_codec  # imports torch, which a run that reuses its model never needs

    sample = read_sample(found.due)
    codec, report = train_codec(
        info.schema,
        sample,
        info.policy,
        rows_served=sum(sum(row_counts(partition)) for partition in found.due),
        seed=request.seed,
        latents=info.policy.latents,
        progress=lambda stage, share: progress(stage, round(100 * share), 100),
    )
    seconds = time.perf_counter() - start
    archive, state = target.archive, target.state
    table = put_shared(archive, state, "table", table_bytes(info.record()))
    model = put_shared(archive, state, "model", codec.to_bytes())
    training = put_report(
        archive,
        {"model": model.sha256, "table": table.sha256, "sample_rows": sum(block.num_rows for block in sample)}
        | {"seconds": round(seconds, 3), "training": _compact(report.to_dict())},
    )
    for ref in (*table.twins, *model.twins, training):
        check_stored(archive.store, ref)
    proposal = Proposal(shared=(table, model), report=training, names=frozenset({training.name}))
    done = append(
        archive,
        lambda _: proposal,
        op_key=hashlib.sha256(f"model {archive.marker.archive} {table.sha256} {model.sha256}".encode()).hexdigest(),
        since=state.head,
        writer=writer_name(),
        note="model",
    )
    use = ModelUse(model.sha256, model.length, False, seconds, codec.no_latents_reason)
    return Prepared(request.archive, table.sha256, model.sha256, done.number, use, done.number, request.page_data)


def _compact(value: Any) -> Any:
    """The same plain data with four significant digits: a curve needs no more, and every byte is in the archive."""
    if isinstance(value, Mapping):
        return {key: _compact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_compact(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


@lru_cache(maxsize=2)
def load_codec(archive: str, model: str) -> pipeline.Codec:
    """The codec of a model in an archive; kept, because every partition of a run asks for the same one."""
    return pipeline.Codec.from_bytes(open_snapshot(archive).shared(model))


@lru_cache(maxsize=2)
def load_table(archive: str, table: str) -> TableInfo:
    """Schema and policy that a table record holds."""
    snapshot = open_snapshot(archive)
    return read_table_info(read_table(snapshot.shared(table), f"table record {table}"), f"table record {table}")
