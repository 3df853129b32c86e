"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ae_core.errors import UsageError

if TYPE_CHECKING:
    from ae_core.jobs.choice import Order
    from ae_core.untrusted.caps import Caps


def without_credentials(url: str | None) -> str | None:
    """The URL itself; refused before any message can repeat it when it holds credentials."""
    from ae_core.remote.places import refuse_credentials

    if url is not None:
        refuse_credentials(url)
    return url


Lake = Annotated[
    str,
    typer.Argument(
        metavar="LAKE",
        help="Path or URL of a folder of Parquet files.",
        show_default=False,
        callback=without_credentials,
    ),
]
Archive = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="Path or URL of an archive.", show_default=False, callback=without_credentials
    ),
]
Out = Annotated[
    str,
    typer.Argument(
        metavar="OUT",
        help="Path or URL of a folder to write; must not exist.",
        show_default=False,
        callback=without_credentials,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="KEY=VALUE", help="Only these partitions: month=3, 'month>=3'; repeat for 'and'."),
]
Snapshot = Annotated[
    int | None,
    typer.Option("--snapshot", min=0, metavar="N", help="Read the archive as of commit N.", show_default="head"),
]
Threads = Annotated[int, typer.Option("--threads", min=0, metavar="N", help="Blocks at once; 0 is one per core.")]
Untrusted = Annotated[
    bool,
    typer.Option("--untrusted", help="Anybody may have made it: look into it in a confined process, within caps."),
]
Cap = Annotated[
    list[str] | None,
    typer.Option(
        "--cap",
        metavar="NAME=N",
        help="With --untrusted: another cap, such as memory=8GiB; rows, bytes, objects, model, memory, seconds.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
PolicyFile = Annotated[
    str | None, typer.Option("--policy", metavar="FILE", help="YAML of what each column may lose.", show_default=False)
]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="R",
        help="Every integer, float and decimal within R of its range, the rest exact; 0 keeps all exact.",
        show_default=False,
    ),
]


def order_of(text: str) -> Order:
    """The value of `--order`.

    Raises
    ------
    UsageError
    """
    for order in ("lake", "newest", "oldest", "largest"):
        if text == order:
            return order
    raise UsageError(f"--order {text}: say lake, newest, oldest or largest")


def split_names(text: str | None) -> list[str] | None:
    """The names of `--columns a,b`; None when the option was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def caps_of(texts: list[str] | None, *, untrusted: bool) -> Caps | None:
    """The caps of `--untrusted` and `--cap`; None for an archive that is trusted.

    Raises
    ------
    UsageError
    """
    from ae_core.untrusted.caps import Caps

    if texts and not untrusted:
        raise UsageError("--cap belongs to --untrusted: other archives are read as they are")
    return Caps.parse(texts or ()) if untrusted else None
