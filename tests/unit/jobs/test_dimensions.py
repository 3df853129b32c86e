"""Dimensions are tried on the lake as an archive would hold it; the table, the page and the picture say the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core import trials
from ae_core.errors import NoLatents, OutputExists, PolicyError
from ae_core.jobs.dimensions import dimensions
from ae_core.model import fit


@pytest.fixture
def quick(monkeypatch):
    """Trainings of a few steps."""
    monkeypatch.setattr(trials, "DIMENSIONS", (2, 3))
    monkeypatch.setattr(fit, "SCOUT", fit.Effort(1, 10, 10, 20e-3))
    monkeypatch.setattr(fit, "TRIAL", fit.Effort(1, 10, 10, 16e-3))


@pytest.fixture
def lake(tmp_path):
    """One file of correlated columns."""
    random = np.random.default_rng(0)
    place = random.integers(0, 8, 900)
    table = pa.table({"place": pa.array([f"p{p}" for p in place]), "fare": place * 3.0 + random.normal(0, 1, 900)})
    (tmp_path / "lake").mkdir()
    pq.write_table(table, tmp_path / "lake" / "a.parquet")
    return str(tmp_path / "lake")


def test_every_dimension_has_its_figures_and_one_is_chosen(quick, lake, tmp_path) -> None:
    page, picture = tmp_path / "d.html", tmp_path / "d.png"
    found = dimensions(lake, range_="0.01", html=str(page), png=str(picture))
    assert [trial.dims for trial in found.trials] == [2, 3]
    assert sum(trial.chosen for trial in found.trials) == 1
    assert next(trial for trial in found.trials if trial.chosen).dims == found.chosen
    for trial in found.trials:
        assert trial.latent_bytes > 0
        assert trial.total_bytes == trial.latent_bytes + trial.residual_bytes + trial.model_bytes
    text = page.read_text()
    assert found.reason in text.replace("&#x27;", "'")
    assert all(f"{trial.total_bytes:,}" in text for trial in found.trials)
    assert "://" not in text
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputExists):
        dimensions(lake, range_="0.01", html=str(page))


def test_what_cannot_be_tried_is_refused(lake, tmp_path) -> None:
    with pytest.raises(PolicyError):
        dimensions(lake)
    (tmp_path / "other").mkdir()
    pq.write_table(pa.table({"x": pa.array(["same"] * 50)}), tmp_path / "other" / "a.parquet")
    with pytest.raises(NoLatents, match="no latent dimension"):
        dimensions(str(tmp_path / "other"), range_="0.01")
