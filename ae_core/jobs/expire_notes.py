"""What expiry leaves in a lake for whoever looks for files that were there: an index, and a marker in each folder.

Their names start with an underscore, so readers of Parquet pass them over. They follow from the archive's log, and are
made again by the next run where they are missing; nothing depends on them.
"""

from __future__ import annotations

from typing import Any

from ae_core.archive.originals import OnlyCopy
from ae_core.archive.reader import Snapshot
from ae_core.originals import Lake

MARKER = "_latentlake_expired.json"


def index_name(uid: str) -> str:
    """Name of an archive's index in a lake."""
    return f"_latentlake_expired-{uid}.json"


def write_notes(originals: Lake, snapshot: Snapshot, lake: str) -> None:
    """Write the index of all partitions whose originals this archive took from the lake, and their markers."""
    gone = {
        name: held
        for name, held in sorted(snapshot.state.only_copies.items())
        if held.expired is not None and held.intent.lake == lake
    }
    entries = {name: _entry(snapshot, name, held) for name, held in gone.items()}
    for name, entry in entries.items():
        if snapshot.manifest(name).keys:  # a partition of a flat lake has no folder
            originals.write_note(f"{name}/{MARKER}", _about(snapshot) | {"partition": name} | entry)
    if entries:
        originals.write_note(index_name(snapshot.archive.marker.archive), _about(snapshot) | {"partitions": entries})


def _about(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "what": "originals that were deleted because a latentlake archive holds their data",
        "archive": snapshot.archive.store.url,
        "archive_uid": snapshot.archive.marker.archive,
    }


def _entry(snapshot: Snapshot, name: str, held: OnlyCopy) -> dict[str, Any]:
    assert held.expired is not None
    fates = dict(held.expired.fates)
    keys = snapshot.manifest(name).keys
    where = " ".join(f"--where '{key}={value}'" for key, value in keys.items()) or f"--partition '{name}'"
    return {
        "intent_commit": held.number,
        "manifest_sha256": held.intent.manifest,
        "restore": f"latentlake decode {snapshot.archive.store.url} LAKE {where}",
        "files": [
            {"path": file.path, "bytes": file.size, "sha256": file.sha256, "fate": fates.get(file.path, "kept")}
            for file in held.intent.files
        ],
    }
