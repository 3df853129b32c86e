"""The command line: `latentlake COMMAND --help` explains each command with an example."""

from __future__ import annotations

from flows.cli.app import main

__all__ = ["main"]
