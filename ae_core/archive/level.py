"""What it takes to read an archive, and to write to it: its format, and features beside it.

A level stands in the marker and is repeated by every commit; that of the newest commit is the archive's. Writers keep
it: only `latentlake upgrade` raises it, to what the release that runs it would give a new archive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ae_core.archive.fields import Fields, as_text
from ae_core.errors import UnsupportedFormat

FORMAT = 0
"""The newest format that this release reads, and the one of the archives that it makes."""
READERS = {0: "0.1.0"}
"""The first release that reads each format."""
REQUIRED: frozenset[str] = frozenset()
"""Features that a reader has to know, as far as this release knows them."""
OPTIONAL: frozenset[str] = frozenset()
"""Features that only a writer has to know, as far as this release knows them."""

_RELEASE = re.compile(r"[0-9A-Za-z.+]{1,32}", re.ASCII)


@dataclass(frozen=True)
class Level:
    """`reader` is the first release that reads it; empty where the archive does not say."""

    format: int = FORMAT
    requires: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    reader: str = ""

    def to_json(self) -> dict[str, object]:
        """The fields of marker and commits; empty ones are left out."""
        fields = {"optional": list(self.optional), "reader": self.reader, "requires": list(self.requires)}
        return {"format": self.format, **{key: value for key, value in fields.items() if value}}

    def raised(self) -> Level:
        """What an upgrade makes of it: itself if this release has nothing newer."""
        new = newest()
        both = Level(
            max(self.format, new.format),
            tuple(sorted({*self.requires, *new.requires})),
            tuple(sorted({*self.optional, *new.optional})),
        )
        same = (both.format, set(both.requires), set(both.optional)) == (
            self.format, set(self.requires), set(self.optional)
        )  # fmt: skip
        return self if same else Level(both.format, both.requires, both.optional, new.reader)

    def check_writable(self, where: str) -> None:
        """Nothing, if this release knows all that a writer has to keep right.

        Raises
        ------
        UnsupportedFormat
        """
        unknown = sorted(set(self.optional) - OPTIONAL)
        if unknown:
            raise UnsupportedFormat(
                f"{where}: this release can read the archive but not write to it, since it does not know "
                f"{', '.join(unknown)}: {_advice(self.reader)}"
            )


LEAST = Level()
"""That of an archive that says nothing."""


def newest() -> Level:
    """That of a new archive."""
    return Level(FORMAT, tuple(sorted(REQUIRED)), tuple(sorted(OPTIONAL)), READERS[FORMAT])


def read_level(fields: Fields) -> Level:
    """The level that a file states, if this release reads it.

    Raises
    ------
    UnsupportedFormat
        If it does not; the message names the release to install.
    """
    reader = fields.text("reader") if fields.has("reader") else ""
    level = Level(fields.number("format"), fields.items("requires", as_text), fields.items("optional", as_text), reader)
    if level.format > FORMAT:
        raise UnsupportedFormat(
            f"{fields.where}: format {level.format}, this release reads up to format {FORMAT}: {_advice(reader)}"
        )
    unknown = sorted(set(level.requires) - REQUIRED)
    if unknown:
        raise UnsupportedFormat(f"{fields.where}: needs {', '.join(unknown)}: {_advice(reader)}")
    return level


def _advice(reader: str) -> str:
    known = _RELEASE.fullmatch(reader) and reader != READERS[FORMAT]  # a file that names us is wrong about itself
    release = f"latentlake {reader} or newer" if known else "a newer latentlake"
    return f"install {release}"
