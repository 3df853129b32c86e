"""What the jobs that use a trained model answer: plain frozen records, printed by the commands and by `--json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Features:
    """A table of latents; `columns` names them, `model` is the SHA-256 of the model that gave them."""

    archive: str
    out: str
    snapshot: int
    lake: str | None
    model: str
    partitions: int
    rows: int
    columns: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class SurprisingRow:
    """One row by its number within the partition, and the columns that cost most, with their bits."""

    partition: str
    row: int
    error: float
    bits: float
    columns: dict[str, float]


@dataclass(frozen=True)
class Anomalies:
    """What `anomalies` wrote.

    `threshold` is in bits: rows above it are surprising. `expected` is the share of rows above it where all is as it
    was, `share` that of the rows scored; `jumped` says that the second is beyond what chance makes of the first.
    `unscored` are the columns that have no bits of their own.
    """

    archive: str
    out: str
    snapshot: int
    lake: str | None
    rows: int
    written: int
    threshold: float
    expected: float
    share: float
    jumped: bool
    unscored: tuple[str, ...]
    most: tuple[SurprisingRow, ...]
    seconds: float


@dataclass(frozen=True)
class SurpriseShare:
    """Whether rows that are new surprise the archive's model more often than archived ones do."""

    archive: str
    lake: str
    rows: int
    surprising: int
    threshold: float
    expected: float
    share: float
    jumped: bool
    reason: str


@dataclass(frozen=True)
class SampledPartition:
    """Rows that were drawn for one partition, and its file."""

    partition: str
    rows: int
    file: str


@dataclass(frozen=True)
class Sample:
    """New rows of a model.

    `withheld` are columns of nulls and why: sensitive, or without a model. `drawn` counts the rows that were drawn to
    choose from, in long runs however few are wanted; `thrown_away` those of them in which the model named a value that
    it does not know.
    """

    archive: str
    out: str
    snapshot: int
    seed: int
    rows: int
    drawn: int
    thrown_away: int
    partitions: tuple[SampledPartition, ...]
    withheld: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class DenoisedColumn:
    """How many cells of a column were replaced, and how many of them were nulls."""

    name: str
    replaced: int
    filled: int


@dataclass(frozen=True)
class Denoised:
    """What `denoise` changed; `changes` is the Parquet file that lists every change."""

    archive: str
    out: str
    snapshot: int
    rows: int
    evidence: float
    changed: int
    columns: tuple[DenoisedColumn, ...]
    untouched: tuple[str, ...]
    changes: str
    seconds: float


@dataclass(frozen=True)
class DimensionTrial:
    """What d latents gave, in short trainings, on the sample.

    `preview_loss` is that of the mean column (1 for a constant guess), on rows never trained on; `numeric_error` the
    mean absolute error of numbers in % of their range, `accuracy` the share of right categories in %; `latent_bits`
    the rate in bits a row; bytes are those of all rows: latents, residuals, and the model once.
    """

    dims: int
    live: int
    preview_loss: float
    numeric_error: float
    accuracy: float
    latent_bits: float
    latent_bytes: int
    residual_bytes: int
    model_bytes: int
    chosen: bool

    @property
    def total_bytes(self) -> int:
        """Everything: latents, residuals, model."""
        return self.latent_bytes + self.residual_bytes + self.model_bytes


@dataclass(frozen=True)
class Dimensions:
    """Error, rate and bytes by latent dimension, the dimension that a training would choose, and why."""

    lake: str
    rows: int
    sample_rows: int
    chosen: int
    reason: str
    trials: tuple[DimensionTrial, ...]
    html: str | None
    png: str | None
    seconds: float
