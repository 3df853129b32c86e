"""What a policy lets go now: partitions that fade, originals that leave the lake, whether a person is asked."""

from __future__ import annotations

from dataclasses import dataclass

from ae_core.archive.expire import ages
from ae_core.archive.reader import Snapshot
from ae_core.jobs.chosen import chosen
from ae_core.jobs.expire import expire
from ae_core.jobs.fade import fade
from ae_core.jobs.target import find_snapshot
from ae_core.retirement import Retire
from ae_core.selection import Where


@dataclass(frozen=True)
class Retirement:
    """Partitions by what a run would do with them, by id.

    `fade` lose their residuals. `begun` have an intent in the log, which is carried out once its wait is over. `ask`
    are those whose originals would be compared and recorded, with their bytes in the lake; nothing is recorded before
    a person agrees where `approval` is needed. `kept` are the reasons why others that the rules concern stay.
    """

    fade: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    ask: tuple[tuple[str, int], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    approval: bool = True

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.fade or self.begun or self.ask)


def due(lake: str, archive: str, rules: Retire, *, where: Where = None) -> Retirement:
    """Look at lake and archive; nothing is written, and nothing is due where there is no archive yet.

    Raises
    ------
    UsageError
        When the lake or `where` cannot be used.
    Corrupt
        When the archive is damaged.
    """
    snapshot = find_snapshot(archive)
    if snapshot is None:
        return Retirement()
    kept: dict[str, str] = {}
    fading: tuple[str, ...] = ()
    if rules.fade_after is not None and (old := _older(snapshot, rules.fade_after, where)):
        rows = fade(archive, partitions=old, policy=rules).partitions
        fading = tuple(row.partition for row in rows if row.action == "fade")
        kept |= {row.partition: row.reason for row in rows if row.action == "refused"}
    begun = tuple(
        manifest.partition
        for manifest in chosen(snapshot, where, ())
        if (held := snapshot.state.only_copies.get(manifest.partition)) is not None and held.open
    )
    if not rules.expire.enabled:
        return Retirement(fading, begun, (), tuple(kept.items()))
    rows_of_lake = expire(lake, archive, where=where, policy=rules).partitions
    ask = [row.partition for row in rows_of_lake if row.action == "due" and row.partition not in begun]
    kept |= {row.partition: row.reason for row in rows_of_lake if row.action == "refused"}
    sizes = {name: sum(file.size for file in snapshot.manifest(name).sources) for name in ask}
    return Retirement(fading, begun, tuple(sizes.items()), tuple(kept.items()), rules.expire.approval)


def _older(snapshot: Snapshot, seconds: float, where: Where) -> list[str]:
    """Partitions that were committed so long ago and have residuals to lose."""
    age = ages(snapshot.archive)
    return [
        manifest.partition
        for manifest in chosen(snapshot, where, ())
        if manifest.layer("residuals") is not None and age(snapshot.state.changed[manifest.partition]) >= seconds
    ]
