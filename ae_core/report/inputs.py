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
    redacted: bool = False  # whether the page must not show any value


@dataclass(frozen=True)
class CurvePoint:
    """A point of a training curve: a figure on rows that were trained on (seen) and on rows held out (unseen).

    The figure is bits a row, and for the stage ``autoencoder`` the preview's mean error over columns, in units of
    what guessing the mean or the frequencies would leave (about 1 at the start).
    """

    stage: str
    epoch: float
    seen: float
    unseen: float


@dataclass(frozen=True)
class DimensionPoint:
    """What d latent dimensions gave: error of the preview on unseen rows, latent bits a row."""

    dims: int
    preview_loss: float
    latent_bits: float


@dataclass(frozen=True)
class TrainingCurve:
    """How the autoencoder learned: points in order within each stage, stages in the order of training."""

    curve: tuple[CurvePoint, ...]
    rows: int
    seconds: float
    dimension_curve: tuple[DimensionPoint, ...] = ()
    seed: int | None = None

    def stages(self) -> dict[str, tuple[CurvePoint, ...]]:
        """Points by stage."""
        names = dict.fromkeys(point.stage for point in self.curve)
        return {name: tuple(point for point in self.curve if point.stage == name) for name in names}

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        packed: dict[str, object] = pack(self)
        return packed

    @classmethod
    def from_dict(cls, data: Plain) -> TrainingCurve:
        """Inverse of :meth:`to_dict`; also reads the report of a network's training (keys it does not know are left).

        Raises
        ------
        TypeError
            If a field is missing.
        """
        return unpack(
            cls,
            data,
            curve=lambda items: tuple(unpack(CurvePoint, item) for item in items),
            dimension_curve=lambda items: tuple(unpack(DimensionPoint, item) for item in items),
        )
