"""A team with a small lake, and its file deployed on the server of `prefect_stack`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.dataset import Partition, open_archive
from tests.e2e.prefect_stack import Stack

DAY = 86_400
FILE = """\
version: 1
team: tests
lakes:
  days:
    lake: {lake}
    archive: {archive}
    range: 0.01
    older_than_days: 30
    audit: {{cron: "0 6 * * 0", sample: 0.5}}
"""


class Team:
    """Its lake has one small file a day; `file` is deployed by `deploy`."""

    def __init__(self, stack: Stack, cli: Any, folder: Path) -> None:
        self._stack, self._cli = stack, cli
        self.lake, self.archive, self.file = folder / "lake", folder / "archive", folder / "latentlake.yaml"

    def write(self, day: str, rows: int = 400) -> None:
        folder = self.lake / f"date={day}"
        folder.mkdir(parents=True)
        random = np.random.default_rng(len(day) + rows)
        table = pa.table({"a": random.integers(0, 9, rows), "b": random.normal(size=rows)})
        pq.write_table(table, folder / "x.parquet")

    def deploy(self, text: str = FILE) -> dict[str, str]:
        """Name of every deployment, and what became of it."""
        self.file.write_text(text.format(lake=self.lake, archive=self.archive))
        done = self._cli("deploy", self.file, "--json", **self._stack.environment)
        assert done.code == 0, done.err
        return {row["name"]: row["action"] for row in done.json}

    def partitions(self) -> list[Partition]:
        return list(open_archive(str(self.archive)).partitions())

    def pass_days(self, days: float) -> None:
        """Everything that was stored is older now, by the clock of the disk."""
        for path in [*self.archive.glob("_commits/*"), *self.lake.rglob("*.since")]:
            then = path.stat().st_mtime - days * DAY
            os.utime(path, (then, then))
