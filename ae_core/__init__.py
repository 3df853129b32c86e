"""latentlake's library: learned archives of data-lake partitions.

`open_archive` reads one, `open_lake` reads a lake and its archive as one table; `plan`, `compress`, `decode` and
`verify` do what the commands of the same names do, without Prefect. Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ae_core.dataset import open_archive
    from ae_core.jobs.anomalies import anomalies, surprise_share
    from ae_core.jobs.compress import compress_lake as compress
    from ae_core.jobs.decode import decode
    from ae_core.jobs.denoise import denoise
    from ae_core.jobs.dimensions import dimensions
    from ae_core.jobs.features import encode, features
    from ae_core.jobs.profile import profile_lake as plan
    from ae_core.jobs.sample import sample
    from ae_core.jobs.verify import verify
    from ae_core.lakeview import open_lake

__all__ = [
    "anomalies",
    "compress",
    "decode",
    "denoise",
    "dimensions",
    "encode",
    "features",
    "open_archive",
    "open_lake",
    "plan",
    "sample",
    "surprise_share",
    "verify",
]

_HOMES = {
    "anomalies": ("ae_core.jobs.anomalies", "anomalies"),
    "compress": ("ae_core.jobs.compress", "compress_lake"),
    "decode": ("ae_core.jobs.decode", "decode"),
    "denoise": ("ae_core.jobs.denoise", "denoise"),
    "dimensions": ("ae_core.jobs.dimensions", "dimensions"),
    "encode": ("ae_core.jobs.features", "encode"),
    "features": ("ae_core.jobs.features", "features"),
    "open_archive": ("ae_core.dataset", "open_archive"),
    "open_lake": ("ae_core.lakeview", "open_lake"),
    "plan": ("ae_core.jobs.profile", "profile_lake"),
    "sample": ("ae_core.jobs.sample", "sample"),
    "surprise_share": ("ae_core.jobs.anomalies", "surprise_share"),
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
