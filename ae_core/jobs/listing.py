"""What an archive holds: its partitions, one partition in detail, its commits."""

from __future__ import annotations

from collections.abc import Collection

from ae_core.archive.format import Commit, Manifest, ObjectRef, read_manifest
from ae_core.archive.log import Archive, open_archive, read_log, read_state
from ae_core.archive.names import MARKER
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.state import Logged
from ae_core.archive.store import Store
from ae_core.certificates import read_certificate
from ae_core.codec import Codec
from ae_core.errors import UsageError
from ae_core.jobs.results import (
    FileListing,
    Listing,
    Log,
    LoggedCommit,
    ModelListing,
    PartitionDetail,
    PartitionListing,
    Totals,
)
from ae_core.records import TableInfo, file_path, latent_bytes, layer_sizes, select_manifests, source_bytes, table_info
from ae_core.selection import Where


def list_archive(url: str, *, where: Where = None, snapshot: int | None = None, store: Store | None = None) -> Listing:
    """The partitions of a snapshot with their sizes; totals count every byte that the snapshot refers to.

    Raises
    ------
    UsageError, Corrupt
    """
    found = open_snapshot(url, number=snapshot, store=store)
    manifests = select_manifests(found, where)
    tables: dict[str, TableInfo] = {}
    return Listing(
        archive=found.archive.store.url,
        snapshot=found.number,
        head_sha256=found.sha256,
        partitions=tuple(_row(found, manifest, tables) for manifest in manifests),
        models=_models(found),
        totals=totals_of(found, manifests),
    )


def show_partition(
    url: str, partition: str, *, snapshot: int | None = None, store: Store | None = None
) -> PartitionDetail:
    """Everything that a snapshot records about one partition.

    Raises
    ------
    UsageError
        When there is no such partition; the message names some that there are.
    """
    found = open_snapshot(url, number=snapshot, store=store)
    if partition not in found.state.partitions:
        some = ", ".join(found.partitions[:12]) or "none"
        raise UsageError(f"{url}: no partition {partition!r}; there are: {some}")
    manifest = found.manifest(partition)
    model = found.model(manifest)
    codec = None if model is None else Codec.from_bytes(model)
    return PartitionDetail(
        archive=found.archive.store.url,
        snapshot=found.number,
        partition=partition,
        rows=manifest.rows,
        layers=layer_sizes(manifest),
        files=tuple(
            FileListing(file_path(manifest.keys, partition, source.name), source.rows, source.size, source.sha256)
            for source in manifest.sources
        ),
        model=manifest.model or "",
        no_latents_reason=manifest.no_latents_reason or (codec.no_latents_reason if codec else None),
        certificate=read_certificate(manifest, table_info(found, manifest), codec).to_dict(),
    )


def archive_log(url: str, *, snapshot: int | None = None, store: Store | None = None) -> Log:
    """The commits of an archive up to a snapshot, newest first.

    Raises
    ------
    UsageError, Corrupt
    """
    archive = open_archive(url, store=store)
    commits = read_log(archive, number=snapshot)
    condemned = read_state(archive).condemned
    return Log(
        archive=archive.store.url,
        commits=tuple(logged_commit(archive, logged, condemned) for logged in reversed(commits)),
    )


def _worst_ratio(snapshot: Snapshot, manifest: Manifest, tables: dict[str, TableInfo]) -> float | None:
    """Largest error over bound that the partition's certificate states; None where every column is exact."""
    if manifest.table not in tables:
        tables[manifest.table] = table_info(snapshot, manifest)
    info = tables[manifest.table]
    if all(bound.exact for bound in info.policy.bounds.values()):
        return None
    return read_certificate(manifest, info).verdict().worst_ratio


def _row(snapshot: Snapshot, manifest: Manifest, tables: dict[str, TableInfo]) -> PartitionListing:
    sizes = layer_sizes(manifest)
    ref = snapshot.state.partitions[manifest.partition]
    sources = source_bytes(manifest)
    return PartitionListing(
        partition=manifest.partition,
        keys=dict(manifest.keys),
        rows=manifest.rows,
        files=len(manifest.sources),
        source_bytes=sources,
        layers=sizes,
        manifest_bytes=ref.length,
        ratio=(sum(sizes.values()) + ref.length) / max(1, sources),
        worst_ratio=_worst_ratio(snapshot, manifest, tables),
        commit=snapshot.state.changed[manifest.partition],
    )


def _models(snapshot: Snapshot) -> tuple[ModelListing, ...]:
    return tuple(
        ModelListing(ref.sha256, ref.length, len(ref.names))
        for ref in snapshot.state.shared.values()
        if ref.kind == "model"
    )


def totals_of(snapshot: Snapshot, manifests: list[Manifest]) -> Totals:
    """Every byte that the snapshot needs, partitions not selected left out."""
    latents = sum(latent_bytes(layer_sizes(manifest)) for manifest in manifests)
    residuals = sum(sum(layer_sizes(manifest).values()) for manifest in manifests) - latents
    shared = dict.fromkeys(("model", "table"), 0)
    for ref in snapshot.state.shared.values():
        shared[ref.kind] += ref.length * len(ref.names)
    metadata = sum(snapshot.state.partitions[manifest.partition].length for manifest in manifests)
    metadata += snapshot.state.bytes + (snapshot.archive.store.size(MARKER) or 0) + shared["table"]
    return Totals(
        rows=sum(manifest.rows for manifest in manifests),
        source_bytes=sum(map(source_bytes, manifests)),
        latents=latents,
        residuals=residuals,
        models=shared["model"],
        metadata=metadata,
        archive_bytes=latents + residuals + shared["model"] + metadata,
    )


def _report_bytes(commit: Commit) -> int:
    return 0 if commit.report is None else commit.report.length


def logged_commit(archive: Archive, logged: Logged, condemned: Collection[str]) -> LoggedCommit:
    """A commit as the log shows it; partitions that gc has given up since count for nothing."""
    commit = logged.commit
    added = logged.length + _report_bytes(commit) + sum(ref.length * len(ref.names) for ref in commit.shared)
    for change in commit.changes:
        if change.manifest is not None and change.manifest.name not in condemned:
            added += change.manifest.length + sum(_layers_of(archive, change.manifest))
    return LoggedCommit(
        n=commit.number,
        sha256=logged.sha256,
        time=commit.time,
        writer=commit.writer,
        message=": ".join(filter(None, (commit.note, commit.reason))),
        partitions=tuple(change.partition for change in commit.changes),
        models=tuple(ref.sha256 for ref in commit.shared if ref.kind == "model"),
        bytes=added,
    )


def _layers_of(archive: Archive, ref: ObjectRef) -> list[int]:
    """Sizes of the layers of an older or newer version of a partition."""
    manifest = read_manifest(archive.store.get(ref.name, ref.length, ref.sha256), ref.name)
    return list(layer_sizes(manifest).values())
