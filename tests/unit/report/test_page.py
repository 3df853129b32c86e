"""The page: says what the certificates say, reaches for nothing outside itself, and keeps what is sensitive."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ae_core.report import pagedata
from ae_core.report.inputs import ArchiveSummary, TrainingCurve
from ae_core.report.page import render_page

from .helpers import CANARY_NUMBER, CANARY_TEXT, example_archive, example_training, flights_report


@pytest.fixture(scope="module")
def page() -> str:
    certificates, details = flights_report(partitions=3)
    return render_page(example_archive(), certificates, details, example_training())


class _Balance(HTMLParser):
    """Counts elements left open; raises on a closing tag that does not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "link", "br"}:
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
    assert not re.search(r"https?:|//[a-z]|<script|@import|url\((?!#)", page)
    assert set(re.findall(r'(?:src|href)="([^"#]*)', page)) <= {"", "data:,"}
    assert "default-src 'none'" in page


def test_plots_follow_the_colours_of_the_page(page):
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(plots) >= 5
    for plot in plots:
        assert not re.search(r"#[0-9a-f]{6}\b(?!\w)", re.sub(r'(?:id|href)="[^"]*"|url\([^)]*\)', "", plot))
        assert 'aria-label="' in plot


def test_head_gives_the_verdict_and_the_sizes(page):
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Every value is within its bound." in text
    assert "of 8,100" in text
    assert "take 9.00 kB instead of 60.0 kB of Parquet" in text
    assert "Smaller than Parquet 6.7×" in text


def test_a_violation_is_the_first_thing_that_the_page_says():
    certificates, _ = flights_report(partitions=1, broken=True)
    page = render_page(ArchiveSummary("flights", "archive", "today"), certificates)
    assert "1 value is</p>" not in page
    text = " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<body") :]).split())
    assert "In dep_delay (1)." in text
    assert text.index("1 value is outside the bound.") < text.index("Where the bytes went")
    assert "Every value is within" not in text


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
    assert "<script" not in page
    assert "<b>x" not in page


def test_page_does_without_page_data_and_training():
    certificates, _ = flights_report(partitions=1)
    page = render_page(ArchiveSummary("flights", "archive", "today", no_latents="too few rows"), certificates)
    assert "<svg" not in page
    assert "too few rows" in page


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
