"""Random tables until time is up: `make fuzz MINUTES=30`.

A failing table is shrunk and saved as a line of JSON below .fuzz/, and the command that replays it is printed. What
hypothesis learned stays there too, so that the next run starts with what failed before.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.properties.recipes import Recipe, recipes
from tests.properties.trips import run, run_lake

ROUND, LAKES = 400, 12  # tables of a round: by the codec alone, and through a lake and an archive
MOST_ROWS = 2500


class Search:
    """One property that is looked at round by round; `failing` is the smallest table that broke it."""

    def __init__(self, check: Callable[[Recipe], None], folder: Path, examples: int) -> None:
        self.tables = 0
        self.failing: Recipe | None = None
        self.trace = ""
        chosen = settings(
            max_examples=examples,
            deadline=None,
            database=DirectoryBasedExampleDatabase(folder / "hypothesis"),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            derandomize=False,
        )

        @chosen
        @given(recipes(MOST_ROWS))
        def property_(recipe: Recipe) -> None:
            self.tables += 1
            try:
                check(recipe)
            except BaseException:
                self.failing, self.trace = recipe, traceback.format_exc()  # the last one to fail is the smallest
                raise

        self._property = property_

    def round(self) -> bool:
        """True where another round found nothing."""
        try:
            self._property()
        except KeyboardInterrupt:
            raise
        except BaseException:
            if self.failing is None:
                raise
            return False
        return True


def through_a_lake(recipe: Recipe) -> None:
    """`run_lake` in a folder of its own."""
    with tempfile.TemporaryDirectory() as work:
        run_lake(recipe, Path(work))


def save(recipe: Recipe, folder: Path, check: str) -> Path:
    """The file that a failing table is kept in."""
    text = recipe.to_json()
    path = folder / f"{check}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(text + "\n")
    return path


def replay(path: Path) -> None:
    """Run the saved table once more; raises what it broke."""
    check = through_a_lake if path.name.startswith("lake-") else run
    check(Recipe.from_json(path.read_text()))


def main() -> int:
    """Search, or replay a file; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    parser.add_argument("--replay", type=Path, help="a saved table")
    asked = parser.parse_args()
    if asked.replay:
        replay(asked.replay)
        print("it keeps every promise now")
        return 0
    asked.folder.mkdir(exist_ok=True)
    start = time.monotonic()
    searches = {
        "table": Search(run, asked.folder, ROUND),
        "lake": Search(through_a_lake, asked.folder, LAKES),
    }
    while time.monotonic() - start < 60 * asked.minutes:
        for name, search in searches.items():
            if not search.round():
                assert search.failing is not None
                path = save(search.failing, asked.folder, name)
                print(f"{search.trace}\na promise is broken: {path}\nreplay it: make fuzz REPLAY={path}")
                return 1
        done = ", ".join(f"{search.tables:,} {name}s" for name, search in searches.items())
        print(f"{(time.monotonic() - start) / 60:.1f} min: {done}, nothing found", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
