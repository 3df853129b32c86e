"""Is an archive what it says it is: every byte read, and on demand everything decoded."""

from __future__ import annotations

from ae_core.archive.digest import PartitionDigest
from ae_core.archive.format import Manifest
from ae_core.archive.reader import Snapshot
from ae_core.archive.store import Store
from ae_core.archive.verify import Finding as ArchiveFinding
from ae_core.archive.verify import verify as check
from ae_core.dataset import Archive, Layer, Partition
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.results import Finding, VerifyResult


def verify(
    url: str, *, deep: bool = False, threads: int = 0, progress: Progress = silent, store: Store | None = None
) -> VerifyResult:
    """Check every object that the archive's log refers to; deep: decode all partitions and compare their digests.

    Raises
    ------
    UsageError
        When there is no archive, or it needs a newer release.
    """
    opened: list[Archive] = []  # one for all partitions: it keeps the model

    def decode(snapshot: Snapshot, manifest: Manifest) -> str:
        if not opened:
            opened.append(Archive(snapshot))
        return rebuilt_digest(Partition(opened[0], manifest), threads=threads)

    report = check(
        url,
        decode=decode if deep else None,
        progress=lambda done, total: progress("verify", done, total),
        store=store,
    )
    return VerifyResult(
        archive=url,
        snapshot=report.head,
        deep=deep,
        ok=report.ok,
        objects=report.objects,
        bytes=report.bytes,
        decoded=report.decoded,
        orphans=report.orphans,
        orphan_bytes=report.orphan_bytes,
        findings=tuple(_finding(finding) for finding in report.findings),
    )


def rebuilt_digest(partition: Partition, *, threads: int = 0) -> str:
    """Digest of the partition's rebuilt data, decoded anew from all layers that it keeps.

    Raises
    ------
    Corrupt
        When stored bytes are missing, changed or malformed.
    """
    return _digest(partition, partition.fullest, threads)


def preview_digest(partition: Partition, *, threads: int = 0) -> str:
    """Digest of what the latents alone rebuild.

    Raises
    ------
    Corrupt
        As `rebuilt_digest`.
    """
    return _digest(partition, "preview", threads)


def _digest(partition: Partition, layer: Layer, threads: int) -> str:
    digest = PartitionDigest(partition.schema_of(layer=layer))
    for block in partition.blocks(layer=layer, threads=threads):
        digest.add(block)
    return digest.hexdigest()


def _finding(finding: ArchiveFinding) -> Finding:
    return Finding(finding.name, f"{finding.problem}: {finding.detail}", finding.partition, finding.mendable)
