"""A finished local folder into an object store, so that a part of it never looks like the whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from ae_core.errors import OutputExists, StoreUnreachable, StoreUnsafe
from ae_core.remote.objects import Objects, Patience
from ae_core.remote.places import Place

CLAIM = "_incomplete.json"
"""The object that says: the others are not all there. Readers of Parquet folders pass such names over."""


class Upload:
    """OUT in an object store. Made before the work starts, so that a place that is taken is refused at once."""

    def __init__(self, place: Place, out: str, patience: Patience | None = None) -> None:
        self._objects = Objects(place, patience)
        self._root = place.path
        self._out = out
        found = self._objects.find(self._root)
        if f"{self._root}/{CLAIM}" in found:
            raise OutputExists(
                f"OUT {out} is incomplete: another decode is writing it, or one was stopped (then delete everything "
                "under it); choose another name"
            )
        if found or self._objects.isfile(self._root):
            raise OutputExists(f"OUT {out} exists already and is never overwritten; choose another name")

    def run(self, folder: Path) -> None:
        """Claim the place, upload every file, give the claim up.

        Raises
        ------
        OutputExists
            When another run claimed the place first.
        StoreUnsafe
            When the store refused a file or gave no answer; what had been uploaded is taken back where that works.
        """
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        names.sort(key=lambda name: name.startswith("_"))
        claim = f"{self._root}/{CLAIM}"
        self._claim(claim, names)
        done: list[str] = []
        try:
            for name in names:
                done.append(f"{self._root}/{name}")
                self._objects.put_file(str(folder / name), done[-1])
        except BaseException:
            with contextlib.suppress(StoreUnsafe):
                for path in [*reversed(done), claim]:
                    self._objects.delete(path)
            raise
        try:
            self._objects.delete(claim)
        except StoreUnsafe as error:
            raise StoreUnsafe(f"OUT {self._out} is whole, but {CLAIM} in it could not be removed: {error}") from None

    def _claim(self, claim: str, names: Sequence[str]) -> None:
        data = json.dumps({"incomplete": True, "files": names}, indent=1).encode() + b"\n"
        try:
            self._objects.create(claim, data)
        except (FileExistsError, TimeoutError):  # it may be there by this very request
            try:
                mine = self._objects.read(claim, 0, len(data) + 1) == data
            except FileNotFoundError:
                raise StoreUnreachable(f"OUT {self._out}: the store gave no answer; run again") from None
            if not mine:
                raise OutputExists(
                    f"OUT {self._out} appeared while it was being decoded; choose another name"
                ) from None
