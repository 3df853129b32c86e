"""The flow that compresses a lake: list, train or reuse, encode in parallel, verify and commit in batches.

Each task is one call of `ae_core.jobs`. Parameters are plain values without credentials, because Prefect stores
them as they are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any, TypeVar

from prefect import flow, get_run_logger
from prefect.futures import as_completed

from ae_core.errors import LakeError, LatentlakeError
from ae_core.jobs import commit, encode, plan, prepare
from ae_core.jobs.choice import in_groups
from ae_core.jobs.commit import Batcher
from ae_core.jobs.compress import Run
from ae_core.jobs.encode import Staged
from ae_core.jobs.plan import Group, Survey
from ae_core.jobs.prepare import Prepared
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult, PartitionOutcome
from ae_core.lake import LakePartition
from ae_core.remote.profiles import CARRIED, carry
from ae_core.threads import thread_count
from flows.artifacts import Board, publish_training
from flows.exclusive import alone
from flows.runners import task_runner, threads_each, workers_of
from flows.settings import Settings
from flows.steps import is_passing, step

Item = TypeVar("Item")
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
def prepare_model(request: CompressRequest, found: Survey, group: Group) -> Prepared:
    """The archive's model for this schema and policy, trained and committed if there is none."""
    return prepare.prepare(request, found, group, progress=_progress)


@step("encode partitions", run_name="encode {label}")
def encode_partitions(
    prepared: Prepared, partitions: Sequence[LakePartition], threads: int, label: str, stores: str = ""
) -> list[Staged | LatentlakeError]:
    """Partitions encoded, measured and staged, each by itself: one that cannot be does not stop the others.

    `stores` are the store profiles of the run, for workers on other machines.
    """
    carry(stores)
    log = get_run_logger()
    done: list[Staged | LatentlakeError] = []
    for partition in partitions:
        try:
            staged = encode.encode_partition(prepared, partition, threads=threads, progress=_progress)
        except LatentlakeError as error:
            if is_passing(error):
                raise
            log.error("%s: %s", partition.id, error)
            done.append(error)
        else:
            share = staged.archive_bytes / max(1, partition.size)
            log.info("%s: %d rows encoded in %.1f s, ratio %.4f", partition.id, staged.rows, staged.seconds, share)
            done.append(staged)
    return done


@step("verify and commit batch")
def commit_batch(prepared: Prepared, batch: list[Staged], threads: int) -> list[PartitionOutcome]:
    """A batch decoded in a fresh process and, where it keeps every promise, committed."""
    outcomes = commit.commit_batch(prepared, batch, threads=threads)
    for outcome in outcomes:
        get_run_logger().info("%s: %s %s", outcome.partition, outcome.action, outcome.reason or outcome.commit)
    return outcomes


@flow(name="compress_lake")
def compress_lake(request: CompressRequest) -> CompressResult:
    """Compress the new and changed partitions of a lake into an archive.

    Raises
    ------
    ArchiveBusy
        When another run is at work on the archive.
    """
    with alone(request.archive):
        return _compress(request)


def _compress(request: CompressRequest) -> CompressResult:
    start = time.perf_counter()
    found = list_partitions(request)
    if found.nothing_due:
        return plan.nothing_to_do(request, found)
    run = Run(request, found, start)
    board = Board(run)
    for group in found.groups:
        try:
            prepared = prepare_model(request, found, group)
        except LakeError as error:
            run.unread(group, error)
            continue
        run.models.append(prepared)
        publish_training(prepared)
        _compress_group(run, prepared, group, board)
        if run.out_of_time:
            break
    board.publish()
    return run.finish()


def _compress_group(run: Run, prepared: Prepared, group: Group, board: Board) -> None:
    """Encode side by side; verify and commit what is done whenever a batch is full."""
    threads = thread_count(run.request.threads or SETTINGS.threads)
    groups = in_groups(group.due, workers_of(SETTINGS, threads))
    each = threads_each(SETTINGS, threads, len(groups))
    batcher = Batcher(SETTINGS.batch_partitions, SETTINGS.batch_bytes, SETTINGS.batch_seconds)

    def settle(batch: list[Staged]) -> None:
        if batch:
            run.committed(commit_batch(prepared, run.in_order(batch), threads))
            board.advance()

    def begin(partitions: Sequence[LakePartition]) -> Any:
        stores = os.environ.get(CARRIED, "")
        return encode_partitions.submit(prepared, partitions, each, _label(partitions), stores)

    in_time = takewhile(lambda _: not run.out_of_time, groups)
    for partitions, future in side_by_side(begin, in_time, 2 * workers_of(SETTINGS, threads)):
        try:
            results = future.result()
        except LatentlakeError as error:
            results = [error] * len(partitions)
        for partition, result in zip(partitions, results, strict=True):
            if isinstance(result, LatentlakeError):
                run.failed(partition.id, result)
            else:
                settle(batcher.add(result))
    settle(batcher.flush())


def side_by_side(begin: Callable[[Item], Any], items: Iterable[Item], width: int) -> Iterator[tuple[Item, Any]]:
    """Each item with its future once that is done, at most `width` of them begun and not yet taken."""
    waiting: dict[Any, Item] = {}
    for item in items:
        waiting[begin(item)] = item
        if len(waiting) >= width:
            future = next(as_completed(list(waiting)))
            yield waiting.pop(future), future
    for future in as_completed(list(waiting)):
        yield waiting[future], future


def _label(partitions: Sequence[LakePartition]) -> str:
    first, last = partitions[0].id, partitions[-1].id
    return first if len(partitions) == 1 else f"{first} to {last} ({len(partitions)})"


def run_compress(request: CompressRequest) -> CompressResult:
    """Run the flow here and now, where the settings say, with as many threads as the request says."""
    return compress_lake.with_options(task_runner=task_runner(SETTINGS, request.threads))(request)
