"""What a verification found: one record for each thing that is wrong, and the sum of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ae_core.archive.format import ObjectRef

Problem = Literal["missing", "damaged", "foreign", "undecodable", "differs"]
"""missing, changed or cut, of another archive or place, not decodable, decodes to other data than was certified."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the file, what is wrong with it, and whom it concerns.

    `blocks` are the numbers of the blocks of a layer file that are lost, of `block_rows` rows each; the others can
    still be read. `mendable` says that the archive itself holds what it takes to restore it. `wanted` is the object as
    it should be, where the log tells, and `copies` are all names under which its bytes are stored. `current` says that
    the newest snapshot needs it, not only an older one.
    """

    name: str
    problem: Problem
    detail: str
    partition: str | None = None
    layer: str | None = None
    blocks: tuple[int, ...] = ()
    mendable: bool = False
    wanted: ObjectRef | None = None
    copies: tuple[str, ...] = ()
    current: bool = True
    block_rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` saw; `head` is -1 for an archive without commits.

    `objects` and `bytes` were read and compared; `sized` objects were only looked up, since a sample was asked for.
    `orphans` is None where only some partitions were looked at, or damage hides what belongs to whom.
    """

    head: int
    head_sha256: str
    partitions: int
    decoded: int
    objects: int
    bytes: int
    sized: int
    orphans: int | None
    orphan_bytes: int | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def damaged_partitions(self) -> tuple[str, ...]:
        """Partitions that a finding concerns."""
        return tuple(sorted({finding.partition for finding in self.findings if finding.partition is not None}))
