"""Processes of this library that share nothing with their parent but the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn


def fresh_environment() -> dict[str, str]:
    """The caller's environment, with this very library first on the path."""
    root = str(Path(__file__).absolute().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


def end(code: int) -> NoReturn:
    """End a process that has given its answer, with this exit code and at once.

    Threads that Arrow still holds when an interpreter is taken down can abort it: the answer would count as a crash.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
