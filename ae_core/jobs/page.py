"""The audit as one HTML page: certificates, page data, and how the archive's model learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ae_core.dataset import Archive
from ae_core.errors import Corrupt
from ae_core.jobs.anatomy import summarise_network
from ae_core.jobs.listing import list_archive
from ae_core.report.certificate import Certificate, StoredBytes
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.page import render_page
from ae_core.report.records import TableDetail


def write_page(
    path: Path,
    source: Archive,
    certificates: Sequence[Certificate],
    details: Mapping[str, TableDetail],
    *,
    whole: bool,
) -> None:
    """Write the page to `path`; it appears whole or not at all.

    Parameters
    ----------
    whole : the certificates are those of all partitions, so that every byte of the archive can be shown.
    """
    model = certificates[-1].model if certificates else None
    codec = None if model is None else source.model(model)
    totals = list_archive(source.url, snapshot=source.snapshot).totals
    stored = StoredBytes(totals.latents, totals.residuals, totals.models, totals.metadata)
    summary = ArchiveSummary(
        name=PurePosixPath(source.url).name,
        location=source.url,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        snapshot=source.snapshot,
        head=source.head_sha256,
        stored=stored if whole else None,
        autoencoder=None if codec is None else summarise_network(codec),
        no_latents=next((one.no_latents for one in certificates if one.no_latents), None),
    )
    text = render_page(summary, certificates, details, _training(source, model))
    scratch = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _training(source: Archive, model: str | None) -> TrainingCurve | None:
    """How the model learned, as the commit that brought it reports; None for a model without a network.

    Raises
    ------
    Corrupt
        When the report is missing, changed or malformed.
    """
    report = source.training.get(model or "", {}).get("training")
    fit = report.get("fit") if isinstance(report, Mapping) else None
    if not isinstance(fit, Mapping):
        return None
    try:
        return TrainingCurve.from_dict(fit)
    except (TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"{source.url}: the training report of model {model} cannot be read: {error}") from None
