"""A whole compress run without Prefect, and what every run ends with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ae_core.archive.reader import open_snapshot
from ae_core.errors import CheckFailed, LatentlakeError, PartialBatch
from ae_core.jobs.commit import Batcher, commit_batch
from ae_core.jobs.encode import Staged, encode_partition
from ae_core.jobs.plan import Survey, nothing_to_do, order, survey, unchanged
from ae_core.jobs.prepare import Prepared, prepare
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import CompressRequest
from ae_core.jobs.results import CompressResult, PartitionOutcome

BATCH_PARTITIONS = 6
BATCH_SECONDS = 600.0


@dataclass
class Run:
    """A run in progress: what is decided, and what became of the partitions so far."""

    request: CompressRequest
    found: Survey
    prepared: Prepared
    start: float
    outcomes: list[PartitionOutcome] = field(default_factory=list)
    errors: list[LatentlakeError] = field(default_factory=list)

    def in_order(self, batch: Sequence[Staged]) -> list[Staged]:
        """The batch in the lake's order, whatever order its partitions were finished in."""
        place = {partition.id: index for index, (partition, _) in enumerate(self.found.partitions)}
        return sorted(batch, key=lambda staged: place[staged.source.id])

    def failed(self, partition: str, error: LatentlakeError) -> None:
        """Note a partition that could not be encoded; the others go on."""
        self.errors.append(error)
        self.outcomes.append(PartitionOutcome(partition, "failed", str(error)))

    def committed(self, outcomes: Sequence[PartitionOutcome]) -> None:
        """Note what became of a batch."""
        reasons = {partition.id: verdict.reason for partition, verdict in self.found.partitions}
        self.outcomes += [replace(o, reason=o.reason or reasons[o.partition]) for o in outcomes]

    def finish(self) -> CompressResult:
        """The result, when every partition that was due is in.

        Raises
        ------
        LatentlakeError
            The one error that there was, when nothing landed; else `PartialBatch`, or `CheckFailed` where a check of
            the policy failed, which say what did.
        """
        failed = [outcome for outcome in self.outcomes if outcome.action == "failed"]
        done = [outcome for outcome in self.outcomes if outcome.action == "compressed"]
        if failed and not done and len(failed) == len(self.errors) == 1:
            raise self.errors[0]
        if failed:
            landed = ", ".join(sorted(outcome.partition for outcome in done)) or "none"
            missing = "; ".join(f"{outcome.partition}: {outcome.reason}" for outcome in failed)
            kind = CheckFailed if any(not c.passed for outcome in failed for c in outcome.checks) else PartialBatch
            raise kind(f"committed: {landed}; not committed: {missing}; run again for the rest")
        new = {outcome.commit for outcome in done if outcome.commit is not None}
        if self.prepared.commit is not None:
            new.add(self.prepared.commit)
        return CompressResult(
            lake=self.request.lake,
            archive=self.request.archive,
            dry_run=False,
            head=open_snapshot(self.request.archive).number,
            model=self.prepared.use,
            partitions=order([*self.outcomes, *unchanged(self.found)], self.found),
            commits=tuple(sorted(new)),
            seconds=time.perf_counter() - self.start,
        )


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
    progress: Progress = silent,
) -> CompressResult:
    """Compress the new and changed partitions of a lake, one after the other, in this process.

    Parameters
    ----------
    policy : path of a YAML policy; or
    range_ : the short policy "every integer, float and decimal within this share of its range, the rest exact".

    Raises
    ------
    LatentlakeError
        As `Run.finish`, and whatever keeps the run from starting: policy, lake, store.
    """
    start = time.perf_counter()
    request = CompressRequest.checked(
        lake, archive, policy=policy, range_=range_, where=where, threads=threads, seed=seed, page_data=page_data
    )
    found = survey(request)
    if not found.due:
        return nothing_to_do(request, found)
    run = Run(request, found, prepare(request, found, progress=progress), start)
    batcher = Batcher(BATCH_PARTITIONS, BATCH_SECONDS)
    for partition in found.due:
        try:
            staged = encode_partition(run.prepared, partition, threads=request.threads, progress=progress)
        except LatentlakeError as error:
            run.failed(partition.id, error)
            continue
        if batch := batcher.add(staged):
            run.committed(commit_batch(run.prepared, run.in_order(batch), threads=request.threads))
    if batch := batcher.flush():
        run.committed(commit_batch(run.prepared, run.in_order(batch), threads=request.threads))
    return run.finish()
