"""The project's own promises about what it installs and imports."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "infra" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_the_readers_versions_are_the_tested_ones_without_torch_and_prefect() -> None:
    reader, tested = pins("reader.txt"), pins("constraints.txt")
    assert {package: tested.get(package) for package in reader} == reader
    assert not {"torch", "prefect"} & set(reader)


def test_no_build_of_torch_is_pinned_so_that_the_index_decides() -> None:
    assert re.fullmatch(r"[0-9.]+", pins("constraints.txt")["torch"])


def test_importing_the_library_and_the_command_line_is_light() -> None:
    heavy = "{'torch', 'prefect', 'numba', 'matplotlib', 'pcodec', 'duckdb', 'pandas'}"
    code = f"import sys, ae_core, flows.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
