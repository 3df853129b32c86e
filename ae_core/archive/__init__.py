"""The archive: bytes, commits, reading, verification."""
