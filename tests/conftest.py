"""What all tests share: hypothesis profiles, and tools that have to be there or are named as missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.counted import MARK

# The everyday profile is the same in every run; HYPOTHESIS_PROFILE=nightly looks for something new, and longer.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "everyday", max_examples=50, deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "everyday"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests counted, also where their output is captured."""
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {line.removeprefix(MARK)}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for line in report.capstdout.splitlines()
        if line.startswith(MARK) and report.when == "call"
    ]
    if lines:
        terminalreporter.section("faults, schedules and cases that were tried")
        terminalreporter.write("\n".join([*lines, ""]))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of chromium; the test is skipped without it, and fails where tools are required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return found
    if os.environ.get("LATENTLAKE_REQUIRE_TOOLS"):
        pytest.fail("chromium is missing (LATENTLAKE_REQUIRE_TOOLS is set)")
    pytest.skip("chromium is missing")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the clone."""
    return Path(__file__).resolve().parent.parent
