"""Deleting the originals of a lake, file by file, and only the very version that was compressed.

An object store deletes on condition of the version. A local disk has no such call, so a file is first set aside in a
quarantine on the same file system, where nothing writes to it any more, hashed there, put back if it is not the version
that was meant, and unlinked after a second wait and a second hash.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from ae_core.archive.expire import Originals
from ae_core.archive.originals import Fate, Original
from ae_core.errors import DataWouldBeLost, LakeError
from ae_core.lake import file_version
from ae_core.remote.places import locate
from ae_core.remote.versions import token_of

if TYPE_CHECKING:
    from ae_core.remote.objects import Objects

QUARANTINE = "_latentlake_quarantine"
_ASIDE, _SINCE, _GONE = ".original", ".since", ".gone"  # no reader of Parquet takes these for data
_TRIES = 3

Step = Callable[[str], None]
"""Called with the name of every step before it is taken; tests stop or kill the run there."""


class Lake(Originals, Protocol):
    """What expiry asks of a lake beside the fate of its files."""

    def write_note(self, path: str, document: Mapping[str, Any]) -> None:
        """Store a JSON document for people below the lake, replacing an older one; nothing depends on it."""
        ...

    def clear(self, key: str) -> None:
        """Take away what an ended intent left behind; a file that could not be put back stays."""
        ...


def open_originals(lake: str, *, wait: float, step: Step | None = None) -> Lake:
    """The originals of a lake at a path, or in an object store by a store profile that allows it.

    Parameters
    ----------
    wait : seconds that a local file stays in quarantine.

    Raises
    ------
    DataWouldBeLost
        When originals may not be deleted there.
    """
    place = locate(lake)
    if place.local:
        root = Path(place.path)
        if not root.is_dir():
            raise DataWouldBeLost(f"{lake}: not a folder; originals are only deleted below the folder of a lake")
        return LocalOriginals(root, wait, step)
    if not place.remote or place.profile is None or not place.profile.allow_expiry:
        raise DataWouldBeLost(
            f"{lake}: originals in a store are only deleted through a store profile that says allow_expiry = true"
        )
    from ae_core.remote.objects import Objects  # the clients of object stores are slow to import

    originals = StoreOriginals(Objects(place), place.path)
    originals.prove_conditional()
    return originals


# --- local disk ---------------------------------------------------------------------------------------


class LocalOriginals:
    """Files of a lake on a local disk."""

    def __init__(self, root: Path, wait: float, step: Step | None = None) -> None:
        self._root = root
        self._wait = wait
        self._step = step or (lambda _: None)

    def remove(self, file: Original, key: str) -> Fate | None:
        """See `expire.Originals`; every state that a killed run may leave is taken up where it is."""
        path, aside = self._places(file, key)
        for _ in range(_TRIES):  # another run may be at the same file
            if aside.exists():
                with contextlib.suppress(FileNotFoundError):
                    return self._finish(file, path, aside)
            if _with(aside, _GONE).exists():
                return "deleted"
            now = file_version(path)
            if now is None:
                if not aside.exists():
                    return "absent"
                continue
            if now != (file.size, file.token):
                return "changed"
            if path.is_symlink():
                return "kept"  # what it points to is somebody else's
            if not self._set_aside(path, aside):
                return "kept"
        return "kept"

    def keep(self, file: Original, key: str) -> Fate:
        """See `expire.Originals`."""
        path, aside = self._places(file, key)
        if aside.exists():
            self._put_back(path, aside)
        if _with(aside, _GONE).exists():
            return "deleted"
        return "kept" if path.exists() else "absent"

    def write_note(self, path: str, document: Mapping[str, Any]) -> None:
        """See `Lake`."""
        target = self._root / path
        text = _note_text(document)
        if not target.parent.is_dir() or (target.exists() and target.read_bytes() == text):
            return
        scratch = target.with_name(f"_{uuid4().hex}.tmp")
        scratch.write_bytes(text)
        os.replace(scratch, target)

    def clear(self, key: str) -> None:
        """See `Lake`."""
        folder = self._root / QUARANTINE / key
        if any(path.name.endswith(_ASIDE) for path in folder.rglob("*")):
            return
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        for empty in (folder, folder.parent):
            with contextlib.suppress(OSError):
                empty.rmdir()

    def _places(self, file: Original, key: str) -> tuple[Path, Path]:
        """Where the file is, and where it goes; both below the lake."""
        parts = PurePosixPath(file.path).parts
        if not parts or ".." in parts or file.path.startswith("/"):
            raise LakeError(f"an intent names a file outside of the lake: {file.path!r}")
        aside = self._root.joinpath(QUARANTINE, key, *parts[:-1], f"_{parts[-1]}")  # Polars looks at it alone
        return self._root.joinpath(*parts), _with(aside, _ASIDE)

    def _set_aside(self, path: Path, aside: Path) -> bool:
        """Move the file into the quarantine; False where it cannot be moved at all."""
        aside.parent.mkdir(parents=True, exist_ok=True)
        self._step(f"set aside {path.name}")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS):
                return False
            raise
        self._step(f"is aside {path.name}")
        _sync(path.parent)
        _sync(aside.parent)
        return True

    def _finish(self, file: Original, path: Path, aside: Path) -> Fate | None:
        """Hash what is aside, and delete it once it has been there for the wait."""
        self._step(f"hash {path.name}")
        with open(aside, "rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != file.sha256:
            self._put_back(path, aside)
            return "changed"
        since = _with(aside, _SINCE)
        if not since.exists():
            self._step(f"note the time of {path.name}")
            since.touch(exist_ok=True)
        if self._clock(aside.parent) - since.stat().st_mtime < self._wait:
            return None
        self._step(f"note the end of {path.name}")
        _with(aside, _GONE).touch(exist_ok=True)
        _sync(aside.parent)
        self._step(f"unlink {path.name}")
        aside.unlink(missing_ok=True)
        self._step(f"unlinked {path.name}")
        _sync(aside.parent)
        return "deleted"

    def _put_back(self, path: Path, aside: Path) -> None:
        """Link the file to its old name; where a newer one took it, it stays aside for its owner."""
        self._step(f"put back {path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(aside, path)
        except FileExistsError:
            if not os.path.samefile(aside, path):
                return
        _sync(path.parent)
        self._step(f"is back {path.name}")
        aside.unlink(missing_ok=True)

    def _clock(self, folder: Path) -> float:
        """Seconds since 1970 by the file system's own clock."""
        probe = folder / f".{uuid4().hex}"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix(_ASIDE) + suffix)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _note_text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


