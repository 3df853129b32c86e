"""Names inside an archive: which are allowed, and how new ones are made.

Every object but the marker and the commits lives under a random uid, so that nobody else can pick its name and it is
never overwritten. A name is relative to the archive's root and is checked before any store sees it.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from ae_core.errors import Corrupt

MARKER = "latentlake.json"
COMMITS = "_commits"
WITNESSES = "_seen"
CHECKPOINTS = "_checkpoints"
TEMPORARY = "_tmp"
REPORTS = "_reports"
PARTITIONS = "partitions"
FOLDERS = {"model": "models", "table": "tables"}
"""Folder of each kind of shared object."""

_NAME = re.compile(
    r"(?!.*(?:^|/)\.)[A-Za-z0-9_][A-Za-z0-9._=-]{0,127}(?:/[A-Za-z0-9_][A-Za-z0-9._=-]{0,127}){0,7}", re.ASCII
)
_COMMIT = re.compile(r"_commits/([0-9]{20})\.json", re.ASCII)
_WITNESS = re.compile(r"_seen/([0-9]{20})-([0-9a-f]{64})", re.ASCII)
_CHECKPOINT = re.compile(r"_checkpoints/([0-9]{20})-[0-9a-f]{64}-[0-9a-f]{32}\.json", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UID_FOLDER = re.compile(r".*[/-][0-9a-f]{32}", re.ASCII)
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.=-")
_MAX_PARTS = 4
_MAX_PART = 100


def is_name(name: str) -> bool:
    """Whether `name` may be opened in an archive: no dot files, no `..`, at most eight parts of a small alphabet."""
    return _NAME.fullmatch(name) is not None


def checked(name: str) -> str:
    """`name` itself.

    Raises
    ------
    Corrupt
        If the name could lead outside the archive or to something that is not an object of it.
    """
    if not is_name(name):
        raise Corrupt(f"object name {name[:200]!r} is not allowed in an archive; it is damaged or made to do harm")
    return name


def is_sha256(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hexadecimal."""
    return _SHA256.fullmatch(text) is not None


def commit_name(number: int) -> str:
    """Name of commit `number` (0 is the first)."""
    return f"{COMMITS}/{number:020d}.json"


def commit_number(name: str) -> int | None:
    """Number of the commit that is stored under `name`; None if it is not the name of a commit."""
    match = _COMMIT.fullmatch(name)
    return int(match[1]) if match else None


def witness_name(number: int, sha256: str) -> str:
    """Name of the empty object that says: commit `number` was there, and this was its SHA-256."""
    return f"{WITNESSES}/{number:020d}-{sha256}"


def witnessed(name: str) -> tuple[int, str] | None:
    """Number and SHA-256 of the commit that a witness tells of; None if it is no witness."""
    match = _WITNESS.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def checkpoint_name(number: int, sha256: str) -> str:
    """A fresh name for the state at commit `number`."""
    return f"{CHECKPOINTS}/{number:020d}-{sha256}-{new_uid()}.json"


def checkpoint_number(name: str) -> int:
    """Number of the commit whose state a checkpoint of that name holds; -1 if it is not the name of one."""
    match = _CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else -1


def new_uid() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def partition_folder(partition: str) -> str:
    """A fresh folder for one version of a partition, such as `partitions/month=3/<uid>`."""
    parts = partition.split("/")
    if len(parts) > _MAX_PARTS:
        parts = [*parts[: _MAX_PARTS - 1], "/".join(parts[_MAX_PARTS - 1 :])]
    return "/".join([PARTITIONS, *map(_escape, parts), new_uid()])


def shared_name(kind: str, sha256: str) -> str:
    """A fresh name for a shared object of a kind in `FOLDERS`, such as `models/<sha256>-<uid>/object`."""
    return f"{FOLDERS[kind]}/{sha256}-{new_uid()}/object"


def folder_of(name: str) -> str:
    """What stands before the last part of a name, its slash included; empty without one."""
    return name[: name.rfind("/") + 1]


def own_folder(folder: str) -> bool:
    """Whether a folder is named by a uid, so that it belongs to one version of one thing and is never used again."""
    return _UID_FOLDER.fullmatch(folder) is not None


def _escape(part: str) -> str:
    """A path part of a partition's id in the alphabet of names: other bytes become `_xx`, long parts end in a hash."""
    raw = part.encode("utf-8", "surrogateescape")
    text = "".join(
        chr(byte) if byte in _SAFE and (index or byte not in b".=-") else f"_{byte:02x}"
        for index, byte in enumerate(raw)
    )
    if len(text) > _MAX_PART:
        return f"{text[: _MAX_PART - 17]}_{hashlib.sha256(raw).hexdigest()[:16]}"
    return text or "_"
