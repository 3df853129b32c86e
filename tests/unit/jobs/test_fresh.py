"""What a process that answers another one leaves: its whole answer, and the exit code that it means."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ae_core.jobs.fresh import fresh_environment


@pytest.mark.parametrize("code", [0, 3])
def test_an_answer_counts_whatever_the_interpreters_end_would_do(code: int) -> None:
    """A library that aborts while the interpreter is taken down, as Arrow's threads can, spoils no answer."""
    program = (
        "import atexit, os, sys\n"
        "from ae_core.jobs.fresh import end\n"
        "atexit.register(os.abort)\n"
        "sys.stdout.write('x' * 100_000); sys.stderr.write('said')\n"
        f"end({code})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=fresh_environment(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"x" * 100_000, b"said")
