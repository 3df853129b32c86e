"""fade refuses whom it has to; what it does to partitions with latents stands in tests/e2e/test_cli_retire.py."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

import ae_core
from ae_core.archive.originals import Intent, OnlyCopy
from ae_core.archive.reader import open_snapshot
from ae_core.errors import PolicyError
from ae_core.jobs import fade as job
from ae_core.jobs import fade_worker
from ae_core.policy import Bound
from ae_core.retirement import Retire


def test_a_partition_without_latents_is_refused_and_nothing_changes(lake, tmp_path):
    archive = str(tmp_path / "archive")
    ae_core.compress(str(lake), archive, range_="0.01")
    result = job.fade(archive, where=["month>=1"], dry_run=False)
    assert result.refused == ("month=1", "month=2")
    assert "it has no latents" in result.partitions[0].reason
    assert result.commit is None
    assert open_snapshot(archive).number == 1
    with pytest.raises(PolicyError):
        job.fade(archive, where=["month=1"], policy=str(tmp_path / "missing.yaml"))


class Stub:
    """A partition with latents, as far as the refusals look at it."""

    id = "month=1"
    rows = 5

    def __init__(self, manifest, *, exact=False):
        self.manifest = manifest
        self.bounds = {"x": Bound("exact") if exact else Bound("abs", 1)}

    def left_out(self, layer):
        return ()


class Rules:
    def __init__(self, *, pinned):
        self.pinned = pinned

    def of(self, manifest):
        return Retire(pinned=self.pinned)


@pytest.mark.parametrize(
    ("pinned", "exact", "only_copy", "accepted", "action", "why"),
    [
        (False, False, False, False, "fade", ""),
        (True, False, False, False, "refused", "pinned"),
        (True, False, False, True, "refused", "pinned"),
        (False, True, False, False, "refused", "every value exact"),
        (False, False, True, False, "refused", "only copy"),
        (False, False, True, True, "fade", ""),
    ],
)
def test_who_is_refused(tmp_path, pinned, exact, only_copy, accepted, action, why):
    from tests.faults import archive_sample as sample

    sample.make(tmp_path / "a")
    snapshot = open_snapshot(str(tmp_path / "a"))
    if only_copy:
        held = OnlyCopy(3, Intent("month=1", "0" * 64, "/lake", ()))
        snapshot = replace(snapshot, state=replace(snapshot.state, only_copies={"month=1": held}))
    stub = Stub(snapshot.manifest("month=1"), exact=exact)
    row = job._row(snapshot, Rules(pinned=pinned), stub, accepted=accepted)
    assert row.action == action
    assert why in row.reason


@pytest.mark.parametrize(("found", "refused"), [(1.238e9, False), (1.239e9, False), (1.24e9, True)])
def test_errors_of_four_digits_are_compared_with_a_sum_of_four_digits(found: float, refused: bool) -> None:
    """Errors are rounded up: 1.2381e9, which 1.238e9 and a bound of 120,000 allow, is found as 1.239e9."""
    column = SimpleNamespace(
        name="x", preview=SimpleNamespace(max_error=1.238e9), loss=SimpleNamespace(max_error=120_000.0)
    )
    fuller = SimpleNamespace(certificate=SimpleNamespace(columns=[column]))
    measured = SimpleNamespace(finish=lambda: SimpleNamespace(columns=[SimpleNamespace(name="x", max_error=found)]))
    assert (fade_worker._beyond(fuller, measured) is not None) == refused
