"""Finished partitions in batches: verified together in one fresh process, then made visible by one commit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

from ae_core.archive.commit import append
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.stage import Proposal, put_report
from ae_core.errors import LakeError
from ae_core.jobs.apart import prove_apart
from ae_core.jobs.encode import Staged, versions
from ae_core.jobs.prepare import Prepared
from ae_core.jobs.request import noted
from ae_core.jobs.results import PartitionOutcome
from ae_core.jobs.target import writer_name
from ae_core.jobs.verify_worker import PartitionProof
from ae_core.lake import refresh


@dataclass
class Batcher:
    """Collects staged partitions until a commit is due: enough of them or of their bytes, or enough time.

    A commit costs a fresh process, so small partitions share one; `size` is in bytes of the source files.
    """

    partitions: int
    size: int
    seconds: float
    waiting: list[Staged] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    def add(self, staged: Staged) -> list[Staged]:
        """The batch that is due now; empty while there is none."""
        self.waiting.append(staged)
        due = (
            len(self.waiting) >= self.partitions
            or sum(one.source.size for one in self.waiting) >= self.size
            or time.monotonic() - self.since >= self.seconds
        )
        return self.flush() if due else []

    def flush(self) -> list[Staged]:
        """All that wait."""
        batch, self.waiting = self.waiting, []
        self.since = time.monotonic()
        return batch


def commit_batch(prepared: Prepared, batch: Sequence[Staged], *, threads: int = 0) -> list[PartitionOutcome]:
    """Verify the staged partitions in a fresh process and commit those that keep every promise.

    Returns one outcome per partition: "compressed" with the number of the commit, or "failed" with the reason.

    Raises
    ------
    NotCommitted, StoreUnsafe
        When the commit did not land; what is staged is invisible and harmless.
    """
    proofs = prove_batch(prepared, batch, threads=threads)
    good, outcomes = [], []
    for staged, proof in zip(batch, proofs, strict=True):
        problem = proof.problem or _changed_since(staged)
        if problem is None:
            good.append((staged, proof))
        else:
            outcomes.append(
                PartitionOutcome(staged.source.id, "failed", problem, rows=staged.rows, checks=proof.checks)
            )
    if good:
        number = _append(prepared, [staged for staged, _ in good], [proof for _, proof in good])
        outcomes += [
            PartitionOutcome(
                partition=staged.source.id,
                action="compressed",
                reason="",
                rows=staged.rows,
                source_bytes=staged.source.size,
                archive_bytes=staged.archive_bytes,
                worst_ratio=staged.worst_ratio,
                commit=number,
                seconds=staged.seconds,
                cpu_seconds=staged.cpu_seconds,
                checks=proof.checks,
            )
            for staged, proof in good
        ]
    return outcomes


def prove_batch(prepared: Prepared, batch: Sequence[Staged], *, threads: int = 0) -> list[PartitionProof]:
    """What a fresh process with cold caches finds in the staged partitions; see `prove_apart`."""
    sources = [staged.source for staged in batch]
    return prove_apart(prepared.archive, _proposal(batch).to_json(), sources, threads=threads, checks=prepared.checks)


def operation_key(prepared: Prepared, uid: str, batch: Sequence[Staged], replaced: Mapping[str, str]) -> str:
    """Names what the commit does: these sources, encoded with this model and policy, in place of what was there.

    Without `replaced` (partition -> SHA-256 of the manifest that it has so far), a source that changes and changes
    back would be taken for done.
    """
    parts = sorted(
        [
            staged.source.id,
            replaced.get(staged.source.id, ""),
            [[file.name, file.size, file.token] for file in staged.source.files],
        ]
        for staged in batch
    )
    text = json.dumps([uid, prepared.table, prepared.model, parts], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _append(prepared: Prepared, batch: Sequence[Staged], proofs: Sequence[PartitionProof]) -> int:
    archive = open_archive(prepared.archive)
    report = put_report(
        archive,
        {
            "kind": "verification",
            "partitions": [
                {"outside": proof.outside, "partition": proof.partition, "rows": proof.rows} for proof in proofs
            ],  # what they decode to is the digest of their manifests, or they would not be here
            "versions": versions(),
        },
    )
    proposal = _proposal(batch) + Proposal(report=report)
    before = read_state(archive, number=prepared.since).partitions if prepared.since >= 0 else {}
    replaced = {partition: ref.sha256 for partition, ref in before.items()}
    done = append(
        archive,
        lambda _: proposal,
        op_key=operation_key(prepared, archive.marker.archive, batch, replaced),
        since=prepared.since,
        writer=writer_name(),
        note=noted("compress", prepared.note),
    )
    return done.number


def _proposal(batch: Sequence[Staged]) -> Proposal:
    return reduce(add, (Proposal.from_json(staged.proposal) for staged in batch), Proposal())


def _changed_since(staged: Staged) -> str | None:
    """The third look at the source, after everything else and just before the commit."""
    try:
        now = refresh(staged.source)
    except LakeError as error:
        return str(error)
    return None if now == staged.source else "the source changed after it was read; run again"
