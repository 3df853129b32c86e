"""The `retire` block of a policy: off unless said, and mistakes are named."""

from __future__ import annotations

import pytest

from ae_core.errors import PolicyError
from ae_core.policy import load_policy
from ae_core.retirement import DAY, HOUR


def test_nothing_is_retired_unasked():
    rules = load_policy("version: 1\n").retire
    assert (rules.pinned, rules.expire.enabled) == (False, False)
    assert "retire" not in load_policy("version: 1\n").to_yaml()


def test_times_have_units_and_come_back():
    policy = load_policy("version: 1\nretire: {expire: {enabled: true, grace: 45d, wait: 36h, replica: 's3://b/c'}}\n")
    rules = policy.retire.expire
    assert (rules.grace, rules.wait, rules.replica) == (45 * DAY, 36 * HOUR, "s3://b/c")
    assert load_policy(policy.to_yaml()) == policy
    fading = load_policy("version: 1\nretire: {fade_after: 365d}\n")
    assert fading.retire.fade_after == 365 * DAY
    assert load_policy(fading.to_yaml()) == fading


def test_two_policies_that_differ_in_retirement_alone_code_alike():
    pinned = load_policy("version: 1\nretire: {pinned: true}\n")
    assert pinned != load_policy("version: 1\n")
    assert pinned.coding == load_policy("version: 1\n").coding


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{expire: {enabled: true}}", "retire.expire: replica is missing"),
        ("{expire: {enabled: true, replica: none, grace: 5h}}", "grace must be a day"),
        ("{expire: {enabled: true, replica: none, wait: 0h}}", "wait must be an hour"),
        ("{expire: {grace: 30}}", "retire.expire.grace: 30 has no unit"),
        ("{expire: {grace: soon}}", "'soon' is not a time"),
        ("{expire: {replica: 's3://key:secret@bucket/x'}}", "credentials"),
        ("{fade_after: 5h}", "fade_after must be a day"),
        ("{fade_after: 9d, pinned: true}", "never fade"),
        ("{fade_after: 9d, expire: {enabled: true, replica: none}}", "exclude each other"),
        ("{pin: true}", "retire.pin"),
        ("{pinned: maybe}", "retire.pinned"),
    ],
)
def test_mistakes_are_named(block, message):
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(f"version: 1\nretire: {block}\n")
    assert "secret" not in str(caught.value)
