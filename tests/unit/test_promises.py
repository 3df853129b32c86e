"""Every test that docs/promises.md names is there: a promise whose test is gone is nobody's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", PAGE)


def test_every_named_test_exists():
    defined = {
        file: {node.name for node in ast.walk(ast.parse((ROOT / "tests" / file).read_text())) if hasattr(node, "name")}
        for file in {file for file, _ in NAMED}
    }
    assert [f"{file}::{name}" for file, name in NAMED if name not in defined[file]] == []
    assert len(NAMED) > 50


def test_every_promise_names_a_test():
    tables = [line for line in PAGE.splitlines() if line.startswith("| ") and "shown by" not in line]
    promises = [line for line in tables if re.match(r"\| [A-Z]", line)]
    assert len(promises) > 60
    assert [line for line in promises if "::test_" not in line] == []


def test_every_fault_of_the_matrix_has_its_row():
    rows = re.findall(r"(?m)^\| F(\d+) ", PAGE)
    assert [int(row) for row in rows] == list(range(1, 21))
