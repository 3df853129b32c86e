"""What the archive is measured against, and how (make bench)."""
