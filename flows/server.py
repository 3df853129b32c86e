"""Where Prefect runs: the team's server when PREFECT_API_URL is set, else one of the run's own.

Two runs that share one PREFECT_HOME lock each other out of its SQLite file, so a run without a server gets a
private home that ends with it. This module must be used before Prefect is imported: Prefect reads its settings
once, at import.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile

_QUIET = {
    # the commands print their own progress and one line per error; the server still gets every log
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FLOW_RUNS_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
_EPHEMERAL = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    # a cold start takes 13 to 21 seconds on two cores; on a machine with twenty busy processes 90 were not enough
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
}


def prepare_prefect() -> str | None:
    """Set Prefect's environment for this process; what the caller's environment sets already, stays.

    Returns the private home that was made, or None where the team's server or a chosen home is used.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if os.environ.get("PREFECT_API_URL"):
        return None
    for name, value in _EPHEMERAL.items():
        os.environ.setdefault(name, value)
    if os.environ.get("PREFECT_HOME"):
        return None
    # a terminated process would leave its server running: an ordinary exit stops it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    home = tempfile.mkdtemp(prefix="latentlake-prefect-")
    os.environ["PREFECT_HOME"] = home
    # registered before Prefect's own handler, so it runs after the server has stopped
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home