# --- object stores ------------------------------------------------------------------------------------


class StoreOriginals:
    """Objects of a lake on S3, Azure or GCS: one conditional request deletes exactly the version that was compared."""

    def __init__(self, objects: Objects, root: str) -> None:
        self._objects = objects
        self._root = root

    def prove_conditional(self) -> None:
        """Pass when the store keeps an object whose version is not the one to be deleted.

        Raises
        ------
        DataWouldBeLost
        """
        path = f"{self._root}/_latentlake_probe_{uuid4().hex}"
        self._objects.put(path, b"one")
        old = token_of(self._objects.info(path))
        self._objects.put(path, b"another")
        try:
            if self._objects.delete_version(path, old) != "changed" or not self._objects.isfile(path):
                raise DataWouldBeLost(
                    f"{self._objects.place.url}: the store deletes an object whatever its version is, so an original "
                    "that was edited could be lost; see latentlake doctor"
                )
        finally:
            self._objects.delete(path)

    def remove(self, file: Original, key: str) -> Fate | None:
        """See `expire.Originals`; where the answer was lost, the next run finds the file `absent`."""
        path = f"{self._root}/{file.path}"
        try:
            info = self._objects.info(path)
        except FileNotFoundError:
            return "absent"
        token = token_of(info)
        if not token:
            return "kept"
        if file_version(info) != (file.size, file.token):
            return "changed"
        return self._objects.delete_version(path, token)

    def keep(self, file: Original, key: str) -> Fate:
        """See `expire.Originals`."""
        return "kept" if self._objects.isfile(f"{self._root}/{file.path}") else "absent"

    def write_note(self, path: str, document: Mapping[str, Any]) -> None:
        """See `Lake`."""
        self._objects.put(f"{self._root}/{path}", _note_text(document))

    def clear(self, key: str) -> None:
        """Nothing is set aside here."""
