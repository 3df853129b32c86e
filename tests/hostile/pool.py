"""Worker processes for the fuzzer: a case that kills or hangs one is known by its seed, and the others go on."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.fuzz_worker import LIMIT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
FAILURES = ROOT / "build" / "fuzz-failures.txt"
_START_SECONDS = 300.0  # kernels may have to be compiled first


@dataclass
class Outcome:
    """What came of all cases, and which must not be."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    slow: dict[int, float] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return sum(self.counts.values()) + len(self.failures)

    def report(self) -> str:
        lines = [f"{self.cases} cases, {len(self.failures)} failed, {len(self.slow)} slow"]
        lines += [f"{count:8d}  {what}" for what, count in sorted(self.counts.items())]
        lines += [f"seed {seed}: {text}" for seed, text in sorted(self.failures.items())]
        if self.failures:
            lines.append(f"again: python -m tests.hostile.fuzz_worker {min(self.failures)}")
        return "\n".join(lines)


def run(first: int, count: int, *, workers: int) -> Outcome:
    """Run the cases of `count` seeds from `first` on."""
    outcome, lock = Outcome(), threading.Lock()
    threads = [
        threading.Thread(target=_drive, args=(outcome, lock, first + place, first + count, workers))
        for place in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if outcome.failures:  # a seed makes its case anew
        FAILURES.parent.mkdir(exist_ok=True)
        FAILURES.write_text(outcome.report() + "\n")
    return outcome


def _drive(outcome: Outcome, lock: threading.Lock, first: int, end: int, step: int) -> None:
    """One worker after the other until the last seed is done."""
    at = first
    while at < end:
        at = _one_worker(outcome, lock, at, end, step)


def _one_worker(outcome: Outcome, lock: threading.Lock, first: int, end: int, step: int) -> int:
    """Run a worker until it ends; the seed to go on with."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.hostile.fuzz_worker", *map(str, (first, end, step))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    lines: queue.Queue[str | None] = queue.Queue()
    said: list[str] = []
    readers = [
        threading.Thread(target=lambda: [*map(lines.put, process.stdout or ()), lines.put(None)]),
        threading.Thread(target=lambda: said.extend(process.stderr or ())),
    ]
    for reader in readers:
        reader.start()
    seed, patience = None, _START_SECONDS
    try:
        while (line := lines.get(timeout=patience)) is not None:
            word, _, rest = line.strip().partition(" ")
            if word == "at":
                seed, patience = int(rest), LIMIT_SECONDS
            with lock:
                if word == "bad":
                    outcome.failures[json.loads(rest)[0]] = json.loads(rest)[1]
                elif word == "slow":
                    outcome.slow[json.loads(rest)[0]] = json.loads(rest)[1]
                elif word == "counts":
                    outcome.counts.update(json.loads(rest))
                elif word == "done":
                    return end
        died = f"the worker died with {process.wait()}: {''.join(said)[-3000:]}"
    except queue.Empty:
        died = f"no end after {patience} s"
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join()
        process.stdout.close()
        process.stderr.close()
    if seed is None:
        raise RuntimeError(f"a worker did not start: {died}")
    with lock:
        outcome.failures[seed] = died
    return seed + step
