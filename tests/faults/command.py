"""The command as a user runs it, with what it cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """Exit code, both outputs, processor seconds and the most memory (bytes) of the command or one of its children."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int


def latentlake(*arguments: object, environment: dict[str, str] | None = None, prefix: tuple[str, ...] = ()) -> Done:
    """Run `latentlake` with these arguments, behind `prefix` (strace, for instance)."""
    call = [sys.executable, "-c", "import sys; from flows.cli import main; sys.argv[0] = 'latentlake'; main()"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [*prefix, *call, *map(str, arguments)],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Done(process.returncode, *texts, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
