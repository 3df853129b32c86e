"""Decodes every partition of an archive and checks every digest: `python -m tests.golden.reader ARCHIVE`."""

import sys
from pathlib import Path

from . import digest, read

for partition, found, table, preview in read(Path(sys.argv[1])):
    print(found, partition, table.num_rows, "rows", preview and f"preview {digest(preview.schema, [preview])}")
