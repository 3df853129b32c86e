"""The fresh process that looks at faded partitions before they are committed: `python -m ae_core.jobs.fade_worker`.

It opens the staged manifests by name and SHA-256 with the public reader, decodes the layers that stay and, from the
committed manifest, the data within their bounds, and compares the two: rows, and for every column an error that the
certificate's figures allow (what a preview is off by, and the bound's own error on top).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pyarrow as pa
from pydantic import TypeAdapter

from ae_core.archive.digest import PartitionDigest
from ae_core.archive.reader import open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.dataset import Archive, Partition
from ae_core.errors import LatentlakeError
from ae_core.jobs.fresh import end
from ae_core.records import check_stored
from ae_core.report.losses import LossAccumulator
from ae_core.report.rounding import figure

_SLACK = 1.0 + 1e-9  # sums of floats


@dataclass(frozen=True)
class FadeRequest:
    """What to look at: a proposal (JSON) staged in an archive, and the partitions that it fades."""

    archive: str
    proposal: str
    partitions: tuple[str, ...]
    threads: int


@dataclass(frozen=True)
class FadeProof:
    """What a fresh decode of the kept layers gave; `problem` is None when they are what was certified."""

    partition: str
    rows: int
    digest: str
    problem: str | None


def prove(request: FadeRequest) -> list[FadeProof]:
    """Decode every faded partition, and compare it with what it is now."""
    committed = open_snapshot(request.archive)
    staged = committed.with_proposal(Proposal.from_json(request.proposal))
    before, after = Archive(committed), Archive(staged)
    return [
        _prove(
            Partition(before, committed.manifest(name)),
            Partition(after, staged.manifest(name)),
            threads=request.threads,
        )
        for name in request.partitions
    ]


def _prove(fuller: Partition, faded: Partition, *, threads: int) -> FadeProof:
    shown = faded.schema_of(layer="preview")
    digest = PartitionDigest(shown)
    losses = LossAccumulator(pa.schema([faded.schema.field(name) for name in shown.names]), {})
    rows, problem = 0, None
    try:
        for layer in faded.manifest.layers:
            check_stored(faded.store, layer.file)
        blocks = zip(fuller.blocks(threads=threads), faded.blocks(layer="preview", threads=threads), strict=True)
        for bounded, preview in blocks:
            rows += preview.num_rows
            digest.add(preview)
            losses.add(bounded.select(shown.names), preview)
        problem = _beyond(fuller, losses)
    except (LatentlakeError, ValueError) as error:
        problem = str(error)
    if problem is None and (digest.hexdigest() != faded.manifest.digest or rows != fuller.rows):
        problem = "it decodes to other data here than where it was faded"
    return FadeProof(faded.id, rows, digest.hexdigest(), problem)


def _beyond(fuller: Partition, losses: LossAccumulator) -> str | None:
    """The first column whose preview is off by more than its certificate says."""
    measured = {column.name: column.max_error for column in losses.finish().columns}
    for column in fuller.certificate.columns:
        found = measured.get(column.name)
        stated = None if column.preview is None else column.preview.max_error
        if found is None or stated is None:
            continue
        most = figure((stated + (column.loss.max_error or 0.0)) * _SLACK, towards="away")  # as what was found is
        if found > most:
            return f"the preview of {column.name} is off by {found:.6g}, its certificate allows {most:.6g}"
    return None


def main() -> int:
    """Answer the request on stdin; the exit code is that of the first error, 0 when an answer was given."""
    request = TypeAdapter(FadeRequest).validate_json(sys.stdin.buffer.read())
    try:
        proofs = prove(request)
    except LatentlakeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps({"proofs": TypeAdapter(list[FadeProof]).dump_python(proofs)}))
    return 0


if __name__ == "__main__":
    end(main())
