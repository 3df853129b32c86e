"""What `plan` found as one HTML page: rate–distortion, the proposed policy with its reasons, findings and warnings."""

from __future__ import annotations

from ae_core.jobs.results import LakeProfile
from ae_core.report.planned import Planned, PlannedColumn, RatePoint, render_plan


def plan_page(profile: LakeProfile) -> str:
    """The page, complete in itself."""
    return render_plan(
        Planned(
            lake=profile.lake,
            partitions=profile.partitions,
            rows=profile.rows,
            source_bytes=profile.source_bytes,
            sample_rows=profile.sample_rows,
            points=tuple(
                RatePoint(one.range, one.bytes, one.plain_bytes, one.latents, one.model, one.coder, one.preview_error)
                for one in profile.by_range
            ),
            columns=tuple(
                PlannedColumn(one.name, one.type, one.bound, one.policy_reason, one.coder, one.findings)
                for one in profile.columns
            ),
            warnings=profile.warnings,
            policy=profile.policy,
        )
    )
