"""Threads change when work is done, never its order or how much of it waits in memory."""

from __future__ import annotations

import threading
import time

import pytest

from ae_core.threads import ordered_map, thread_count


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_order_is_that_of_the_items(threads):
    def slow_first(item):
        time.sleep(0.01 if item % 3 == 0 else 0)
        return item

    assert list(ordered_map(slow_first, range(30), threads=threads)) == list(range(30))


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_than_two_items_a_thread_are_taken_ahead(threads):
    taken = 0

    def items():
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    results = ordered_map(lambda item: item, items(), threads=threads)
    next(results)
    assert taken <= 2 * threads
    results.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_stops_the_rest(threads):
    started = set()
    lock = threading.Lock()

    def work(item):
        with lock:
            started.add(item)
        if item == 2:
            raise KeyError(item)

    with pytest.raises(KeyError):
        list(ordered_map(work, range(100), threads=threads))
    assert max(started) < 20


def test_zero_means_every_core():
    assert thread_count(0) >= 1
    assert thread_count(3) == 3
