"""Where a run's partitions are encoded: threads, processes, or the workers of a Dask cluster.

Chosen by the settings alone. Partitions are the unit, so layer files and digests do not depend on the runner.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ae_core.errors import UsageError
from ae_core.threads import thread_count
from flows.settings import Settings

_NO_DASK = "LATENTLAKE_RUNNER is dask, which is not installed: pip install 'latentlake[dask]'"
_DASK_SECONDS = 30


def workers_of(settings: Settings, threads: int) -> int:
    """How many groups of partitions are worked on at once.

    Raises
    ------
    UsageError
        When the Dask scheduler of the settings does not answer, or has no workers.
    """
    if settings.runner == "dask" and settings.dask_address is not None and not settings.workers:
        return _dask_threads(settings.dask_address)
    return settings.workers or thread_count(threads or settings.threads)


@lru_cache(maxsize=1)
def _dask_threads(address: str) -> int:
    """Threads of all workers that a scheduler has now."""
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(_NO_DASK) from None
    try:
        with Client(address, timeout=_DASK_SECONDS, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=_DASK_SECONDS)
            return sum(client.nthreads().values())
    except OSError:
        raise UsageError(f"no Dask scheduler with workers answers at {address}") from None


def task_runner(settings: Settings, threads: int) -> Any:
    """Prefect's task runner for the settings.

    Raises
    ------
    UsageError
        When Dask is asked for and is not installed.
    """
    workers = workers_of(settings, threads)
    if settings.runner == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=workers)
    if settings.runner == "processes":
        from prefect.task_runners import ProcessPoolTaskRunner

        return ProcessPoolTaskRunner(max_workers=workers)
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError:
        raise UsageError(_NO_DASK) from None
    if settings.dask_address is not None:
        return DaskTaskRunner(address=settings.dask_address)
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None})


def threads_each(settings: Settings, threads: int, groups: int) -> int:
    """Threads for each of the groups that run side by side, so that together they do not crowd the cores.

    Workers of another machine have cores of their own: there each group takes one thread a core of its process.
    """
    if settings.runner == "dask":
        return 1
    cores = thread_count(threads or settings.threads)
    return max(1, cores // min(groups, workers_of(settings, threads)))
