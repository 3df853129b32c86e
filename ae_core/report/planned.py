"""The page of a plan: what a lake would take by bound, and what each of its columns may lose, and why."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from ae_core.report import svg, wording
from ae_core.report.page import render


@dataclass(frozen=True)
class RatePoint:
    """Predicted bytes of an archive with every measurement within a share of its range; 0 is exact."""

    range: float
    bytes: int
    plain_bytes: int
    latents: int
    model: int
    coder: str
    preview_error: float | None

    @property
    def bound(self) -> str:
        """The bound as people write it."""
        return wording.percent(self.range) if self.range else "exact"


@dataclass(frozen=True)
class PlannedColumn:
    """A column, what it may lose, and why."""

    name: str
    type: str
    bound: str
    reason: str
    coder: str
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """What a plan found."""

    lake: str
    partitions: int
    rows: int
    source_bytes: int
    sample_rows: int
    points: tuple[RatePoint, ...]
    columns: tuple[PlannedColumn, ...]
    warnings: tuple[str, ...]
    policy: str


def render_plan(plan: Planned) -> str:
    """The page, complete in itself; it loads nothing."""
    points = [(point.bound, float(point.bytes), float(point.plain_bytes)) for point in plan.points]
    picture = svg.rate_distortion(points, float(plan.source_bytes), "Predicted bytes by bound") if points else ""
    return render("plan.html.j2", plan=plan, title=f"plan of {plan.lake}", picture=Markup(picture))
