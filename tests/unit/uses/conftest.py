"""Kernels of one process are compiled once; nothing here trains."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import ae_core
from ae_core.archive.format import FORMAT

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / f"format-{FORMAT}"


@pytest.fixture(scope="session")
def golden() -> Path:
    """An archive of two partitions with a network."""
    return GOLDEN / "network" / "archive"


@pytest.fixture(scope="session")
def mixing() -> Path:
    """An archive without latents."""
    return GOLDEN / "mixing" / "archive"


@pytest.fixture(scope="session")
def codec(golden: Path):
    """The network model of the golden archive."""
    archive = ae_core.open_archive(str(golden))
    return archive.codec(archive.partition(month=1).manifest)


@pytest.fixture(scope="session")
def month(golden: Path):
    """The rows of its first partition."""
    return pa.concat_tables(ae_core.open_archive(str(golden)).partition(month=1).blocks()).combine_chunks()
