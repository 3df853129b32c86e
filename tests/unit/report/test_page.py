"""The page: says what the certificates say, reaches for nothing outside itself, and keeps what is sensitive."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from ae_core.report import pagedata
from ae_core.report.answers import answers
from ae_core.report.impact import CheckOutcome
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.page import Beside, Report, render_page
from ae_core.report.summary import summarise

from .helpers import CANARY_NUMBER, CANARY_TEXT, example_archive, example_training, flights_report


@pytest.fixture(scope="module")
def page() -> str:
    certificates, details = flights_report(partitions=3)
    return render_page(example_archive(), certificates, details, example_training())


def said(page: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", page[page.index("<body") : page.rindex("<script")]).split()))


class _Balance(HTMLParser):
    """Counts elements left open; raises on a closing tag that does not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "link", "br", "path", "rect", "circle", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed(page):
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []


def test_page_reaches_for_nothing_outside_itself(page):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    assert set(re.findall(r'(?:src|href)="([^"#]*)', page)) <= {"", "data:,"}
    assert "default-src 'none'" in page


def test_the_only_script_is_the_one_that_the_page_allows(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert page.count("<script") == 1
    assert not re.search(r"\son(load|click|error)=|innerHTML|eval\(|fetch\(|javascript:", page)


def test_plots_follow_the_colours_of_the_page(page):
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(plots) >= 5
    for plot in plots:
        assert not re.search(r"#[0-9a-f]{6}\b(?!\w)", re.sub(r'(?:id|href)="[^"]*"|url\([^)]*\)', "", plot))
        assert 'aria-label="' in plot


def test_head_gives_the_verdict_and_the_sizes(page):
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Pass: every value is within its bound." in text
    assert "of 8,100" in text
    assert "take 9.00 kB instead of 60.0 kB of Parquet" in text
    assert "Smaller than Parquet 6.7×" in text


def test_a_violation_is_the_first_thing_that_the_page_says():
    certificates, _ = flights_report(partitions=1, broken=True)
    page = render_page(ArchiveSummary("flights", "archive", "today"), certificates)
    assert "1 value is</p>" not in page
    text = " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<body") :]).split())
    assert "In dep_delay (1)." in text
    assert text.index("Fail: 1 value is outside the bound.") < text.index("Where the bytes went")
    assert "very value is within" not in text


def test_sensitive_values_are_nowhere_in_the_page(page):
    certificates, details = flights_report(partitions=3)
    kept = json.dumps([c.to_dict() for c in certificates]) + json.dumps([pagedata.store(d) for d in details.values()])
    for text in (page, kept, repr(certificates), repr(details)):
        assert CANARY_TEXT not in text
        assert not re.search(str(CANARY_NUMBER)[:4] + r"[\d,.]*", text)
    assert "withheld" in page


def test_names_are_escaped():
    certificates, details = flights_report(partitions=1)
    evil = [replace(c, partition="<script>alert(1)</script>") for c in certificates]
    page = render_page(
        ArchiveSummary("<b>x</b>", '"&', "now"), evil, {evil[0].partition: details[certificates[0].partition]}
    )
    assert page.count("<script") == 1  # the page's own
    assert "<b>x" not in page


def test_page_does_without_page_data_and_training():
    certificates, _ = flights_report(partitions=1)
    page = render_page(ArchiveSummary("flights", "archive", "today", no_latents="too few rows"), certificates)
    assert "<svg" not in page
    assert "too few rows" in page


def test_a_partition_that_was_not_proved_is_said_before_everything_else():
    certificates, _ = flights_report(partitions=2)
    report = Report(ArchiveSummary("flights", "archive", "today"), partitions=2)
    report.add(certificates[0], problem="it decodes to other data than was certified")
    report.add(certificates[1], audited=False)
    text = said(report.finish())
    assert "Not proved: month=1." in text
    assert "Pass" not in text
    assert text.index("it decodes to other data than was certified") < text.index("Does it matter?")
    assert re.search(r"month=2 450 .* as recorded", text)


