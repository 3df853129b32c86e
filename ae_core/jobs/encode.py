"""One partition: read, encode, measured, and staged in the archive under names that nobody else can pick."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice

import numpy as np
import pyarrow as pa

from ae_core import pipeline
from ae_core.archive.digest import PartitionDigest
from ae_core.archive.format import Manifest
from ae_core.archive.format import SourceFile as RecordedFile
from ae_core.archive.layers import OPEN_LATENTS, OpenLatents
from ae_core.archive.log import open_archive
from ae_core.archive.names import partition_folder
from ae_core.archive.reader import open_snapshot
from ae_core.archive.stage import put_layer, put_layers, put_partition
from ae_core.certificates import CHECKS, store_certificate
from ae_core.codec import Codec
from ae_core.columns import check_block
from ae_core.dataset import LOCKSTEP_CELLS, Archive, Partition, preview_names
from ae_core.delta import split_version
from ae_core.errors import SourceChanging
from ae_core.jobs.checks import run_checks
from ae_core.jobs.prepare import Prepared, load_codec, load_table
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.sampling import row_counts
from ae_core.lake import LakePartition, block_rows, file_sha256, read_blocks, refresh, row_cells, schema
from ae_core.ranges import Ranges
from ae_core.records import TableInfo, latent_bytes, own_schema, with_metadata
from ae_core.report import pagedata
from ae_core.report.certificate import Certificate, CodedColumn, StoredBytes, certify
from ae_core.report.losses import LossAccumulator
from ae_core.threads import ordered_map, thread_count

READ_ATTEMPTS = 3


@dataclass(frozen=True)
class Staged:
    """A partition that lies in the archive, complete and invisible until a commit names it.

    `proposal` is JSON (`ae_core.archive.stage.Proposal`), so that it may travel to the process that verifies it.
    """

    source: LakePartition
    proposal: str
    rows: int
    archive_bytes: int
    worst_ratio: float | None
    seconds: float
    cpu_seconds: float


def encode_partition(
    prepared: Prepared, partition: LakePartition, *, threads: int = 0, progress: Progress = silent
) -> Staged:
    """Encode a partition and stage its layers, manifest and certificate.

    The source is read again, at most three times in all, when its version tokens differ before and after.

    Raises
    ------
    SourceChanging
        When the source changed each time.
    BoundViolated
        When a rebuilt cell is outside its bound: nothing of the partition can be committed.
    """
    start, cpu = time.perf_counter(), time.thread_time()
    codec, info = load_codec(prepared.archive, prepared.model), load_table(prepared.archive, prepared.table)
    for _ in range(READ_ATTEMPTS):
        before = refresh(partition)
        encoded = _Encoder(codec, info, before, threads, progress).run()
        sources = _sources(before)
        if refresh(partition) == before:
            seconds = time.perf_counter() - start, time.thread_time() - cpu + encoded.elsewhere
            return _stage(prepared, info, codec, before, encoded, sources, seconds)
    raise SourceChanging(
        f"{partition.lake}: {partition.id} changed each of the {READ_ATTEMPTS} times it was read: "
        "compress it once its writer is done"
    )


@dataclass
class _Encoded:
    """What came of the blocks of a partition, in their order."""

    block_rows: list[int] = field(default_factory=list)
    latents: list[bytes] = field(default_factory=list)
    residuals: list[bytes] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    exceptions: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Block:
    """A block, its bytes, and what they decode to."""

    original: pa.Table
    encoded: pipeline.EncodedBlock
    rebuilt: pa.Table
    preview: pa.Table | None
    z: np.ndarray | None


class _Encoder:
    """Encodes the blocks in threads and measures them in order."""

    def __init__(
        self, codec: Codec, info: TableInfo, partition: LakePartition, threads: int, progress: Progress
    ) -> None:
        self._codec = codec
        self._info = info
        self._partition = partition
        self._threads = threads
        self._progress = progress
        self._caller = threading.get_ident()
        self.elsewhere = 0.0
        """CPU seconds of other threads than the caller's."""
        self.schema = schema(partition)
        self.result = _Encoded()
        self.digest = PartitionDigest(self.schema)
        self.ranges = Ranges(self.schema, info.policy.bounds)
        self.losses = LossAccumulator(self.schema, info.policy.bounds)
        kept = set(preview_names(codec))
        self._previewed = [column.name for column in self.schema if column.name in kept]
        shown = pa.schema([column for column in self.schema if column.name in kept])
        self.preview_losses = LossAccumulator(shown, {}) if self._previewed else None
        self.open_latents: OpenLatents | None = None
        if codec.network is not None and info.written.latents_layout == "open":
            self.open_latents = OpenLatents(codec.network.latent_dims)

    def run(self) -> _Encoder:
        total = sum(row_counts(self._partition))
        done = 0
        together = lockstep_blocks(total, row_cells(self.schema), self._threads)
        groups = _grouped(read_blocks(self._partition, block_rows(row_cells(self.schema))), together)
        for blocks, spent in ordered_map(self._encode, groups, threads=self._threads):
            self.elsewhere += spent
            for block in blocks:
                self._add(block)
                done += block.original.num_rows
                self._progress(self._partition.id, done, total)
        return self

    def _encode(self, tables: Sequence[pa.Table]) -> tuple[list[_Block], float]:
        """Blocks in lockstep: encoded, and decoded again from their bytes alone; CPU seconds of another thread."""
        cpu = time.thread_time()
        blocks = self._encode_blocks(tables)
        spent = 0.0 if threading.get_ident() == self._caller else time.thread_time() - cpu
        return blocks, spent

    def _encode_blocks(self, tables: Sequence[pa.Table]) -> list[_Block]:
        codec = self._codec
        encoded = pipeline.encode_blocks(codec, tables)
        stored = [
            pipeline.StoredBlock(block.latents, block.residuals, table.num_rows)
            for block, table in zip(encoded, tables, strict=True)
        ]
        z = None if codec.network is None else pipeline.latents_of_blocks(codec, stored)
        rebuilt = [
            with_metadata(table, original.schema)
            for table, original in zip(pipeline.decode_blocks(codec, stored, z=z), tables, strict=True)
        ]
        for original, table in zip(tables, rebuilt, strict=True):
            check_block(self._info.policy, original, table)
        previews: Sequence[pa.Table | None] = [None] * len(tables)
        if self._previewed:
            previews = pipeline.preview_blocks(codec, stored, self._previewed, z=z)
        latents: Sequence[np.ndarray | None] = [None] * len(tables) if z is None else z
        return [_Block(*parts) for parts in zip(tables, encoded, rebuilt, previews, latents, strict=True)]

    def _add(self, block: _Block) -> None:
        result = self.result
        result.block_rows.append(block.original.num_rows)
        result.residuals.append(block.encoded.residuals)
        if block.encoded.latents is not None:
            result.latents.append(block.encoded.latents)
        if self.open_latents is not None and block.z is not None:
            self.open_latents.add(block.z)
        for name in self.schema.names:
            _count(result.before, name, block.original.column(name).nbytes)
            _count(result.after, name, block.encoded.column_bytes.get(name, 0))
            _count(result.exceptions, name, block.encoded.exceptions.get(name, 0))
        self.digest.add(block.rebuilt)
        self.ranges.add(block.rebuilt)
        self.losses.add(block.original, block.rebuilt)
        if self.preview_losses is not None and block.preview is not None:
            self.preview_losses.add(block.original, block.preview)


