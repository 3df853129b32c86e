"""How every task of a flow runs: retried when a store did not answer, never cached, its result never stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from ae_core.errors import CommitUnknown, LatentlakeError, StoreUnreachable
from flows.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


def is_passing(error: BaseException) -> bool:
    """True for failures that may be gone in a moment; every step of a run can be repeated safely."""
    if isinstance(error, LatentlakeError):
        return isinstance(error, CommitUnknown | StoreUnreachable)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | PermissionError)


def may_retry(_task: object, _run: object, state: Any) -> bool:
    """Prefect's question whether a failed task run should be tried again."""
    error = getattr(state.data, "result", state.data)
    return isinstance(error, BaseException) and is_passing(error)


def step(name: str, *, run_name: str | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function that calls the library once."""
    settings = Settings()

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=name,
            task_run_name=run_name,
            retries=settings.task_retries,
            retry_delay_seconds=settings.task_retry_seconds,
            retry_condition_fn=may_retry,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(function)

    return decorate
