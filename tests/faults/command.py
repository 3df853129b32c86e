"""The command as a user runs it, with what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A process of its own in between: a child's most memory is no less than what its parent held when it was started.
_MEASURE = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024], file)
"""


@dataclass(frozen=True)
class Done:
    """Exit code, both outputs, processor seconds and the most memory (bytes) of the command or one of its children."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int


def latentlake(*arguments: object, prefix: tuple[str, ...] = ()) -> Done:
    """Run `latentlake` with these arguments, behind `prefix` (strace, for instance)."""
    call = [sys.executable, "-c", "import sys; from flows.cli import main; sys.argv[0] = 'latentlake'; main()"]
    with tempfile.TemporaryDirectory() as folder:
        cost = Path(folder) / "cost.json"
        done = subprocess.run(
            [sys.executable, "-S", "-c", _MEASURE, str(cost), *prefix, *call, *map(str, arguments)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        code, seconds, memory = json.loads(cost.read_text())
    return Done(code, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), seconds, memory)
