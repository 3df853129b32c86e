"""Pages that are written from code or figures say what these say today."""

from __future__ import annotations

import json
from pathlib import Path

from ae_core.policy import load_policy
from infra.demo import readme
from tests.docs import uses_page
from tests.docs.policy_page import EXAMPLE, page

FIRST_SCREEN = 60


def test_the_policy_reference_is_what_the_models_say(repository: Path) -> None:
    committed = (repository / "docs" / "policy.md").read_text(encoding="utf-8")
    assert committed == page(), "run: python -m tests.docs.policy_page > docs/policy.md"
    example = load_policy(EXAMPLE)
    assert example.columns.keys() == {
        "dep_delay", "time_hour", "distance", "pressure", "tailnum", "passenger_name",
    }  # fmt: skip
    assert example.checks
    assert example.retire.expire.enabled


def test_the_readme_has_the_numbers_of_the_demo(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    figures = json.loads(readme.FIGURES.read_text(encoding="utf-8"))
    assert text == readme.replaced(text, figures), "run: make readme"


def test_the_page_of_uses_has_the_figures_that_were_measured() -> None:
    text = uses_page.PAGE.read_text(encoding="utf-8")
    figures = json.loads(uses_page.FIGURES.read_text(encoding="utf-8"))
    assert text == uses_page.replaced(text, figures), "run: python -m tests.docs.uses_page"
    assert all(f"<!-- measured: {part} -->" in text for part in figures)


def test_the_first_screen_holds_what_matters(repository: Path) -> None:
    first = "\n".join((repository / "README.md").read_text(encoding="utf-8").splitlines()[:FIRST_SCREEN])
    for wanted in (
        "Cold Parquet partitions become an autoencoder's latents plus the corrections that keep every value",
        "encoder", "decoder", "null", "exact", "Parquet zstd-19", "plain autoencoder",
        "cells outside the bound", "$ latentlake compress",
        "$ latentlake decode", "**Data engineers**", "**Analysts**", "**Auditors**", "**Not for**",
    ):  # fmt: skip
        assert wanted in first, wanted


def test_every_link_of_the_documents_leads_somewhere(repository: Path) -> None:
    for document in [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]:
        text = document.read_text(encoding="utf-8")
        for part in text.split("](")[1:]:
            target = part.partition(")")[0].partition("#")[0]
            if target and "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
