"""How a job tells how far it is: a callback, silent unless somebody asks."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is in all."""


def silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""
