"""What the tests of crashes share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the disk, here and in forks: kill -9 takes nothing from the kernel, so a sync shows nothing."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
