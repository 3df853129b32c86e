"""Runs cases, one seed after the other: `python -m tests.hostile.fuzz_worker FIRST [END [STEP]]`.

Says on stdout which seed it is at before it starts it, so that whoever reads knows which case killed or hung it. The
cases run under a limit of memory; a case that must not be what it is prints its error and the worker goes on.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from collections import Counter

MEMORY = 2 << 30  # beyond what the golden archives and the libraries take
LIMIT_SECONDS = 20.0
_KEPT = 200


def main(first: int, end: int | None = None, step: int = 1) -> None:
    """Run the cases of the seeds `range(first, end, step)`; of `first` alone without an end."""
    from ae_core.lean import leave_out_unused

    leave_out_unused(())
    from ae_core.untrusted.warm import load_kernels
    from tests.hostile.cases import run_case
    from tests.hostile.golden_parts import NAMES, golden

    load_kernels()
    for name in NAMES:
        golden(name)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    counts: Counter[str] = Counter()
    for seed in range(first, first + 1 if end is None else end, step):
        _say(f"at {seed}")
        start = time.monotonic()
        try:
            counts[" ".join(run_case(seed))] += 1
        except MemoryError:
            counts["out of memory"] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            _say("bad " + json.dumps([seed, "".join(traceback.format_exception(error))[-3000:]]))
        if time.monotonic() - start > LIMIT_SECONDS / 4:
            _say("slow " + json.dumps([seed, round(time.monotonic() - start, 1)]))
        if sum(counts.values()) >= _KEPT:  # what a worker that dies has counted is not lost with it
            _say("counts " + json.dumps(counts))
            counts.clear()
    _say("counts " + json.dumps(counts))
    _say("done")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
