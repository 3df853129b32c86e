"""The flow that compresses a lake: list, train or reuse, encode in parallel, verify and commit in batches.

Each task is one call of `ae_core.jobs`. Parameters are plain values without credentials, because Prefect stores
them as they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import flow
from prefect.futures import as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from ae_core.errors import LatentlakeError
from ae_core.jobs import commit, encode, plan, prepare
from ae_core.jobs.commit import Batcher
from ae_core.jobs.compress import Run
from ae_core.jobs.encode import Staged
from ae_core.jobs.plan import Survey
from ae_core.jobs.prepare import Prepared
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult, PartitionOutcome
from ae_core.lake import LakePartition
from ae_core.threads import thread_count
from flows.artifacts import publish_result, publish_training
from flows.settings import Settings
from flows.steps import step

SETTINGS = Settings()
_progress: Progress = silent


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Within the body, tasks that run in this process tell `progress` how far they are."""
    global _progress  # a callback is no parameter: Prefect would have to store it
    before, _progress = _progress, progress
    try:
        yield
    finally:
        _progress = before


@step("list partitions")
def list_partitions(request: CompressRequest) -> Survey:
    """Which partitions are new or changed, and why."""
    return plan.survey(request)


@step("train or reuse the model")
def prepare_model(request: CompressRequest, found: Survey) -> Prepared:
    """The archive's model for this schema and policy, trained and committed if there is none."""
    return prepare.prepare(request, found, progress=_progress)


@step("encode partition", run_name="encode {partition.id}")
def encode_partition(prepared: Prepared, partition: LakePartition, threads: int) -> Staged:
    """A partition encoded, measured and staged."""
    return encode.encode_partition(prepared, partition, threads=threads, progress=_progress)


@step("verify and commit batch")
def commit_batch(prepared: Prepared, batch: list[Staged], threads: int) -> list[PartitionOutcome]:
    """A batch decoded in a fresh process and, where it keeps every promise, committed."""
    return commit.commit_batch(prepared, batch, threads=threads)


def _runner(threads: int) -> Any:
    """Partitions side by side, in threads: the kernels let go of the interpreter."""
    return ThreadPoolTaskRunner(max_workers=thread_count(threads))


@flow(name="compress_lake", task_runner=_runner(SETTINGS.threads))
def compress_lake(request: CompressRequest) -> CompressResult:
    """Compress the new and changed partitions of a lake into an archive."""
    start = time.perf_counter()
    found = list_partitions(request)
    if not found.due:
        return plan.nothing_to_do(request, found)
    run = Run(request, found, prepare_model(request, found), start)
    publish_training(run.prepared)
    threads = thread_count(request.threads)
    # partitions run side by side, so each gets its share of the threads
    each = max(1, threads // len(found.due))
    batcher = Batcher(SETTINGS.batch_partitions, SETTINGS.batch_seconds)
    futures = {encode_partition.submit(run.prepared, partition, each): partition.id for partition in found.due}
    for future in as_completed(list(futures)):
        try:
            batch = batcher.add(future.result())
        except LatentlakeError as error:
            run.failed(futures[future], error)
            continue
        if batch:
            run.committed(commit_batch(run.prepared, run.in_order(batch), threads))
    if batch := batcher.flush():
        run.committed(commit_batch(run.prepared, run.in_order(batch), threads))
    publish_result(run)
    return run.finish()


def run_compress(request: CompressRequest) -> CompressResult:
    """Run the flow here and now, with as many threads as the request says."""
    return compress_lake.with_options(task_runner=_runner(request.threads or SETTINGS.threads))(request)
