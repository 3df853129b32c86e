"""The reader fed with archives that somebody spoilt: no crash, no hang, no wrong data given out as right.

Run with -s to see the counts. A case is made from its seed alone: `python -m tests.hostile.fuzz_worker SEED`.
"""

from __future__ import annotations

import os

import pytest

from tests.counted import counted
from tests.hostile.pool import Outcome, run


def check(outcome: Outcome, cases: int) -> None:
    counted(outcome.report())
    assert not outcome.failures, outcome.report()
    assert outcome.cases == cases
    reached = {what.split()[0] for what in outcome.counts if what.endswith(("decoded", "identical", "read"))}
    assert reached == {"damaged", "payload", "model", "metadata"}, "some kind of case never got past the checks"


def test_a_thousand_spoilt_archives():
    check(run(0, 1000, workers=1), 1000)


@pytest.mark.full
@pytest.mark.ci
@pytest.mark.timeout(900)
def test_ten_thousand_spoilt_archives():
    check(run(1000, 9000, workers=os.cpu_count() or 1), 9000)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_spoilt_archives():
    """With the two above: 100,000 seeds, each of them once."""
    check(run(10_000, 90_000, workers=os.cpu_count() or 1), 90_000)


def test_a_worker_that_dies_or_hangs_is_known_by_its_seed(monkeypatch, tmp_path):
    """The pool itself: were it to lose a dead worker's seed, a crash would pass for a run without one."""
    package = tmp_path / "sitecustomize.py"
    package.write_text(
        "import os, sys\n"
        "if 'tests.hostile.fuzz_worker' in sys.orig_argv:\n"
        "    import tests.hostile.cases as cases\n"
        "    def run_case(seed):\n"
        "        if seed == 2: os.abort()\n"
        "        if seed == 4: raise ValueError('untyped')\n"
        "        return 'payload', 'decoded'\n"
        "    cases.run_case = run_case\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '.')}")
    monkeypatch.setattr("tests.hostile.pool.FAILURES", tmp_path / "build" / "failures.txt")
    outcome = run(0, 6, workers=1)
    assert set(outcome.failures) == {2, 4}
    assert "untyped" in outcome.failures[4]
    assert outcome.counts["payload decoded"] >= 2
    assert "seed 2" in (tmp_path / "build" / "failures.txt").read_text()
