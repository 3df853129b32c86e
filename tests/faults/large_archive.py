"""An archive of very many partitions without their data: the log of a lake that has been compressed for years.

The commits and checkpoints are those that `append` would have written, only nothing is synced and no object exists.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ae_core.archive import commit
from ae_core.archive.fields import sha256_hex
from ae_core.archive.format import Change, Commit, ObjectRef, commit_bytes
from ae_core.archive.log import Archive
from ae_core.archive.names import checkpoint_name, commit_name, partition_folder
from ae_core.archive.state import Logged, State, advance, checkpoint_bytes


def make(root: Path, partitions: int, *, batch: int) -> Archive:
    """`partitions` of them in commits of `batch`, as `compress` leaves them night after night."""
    archive = commit.create_archive(str(root), writer="test")
    state = State()
    for first in range(0, partitions, batch):
        ref = _put_checkpoint(root, archive, state) if state.checkpoint_due else None
        changes = tuple(Change(pid, _manifest(pid)) for pid in map(_pid, range(first, min(first + batch, partitions))))
        made = Commit(
            number=state.head + 1,
            parent=state.sha256 or archive.marker_sha256,
            uid=f"{first:032x}",
            op_key=hashlib.sha256(b"%d" % first).hexdigest(),
            writer="latentlake 0.1.0",
            time="2024-01-01T00:00:00+00:00",
            changes=changes,
            note="compress",
        )
        made = commit.with_checkpoint(made, state, ref)
        data = commit_bytes(made)
        _put(root, commit_name(made.number), data)
        state = advance(state, [Logged(made, sha256_hex(data), len(data))])
    return archive


def _pid(index: int) -> str:
    return f"year={2000 + index // 366}/day={index % 366}"


def _manifest(pid: str) -> ObjectRef:
    return ObjectRef(f"{partition_folder(pid)}/manifest.json.br", 2000, hashlib.sha256(pid.encode()).hexdigest())


def _put_checkpoint(root: Path, archive: Archive, state: State) -> ObjectRef:
    data = checkpoint_bytes(state, archive.marker.archive)
    ref = ObjectRef(checkpoint_name(state.head, sha256_hex(data)), len(data), sha256_hex(data))
    _put(root, ref.name, data)
    return ref


def _put(root: Path, name: str, data: bytes) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
