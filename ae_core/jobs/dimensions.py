"""How many latent dimensions a lake's rows call for: error, rate and bytes of each number of them, and the knee."""

from __future__ import annotations

import time
from pathlib import Path

from ae_core.errors import LakeError, OutputExists
from ae_core.extremes import column_ranges
from ae_core.jobs.plan import ranged_columns
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import policy_text
from ae_core.jobs.sampling import read_sample, row_counts
from ae_core.jobs.use_results import Dimensions, DimensionTrial
from ae_core.jobs.use_rows import new_file
from ae_core.lake import common_schema, list_partitions
from ae_core.model.fit import DIMENSIONS, knee
from ae_core.policy import load_policy, resolve
from ae_core.remote.places import refuse_credentials
from ae_core.report.dimensions import DimensionRow, draw_dimensions, render_dimensions
from ae_core.selection import Where
from ae_core.trials import DimensionTrial as Trial
from ae_core.trials import try_dimensions

SAMPLE_CELLS = 2_000_000
"""Rows times columns that the dimensions are tried on: a third of a year of flights, minutes for all of them."""


def dimensions(
    lake: str,
    *,
    policy: str | None = None,
    range_: str | float | None = None,
    where: Where = None,
    html: str | None = None,
    png: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Dimensions:
    """Train networks of several latent dimensions, briefly, and tell what each gives; nothing is archived.

    Parameters
    ----------
    policy, range_ : what each column may lose, as for `compress`: rows are looked at as an archive would hold them.
    html, png : files to draw the result to; they must not exist.

    Raises
    ------
    LakeError, PolicyError
        When the lake cannot be read, or the policy does not fit it.
    NoLatents
        When the table has nothing that a model could learn.
    OutputExists
        When a file to write is there already.
    """
    start = time.perf_counter()
    refuse_credentials(lake)
    for name in (html, png):
        if name is not None and Path(name).exists():
            raise OutputExists(f"{name} exists already and is never overwritten; choose another name")
    text = load_policy(policy_text(policy, range_))
    partitions = list_partitions(lake, where)
    schema = common_schema(partitions)
    resolve(text, schema, {})
    ranged = ranged_columns(text, schema)
    resolved = resolve(text, schema, column_ranges(partitions, ranged) if ranged else {})
    sample = read_sample(partitions, cells=SAMPLE_CELLS)
    rows = sum(sum(row_counts(partition)) for partition in partitions)
    sampled = sum(block.num_rows for block in sample)
    if not sampled:
        raise LakeError(f"{lake}: the chosen partitions have no rows")
    trials: list[Trial] = []
    progress("latent dimensions", 0, len(DIMENSIONS))
    for trial in try_dimensions(schema, sample, resolved, rows_served=rows, seed=seed):
        trials.append(trial)
        progress("latent dimensions", len(trials), len(DIMENSIONS))
    chosen = knee([trial.point for trial in trials])
    listed = tuple(_listed(trial, rows / sampled, chosen) for trial in trials)
    reason = _reason(listed, chosen)
    shown = [
        DimensionRow(
            one.dims,
            one.live,
            one.preview_loss,
            one.numeric_error,
            one.accuracy,
            one.latent_bits,
            one.latent_bytes,
            one.residual_bytes,
            one.model_bytes,
        )
        for one in listed
    ]
    if html is not None:
        how = f"{rows:,} rows; short trainings on {sampled:,} of them, bytes scaled to all rows"
        with new_file(html) as path:
            path.write_text(render_dimensions(lake, shown, chosen, reason, how), encoding="utf-8")
    if png is not None:
        with new_file(png) as path:
            draw_dimensions(path, shown, chosen)
    return Dimensions(lake, rows, sampled, chosen, reason, listed, html, png, time.perf_counter() - start)


def _listed(trial: Trial, scale: float, chosen: int) -> DimensionTrial:
    return DimensionTrial(
        dims=trial.point.dims,
        live=trial.live,
        preview_loss=trial.point.preview_loss,
        numeric_error=trial.error.numeric,
        accuracy=trial.error.accuracy,
        latent_bits=trial.point.latent_bits,
        latent_bytes=round(trial.latent_bytes * scale),
        residual_bytes=round(trial.other_bytes * scale),
        model_bytes=trial.model_bytes,
        chosen=trial.point.dims == chosen,
    )


def _reason(trials: tuple[DimensionTrial, ...], chosen: int) -> str:
    """The knee in words."""
    own = next(trial for trial in trials if trial.chosen)
    least, most = trials[0], trials[-1]
    if chosen == least.dims:
        return (
            f"{chosen} latent dimensions: more of them lower the preview error ({own.preview_loss:.3f}) by too little "
            "for the bits they take"
        )
    return (
        f"{chosen} latent dimensions are the knee of preview error against latent bits: from {least.dims} to {chosen} "
        f"the error falls from {least.preview_loss:.3f} to {own.preview_loss:.3f} for "
        f"{own.latent_bits - least.latent_bits:.2f} bits a row, from {chosen} to {most.dims} to "
        f"{most.preview_loss:.3f} for {most.latent_bits - own.latent_bits:.2f} more. Bytes alone would always choose "
        "the fewest: latents add some"
    )
