"""The audit as HTML: a page, the pages of partitions and columns beside it, and how the archive's model learned."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ae_core.archive.reader import open_snapshot
from ae_core.dataset import Archive, Partition
from ae_core.errors import Corrupt, OutputExists
from ae_core.jobs.anatomy import summarise_network
from ae_core.jobs.listing import totals_of
from ae_core.report.certificate import Certificate, StoredBytes
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.page import Beside, Report
from ae_core.report.records import TableDetail


def folder_of(html: str | Path) -> Path:
    """Where the pages of partitions and columns lie: report.pages beside report.html."""
    return Path(html).with_suffix(".pages")


def refuse_existing(html: str) -> None:
    """Pass when neither the page nor the folder beside it exists.

    Raises
    ------
    OutputExists
    """
    for path in (Path(html), folder_of(html)):
        if path.exists():
            raise OutputExists(f"{path} exists already and is never overwritten; choose another name")


class PageFile:
    """The page of some partitions in the making; it appears whole, after the folder beside it, or not at all.

    Parameters
    ----------
    partitions : all that will be added, in their order.
    whole : they are all of the archive's, so that every byte of it can be shown.
    redacted : no page shows any value.
    """

    def __init__(
        self, html: str, source: Archive, partitions: Sequence[Partition], *, whole: bool, redacted: bool
    ) -> None:
        self._path, self._source = Path(html), source
        self._folder = folder_of(html)
        self._scratch = self._path.with_name(f".{self._path.name}.tmp")
        self._pages = self._path.with_name(f".{self._folder.name}.tmp")
        shutil.rmtree(self._pages, ignore_errors=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._model = next((p.manifest.model for p in reversed(partitions) if p.manifest.model), None)
        codec = None if self._model is None else source.model(self._model)
        snapshot = open_snapshot(source.url, number=source.snapshot, store=source.store)
        totals = totals_of(snapshot, [partition.manifest for partition in partitions])
        stored = StoredBytes(totals.latents, totals.residuals, totals.models, totals.metadata)
        self._report = Report(
            ArchiveSummary(
                name=PurePosixPath(source.url).name,
                location=source.url,
                created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                snapshot=source.snapshot,
                head=source.head_sha256,
                stored=stored if whole else None,
                autoencoder=None if codec is None else summarise_network(codec),
                no_latents=None if codec is None else codec.no_latents_reason,
                redacted=redacted,
            ),
            partitions=len(partitions),
            beside=Beside(self._folder.name, self._path.name, self._write),
        )

    def add(
        self, certificate: Certificate, detail: TableDetail | None, *, audited: bool = True, problem: str | None = None
    ) -> None:
        """Take the next partition."""
        self._report.add(certificate, detail, audited=audited, problem=problem)

    def finish(self) -> None:
        """Write what is left, and put everything in its place."""
        self._scratch.write_text(self._report.finish(_training(self._source, self._model)), encoding="utf-8")
        if self._pages.exists():
            self._pages.replace(self._folder)
        self._scratch.replace(self._path)

    def discard(self) -> None:
        """Leave nothing behind, where the pages were not finished."""
        shutil.rmtree(self._pages, ignore_errors=True)
        self._scratch.unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        target = self._pages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


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
