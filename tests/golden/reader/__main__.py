"""Prints every partition of an archive: digest, id, rows, and the digest of its preview where it has one."""

import sys
from pathlib import Path

from .archive import read
from .digests import digest

for partition, found, table, preview in read(Path(sys.argv[1])):
    print(found, partition, table.num_rows, "rows", preview and f"preview {digest(preview.schema, [preview])}")
