"""What the commands print: data on stdout, progress and errors on stderr, one JSON document under --json.

Nothing heavy is imported before it is needed: `latentlake --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from ae_core.jobs.progress import Progress


def shown(text: str) -> str:
    r"""The text on one line of a terminal: what moves its cursor, colours it or turns the reading direction is escaped.

    Names come out of archives, and anybody may have made these. The escapes (`\x1b`, `\u202e`) are Python's; those
    beyond ASCII are JSON's too.
    """
    return text if text.isprintable() else "".join(map(_shown_letter, text))


def _shown_letter(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]


def print_json(result: Any) -> None:
    """Print a result record (a dataclass of `ae_core.jobs.results`) as one JSON document on stdout."""
    from json import dumps

    from pydantic import TypeAdapter

    record = _finite(TypeAdapter(type(result)).dump_python(result, mode="json"))
    text = dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("".join(map(_json_letter, text)) + "\n")


def _finite(value: Any) -> Any:
    """JSON values in which NaN and infinities, which JSON lacks, are null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _json_letter(letter: str) -> str:
    """A letter of a JSON text; what a terminal would act on stands in strings alone, where it may be escaped."""
    if letter.isprintable() or letter == "\n":
        return letter
    pair = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{pair[at : at + 4]}" for at in range(0, len(pair), 4))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table on stdout; columns whose name ends in `>` are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else shown(str(cell))) for cell in row))
    _stdout().print(table)


def say(line: str = "") -> None:
    """Print one line of data on stdout."""
    sys.stdout.write(shown(line) + "\n")


def note(line: str) -> None:
    """Print one line for the person at the terminal on stderr."""
    sys.stderr.write(shown(line) + "\n")


def fail(message: str) -> None:
    """Print an error as one line on stderr, without the credentials of URLs that it may repeat."""
    from ae_core.remote.places import hide_credentials

    sys.stderr.write("latentlake: " + shown(hide_credentials(" ".join(message.split()))) + "\n")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress callback that draws bars on stderr where stderr is a terminal, and is silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda step, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def advance(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield advance


def human_bytes(size: float | None) -> str:
    """A size that a person reads at a glance, in powers of ten: `1.05 MB`."""
    if size is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.2f} {unit}"
        size /= 1000
    return ""


def human_ratio(ratio: float | None) -> str:
    """A figure with four significant digits; empty when there is none."""
    return "" if ratio is None else f"{ratio:.4g}"


def _stdout() -> Console:
    from rich.console import Console

    # a table that is piped somewhere must not be folded at 80 columns
    return Console() if sys.stdout.isatty() else Console(width=200)
