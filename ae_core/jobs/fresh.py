"""Processes of this library that share nothing with their parent but the environment."""

from __future__ import annotations

import os
from pathlib import Path


def fresh_environment() -> dict[str, str]:
    """The caller's environment, with this very library first on the path."""
    root = str(Path(__file__).absolute().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}
