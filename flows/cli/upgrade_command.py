"""The command that raises an archive's format."""

from __future__ import annotations

from flows.cli import options
from flows.cli.console import print_json, say


def upgrade(archive: options.Archive, json: options.Json = False) -> None:
    """Raise an archive to the newest format that this release writes; older releases may not read it afterwards.

    One small commit; no data is rewritten, and snapshots from before stay as they are.

    Example: latentlake upgrade flights.archive
    """
    from ae_core.jobs.upgrade import upgrade_archive

    result = upgrade_archive(archive)
    if json:
        print_json(result)
    elif result.commit is None:
        say(f"{archive}: format {result.after}, the newest that this release writes; nothing to do")
    else:
        say(
            f"{archive}: format {result.before} -> {result.after} in commit {result.commit}; "
            f"to read it takes latentlake {result.reader} or newer"
        )
