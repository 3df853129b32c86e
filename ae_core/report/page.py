"""The loss report as HTML: a summary that is complete in itself, and pages of partitions and columns beside it.

Every page is one file: no network, light and dark, screen, phone and print. Its one script sorts and filters tables;
without it the page says the same. Partitions are added one by one, so that thousands of them fit into memory.
"""

from __future__ import annotations

import base64
import hashlib
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import nan
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ae_core.report import answers, sections, svg, wording
from ae_core.report.certificate import Certificate
from ae_core.report.impact import CheckOutcome
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.records import TableDetail
from ae_core.report.redact import redact
from ae_core.report.summary import ColumnSummary, Summary, TableSummary

PLOTTED = 24  # columns with plots on the summary: those with the largest error/bound
LISTED = 100_000  # rows of columns on the pages of all partitions together, so that thousands stay small
DIGESTS = 400  # partitions whose digests the summary itself lists
WORST_PARTITIONS = 20  # on the page of a column
Write = Callable[[str, str], None]


@dataclass(frozen=True)
class Beside:
    """Where the pages of partitions and columns go: `write(name, text)`, below `folder` as seen from the summary."""

    folder: str
    summary: str  # file name of the summary
    write: Write


@dataclass(frozen=True)
class PartitionRow:
    """A partition in the table of the summary. `problem` is what an audit found against it."""

    name: str
    page: str | None
    rows: int
    parquet: int
    latents: int
    residuals: int
    worst_ratio: float
    worst_column: str | None
    outside: int
    model: str | None
    digest: str
    audited: bool
    problem: str | None

    @property
    def layers(self) -> int:
        """Bytes of its layers."""
        return self.latents + self.residuals

    @property
    def times(self) -> float:
        """How many times smaller than its Parquet files, the model apart."""
        return self.parquet / (self.layers or 1)

    @property
    def bits(self) -> float | None:
        """Bits a row in its layers."""
        return 8 * self.layers / self.rows if self.rows else None