def _delta_version(partition: LakePartition) -> dict[str, int]:
    """Which version of a Delta table the partition was read from."""
    version = split_version(partition.lake)[1]
    return {} if version is None else {"delta_version": version}


def lockstep_blocks(rows: int, columns: int, threads: int) -> int:
    """How many blocks one thread encodes at once: as many as gain, fit, and leave every thread its share."""
    block = block_rows(columns)
    share = -(-rows // (block * thread_count(threads)))
    return max(1, min(pipeline.LOCKSTEP_BLOCKS, share, LOCKSTEP_CELLS // (block * max(1, columns))))


def _grouped(tables: Iterable[pa.Table], size: int) -> Iterator[tuple[pa.Table, ...]]:
    stream = iter(tables)
    while group := tuple(islice(stream, size)):
        yield group


def _count(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more


def _sources(partition: LakePartition) -> tuple[RecordedFile, ...]:
    """The files of the partition as the manifest records them."""
    return tuple(
        RecordedFile(
            name=file.name,
            rows=rows,
            size=file.size,
            token=file.token,
            mtime="" if file.mtime is None else repr(file.mtime),
            sha256=file_sha256(partition, file),
        )
        for file, rows in zip(partition.files, row_counts(partition), strict=True)
    )


def _stage(
    prepared: Prepared,
    info: TableInfo,
    codec: Codec,
    partition: LakePartition,
    encoder: _Encoder,
    sources: tuple[RecordedFile, ...],
    seconds: tuple[float, float],
) -> Staged:
    archive = open_archive(prepared.archive)
    encoded = encoder.result
    payloads = {"residuals": encoded.residuals}
    if codec.network is not None:
        payloads = {"latents": encoded.latents, **payloads}
    folder = partition_folder(partition.id)
    layers = put_layers(archive, folder, payloads)
    if encoder.open_latents is not None:
        layers += (put_layer(archive, folder, OPEN_LATENTS, *encoder.open_latents.finish()),)
    sizes = {layer.layer: layer.file.length for layer in layers}
    certificate = _certificate(prepared, codec, partition, encoder, sizes, seconds)
    manifest = Manifest(
        archive=archive.marker.archive,
        partition=partition.id,
        keys=dict(partition.keys),
        table=prepared.table,
        model=prepared.model,
        block_rows=tuple(encoded.block_rows),
        layers=layers,
        sources=sources,
        digest=certificate.digest,
        certificate={},
        format=prepared.format,
        extra=own_schema(encoder.schema, info.schema)
        | ({"detail": pagedata.store(encoder.losses.finish().detail)} if prepared.page_data else {})
        | encoder.ranges.finish()
        | _delta_version(partition),
    )
    if prepared.checks:
        staged = Partition(Archive(open_snapshot(prepared.archive)), manifest)
        outcomes = run_checks(prepared.checks, staged, partition)
        manifest = replace(manifest, extra={**manifest.extra, CHECKS: [outcome.to_dict() for outcome in outcomes]})
    manifest = replace(manifest, certificate=store_certificate(certificate, manifest, info, codec))
    proposal = put_partition(archive, folder, manifest)
    stored = sum(change.manifest.length for change in proposal.changes if change.manifest is not None)
    verdict = certificate.verdict()
    return Staged(
        source=partition,
        proposal=proposal.to_json(),
        rows=manifest.rows,
        archive_bytes=sum(sizes.values()) + stored,
        worst_ratio=None if all(bound.exact for bound in info.policy.bounds.values()) else verdict.worst_ratio,
        seconds=seconds[0],
        cpu_seconds=seconds[1],
    )


def _certificate(
    prepared: Prepared,
    codec: Codec,
    partition: LakePartition,
    encoder: _Encoder,
    sizes: Mapping[str, int],
    seconds: tuple[float, float],
) -> Certificate:
    encoded = encoder.result
    coded = {
        column.name: CodedColumn(
            coder=column.coder,
            reason=column.reason,
            before=encoded.before.get(column.name, 0),
            streams={column.coder: encoded.after.get(column.name, 0)},
            exceptions=encoded.exceptions.get(column.name, 0),
        )
        for column in codec.plan.columns
    }
    preview = encoder.preview_losses
    return certify(
        partition.id,
        encoder.losses.finish(encoded.exceptions),
        coded=coded,
        digest=encoder.digest.hexdigest(),
        arrow=sum(encoded.before.values()),
        parquet=partition.size,
        stored=StoredBytes(latents=latent_bytes(sizes), residuals=sizes.get("residuals", 0)),
        preview=None if preview is None else preview.finish(),
        latent_dim=0 if codec.network is None else codec.network.latent_dims,
        no_latents=codec.no_latents_reason,
        model=prepared.model,
        seconds={"encode": seconds[0], "cpu": seconds[1]},
    )


def versions() -> dict[str, str]:
    """Releases that partitions are written with."""
    found = {}
    for name in ("latentlake", "pyarrow", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
