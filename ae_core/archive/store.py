"""Where an archive's bytes live: `open_store` gives the store of a path or URL.

`contract.Store` is what the protocol needs of any store, `LocalStore` the local disk, `ObjectStore` S3, Azure and GCS.
Nothing is cached, nothing is ever overwritten, and names are checked before they reach a store.
"""

from __future__ import annotations

from pathlib import Path

from ae_core.archive.contract import Listed, NameTaken, OutcomeUnknown, Step, Store, check_object
from ae_core.archive.local import LocalStore, make_root
from ae_core.errors import UsageError
from ae_core.remote.places import locate, unsupported

__all__ = ["Listed", "LocalStore", "NameTaken", "OutcomeUnknown", "Step", "Store", "check_object", "open_store"]


def open_store(url: str, *, create: bool = False) -> Store:
    """The store at a local path, or at an s3://, az://, gs:// or store profile's URL.

    Parameters
    ----------
    create
        Make the folder if it is missing; object stores have no folders.

    Raises
    ------
    UsageError
        If there is no such folder, the URL holds credentials, or its protocol has no store here.
    """
    place = locate(url)
    if place.remote:
        from ae_core.archive.objects import ObjectStore  # the clients of object stores are slow to import

        return ObjectStore(place)
    if not place.local:
        raise unsupported(place, "archives")
    root = Path(place.path).absolute()
    if create:
        make_root(root)
    if not root.is_dir():
        raise UsageError(f"no archive at {root}: there is no such folder")
    return LocalStore(root)
