"""How kernels are compiled: cached on disk, without the interpreter lock, and never from stale sources.

Numba keys its cache by the file of the compiled function alone. A kernel that inlines functions of other files would
survive a change of those, so such kernels take `sources=SOURCES` as a last, defaulted argument: a default's value is
part of the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from numba import njit


def _digest() -> int:
    """63 bits that change with any source that a kernel may inline."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*here.glob("*.py"), here.parent / "coder" / "rans.py"]):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:8], "big") >> 1


SOURCES: Final = _digest()


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:
        # no folder for the cache can be written: compile in every process
        return njit(nogil=True, **options)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled on its first call."""
    return _compiled(function)


def bare_kernel(function: Callable[..., Any]) -> Any:
    """The function compiled without reference counting: it may not allocate or keep an array.

    Counting references of the arrays of a named tuple, inside the loops, takes longer than the arithmetic.
    """
    return _compiled(function, _nrt=False)
