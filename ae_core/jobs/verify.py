"""Is an archive what it says it is: every byte read, on demand everything decoded, and what is lost put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ae_core.archive.digest import PartitionDigest
from ae_core.archive.findings import VerifyReport
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.repair import Repaired, repair_log, repair_objects
from ae_core.archive.store import Store, open_store
from ae_core.archive.verify import Decoded
from ae_core.archive.verify import verify as check
from ae_core.dataset import Layer, Partition
from ae_core.errors import LatentlakeError, UnsupportedFormat
from ae_core.jobs.damage import explain
from ae_core.jobs.deep import decode_apart, decode_partitions
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.results import Repair, VerifyResult
from ae_core.selection import Where, keys_of, parse_share, parse_where, selected


def verify(
    url: str,
    *,
    deep: bool = False,
    where: Where = None,
    sample: str | None = None,
    snapshot: int | None = None,
    mend: bool = False,
    repair_from: str | None = None,
    threads: int = 0,
    progress: Progress = silent,
    store: Store | None = None,
) -> VerifyResult:
    """Check every object that the archive's log refers to.

    Parameters
    ----------
    deep : decode in a fresh process (in this one where `store` is given) and compare the digests.
    where : only these partitions; the log and shared objects are always checked.
    sample : read and decode this share of them, such as "5%", picked at random; of the others look up the sizes.
    snapshot : only what this snapshot needs.
    mend : restore what the archive itself holds twice, or can make again.
    repair_from : restore also what a replica at this URL has.
    store : the archive's store, where it is open already.

    Raises
    ------
    UsageError
        When there is no archive, or it needs a newer release, or nothing of it is meant.
    StoreUnsafe
        When the store does not take what is to be restored.
    """
    share = None if sample is None else parse_share(sample)
    apart = store is None
    store = store or open_store(url)
    repaired: list[Repaired] = []
    replica = None if repair_from is None else open_store(repair_from)
    if replica is not None:
        repaired += repair_log(store, replica)
    decode = partial(decode_apart if apart else decode_partitions, threads=threads)
    look = partial(
        check, url, decode=_counted(decode, progress) if deep else None, snapshot=snapshot, threads=threads, store=store
    )
    report = look(chosen=_chosen(where), share=share, progress=lambda done, total: progress("verify", done, total))
    if mend or replica is not None:
        fixed = repair_objects(
            store, report.findings, replica=replica, progress=lambda done, total: progress("repair", done, total)
        )
        repaired += fixed
        report = _again(look, report) if fixed else report
    return _result(url, report, repaired, store, deep=deep)


def _again(look: Callable[..., VerifyReport], report: VerifyReport) -> VerifyReport:
    """The report after a repair: the damaged partitions, the log and the shared objects are looked at once more."""
    damaged = set(report.damaged_partitions)
    again = look(chosen=damaged.__contains__) if damaged else look(chosen=None, share=0.0)
    return replace(report, findings=again.findings, decoded=report.decoded + (again.decoded if damaged else 0))


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


def _chosen(where: Where) -> Callable[[str], bool] | None:
    conditions = parse_where(where)
    return (lambda partition: selected(conditions, keys_of(partition))) if conditions else None


def _counted(
    decode: Callable[[Snapshot, Sequence[str]], Iterator[Decoded]], progress: Progress
) -> Callable[[Snapshot, Sequence[str]], Iterator[Decoded]]:
    """`decode`, telling how far it is."""

    def counting(snapshot: Snapshot, partitions: Sequence[str]) -> Iterator[Decoded]:
        for done, one in enumerate(decode(snapshot, partitions)):
            progress("decode", done + 1, len(partitions))
            yield one

    return counting


def _result(url: str, report: VerifyReport, repaired: Sequence[Repaired], store: Store, *, deep: bool) -> VerifyResult:
    snapshot = _snapshot(url, report, store)
    latents: dict[str | None, set[int]] = {}
    for one in report.findings:
        if one.layer == "latents" and one.current:
            latents.setdefault(one.partition, set()).update(one.blocks)
    return VerifyResult(
        archive=url,
        snapshot=report.head,
        head_sha256=report.head_sha256,
        deep=deep,
        ok=report.ok,
        partitions=report.partitions,
        objects=report.objects,
        bytes=report.bytes,
        sized=report.sized,
        decoded=report.decoded,
        orphans=report.orphans,
        orphan_bytes=report.orphan_bytes,
        repaired=tuple(Repair(one.name, one.length, one.origin) for one in repaired),
        findings=tuple(explain(one, snapshot, latents.get(one.partition, set())) for one in report.findings),
    )


def _snapshot(url: str, report: VerifyReport, store: Store) -> Snapshot | None:
    """The snapshot that was verified, to explain what is wrong; None if nothing is, or it does not open."""
    if report.ok:
        return None
    try:
        return open_snapshot(url, number=None if report.head < 0 else report.head, store=store)
    except UnsupportedFormat:
        raise
    except LatentlakeError:
        return None
