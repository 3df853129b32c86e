"""How many latents a year of flights calls for, as `latentlake dimensions` tells it."""

from __future__ import annotations

from pathlib import Path

import ae_core
from tests.benchmarks.uses.data import RANGE, Figures

HEAD = (
    "latents",
    "error of the mean column",
    "numbers off by, % of range",
    "right categories, %",
    "latent bits a row",
    "MB in all",
    "chosen",
)


def run(folder: Path) -> Figures:
    """A row for each number of latents."""
    found = ae_core.dimensions(str(folder / "flights"), range_=RANGE)
    return Figures(
        HEAD,
        [
            (
                trial.dims if trial.live == trial.dims else f"{trial.dims} ({trial.live} used)",
                f"{trial.preview_loss:.3f}",
                f"{trial.numeric_error:.2f}",
                f"{trial.accuracy:.1f}",
                f"{trial.latent_bits:.2f}",
                f"{trial.total_bytes / 1e6:.2f}",
                "the knee" if trial.chosen else "",
            )
            for trial in found.trials
        ],
    )
