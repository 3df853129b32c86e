"""What `plan` found out, beside its table of columns: predictions, warnings, and one column in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ae_core.errors import UsageError
from flows.cli.console import human_bytes, print_table, say

if TYPE_CHECKING:
    from ae_core.jobs.results import LakeProfile

_BAR = 40


def print_predictions(profile: LakeProfile) -> None:
    """Print predicted bytes by bound as bars, then the findings and warnings."""
    if profile.by_range:
        say("")
        say("Every measurement within this share of its range, from short trainings (the full one does better):")
        most = max(profile.source_bytes, 1)
        say(f"  {'the lake now':>12}  {human_bytes(profile.source_bytes):>10}  {'█' * _BAR}")
        for one in profile.by_range:
            name = f"{one.range:.1%}" if one.range else "exact"
            bar = "█" * max(1, round(_BAR * one.bytes / most))
            preview = "" if one.preview_error is None else f", preview off by {one.preview_error:.1%} of the range"
            say(f"  {name:>12}  {human_bytes(one.bytes):>10}  {bar} {one.coder}{preview}")
    for column in profile.columns:
        for finding in column.findings:
            say(f"{column.name}: {finding}")
    for warning in profile.warnings:
        say(f"WARNING {warning}")


def print_column(profile: LakeProfile, name: str) -> None:
    """Print everything about one column.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    column = next((one for one in profile.columns if one.name == name), None)
    if column is None:
        raise UsageError(f"--explain: no column {name!r}; columns are {', '.join(c.name for c in profile.columns)}")
    say(f"{column.name}, {column.type}: {column.bound}, because: {column.policy_reason}")
    say(f"  in {profile.sample_rows:,} sampled rows: {column.distinct:,} values, {column.nulls:,} nulls")
    for finding in column.findings:
        say(f"  {finding}")
    say(f"  coder: {column.coder}, because: {column.coder_reason}")
    if column.quantiles:
        print_table(
            ["min>", *(f"{quantile}>" for quantile in column.quantiles), "max>"],
            [(column.minimum, *(f"{value:.6g}" for value in column.quantiles.values()), column.maximum)],
        )
    if column.frequent:
        print_table(["most frequent", "rows>"], [(value, f"{count:,}") for value, count in column.frequent])
    if profile.by_range:
        print_table(
            ["within this share of its range", "bytes without training>"],
            [(f"{p.range:.1%}" if p.range else "exact", human_bytes(p.columns.get(name))) for p in profile.by_range],
        )
    for warning in profile.warnings:
        if warning.startswith(f"{name} "):
            say(f"WARNING {warning}")
