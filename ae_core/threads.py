"""Blocks in threads: results in order, and never more in memory than a few per thread."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def thread_count(threads: int) -> int:
    """The number of threads that is meant: 0 is one per core that this process may use."""
    if threads > 0:
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(work: Callable[[T], R], items: Iterable[T], *, threads: int = 0) -> Iterator[R]:
    """`work` of every item, in the order of the items, computed in threads.

    At most two items per thread are under way or waiting to be taken, so a slow consumer bounds the memory.
    The first error ends the iteration; items that have not started by then never start.
    """
    count = thread_count(threads)
    if count == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
