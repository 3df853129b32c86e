"""What tests of faults counted, so that whoever runs them sees how much was tried; conftest.py shows it at the end."""

from __future__ import annotations

MARK = "counted: "


def counted(told: object) -> None:
    """Say how many faults, schedules or cases a test has tried."""
    for line in str(told).splitlines():
        print(f"{MARK}{line}")