def test_pages_of_partitions_and_columns_lie_beside_the_summary():
    certificates, details = flights_report(partitions=3)
    certificates[1] = replace(certificates[1], partition="month=2/day=ü & <b>")
    pages: dict[str, str] = {}
    report = Report(example_archive(), partitions=3, beside=Beside("report.pages", "report.html", pages.__setitem__))
    for certificate in certificates:
        report.add(certificate, details.get(certificate.partition))
    summary = report.finish(example_training())
    assert len(pages) == 3 + 6
    for home, folder, text in [(None, "", summary), *(("../report.html", "../", text) for text in pages.values())]:
        for link in re.findall(r'href="([^"#]+)"', text):
            if link not in (home, "data:,"):
                place = unquote(link.removeprefix("report.pages/" if home is None else folder))
                assert place in pages, link
        parser = _Balance()
        parser.feed(text)
        assert parser.open == []
        assert CANARY_TEXT not in text
    assert summary.count("report.pages/partitions/") == 3
    assert all(f"month={month}" in said(text) for month, text in enumerate(pages.values(), 1) if month <= 3)
    assert "dep_delay" in said(pages["columns/0001-dep_delay.html"])


def test_thousands_of_partitions_keep_their_pages_small():
    certificates, _ = flights_report(partitions=1)
    wide = tuple(
        replace(column, loss=replace(column.loss, name=f"{column.name}_{n}"))
        for n in range(50) for column in certificates[0].columns
    )  # fmt: skip
    pages: dict[str, str] = {}
    report = Report(example_archive(), partitions=5_000, beside=Beside("p", "s.html", pages.__setitem__))
    report.add(replace(certificates[0], columns=wide))
    (page,) = pages.values()
    assert len(page) < 60_000
    assert "280 more columns are left out here" in said(page)


def test_redacted_pages_show_no_value():
    certificates, details = flights_report(partitions=2)
    page = render_page(replace(example_archive(), redacted=True), certificates, details, example_training())
    text = said(page)
    assert "Values are withheld on this page." in text
    assert "Share of values" not in text.replace("Right, the share of values", "")
    shown = page[page.index('id="worst"') : page.index('id="partitions"')]
    assert set(re.findall(r'<td class="([a-z]+)">', shown)) == {"withheld"}
    carriers = {value for row in details["month=1"].worst_rows for value in row.original if isinstance(value, str)}
    assert not any(re.search(rf"\b{re.escape(value)}\b", shown) for value in carriers)


def test_answers_name_the_worst_column_and_weigh_it():
    certificates, _ = flights_report(partitions=2)
    table = summarise(certificates, {})
    check = CheckOutcome("mean delay", "select 1", "rel", "1/100", True, 3, 0.004)
    found = {answer.question: answer for answer in answers(table, [check])}
    assert list(found) == [
        "Sums", "Averages", "Distributions", "Correlations", "Top-10 queries", "Counts, groups and joins",
        "Your own checks",
    ]  # fmt: skip
    worst = max(
        (abs(c.loss.sum_change / c.loss.total), c.name) for c in table.columns if c.loss.sum_change and c.loss.total
    )
    assert worst[1] in found["Sums"].text
    assert found["Sums"].weight == ("no" if worst[0] <= 0.001 else "hardly")
    assert "mean delay" in found["Your own checks"].text
    failed = replace(check, passed=False)
    assert {a.question: a.weight for a in answers(table, [check, failed])}["Your own checks"] == "look"


def test_checks_stand_on_the_page_with_their_worst_outcome():
    certificates, details = flights_report(partitions=2)
    outcomes = [
        CheckOutcome("delay", "select avg(dep_delay) from t", "rel", "1/100", True, 1, w) for w in (0.002, 0.007)
    ]
    checked = [replace(c, checks=(one,)) for c, one in zip(certificates, outcomes, strict=True)]
    text = said(render_page(example_archive(), checked, details))
    assert "delay passed 0.007 rel 1/100 2 of 2 select avg(dep_delay) from t" in text


def test_same_input_gives_the_same_page(page):
    certificates, details = flights_report(partitions=3)
    assert render_page(example_archive(), certificates, details, example_training()) == page


def test_training_curve_reads_back_and_ignores_what_it_does_not_know():
    curve = example_training()
    data = json.loads(json.dumps(curve.to_dict()))
    assert TrainingCurve.from_dict({**data, "state": 64}) == curve
    assert list(curve.stages()) == ["autoencoder", "prior", "context 1"]


def test_no_certificate_is_refused():
    with pytest.raises(ValueError, match="at least one certificate"):
        render_page(ArchiveSummary("x", "y", "z"), [])
