"""The Pythons that the project supports, as far as they are at hand."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

PYTHONS = ("3.11", "3.12", "3.13")


def interpreter(version: str) -> str:
    """Path of that Python; the test is skipped where there is none: the project is made with one alone."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    found = shutil.which(f"python{version}")  # a shim of a version manager may be there without the version
    if found is None or subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"Python {version} is not installed here: put python{version} on the PATH")
    return found
