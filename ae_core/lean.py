"""A reading command starts without the libraries that numba and pyarrow import in case they are there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

UNUSED = frozenset({"pandas", "scipy", "cffi"})
"""A quarter to half a second of imports, for conversions and linear algebra that no reading command asks for."""


class _LeftOut(MetaPathFinder):
    """Asked before all other finders: these libraries are not there."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in UNUSED:
            raise ModuleNotFoundError(f"No module named {name!r}: left out of this command", name=name)


def leave_out_unused(arguments: Sequence[str]) -> None:
    """Let this process, which is a reading command on local paths, find none of these libraries.

    The clients of object stores sign in with libraries that need some of them.
    """
    if not any("://" in argument for argument in arguments):
        sys.meta_path.insert(0, _LeftOut())
