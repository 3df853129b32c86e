"""latentlake's library: learned archives of data-lake partitions.

`open_archive` reads one, `open_lake` reads a lake and its archive as one table; `plan`, `compress`, `decode` and
`verify` do what the commands of the same names do, without Prefect. Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ae_core.dataset import open_archive
    from ae_core.jobs.compress import compress_lake as compress
    from ae_core.jobs.decode import decode
    from ae_core.jobs.profile import profile_lake as plan
    from ae_core.jobs.verify import verify
    from ae_core.lakeview import open_lake

__all__ = ["compress", "decode", "open_archive", "open_lake", "plan", "verify"]

_HOMES = {
    "compress": ("ae_core.jobs.compress", "compress_lake"),
    "decode": ("ae_core.jobs.decode", "decode"),
    "open_archive": ("ae_core.dataset", "open_archive"),
    "open_lake": ("ae_core.lakeview", "open_lake"),
    "plan": ("ae_core.jobs.profile", "profile_lake"),
    "verify": ("ae_core.jobs.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    """Import a public call on its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """The public calls."""
    return sorted(__all__)
