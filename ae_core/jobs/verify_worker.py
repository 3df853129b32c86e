"""The fresh process that decodes what is staged before it is committed: `python -m ae_core.jobs.verify_worker`.

It reads one request (JSON) from stdin, opens the staged manifests in the store by name and SHA-256 with the public
reader, decodes every block, and compares it with the source read anew: rows, schema, and every cell against its
bound, in exact arithmetic. The answer is one JSON document on stdout. Nothing of the process that encoded is shared,
and torch is never imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from ae_core.archive.digest import PartitionDigest
from ae_core.archive.layers import OPEN_LATENTS, read_open_latents
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.columns import check_block
from ae_core.dataset import Archive, Partition, decoded
from ae_core.errors import LatentlakeError
from ae_core.jobs.checks import run_checks
from ae_core.jobs.fresh import end
from ae_core.lake import LakePartition, read_blocks, schema
from ae_core.policy import Check
from ae_core.ranges import RANGES, Ranges
from ae_core.records import check_stored
from ae_core.report.certificate import Verdict, verdict_of
from ae_core.report.impact import CheckOutcome
from ae_core.report.losses import LossAccumulator


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify: a proposal (JSON) staged in an archive, and the partitions that it was made from."""

    archive: str
    proposal: str
    sources: tuple[LakePartition, ...]
    threads: int
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class PartitionProof:
    """What a fresh decode of a partition gave; `problem` is None when it keeps every promise."""

    partition: str
    rows: int
    digest: str
    outside: int
    worst_ratio: float
    worst_column: str | None
    problem: str | None
    checks: tuple[CheckOutcome, ...] = ()


def prove(request: VerifyRequest) -> list[PartitionProof]:
    """Decode every partition of the proposal and compare it with its source.

    Blocks of several partitions are decoded together. An error may then be a neighbour's, so the partition that met
    one is looked at once more by itself.
    """
    staged = open_snapshot(request.archive).with_proposal(Proposal.from_json(request.proposal))
    archive = Archive(staged)
    pairs = [(Partition(archive, staged.manifest(source.id)), source) for source in request.sources]
    proofs = []
    tables = _tables(pairs, request.threads)
    for place, (partition, source) in enumerate(pairs):
        proof = _prove(staged, partition, source, islice(tables, len(partition.manifest.block_rows)))
        if proof.problem is not None:
            tables.close()
            proof = _prove(staged, partition, source, _tables([(partition, source)], request.threads))
            tables = _tables(pairs[place + 1 :], request.threads)
        if proof.problem is None and request.checks:
            proof = _check(proof, request.checks, partition, source)
        proofs.append(proof)
    return proofs


def _tables(pairs: Sequence[tuple[Partition, LakePartition]], threads: int) -> Generator[pa.Table, None, None]:
    """The rebuilt blocks of the partitions, one after the other."""
    yield from decoded((task for partition, _ in pairs for task in partition.tasks()), threads=threads)


def _prove(staged: Snapshot, partition: Partition, source: LakePartition, tables: Iterator[pa.Table]) -> PartitionProof:
    digest = PartitionDigest(partition.schema)
    losses = LossAccumulator(partition.schema, partition.bounds)
    ranges = Ranges(partition.schema, partition.bounds)
    rows = 0
    problem = None
    try:
        for layer in partition.manifest.layers:  # every byte: decoding reads the payloads alone
            check_stored(staged.archive.store, layer.file)
        for original, rebuilt in zip_longest(read_blocks(source, partition.block_rows), tables):
            if original is None or rebuilt is None:
                problem = "the archive and the source have different numbers of rows"
                break
            rows += original.num_rows
            check_block(partition.table.policy, original, rebuilt)
            digest.add(rebuilt)
            ranges.add(rebuilt)
            losses.add(original, rebuilt)
        if not partition.schema.equals(schema(source), check_metadata=True):
            problem = "the schema is not that of the source"
        if ranges.finish().get(RANGES) != partition.manifest.extra.get(RANGES):
            problem = "the recorded ranges are not those of its columns"
        if not _same_latents(partition):
            problem = f"{OPEN_LATENTS} are not the latents that it decodes from"
    except LatentlakeError as error:
        problem = str(error)
    measured = verdict_of(list(losses.finish().columns))
    return PartitionProof(
        partition=partition.id,
        rows=rows,
        digest=digest.hexdigest(),
        outside=measured.outside,
        worst_ratio=measured.worst_ratio,
        worst_column=measured.worst_column,
        problem=problem or _disagreement(partition, rows, digest.hexdigest(), measured),
    )


def _same_latents(partition: Partition) -> bool:
    """Whether the latents that are stored for others, if any, are those that the partition decodes from."""
    repeated = partition.manifest.layer(OPEN_LATENTS)
    if repeated is None:
        return True
    file = repeated.file
    found = read_open_latents(partition.store.get(file.name, file.length, file.sha256))
    pairs = zip_longest(partition.latents(), found)
    return all(z is not None and other is not None and np.array_equal(z, other) for z, other in pairs)


def _check(
    proof: PartitionProof, checks: Sequence[Check], partition: Partition, source: LakePartition
) -> PartitionProof:
    """The proof with what the checks find; a failing one is a problem."""
    try:
        outcomes = run_checks(checks, partition, source)
    except LatentlakeError as error:
        return replace(proof, problem=str(error))
    failed = [f"check {outcome.name!r}: {outcome.problem}" for outcome in outcomes if not outcome.passed]
    return replace(proof, checks=outcomes, problem="; ".join(failed) or None)


def _disagreement(partition: Partition, rows: int, digest: str, measured: Verdict) -> str | None:
    """Where the manifest and its certificate state other things than were found here."""
    recorded = partition.certificate.verdict()
    if measured.outside:
        return f"{measured.outside} cells are outside their bounds"
    if digest != partition.manifest.digest or rows != partition.rows:
        return "it decodes to other data here than where it was encoded"
    if measured.worst_ratio != recorded.worst_ratio:
        return f"the certificate states a worst error/bound of {recorded.worst_ratio}, found {measured.worst_ratio}"
    return None


def main() -> int:
    """Answer the request on stdin; the exit code is that of the first error, 0 when an answer was given."""
    request = TypeAdapter(VerifyRequest).validate_json(sys.stdin.buffer.read())
    try:
        proofs = prove(request)
    except LatentlakeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    document = {"proofs": TypeAdapter(list[PartitionProof]).dump_python(proofs), "torch": "torch" in sys.modules}
    sys.stdout.write(json.dumps(document))
    return 0


if __name__ == "__main__":
    end(main())
