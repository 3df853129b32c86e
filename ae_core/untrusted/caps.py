"""How much a stranger's archive may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from ae_core.errors import LimitReached, UsageError

_CAP = re.compile(r"\s*([a-z]+)\s*=\s*([0-9]+)\s*(|k|M|G|T|Ki|Mi|Gi|Ti)B?\s*")
_UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}


@dataclass(frozen=True)
class Caps:
    """Upper limits; reaching one is `LimitReached`.

    Attributes
    ----------
    rows
        Rows of a partition.
    bytes
        Decoded bytes of a partition in memory, and bytes of one object that is read.
    objects
        Objects of the archive that are listed or opened, and files that decoding writes.
    model
        Bytes of a model.
    memory
        Bytes of address space that the worker may take beyond what it starts with.
    seconds
        Time that the worker may take, by the clock and, for each thread, of the processor.
    """

    rows: int = 1 << 31
    bytes: int = 2 << 30
    objects: int = 100_000
    model: int = 256 << 20
    memory: int = 4 << 30
    seconds: int = 3600

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Caps:
        """The default caps with those of texts such as `memory=8GiB` in their place.

        Raises
        ------
        UsageError
            When a text is not `NAME=NUMBER`, with a unit or without, or names no cap.

        Examples
        --------
        >>> Caps.parse(["memory=8GiB", "seconds=60"]).memory
        8589934592
        """
        known = [field.name for field in fields(cls)]
        caps = cls()
        for text in texts:
            match = _CAP.fullmatch(text)
            if match is None or match[1] not in known:
                raise UsageError(f"--cap {text!r}: give NAME=NUMBER, such as memory=8GiB; names: {', '.join(known)}")
            caps = replace(caps, **{match[1]: int(match[2]) * _UNITS[match[3]]})
        return caps

    def check(self, name: str, found: int, what: str) -> None:
        """Pass when `found` is within the cap of that name.

        Raises
        ------
        LimitReached
        """
        cap: int = getattr(self, name)
        if found > cap:
            raise LimitReached(
                f"{what}: {found} {name}, the cap is {cap}; if you trust it, raise it: --cap {name}={found}"
            )


DEFAULT = Caps()
