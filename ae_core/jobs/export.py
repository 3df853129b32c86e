"""An audit with everything that an auditor keeps of it: the page, the figures, and the digest to pin the archive by."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ae_core.errors import OutputExists, UsageError
from ae_core.jobs import audit as audits
from ae_core.jobs.results import AuditResult

PAGE, FIGURES, HEAD = "index.html", "audit.json", "head.json"


def audit(archive: str, *, html: str | None = None, export: str | None = None, **options: Any) -> AuditResult:
    """`ae_core.jobs.audit.audit`, with the folder `export` written whole or not at all.

    It holds index.html (the page) with the pages beside it, audit.json (the result) and head.json (which snapshot was
    audited, its digest, the digests of the other files, and the command that proves it again). A failed audit is
    exported too.

    Raises
    ------
    UsageError
        As the audit; also when the folder exists, or `html` is asked for beside it.
    """
    if export is None:
        return audits.audit(archive, html=html, **options)
    if html is not None:
        raise UsageError("--export writes a page of its own: leave out --html")
    target = Path(export)
    if target.exists():
        raise OutputExists(f"{export} exists already and is never overwritten; choose another name")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{export} cannot be written: there is no folder {target.absolute().parent}")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.absolute().parent) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        result = audits.audit(archive, html=str(folder / PAGE), **options)
        result = replace(result, html=str(target / PAGE))
        (folder / FIGURES).write_bytes(TypeAdapter(AuditResult).dump_json(result, indent=2))
        (folder / HEAD).write_text(json.dumps(_head(result, folder), indent=2) + "\n", encoding="utf-8")
        shutil.move(folder, target)
    return result


def _head(result: AuditResult, folder: Path) -> dict[str, Any]:
    return {
        "archive": result.archive,
        "snapshot": result.snapshot,
        "head_sha256": result.head_sha256,
        "ok": result.ok,
        "prove_again": f"latentlake audit ARCHIVE --snapshot {result.snapshot} --expect-head {result.head_sha256}",
        "sha256": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
