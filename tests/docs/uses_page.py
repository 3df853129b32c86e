"""The measured tables of docs/uses.md: `python -m tests.docs.uses_page [demo/bench/uses.json]`.

    make bench-uses ─▶ demo/bench/uses.json ─▶ docs/uses.json ─▶ what is between the markers in docs/uses.md

Without an argument the page is written from docs/uses.json as it is. A test fails where the two differ.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.uses.data import Figures, Records

ROOT = Path(__file__).parents[2]
FIGURES, PAGE = ROOT / "docs" / "uses.json", ROOT / "docs" / "uses.md"
_BLOCK = re.compile(r"<!-- measured: (\w+) -->\n.*?<!-- up to here -->", re.DOTALL)


def replaced(text: str, figures: Mapping[str, Records]) -> str:
    """The page with each marked table written anew; raises KeyError where a marker names no part that was measured."""

    def table(found: re.Match[str]) -> str:
        return f"<!-- measured: {found[1]} -->\n{Figures.of(figures[found[1]]).markdown()}\n<!-- up to here -->"

    return _BLOCK.sub(table, text)


def main() -> None:
    """Take the figures that the arguments name, and write the page."""
    if len(sys.argv) > 1:
        FIGURES.write_text(Path(sys.argv[1]).read_text(encoding="utf-8"), encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
