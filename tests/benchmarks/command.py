"""The latentlake command as a user would type it, measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("latentlake")
# A call that another thread interrupts is two lines of a trace: "... <unfinished ...>", "<... read resumed>... = 60".
_CALL = re.compile(r"^(\d+) +\w*read\w*\(\d+<([^>]*)>")
_COUNT = re.compile(r"^(\d+) .*\) += (\d+)$")


@dataclass(frozen=True)
class Ran:
    """A command's JSON answer, its seconds (start-up included) by the clock and of the cores, its peak memory."""

    answer: dict[str, Any]
    seconds: float
    cpu_seconds: float
    peak_memory: int  # bytes, of the process and of those that it waited for


def run(*arguments: str | Path, prefix: Iterable[str] = ()) -> Ran:
    """Run a latentlake command.

    Raises
    ------
    SystemExit
        It failed.
    """
    started = time.perf_counter()
    with subprocess.Popen([*prefix, COMMAND, *arguments, "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"latentlake {arguments[0]} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = time.perf_counter() - started
    return Ran(json.loads(answer), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def bytes_read(folder: Path, *arguments: str | Path) -> int | None:
    """Bytes that a latentlake command reads of the files below a folder; None where strace is not installed."""
    if shutil.which("strace") is None:
        return None
    with tempfile.TemporaryDirectory() as work:
        trace = Path(work) / "trace"
        run(*arguments, prefix=("strace", "-f", "-y", "-qq", "-e", "trace=/read", "-s", "0", "-o", str(trace)))
        return read_below(folder, trace.read_text().splitlines())


def read_below(folder: Path, trace: Iterable[str]) -> int:
    """Bytes that the read calls of a trace of strace took from files below a folder."""
    root = f"{folder.resolve()}{os.sep}"
    reading: dict[str, str] = {}  # thread -> the file of its last call
    total = 0
    for line in trace:
        if call := _CALL.match(line):
            reading[call[1]] = call[2]
        if (count := _COUNT.match(line)) and reading.get(count[1], "").startswith(root):
            total += int(count[2])
    return total


def size_below(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