class Report:
    """A report in the making.

    Parameters
    ----------
    archive
        What the head of the pages says.
    partitions
        How many will be added: what the size of their own pages goes by.
    beside
        Where pages of partitions and columns go; without it, or for a single partition, there are none.
    """

    def __init__(self, archive: ArchiveSummary, *, partitions: int, beside: Beside | None = None) -> None:
        self._archive = archive
        self._beside = beside if partitions > 1 else None
        self._partitions = max(partitions, 1)
        self._summary = Summary()
        self._rows: list[PartitionRow] = []
        self._checks: list[CheckOutcome] = []
        self._no_latents: str | None = None
        self._first: Certificate | None = None
        self._ratios: dict[str, array[float]] = {}
        self._bytes: dict[str, array[float]] = {}

    def add(
        self,
        certificate: Certificate,
        detail: TableDetail | None = None,
        *,
        audited: bool = True,
        problem: str | None = None,
    ) -> None:
        """Take the next partition: its certificate, its page data, and what the audit says of it."""
        if self._archive.redacted:
            certificate, detail = redact(certificate, detail)
        verdict = certificate.verdict()
        page = None
        if self._beside is not None:
            page = _file("partitions", len(self._rows) + 1, certificate.partition)
        stored = certificate.stored
        row = PartitionRow(
            certificate.partition, page, certificate.rows, certificate.parquet, stored.latents, stored.residuals,
            verdict.worst_ratio, verdict.worst_column, verdict.outside, certificate.model, certificate.digest,
            audited, problem,
        )  # fmt: skip
        self._rows.append(row)
        self._summary.add(certificate, detail)
        self._checks += certificate.checks
        self._first = self._first or certificate
        self._no_latents = self._no_latents or certificate.no_latents
        if self._beside is not None and page is not None:
            self._note_columns(certificate)
            self._beside.write(page, self._partition_page(certificate, detail, row, self._beside))

    def finish(self, training: TrainingCurve | None = None) -> str:
        """The summary as an HTML document; the pages of the columns are written.

        Raises
        ------
        ValueError
            Without any certificate.
        """
        table = self._summary.finish()
        assert self._first is not None
        links: dict[str, str] = {}
        if self._beside is not None:
            for place, column in enumerate(table.columns, 1):
                links[column.name] = _file("columns", place, column.name)
                self._beside.write(links[column.name], self._column_page(column, self._beside))
        folder = "" if self._beside is None else quote(self._beside.folder) + "/"
        return render(
            "report.html.j2",
            **_common(self._archive, table, self._first, self._checks, self._problems()),
            single=self._first if len(self._rows) == 1 else None,
            home=None,
            count=len(self._rows),
            cards=[sections.card(column) for column in sections.worst_first(table)[:PLOTTED]],
            listed=table.columns,
            links={name: folder + quote(page) for name, page in links.items()},
            worst=sections.worst_rows(table),
            training=training,
            learning=sections.learning(training),
            dimensions=sections.dimensions(self._archive, training),
            partitions=self._rows,
            folder=folder,
            series=self._series(),
            median_bits=_median([row.bits for row in self._rows if row.bits is not None]),
            digests=self._rows if 1 < len(self._rows) <= DIGESTS else [],
            page_url=quote,
        )

    def _problems(self) -> list[PartitionRow]:
        return [row for row in self._rows if row.problem is not None]

    def _series(self) -> list[sections.Panel]:
        """Ratio, loss and drift over the partitions in their order."""
        if len(self._rows) < 2:
            return []
        names = (self._rows[0].name, self._rows[-1].name)
        drawn: list[tuple[str, list[float | None], float]] = [
            ("Times smaller than Parquet, model apart", [row.times for row in self._rows], 0.0),
            ("Largest error / bound (dashed: allowed)", [row.worst_ratio for row in self._rows], 1.0),
            ("Drift: bits a row in the layers", [row.bits for row in self._rows], 0.0),
        ]
        panels = []
        for caption, values, limit in drawn:
            text = svg.over_partitions(values, names, f"{caption}, by partition", spelt=wording.number, limit=limit)
            panels.append(sections.Panel(caption, Markup(text)))
        return panels

    def _note_columns(self, certificate: Certificate) -> None:
        """Remember of every column what its page shows over the partitions; NaN where a partition lacks it."""
        done = len(self._rows) - 1
        for column in certificate.columns:
            ratios = self._ratios.setdefault(column.name, array("d"))
            sizes = self._bytes.setdefault(column.name, array("d"))
            for values in (ratios, sizes):
                values.extend([nan] * (done - len(values)))
            ratio = column.loss.max_ratio
            ratios.append(nan if ratio is None else ratio)
            sizes.append(8 * column.coded.after / certificate.rows if certificate.rows else nan)

    def _partition_page(
        self, certificate: Certificate, detail: TableDetail | None, row: PartitionRow, beside: Beside
    ) -> str:
        summary = Summary()
        summary.add(certificate, detail)
        table = summary.finish()
        most = max(20, LISTED // self._partitions)
        changed = sections.worst_first(table)
        listed: Sequence[ColumnSummary] = table.columns
        if len(listed) > most:
            listed = [*changed, *(column for column in listed if not column.loss.changed)][:most]
        plotted = PLOTTED if self._partitions <= 100 else 4
        problems = [row] if row.problem is not None else []
        return render(
            "report.html.j2",
            **_common(self._archive, table, certificate, certificate.checks, problems, whole=False),
            single=certificate,
            home="../" + quote(beside.summary),
            count=1,
            cards=[sections.card(column) for column in changed[:plotted]],
            listed=listed,
            links={},
            worst=sections.worst_rows(table),
            training=None,
            learning=[],
            dimensions=None,
            partitions=[],
            folder="",
            series=[],
            median_bits=None,
            digests=[],
            page_url=quote,
        )

    def _column_page(self, column: ColumnSummary, beside: Beside) -> str:
        names = (self._rows[0].name, self._rows[-1].name)
        ratios, sizes = self._ratios[column.name].tolist(), self._bytes[column.name].tolist()
        drawn = [("Bits a row in the residuals", sizes, 0.0)]
        if column.loss.changed:
            drawn.insert(0, ("Largest error / bound (dashed: allowed)", ratios, 1.0))
        panels = [
            sections.Panel(
                caption,
                Markup(svg.over_partitions(v, names, f"{caption}, by partition", spelt=wording.number, limit=limit)),
            )
            for caption, v, limit in drawn
        ]
        order = sorted(range(len(ratios)), key=lambda place: -(ratios[place] if ratios[place] == ratios[place] else -1))
        worst = [
            (self._rows[place], ratios[place], sizes[place])
            for place in order[:WORST_PARTITIONS]
            if sizes[place] == sizes[place]
        ]
        return render(
            "column.html.j2",
            archive=self._archive,
            title=column.name,
            home="../" + quote(beside.summary),
            card=sections.card(column),
            series=panels,
            partitions=worst,
            page_url=lambda page: "../" + quote(page),
        )


def render_page(
    archive: ArchiveSummary,
    certificates: Sequence[Certificate],
    page_data: Mapping[str, TableDetail] | None = None,
    training: TrainingCurve | None = None,
) -> str:
    """The summary of these certificates alone.

    Parameters
    ----------
    archive
        What the head of the page says.
    certificates
        One per partition, in the order to be shown; at least one.
    page_data
        Histograms and worst rows by partition name; what is missing is left out of the page.
    training
        How the autoencoder learned; left out when None.

    Raises
    ------
    ValueError
        Without any certificate.
    """
    report = Report(archive, partitions=len(certificates))
    for certificate in certificates:
        report.add(certificate, (page_data or {}).get(certificate.partition))
    return report.finish(training)


def _common(
    archive: ArchiveSummary,
    table: TableSummary,
    first: Certificate,
    checks: Sequence[CheckOutcome],
    problems: list[PartitionRow],
    *,
    whole: bool = True,
) -> dict[str, object]:
    """What the pages of an archive and of a partition both show; of a partition alone the network is left out."""
    stored = (archive.stored if whole else None) or table.stored
    return {
        "archive": archive,
        "title": archive.name if whole else first.partition,
        "table": table,
        "stored": stored,
        "first": first,
        "problems": problems,
        "checks": _worst_checks(checks),
        "answers": answers.answers(table, checks),
        "worst_loss": answers.worst_loss(column.loss for column in table.columns),
        "identical": sum(not column.loss.changed for column in table.columns),
        "lossy": sections.worst_first(table),
        "bars": sections.bars(archive, table, stored),
        "coders": sections.by_coder(table),
        "coded": sorted(table.columns, key=lambda column: -column.coded.after),
        "largest_column": max((column.coded.after for column in table.columns), default=0) or 1,
        "preview": sections.preview(table),
        "autoencoder": archive.autoencoder if whole else None,
        "no_latents": archive.no_latents if whole else first.no_latents,
    }


def _worst_checks(checks: Sequence[CheckOutcome]) -> list[tuple[CheckOutcome, int, int]]:
    """Each check once: the worst outcome, in how many partitions it passed, and in how many it ran."""
    by_name: dict[str, list[CheckOutcome]] = {}
    for check in checks:
        by_name.setdefault(check.name, []).append(check)
    return [
        (max(ran, key=lambda one: (not one.passed, one.worst)), sum(one.passed for one in ran), len(ran))
        for ran in by_name.values()
    ]


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _file(folder: str, number: int, name: str) -> str:
    """A file name that tells its subject; the number keeps names apart that differ in odd characters alone."""
    return f"{folder}/{number:04}-{re.sub('[^A-Za-z0-9=._-]', '_', name)[:80]}.html"


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("ae_core.report"),
    )
    environment.filters.update(
        size=wording.size,
        count=wording.count,
        number=wording.number,
        change=lambda value: wording.number(value, signed=True),
        percent=wording.percent,
        at_most=wording.at_most,
        times=wording.times,
        bits=wording.bits,
    )
    folder = files("ae_core.report").joinpath("templates")
    script = folder.joinpath("page.js").read_text("utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        bound=wording.bound,
        unit_of=wording.unit_of,
        plural=wording.plural,
        style=Markup(re.sub(r"\n\s*", "\n", folder.joinpath("page.css").read_text("utf-8")).strip()),
        script=Markup(script),
        script_digest=digest,
    )
    return environment


def render(template: str, **names: object) -> str:
    """One of the templates beside this file, filled in."""
    return _environment().get_template(template).render(**names)
