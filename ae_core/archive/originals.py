"""What the log says about original files: that they are about to be deleted, and what became of each of them.

Pure data, as `format.py`. From the commit with its `Intent` on, a partition counts as the only copy of its data,
whatever is still in the lake: nothing is ever inferred from a file's absence. The commit with its `Expired` record ends
the intent; where an original went, the partition stays the only copy for as long as the snapshot holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from ae_core.archive.fields import Fields, as_number, as_text
from ae_core.errors import Corrupt

Fate = Literal["deleted", "absent", "changed", "kept"]
"""deleted by us; already gone when we came; another version than the one compressed, kept; kept for another reason."""

GONE: frozenset[Fate] = frozenset({"deleted", "absent"})
"""After these the archive may hold the only copy."""


@dataclass(frozen=True)
class Original:
    """One original file as it was when it was compared with the archive: path below the lake, version, content."""

    path: str
    size: int
    token: str
    sha256: str


@dataclass(frozen=True)
class Intent:
    """The originals of a partition are about to be deleted; `manifest` is the SHA-256 of the one that holds them."""

    partition: str
    manifest: str
    lake: str
    files: tuple[Original, ...]


@dataclass(frozen=True)
class Expired:
    """What became of the originals of the intent that commit number `intent` recorded: path -> fate."""

    partition: str
    intent: int
    fates: tuple[tuple[str, Fate], ...]

    @property
    def gone(self) -> bool:
        """Whether any original is no longer in the lake."""
        return any(fate in GONE for _, fate in self.fates)


@dataclass(frozen=True)
class OnlyCopy:
    """Why a partition counts as the only copy: the intent and the commit that recorded it, and the end of it if any."""

    number: int
    intent: Intent
    expired: Expired | None = None

    @property
    def open(self) -> bool:
        """Whether originals may still have to be deleted."""
        return self.expired is None


def intent_dict(intent: Intent) -> dict[str, object]:
    """`intent` for JSON."""
    return {
        "files": [[file.path, file.size, file.token, file.sha256] for file in intent.files],
        "lake": intent.lake,
        "manifest": intent.manifest,
        "partition": intent.partition,
    }


def read_intent(value: object, where: str) -> Intent:
    """Inverse of `intent_dict`."""
    fields = Fields(value, where)
    return Intent(
        fields.text("partition"), fields.sha256("manifest"), fields.text("lake"), fields.items("files", _read_original)
    )


def expired_dict(expired: Expired) -> dict[str, object]:
    """`expired` for JSON."""
    return {
        "fates": [list(fate) for fate in expired.fates],
        "intent": expired.intent,
        "partition": expired.partition,
    }


def read_expired(value: object, where: str) -> Expired:
    """Inverse of `expired_dict`."""
    fields = Fields(value, where)
    return Expired(fields.text("partition"), fields.number("intent"), fields.items("fates", _read_fate))


def only_copy_dict(held: OnlyCopy) -> dict[str, object]:
    """`held` for JSON: what a checkpoint keeps of a partition whose originals are going or gone."""
    ended = expired_dict(held.expired) if held.expired else None
    return {"expired": ended, "intent": intent_dict(held.intent), "number": held.number}


def read_only_copy(value: object, where: str) -> OnlyCopy:
    """Inverse of `only_copy_dict`."""
    fields = Fields(value, where)
    ended = read_expired(fields.values["expired"], f"{where}: expired") if fields.has("expired") else None
    return OnlyCopy(fields.number("number"), read_intent(fields.values.get("intent"), f"{where}: intent"), ended)


def _read_original(value: object, where: str) -> Original:
    if not isinstance(value, list) or len(value) != 4:
        raise Corrupt(f"{where} should be a list of four")
    path, size, token, sha256 = value
    return Original(as_text(path, where), as_number(size, where), as_text(token, where), as_text(sha256, where))


def _read_fate(value: object, where: str) -> tuple[str, Fate]:
    if not isinstance(value, list) or len(value) != 2 or value[1] not in get_args(Fate):
        raise Corrupt(f"{where} should be a path and one of {', '.join(get_args(Fate))}")
    return as_text(value[0], where), cast("Fate", value[1])
