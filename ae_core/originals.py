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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from uuid import uuid4

import fsspec
import fsspec.asyn

from ae_core.archive.expire import Originals
from ae_core.archive.originals import Fate, Original
from ae_core.errors import LakeError
from ae_core.lake import file_version

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


def open_originals(lake: str, *, wait: float, step: Step | None = None) -> Lake:
    """The originals of a lake at a path or fsspec URL.

    Parameters
    ----------
    wait : seconds that a local file stays in quarantine.

    Raises
    ------
    LakeError
        When the lake's store cannot delete on condition of the version.
    """
    fs, root = fsspec.core.url_to_fs(lake, use_listings_cache=False, skip_instance_cache=True)
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    if protocol in ("file", "local"):
        if not Path(root).is_dir():
            raise LakeError(f"{lake}: not a folder; originals are only deleted below the folder of a lake")
        return LocalOriginals(Path(root), wait, step)
    if protocol not in _CONDITIONAL:
        raise LakeError(
            f"{lake}: {protocol} cannot delete on condition of the version, so no original is deleted there"
        )
    return StoreOriginals(fs, root, protocol)


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
        """Take away what an ended intent left of its quarantine; a file that could not be put back stays."""
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
        return self._root.joinpath(*parts), _with(self._root.joinpath(QUARANTINE, key, *parts), _ASIDE)

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


@dataclass(frozen=True)
class StoreOriginals:
    """Objects of a lake on S3, Azure or GCS: one conditional request deletes exactly the version that was compared."""

    fs: Any
    root: str
    protocol: str

    def remove(self, file: Original, key: str) -> Fate | None:
        """See `expire.Originals`; a lost answer shows as `absent` in the next run."""
        path = f"{self.root.rstrip('/')}/{file.path}"
        try:
            info = self.fs.info(path)
        except FileNotFoundError:
            return "absent"
        version = info.get(_VERSION[self.protocol])
        if version is None:
            return "kept"
        if file_version(info) != (file.size, file.token):
            return "changed"
        return _CONDITIONAL[self.protocol](self.fs, path, str(version))

    def keep(self, file: Original, key: str) -> Fate:
        """See `expire.Originals`."""
        return "kept" if self.fs.exists(f"{self.root.rstrip('/')}/{file.path}") else "absent"

    def write_note(self, path: str, document: Mapping[str, Any]) -> None:
        """See `Lake`."""
        self.fs.pipe_file(f"{self.root.rstrip('/')}/{path}", _note_text(document))

    def clear(self, key: str) -> None:
        """Nothing is set aside here."""


def _delete_s3(fs: Any, path: str, etag: str) -> Fate:
    bucket, name, _ = fs.split_path(path)
    try:
        fs.call_s3("delete_object", Bucket=bucket, Key=name, IfMatch=etag)
    except FileNotFoundError:
        return "absent"
    except OSError as error:
        if error.errno == errno.EINVAL:  # 412
            return "changed"
        raise
    return "deleted"


def _delete_azure(fs: Any, path: str, etag: str) -> Fate:
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    container, name, _ = fs.split_path(path)

    async def delete() -> None:
        blob = fs.service_client.get_blob_client(container, name)
        await blob.delete_blob(etag=etag, match_condition=MatchConditions.IfNotModified)

    try:
        fsspec.asyn.sync(fs.loop, delete)
    except ResourceNotFoundError:
        return "absent"
    except ResourceModifiedError:
        return "changed"
    return "deleted"


def _delete_gcs(fs: Any, path: str, generation: str) -> Fate:
    bucket, name, _ = fs.split_path(path)
    try:
        fs.call("DELETE", "b/{}/o/{}", bucket, name, ifGenerationMatch=generation)
    except FileNotFoundError:
        return "absent"
    except OSError as error:
        if getattr(error, "code", None) in (412, "412"):
            return "changed"
        raise
    return "deleted"


_CONDITIONAL: Mapping[str, Callable[[Any, str, str], Fate]] = {
    "s3": _delete_s3,
    "s3a": _delete_s3,
    "abfs": _delete_azure,
    "abfss": _delete_azure,
    "az": _delete_azure,
    "gs": _delete_gcs,
    "gcs": _delete_gcs,
}
_VERSION: Mapping[str, str] = {
    "s3": "ETag",
    "s3a": "ETag",
    "abfs": "etag",
    "abfss": "etag",
    "az": "etag",
    "gs": "generation",
    "gcs": "generation",
}
