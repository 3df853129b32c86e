"""A second decoder, written from docs/format.md alone (its sections in brackets): slow, nothing of the project in it.

archive (A1-A8, the way in) ─► block (B1, B5, B6, B9) ─► columns (B3, B4), streams (B2), coders (B7, B8, B11, B13)
"""

from .archive import digest, read, read_model, snapshot
from .block import Block, Preview

__all__ = ["Block", "Preview", "digest", "read", "read_model", "snapshot"]
