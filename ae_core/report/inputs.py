"""What a page is made of besides certificates: filled by whoever knows the archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ae_core.report.certificate import StoredBytes
from ae_core.report.records import Plain, pack, unpack


@dataclass(frozen=True)
class AutoencoderSummary:
    """The network behind an archive: sizes in bytes as stored (one copy), latents as ``levels`` integers a row.

    ``mixed`` is how many latent dimensions depend on three or more columns; ``columns`` how many columns it models.
    """

    levels: tuple[int, ...]
    columns: int
    encoder: int
    decoder: int
    context: int
    mixed: int | None = None

    @property
    def dim(self) -> int:
        """Latent dimensions d."""
        return len(self.levels)


@dataclass(frozen=True)
class ArchiveSummary:
    """What the head of a page says.

    ``stored`` counts every byte of the archive (models with their second copy); without it the page adds up the
    certificates. ``peers`` are other ways of storing the same data: label to bytes, in the order to be shown.
    """

    name: str
    location: str
    created: str  # when the report was made, as text
    snapshot: int | None = None
    head: str | None = None  # SHA-256 of the head commit
    stored: StoredBytes | None = None
    peers: Mapping[str, int] = field(default_factory=dict)
    autoencoder: AutoencoderSummary | None = None
    no_latents: str | None = None  # why there is no autoencoder


@dataclass(frozen=True)
class EpochPoint:
    """One epoch: bits per row of latents and residuals, and preview error (share of range), seen and unseen rows."""

    epoch: float
    train_bits: float
    holdout_bits: float
    train_preview: float
    holdout_preview: float


@dataclass(frozen=True)
class DimensionPoint:
    """Preview error (share of range) and latent bytes per row for a latent dimension that was tried."""

    dim: int
    bytes_per_row: float
    preview_error: float


@dataclass(frozen=True)
class TrainingCurve:
    """How the autoencoder learned."""

    epochs: tuple[EpochPoint, ...]
    train_rows: int
    holdout_rows: int
    seconds: float
    seed: int | None = None
    dimensions: tuple[DimensionPoint, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        packed: dict[str, object] = pack(self)
        return packed

    @classmethod
    def from_dict(cls, data: Plain) -> TrainingCurve:
        """Inverse of :meth:`to_dict`."""
        return unpack(
            cls,
            data,
            epochs=lambda items: tuple(unpack(EpochPoint, item) for item in items),
            dimensions=lambda items: tuple(unpack(DimensionPoint, item) for item in items),
        )
