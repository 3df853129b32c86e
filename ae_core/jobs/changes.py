"""Whether a partition has to be compressed: what the lake shows now against what the archive recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ae_core.archive.format import SourceFile as RecordedFile
from ae_core.lake import LakePartition, SourceFile

Action = Literal["compress", "skip", "wait", "left", "set aside", "rebuilt", "refuse"]


@dataclass(frozen=True)
class Verdict:
    """What a run does with a partition, and the reason as a person reads it.

    "skip" is archived as it is; "wait" is too young; "left" is due, and for a later run; "set aside" failed too often;
    "rebuilt" came out of an archive; "refuse" changed, but compressing it would replace the only copy of what was there
    before.
    """

    action: Action
    reason: str


def judge(
    partition: LakePartition,
    recorded: Sequence[RecordedFile] | None,
    sha256_of: Callable[[LakePartition, SourceFile], str],
) -> Verdict:
    """Compare names, sizes, version tokens and, only where a token differs, contents.

    Parameters
    ----------
    recorded : the files that the archive's version was made from; None when it has no such partition.
    sha256_of : reads a file; called only for files whose size is equal and whose token is not.
    """
    if recorded is None:
        return Verdict("compress", "new")
    before = {file.name: file for file in recorded}
    now = {file.name: file for file in partition.files}
    if came := [name for name in now if name not in before]:
        return Verdict("compress", f"{came[0]} came since")
    if went := [name for name in before if name not in now]:
        return Verdict("compress", f"{went[0]} went since")
    for name, file in now.items():
        if file.size != before[name].size:
            return Verdict("compress", f"{name} changed its size: {before[name].size} to {file.size} bytes")
    touched = [file for name, file in now.items() if file.token != before[name].token]
    for file in touched:
        if sha256_of(partition, file) != before[file.name].sha256:
            return Verdict("compress", f"{file.name} changed its content")
    return Verdict("skip", "touched, content unchanged" if touched else "unchanged")
