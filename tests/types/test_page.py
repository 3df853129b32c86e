"""docs/types.md says what round trips give today."""

from __future__ import annotations

from pathlib import Path

from tests.types.page import CHANGED, REFUSED, page, parquet_says


def test_the_committed_page_is_what_the_round_trips_give(repository: Path) -> None:
    committed = (repository / "docs/types.md").read_text(encoding="utf-8")
    assert committed == page(), "run: python -m tests.types.page > docs/types.md"


def test_what_parquet_changes_or_refuses_is_told_apart() -> None:
    assert all(parquet_says(kind) not in (None, str(kind)) for kind in CHANGED)
    assert all(parquet_says(kind) is None for kind in REFUSED)
