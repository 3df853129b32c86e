"""What the jobs answer: plain frozen records, printed by the commands and dumped by `--json`.

Sizes are bytes, times are seconds. `worst_ratio` is the largest measured error divided by its bound over all
bounded columns (at most 1), None where every column is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ae_core.jobs.changes import Action
from ae_core.report.impact import CheckOutcome


@dataclass(frozen=True)
class ColumnProposal:
    """What a policy gives one column, which coder it would get, and why."""

    name: str
    type: str
    bound: str
    policy_reason: str
    coder: str
    coder_reason: str
    nulls: int
    distinct: int
    minimum: str | None
    maximum: str | None
    sample_bytes: int
    findings: tuple[str, ...] = ()
    quantiles: dict[str, float] = field(default_factory=dict)
    frequent: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class RangePrediction:
    """About how large the archive gets with every measurement within `range` of its range.

    From a short training on a sample: the full one does better. `columns` are bytes of each column in the residuals,
    `model` those of one copy, of two that are stored; `plain_bytes` is what plain coders alone would take. The preview
    is off by `preview_error`, a share of the range on average, and gets `preview_accuracy` of the categories right;
    None where no network pays.
    """

    range: float
    bytes: int
    columns: dict[str, int]
    plain_bytes: int = 0
    coder: str = "plain"
    latents: int = 0
    model: int = 0
    preview_error: float | None = None
    preview_accuracy: float | None = None


@dataclass(frozen=True)
class LakeProfile:
    """A profile of a lake with a proposed policy and predicted sizes."""

    lake: str
    partitions: int
    rows: int
    source_bytes: int
    sample_rows: int
    predicted_bytes: int
    policy: str
    columns: tuple[ColumnProposal, ...]
    warnings: tuple[str, ...] = ()
    by_range: tuple[RangePrediction, ...] = ()
    html: str | None = None


@dataclass(frozen=True)
class PartitionDecision:
    """Whether one partition is to be compressed, and why."""

    partition: str
    action: Action
    reason: str
    rows: int
    source_bytes: int
    estimated_bytes: int | None


@dataclass(frozen=True)
class DryRun:
    """What `compress` would do."""

    lake: str
    archive: str
    dry_run: Literal[True]
    head: int | None
    partitions: tuple[PartitionDecision, ...]


@dataclass(frozen=True)
class Drift:
    """Whether the held model still fits the rows that are due, by bytes.

    Bits are those of a row in all layers, on sampled blocks: `bits_then` of the held model when it was trained,
    `bits_now` of it on rows that are due, `bits_new` of a model trained in this run; None where there is no such model
    or no row. `bytes_saved` is what a new model saves, or is expected to, over the `rows_due`; `model_bytes` what
    storing it takes, both copies and its commit.
    """

    decision: Literal["trained", "reused", "retrained"]
    reason: str
    rows_due: int
    bits_then: float | None
    bits_now: float | None
    bits_new: float | None
    bytes_saved: int
    model_bytes: int


@dataclass(frozen=True)
class ModelUse:
    """The model that a run encoded with; `seconds` is the time spent on training, 0 when nothing was trained."""

    digest: str
    bytes: int
    reused: bool
    seconds: float
    no_latents_reason: str | None
    drift: Drift


@dataclass(frozen=True)
class PartitionOutcome:
    """What happened to one partition in a run."""

    partition: str
    action: Literal["compressed", "unchanged", "skipped", "failed", "waiting", "left", "set aside"]
    reason: str
    rows: int = 0
    source_bytes: int = 0
    archive_bytes: int = 0
    worst_ratio: float | None = None
    commit: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    checks: tuple[CheckOutcome, ...] = ()


@dataclass(frozen=True)
class CompressResult:
    """What a compress run did; `commits` are the numbers of the commits that it made.

    There is a model for every schema among the partitions that were due; `left` counts partitions that are due and
    were left for a later run by a limit.
    """

    lake: str
    archive: str
    dry_run: Literal[False]
    head: int | None
    models: tuple[ModelUse, ...]
    partitions: tuple[PartitionOutcome, ...]
    commits: tuple[int, ...]
    left: int
    seconds: float

    @property
    def model(self) -> ModelUse | None:
        """The model of the first schema; None when nothing was due."""
        return self.models[0] if self.models else None


@dataclass(frozen=True)
class PartitionListing:
    """One archived partition."""

    partition: str
    keys: dict[str, str]
    rows: int
    files: int
    source_bytes: int
    layers: dict[str, int]
    manifest_bytes: int
    ratio: float
    worst_ratio: float | None
    commit: int


@dataclass(frozen=True)
class ModelListing:
    """One model that a snapshot refers to; `bytes` counts one copy."""

    digest: str
    bytes: int
    copies: int


@dataclass(frozen=True)
class Totals:
    """Every byte that a snapshot refers to, by kind."""

    rows: int
    source_bytes: int
    latents: int
    residuals: int
    models: int
    metadata: int
    archive_bytes: int


@dataclass(frozen=True)
class Listing:
    """The partitions, models and sizes of a snapshot."""

    archive: str
    snapshot: int
    head_sha256: str
    partitions: tuple[PartitionListing, ...]
    models: tuple[ModelListing, ...]
    totals: Totals


@dataclass(frozen=True)
class FileListing:
    """One source file of a partition."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PartitionDetail:
    """Everything that a snapshot records about one partition."""

    archive: str
    snapshot: int
    partition: str
    rows: int
    layers: dict[str, int]
    files: tuple[FileListing, ...]
    model: str
    no_latents_reason: str | None
    certificate: dict[str, Any]


