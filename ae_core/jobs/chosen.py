"""The partitions that a command which takes something away is about, and what the policy says of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ae_core.archive.format import Manifest
from ae_core.archive.reader import Snapshot
from ae_core.errors import UsageError
from ae_core.policy import load_policy
from ae_core.records import TableInfo, select_manifests, table_info
from ae_core.retirement import Retire
from ae_core.selection import Where


def chosen(snapshot: Snapshot, where: Where, ids: Sequence[str], *, need: str | None = None) -> list[Manifest]:
    """The manifests with these ids, or that satisfy every condition, in natural order.

    Parameters
    ----------
    need : the command's name, where it acts on nothing that was not named.

    Raises
    ------
    UsageError
        When none does, or nothing was named though that is needed.
    """
    if not ids:
        if need is not None and not where:
            raise UsageError(f"{need} needs --where or --partition: it never takes all partitions unasked")
        return select_manifests(snapshot, where)
    if where:
        raise UsageError("--where and --partition exclude each other: give one of them")
    return [snapshot.manifest(name) for name in dict.fromkeys(ids)]


class Rules:
    """What the policy says of the retirement of partitions: the one recorded with each, or newer rules.

    `policy` are these rules, or the path of the policy that holds them.
    """

    def __init__(self, snapshot: Snapshot, policy: str | Retire | None = None) -> None:
        self._snapshot = snapshot
        self._given = load_policy(Path(policy)).retire if isinstance(policy, str) else policy
        self._tables: dict[str, TableInfo] = {}

    def info(self, manifest: Manifest) -> TableInfo:
        """Schema and policy of a partition."""
        if manifest.table not in self._tables:
            self._tables[manifest.table] = table_info(self._snapshot, manifest)
        return self._tables[manifest.table]

    def of(self, manifest: Manifest) -> Retire:
        """The rules for a partition; pinned once is pinned, whatever a later file says."""
        recorded = self.info(manifest).written.retire
        if self._given is None:
            return recorded
        return self._given.model_copy(update={"pinned": self._given.pinned or recorded.pinned})
