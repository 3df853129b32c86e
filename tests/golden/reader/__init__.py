"""A second decoder, written from docs/format.md alone (its sections in brackets): slow, nothing of the project in it.

    python -m tests.golden.reader ARCHIVE     decodes every partition, checks every digest and prints it

archive (A1-A7, the way in) ─► block (B1, B5, B6, B9) ─► columns (B3, B4), streams (B2), network (B7, B8), mixing (B11)
                       └─────► digests (A8)
"""

from .archive import read, read_model, snapshot
from .block import Block, Preview
from .digests import digest

__all__ = ["Block", "Preview", "digest", "read", "read_model", "snapshot"]