@dataclass(frozen=True)
class WrittenFile:
    """One Parquet file that decode wrote."""

    name: str
    rows: int


@dataclass(frozen=True)
class DecodedPartition:
    """The files that decode wrote for one partition."""

    partition: str
    rows: int
    files: tuple[WrittenFile, ...]


@dataclass(frozen=True)
class LostRows:
    """Rows of a partition that are not in what decode wrote, end excluded (None: to its unknown end), and why."""

    partition: str
    start: int
    stop: int | None
    problem: str


@dataclass(frozen=True)
class DecodeResult:
    """What decode wrote; `left_out` lists the columns that the layer cannot rebuild.

    `lost` is empty but under --salvage: elsewhere damage is an error.
    """

    archive: str
    out: str
    snapshot: int
    layer: str
    rows: int
    partitions: tuple[DecodedPartition, ...]
    left_out: tuple[str, ...]
    lost: tuple[LostRows, ...]
    seconds: float


@dataclass(frozen=True)
class Finding:
    """One damaged or missing object, by its name inside the archive; `mendable` where `verify --mend` restores it.

    For a layer file: `blocks` are those that are lost, `rows` the ranges of the partition that they hold (end
    excluded), `columns` those that cannot be rebuilt there, and `readable` says in words what still can.
    `current` is false where only older snapshots need the object.
    """

    name: str
    problem: str
    partition: str | None = None
    mendable: bool = False
    current: bool = True
    layer: str | None = None
    blocks: tuple[int, ...] = ()
    rows: tuple[tuple[int, int], ...] = ()
    columns: tuple[str, ...] = ()
    readable: str = ""


@dataclass(frozen=True)
class Repair:
    """An object that verify restored; `origin` says where its bytes came from."""

    name: str
    bytes: int
    origin: Literal["twin", "commits", "replica"]


@dataclass(frozen=True)
class VerifyResult:
    """What verify looked at, repaired and still found.

    `objects` and `bytes` were read and compared, `sized` objects only looked up (outside of a sample). Orphans are
    leftovers of writers that were stopped, and harmless; null where only some partitions were looked at, or
    damage hides what belongs to whom.
    """

    archive: str
    snapshot: int
    head_sha256: str
    deep: bool
    ok: bool
    partitions: int
    objects: int
    bytes: int
    sized: int
    decoded: int
    orphans: int | None
    orphan_bytes: int | None
    repaired: tuple[Repair, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class CopyResult:
    """What a copy did: both archives have the head `head_sha256` now; `found` objects were there already."""

    source: str
    replica: str
    head: int
    head_sha256: str
    commits: int
    objects: int
    bytes: int
    found: int
    seconds: float


@dataclass(frozen=True)
class LoggedCommit:
    """One commit of the log; `bytes` is what it added, its own object included."""

    n: int
    sha256: str
    time: str
    writer: str
    message: str
    partitions: tuple[str, ...]
    models: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Log:
    """The commits of an archive, newest first."""

    archive: str
    commits: tuple[LoggedCommit, ...]


@dataclass(frozen=True)
class PartitionChange:
    """What became of a partition between two snapshots; bytes are those of layers and manifest, 0 where it was not."""

    partition: str
    change: Literal["added", "changed", "removed"]
    commit: int | None
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    layers_before: tuple[str, ...]
    layers_after: tuple[str, ...]
    bounds: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """What changed from snapshot `before` to snapshot `after`; models are those that came and went."""

    archive: str
    before: int
    after: int
    commits: tuple[LoggedCommit, ...]
    partitions: tuple[PartitionChange, ...]
    models_added: tuple[str, ...]
    models_removed: tuple[str, ...]
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class AuditedPartition:
    """One partition's audit; `digest_ok` says that the rebuilt data has the recorded digest."""

    partition: str
    rows: int
    digest_ok: bool
    worst_ratio: float | None
    violations: int
    problem: str | None


@dataclass(frozen=True)
class AuditedColumn:
    """One column over all audited partitions; errors in the column's units, `psnr` in dB over its range there."""

    name: str
    type: str
    bound: str
    rows: int
    nulls: int
    exceptions: int
    violations: int
    max_error: float | None
    worst_ratio: float | None
    mean_error: float | None
    rmse: float | None
    psnr: float | None
    bias: float | None
    exact_share: float | None
    coder: str
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class AuditResult:
    """An audit: the recorded losses, re-proved by digest or measured against the originals."""

    archive: str
    snapshot: int
    head_sha256: str
    ok: bool
    measured: Literal["digest", "originals"]
    partitions: tuple[AuditedPartition, ...]
    columns: tuple[AuditedColumn, ...]
    html: str | None = None
    not_in_lake: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class QueryChange:
    """The largest change of a result column, absolute and over its original value; `row` is where."""

    column: str
    absolute: float
    relative: float
    row: str


@dataclass(frozen=True)
class QueryAudit:
    """A query's answer from the archive, and from the originals of the `compared` partitions.

    `original` and `archived` are the answers over these, matched row by row; `answer` is the archive's over all.
    `not_compared` says of each other partition why.
    """

    archive: str
    snapshot: int
    head_sha256: str
    sql: str
    columns: tuple[str, ...]
    answer: tuple[tuple[Any, ...], ...]
    compared: tuple[str, ...]
    not_compared: dict[str, str]
    original: tuple[tuple[Any, ...], ...]
    archived: tuple[tuple[Any, ...], ...]
    only_original: int
    only_archived: int
    changes: tuple[QueryChange, ...]
