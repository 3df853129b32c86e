"""What was lost, proved: decode, compare with the recorded digests, or measure afresh against the originals."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from ae_core.archive.digest import PartitionDigest
from ae_core.archive.store import Store
from ae_core.columns import check_block
from ae_core.dataset import Partition, open_archive
from ae_core.errors import LakeError, LatentlakeError
from ae_core.jobs.page import PageFile, refuse_existing
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.results import AuditedColumn, AuditedPartition, AuditResult
from ae_core.lake import LakePartition, file_sha256, list_partitions, read_blocks
from ae_core.report import pagedata
from ae_core.report.certificate import Certificate
from ae_core.report.losses import LossAccumulator
from ae_core.report.records import TableDetail
from ae_core.report.summary import ColumnSummary, Summary
from ae_core.selection import Where


@dataclass(frozen=True)
class Audited:
    """One partition's audit: its certificate (measured afresh where originals were at hand) and page data."""

    result: AuditedPartition
    certificate: Certificate
    detail: TableDetail | None


def audit(
    archive: str,
    *,
    lake: str | None = None,
    html: str | None = None,
    redact: bool = False,
    expect_head: str | None = None,
    where: Where = None,
    sample: float = 1.0,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
    store: Store | None = None,
) -> AuditResult:
    """Decode the chosen partitions and prove the losses that their certificates state.

    Without `lake` the digest of what is decoded has to be the recorded one: decoding is bit-exact, so equal digests
    re-prove the recorded losses. With `lake` every cell is measured against its original. Of a `sample` below 1 only
    that share of the partitions is audited, at least one, picked anew each time: in time every one has its turn.

    The page at `html` is of all chosen partitions and says which were audited; where there are several, their pages and
    those of the columns lie in a folder beside it. With `redact` no page shows any value.

    Raises
    ------
    UsageError
        When a partition, the lake or the archive is not there, or `html` exists.
    Corrupt
        When the archive cannot be opened or its head is not `expect_head`.
    """
    if html is not None:
        refuse_existing(html)
    source = open_archive(archive, snapshot=snapshot, expect_head=expect_head, store=store)
    partitions = source.partitions(where)
    picked: Sequence[int] = range(len(partitions))
    if sample < 1 and partitions:
        picked = sorted(random.sample(picked, max(1, round(sample * len(partitions)))))
    chosen = [partitions[place] for place in picked]
    originals = {} if lake is None else find_originals(lake, chosen)
    page = None
    if html is not None and partitions:
        page = PageFile(html, source, partitions, whole=not where, redacted=redact)
    summary = Summary()
    results: list[AuditedPartition] = []
    try:
        for place, partition in enumerate(partitions):
            if place in picked:
                progress("audit", len(results), len(chosen))
                one = _audit(partition, originals.get(partition.id), threads, drawn=page is not None)
                results.append(one.result)
                summary.add(one.certificate)
                if page is not None:
                    page.add(one.certificate, one.detail, problem=one.result.problem)
            elif page is not None:
                page.add(partition.certificate, None, audited=False)
        if page is not None:
            page.finish()
    finally:
        if page is not None:
            page.discard()
    progress("audit", len(results), len(chosen))
    columns = summary.finish().columns if results else ()
    return AuditResult(
        archive=source.url,
        snapshot=source.snapshot,
        head_sha256=source.head_sha256,
        ok=all(one.problem is None for one in results),
        measured="digest" if lake is None else "originals",
        partitions=tuple(results),
        columns=tuple(_column(column) for column in columns),
        html=html,
        not_in_lake=tuple(p.id for p in chosen if p.id not in originals) if lake is not None else (),
    )


def find_originals(lake: str, partitions: Sequence[Partition]) -> Mapping[str, LakePartition]:
    """The partitions that the lake still holds, by id.

    Raises
    ------
    LakeError
        When the lake is not there, or holds none of them.
    """
    found = {partition.id: partition for partition in list_partitions(lake)}
    wanted = {partition.id for partition in partitions}
    if partitions and wanted.isdisjoint(found):
        raise LakeError(f"{lake} holds none of the archived partitions, such as {partitions[0].id}")
    return {name: partition for name, partition in found.items() if name in wanted}


