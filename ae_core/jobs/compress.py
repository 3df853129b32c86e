"""A whole compress run without Prefect, and what every run ends with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ae_core.archive.reader import open_snapshot
from ae_core.errors import CheckFailed, LakeError, LatentlakeError, PartialBatch
from ae_core.jobs import setbacks
from ae_core.jobs.choice import Order
from ae_core.jobs.commit import Batcher, commit_batch
from ae_core.jobs.encode import Staged, encode_partition
from ae_core.jobs.plan import Group, Survey, in_lake_order, nothing_to_do, survey, unchanged
from ae_core.jobs.prepare import Prepared, prepare
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult, PartitionOutcome

BATCH_PARTITIONS = 250
BATCH_BYTES = 2 << 20
BATCH_SECONDS = 600.0
SHOWN = 20
"""Most partitions that an error names."""


@dataclass
class Run:
    """A run in progress: what is decided, and what became of the partitions so far."""

    request: CompressRequest
    found: Survey
    start: float
    models: list[Prepared] = field(default_factory=list)
    outcomes: list[PartitionOutcome] = field(default_factory=list)
    errors: list[LatentlakeError] = field(default_factory=list)

    def __post_init__(self) -> None:
        for partition, error in (*self.found.unreadable, *self.found.refused):
            self.failed(partition.id, error)

    @property
    def out_of_time(self) -> bool:
        """Whether the request's hours are over: what is at work is finished and committed, nothing new is begun."""
        hours = self.request.max_hours
        return hours is not None and time.perf_counter() - self.start >= 3600 * hours

    def in_order(self, batch: Sequence[Staged]) -> list[Staged]:
        """The batch in the lake's order, whatever order its partitions were finished in."""
        place = {partition.id: index for index, (partition, _) in enumerate(self.found.partitions)}
        return sorted(batch, key=lambda staged: place[staged.source.id])

    def failed(self, partition: str, error: LatentlakeError) -> None:
        """Note a partition that could not be encoded; the others go on."""
        self.errors.append(error)
        self.outcomes.append(PartitionOutcome(partition, "failed", str(error)))

    def unread(self, group: Group, error: LakeError) -> None:
        """Note partitions of which not one row could be read to choose a model by."""
        for partition in group.due:
            self.failed(partition.id, error)

    def committed(self, outcomes: Sequence[PartitionOutcome]) -> None:
        """Note what became of a batch."""
        reasons = {partition.id: verdict.reason for partition, verdict in self.found.partitions}
        self.outcomes += [replace(o, reason=o.reason or reasons[o.partition]) for o in outcomes]

    def finish(self) -> CompressResult:
        """The result, when every partition that was begun is in; what failed is noted in the archive.

        Raises
        ------
        LatentlakeError
            The one error that there was, when nothing landed; else `PartialBatch`, or `CheckFailed` where a check of
            the policy failed, which say what did.
        """
        failed = [outcome for outcome in self.outcomes if outcome.action == "failed"]
        done = [outcome for outcome in self.outcomes if outcome.action == "compressed"]
        if failed:
            sources = {partition.id: partition for partition, _ in self.found.partitions}
            refused = {partition.id for partition, _ in self.found.refused}  # these cannot succeed by trying again
            noted = [(sources[one.partition], one.reason) for one in failed if one.partition not in refused]
            if noted:
                with suppress(LatentlakeError):  # the failures themselves are what has to be told
                    setbacks.record(self.request.archive, noted)
        if failed and not done and len(failed) == len(self.errors) == 1:
            raise self.errors[0]
        if failed:
            landed = _some(sorted(outcome.partition for outcome in done), ", ") or "none"
            missing = _some([f"{outcome.partition}: {outcome.reason}" for outcome in failed], "; ")
            said = f"committed: {landed}; not committed: {missing}"
            if any(not check.passed for outcome in failed for check in outcome.checks):
                raise CheckFailed(f"{said}; narrow the bounds of what the check reads, or let it change by more")
            raise PartialBatch(f"{said}; run again for the rest")
        new = {outcome.commit for outcome in done if outcome.commit is not None}
        new |= {prepared.commit for prepared in self.models if prepared.commit is not None}
        begun = {outcome.partition for outcome in self.outcomes}
        late = [partition for partition in self.found.due if partition.id not in begun]
        reason = f"left for the next run: this one had {self.request.max_hours:g} hours" if late else ""
        waiting = [PartitionOutcome(one.id, "left", reason, source_bytes=one.size) for one in late]
        return CompressResult(
            lake=self.request.lake,
            archive=self.request.archive,
            dry_run=False,
            head=open_snapshot(self.request.archive).number,
            models=tuple(prepared.use for prepared in self.models),
            partitions=in_lake_order([*self.outcomes, *waiting, *unchanged(self.found)], self.found),
            commits=tuple(sorted(new)),
            left=len(late) + self.found.left,
            seconds=time.perf_counter() - self.start,
        )


def _some(items: Sequence[str], between: str) -> str:
    """At most so many that a person reads them, and how many more there are."""
    shown = between.join(items[:SHOWN])
    return shown if len(items) <= SHOWN else f"{shown}{between}and {len(items) - SHOWN} more"


def compress_lake(
    lake: str,
    archive: str,
    *,
    policy: str | None = None,
    range_: str | float | None = None,
    where: Sequence[str] | None = None,
    threads: int = 0,
    seed: int = 0,
    page_data: bool = True,
    older_than_days: float | None = None,
    order: Order = "lake",
    limit: int | None = None,
    max_hours: float | None = None,
    recompress: bool = False,
    note: str = "",
    progress: Progress = silent,
) -> CompressResult:
    """Compress the new and changed partitions of a lake, one after the other, in this process.

    Parameters
    ----------
    policy : path of a YAML policy; or
    range_ : the short policy "every integer, float and decimal within this share of its range, the rest exact".
    older_than_days, order, limit, max_hours, recompress : which of the partitions a run takes, see `CompressRequest`.
    note : kept in the commits of the run.

    Raises
    ------
    LatentlakeError
        As `Run.finish`, and whatever keeps the run from starting: policy, lake, store.
    """
    start = time.perf_counter()
    request = CompressRequest.checked(
        lake,
        archive,
        policy=policy,
        range_=range_,
        where=where,
        threads=threads,
        seed=seed,
        page_data=page_data,
        older_than_days=older_than_days,
        order=order,
        limit=limit,
        max_hours=max_hours,
        recompress=recompress,
        note=note,
    )
    found = survey(request)
    if found.nothing_due:
        return nothing_to_do(request, found)
    run = Run(request, found, start)
    for group in found.groups:
        try:
            prepared = prepare(request, found, group, progress=progress)
        except LakeError as error:
            run.unread(group, error)
            continue
        run.models.append(prepared)
        batcher = Batcher(BATCH_PARTITIONS, BATCH_BYTES, BATCH_SECONDS)
        for partition in group.due:
            if run.out_of_time:
                break
            try:
                staged = encode_partition(prepared, partition, threads=threads, progress=progress)
            except LatentlakeError as error:
                run.failed(partition.id, error)
                continue
            if batch := batcher.add(staged):
                run.committed(commit_batch(prepared, run.in_order(batch), threads=threads))
        if batch := batcher.flush():
            run.committed(commit_batch(prepared, run.in_order(batch), threads=threads))
    return run.finish()
