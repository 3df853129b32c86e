"""The `latentlake` command: its subcommands, its one-line errors and its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ae_core.errors import LatentlakeError
from ae_core.lean import leave_out_unused
from flows.cli import (
    care_commands,
    doctor_command,
    read_commands,
    retire_commands,
    team_commands,
    upgrade_command,
    use_commands,
    write_commands,
)
from flows.cli.console import fail, say

INTERNAL_ERROR = 70  # a bug of ours: none of the exit codes that a caller acts on

app = typer.Typer(
    name="latentlake",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Learned archives of cold Parquet partitions: an autoencoder's latents plus the corrections that keep
every value within the bound that you set.

LAKE, ARCHIVE and OUT are paths or fsspec URLs. Exit codes: 0 fine, 1 damage found or a bound violated, 2 usage or
policy error, 3 the store is not safe to commit to, 4 not committed or outcome unknown, 5 refused because data would
be lost.""",
)


def _version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"latentlake {version('latentlake')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    _version(asked=version)


app.command("plan")(write_commands.plan)
app.command("compress")(write_commands.compress)
app.command("ls")(read_commands.ls)
app.command("show")(read_commands.show)
app.command("decode")(read_commands.decode)
app.command("verify")(read_commands.verify)
app.command("audit")(read_commands.audit)
app.command("log")(read_commands.log)
app.command("diff")(care_commands.diff)
app.command("copy")(care_commands.copy)
app.command("gc")(retire_commands.gc)
app.command("drop")(retire_commands.drop)
app.command("fade")(retire_commands.fade)
app.command("expire")(retire_commands.expire)
app.command("doctor")(doctor_command.doctor)
app.command("upgrade")(upgrade_command.upgrade)
app.command("status")(team_commands.status)
app.command("deploy")(team_commands.deploy)
app.command("features")(use_commands.features)
app.command("encode")(use_commands.encode)
app.command("dimensions")(use_commands.dimensions)
app.command("anomalies")(use_commands.anomalies)
app.command("sample")(use_commands.sample)
app.command("denoise")(use_commands.denoise)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors become one line on stderr.

    LATENTLAKE_TRACEBACK=1 raises instead, for whoever looks for a bug.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="latentlake", standalone_mode=False)
    except Exception as error:
        if os.environ.get("LATENTLAKE_TRACEBACK"):
            raise
        return _explain(error)
    except KeyboardInterrupt:
        fail("interrupted; what was committed stays, the same command finishes the rest")
        return 130
    return int(code or 0)


def _explain(error: Exception) -> int:
    """Print the error as one line; the exit code that belongs to it."""
    if isinstance(error, LatentlakeError):
        fail(str(error))
        return error.exit_code
    if isinstance(error, typer.TyperException):
        fail(f"{error.format_message()} (see latentlake --help)")
        return 2
    if isinstance(error, typer.Abort):
        fail("aborted")
        return 130
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()  # whoever read our output has gone: nothing is left to say
        return 0
    if isinstance(error, MemoryError):
        fail("out of memory: --threads 1 needs least; a stranger's archive belongs under --untrusted")
        return 2
    if isinstance(error, OSError):
        fail(str(error))
        return 2
    if "ephemeral Prefect API server" in str(error):
        fail("Prefect's own server did not start in time: try again on a less busy machine, or set PREFECT_API_URL")
        return 2
    fail(f"internal error, {type(error).__name__}: {error} (LATENTLAKE_TRACEBACK=1 shows where)")
    return INTERNAL_ERROR


def main() -> None:
    """Entry point of the installed command."""
    asked = sys.argv[1] if sys.argv[1:2] else ""
    if asked in use_commands.LEAN or any(hasattr(module, asked) for module in (read_commands, care_commands) if asked):
        leave_out_unused(sys.argv[2:])
    sys.exit(run())