def require_same(partition: Partition, original: LakePartition) -> None:
    """Pass when the lake holds exactly the files that were compressed.

    Raises
    ------
    LakeError
        When one is another file by now, or is missing.
    """
    recorded = {source.name: source.sha256 for source in partition.manifest.sources}
    for file in original.files:
        if recorded.pop(file.name, None) != file_sha256(original, file):
            raise LakeError(f"{original.path_of(file)} is not the file that was compressed: compress it again")
    if recorded:
        raise LakeError(f"{original.id}: {min(recorded)} was compressed and is no longer in the lake")


def _audit(partition: Partition, original: LakePartition | None, threads: int, *, drawn: bool) -> Audited:
    certificate = partition.certificate
    detail: TableDetail | None = None
    problem: str | None = None
    digest = ""
    try:
        if original is None or partition.fullest == "preview":
            digest, detail = _decode(partition, threads, drawn=drawn)
        else:
            digest, certificate, detail = _measure(partition, original, certificate, threads)
    except LatentlakeError as error:
        problem = str(error)
    verdict = certificate.verdict()
    digest_ok = digest == partition.manifest.digest
    if problem is None and not digest_ok:
        problem = "it decodes to other data than was certified"
    if problem is None and not verdict.passed:
        problem = str(verdict)
    exact = all(bound.exact for bound in partition.bounds.values())
    ratio = None if exact else verdict.worst_ratio
    return Audited(
        AuditedPartition(partition.id, partition.rows, digest_ok, ratio, verdict.outside, problem), certificate, detail
    )


def _decode(partition: Partition, threads: int, *, drawn: bool) -> tuple[str, TableDetail | None]:
    """Digest of what is decoded and, for a page, the page data that the archive keeps with the rebuilt side."""
    layer = partition.fullest
    drawn = drawn and layer == "bounded"  # what the page shows beside the original is the bounded value
    digest = PartitionDigest(partition.schema_of(layer=layer))
    hidden = [name for name, bound in partition.bounds.items() if bound.sensitive]
    page = pagedata.read(partition.manifest.extra.get("detail"), partition.schema, hidden) if drawn else None
    for block in partition.blocks(layer=layer, threads=threads):
        digest.add(block)
        if page is not None:
            page.add(block)
    return digest.hexdigest(), None if page is None else page.finish()


def _measure(
    partition: Partition, original: LakePartition, certificate: Certificate, threads: int
) -> tuple[str, Certificate, TableDetail]:
    """Digest of what is decoded, and the certificate with the losses as they are measured now.

    Raises
    ------
    LakeError
        When the originals are no longer the files that were compressed.
    BoundViolated
        When a cell is outside its bound.
    """
    require_same(partition, original)
    digest = PartitionDigest(partition.schema)
    losses = LossAccumulator(partition.schema, partition.bounds)
    for before, after in zip_longest(read_blocks(original, partition.block_rows), partition.blocks(threads=threads)):
        if before is None or after is None:
            raise LakeError(f"{original.id}: the originals have another number of rows than were compressed")
        check_block(partition.table.policy, before, after)
        digest.add(after)
        losses.add(before, after)
    measured = losses.finish({column.name: column.coded.exceptions for column in certificate.columns})
    columns = tuple(replace(column, loss=measured.column(column.name)) for column in certificate.columns)
    return digest.hexdigest(), replace(certificate, columns=columns), measured.detail


def _column(column: ColumnSummary) -> AuditedColumn:
    loss = column.loss
    return AuditedColumn(
        name=loss.name,
        type=loss.type,
        bound=bound_text(loss.bound.kind, loss.bound.value),
        rows=loss.rows,
        nulls=loss.nulls,
        exceptions=loss.exceptions,
        violations=loss.outside,
        max_error=loss.max_error,
        worst_ratio=loss.max_ratio,
        mean_error=loss.mean_error,
        rmse=loss.rmse,
        psnr=loss.psnr,
        bias=loss.bias,
        exact_share=loss.exact_share,
        coder=column.coded.coder,
        bytes_before=column.coded.before,
        bytes_after=column.coded.after,
    )


def bound_text(kind: str, value: str | None) -> str:
    """A recorded bound as a person reads it."""
    if value is None:
        return kind
    numerator, _, denominator = value.partition("/")
    number = int(numerator) / int(denominator or 1)
    return f"{'±' if kind == 'abs' else '±relative '}{number:.4g}"
