"""Writers, readers, gc, drop, fade, expiry and a changing lake, interleaved by chance: no promise is ever broken.

Every schedule is one seed; a violation names it, and `run(seed)` plays it again. The seven rules that the protocol
stands on are each taken out in turn, and the simulation has to notice.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.counted import counted
from tests.faults.simulation.mutants import MUTANTS
from tests.faults.simulation.run import Counts, run
from tests.faults.simulation.world import Violation

EVERYDAY = 500
CI = 20_000
SLICE = 500
MUTANT_TRIES = 6_000  # some 30 s


def run_slice(first: int, count: int) -> Counts:
    """Seeds `first` to `first + count`.

    Raises
    ------
    Violation
        Naming the seed.
    """
    counts = Counts()
    for seed in range(first, first + count):
        try:
            run(seed, None, counts)
        except Exception as error:
            raise Violation(f"seed {seed}: {error}") from error
    return counts


def told(first: int, counts: Counts) -> str:
    return (
        f"seeds {first} to {first + counts.schedules - 1}: {counts.schedules} schedules, {counts.steps} steps, "
        f"{counts.kills} actors killed, {counts.commits} commits acknowledged, {counts.deleted} originals deleted: "
        "0 violations"
    )


def test_no_schedule_breaks_a_promise():
    counts = run_slice(0, EVERYDAY)
    counted(told(0, counts))
    assert counts.kills > 50
    assert counts.deleted > 50
    assert counts.commits > 500


@pytest.mark.full
@pytest.mark.ci
def test_no_schedule_of_many_breaks_a_promise():
    """LATENTLAKE_SCHEDULES and LATENTLAKE_FIRST_SEED look further, for whoever has the time."""
    total = int(os.environ.get("LATENTLAKE_SCHEDULES", CI))
    first = int(os.environ.get("LATENTLAKE_FIRST_SEED", EVERYDAY))
    counts = Counts()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        starts = range(first, first + total, SLICE)
        for part in pool.map(run_slice, starts, (min(SLICE, first + total - start) for start in starts)):
            counts = counts + part
    counted(told(first, counts))
    assert counts.schedules == total


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_protocol_without_this_rule_is_caught(rule):
    mutant = MUTANTS[rule]
    with mutant.patch():
        for seed in range(MUTANT_TRIES):
            try:
                run(seed, mutant.setup)
            except Violation as violation:
                counted(f"without {rule!r}: seed {seed}, {violation}")
                return
    pytest.fail(f"{MUTANT_TRIES} schedules without {rule!r}, and no promise was broken")


def test_a_seed_is_a_schedule():
    """The same seed plays the same schedule, so that a violation can be looked at again."""
    first, second = Counts(), Counts()
    for counts in (first, second):
        for seed in range(20):
            run(seed, None, counts)
    assert first == second
