"""Digests of all golden archives as today's code decodes them: `python -m tests.golden.decode` prints them as JSON.

It needs no more than reading does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

import ae_core
from ae_core.archive.digest import partition_digest

GOLDEN = sorted(Path(__file__).parent.glob("format-*/*/archive"))


def digests(folders: Iterable[Path], threads: int = 1) -> dict[str, list[str]]:
    """Digests of every partition and preview of archives."""
    found = {}
    for folder in folders:
        archive = ae_core.open_archive(str(folder))
        for partition in archive.partitions():
            blocks = list(partition.blocks(layer=partition.fullest, threads=threads))
            told = [partition_digest(blocks[0].schema, blocks)]
            if partition.manifest.layer("latents") is not None:
                preview = pa.concat_tables(partition.blocks(layer="preview", threads=threads))
                told.append(partition_digest(preview.schema, [preview]))
            found[f"{folder.parent.name} {partition.id}"] = told
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(digests(GOLDEN)))
