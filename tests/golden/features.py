"""Which features of the format an archive uses, told by the page's reader while it decodes; named as on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.golden import reader
from tests.golden.reader import archive, block, coders, columns, streams, vectors


def read_watched(root: Path) -> tuple[list[tuple[Any, ...]], set[str]]:
    """What the page's reader reads from an archive, and the features that it came across."""
    found: set[str] = set()

    def watch(owner: Any, name: str, tell: Callable[..., Iterable[str]]) -> None:
        """Takes down what `tell` says of the arguments of each call; an empty name says nothing."""
        real = getattr(owner, name)

        def told(*args: Any) -> Any:
            found.update(filter(None, tell(*args)))
            return real(*args)

        patch.setattr(owner, name, told)

    with pytest.MonkeyPatch.context() as patch:
        watch(archive, "fetch", lambda root, ref: [f"file {ref.name.rpartition('/')[2]}"])
        watch(columns.Column, "prepare", _column)
        watch(streams.Bytes, "ints", _ints)
        watch(streams.Bytes, "bytes", lambda self, n: [f"bytes {self.data[self.at]}"])
        watch(streams.Bytes, "letters", lambda self, _, n: [f"letters {_told(self)}"] if n else [])
        watch(streams.Bytes, "cells", _cells)
        watch(columns, "rebuilt", _quantiser)
        watch(block, "rebuilt", _quantiser)
        watch(columns.Column, "codes_of", lambda c, array: [f"numbered {'pattern' if c.pattern else 'numbers'}"])
        watch(block.Block, "summed", lambda self, i, c: [f"rest {self.streams[f'{i}:rest'][0]}"])
        watch(block.Block, "looked_up", _lookup)
        watch(block.Block, "vectors", _vectors)
        watch(block.Block, "coded", _coded)
        watch(block.Block, "plain", lambda self, i, c: ["plain, quantised" if c.quantiser else "plain"])
        watch(block.Preview, "array", _preview)
        watch(archive, "encoding", lambda array: [f"digest of {_family(array)}"])
        watch(coders.Candidate, "__init__", lambda self, key, *_: [f"candidate of {len(key)} keys"])
        watch(coders.Candidate, "learn", lambda self, x: [f"candidate class {self.kind}"])
        watch(coders.Mixing, "model", _mixing_model)
        watch(coders.Mixing, "value", lambda self: [f"mixing value of {min(-(-self.bits // 4), 4)} groups"])
        watch(coders.Mixing, "residual", lambda self: ["mixing residual" if self.bits < 17 else "mixing wide residual"])
        watch(coders.Mixing, "named", lambda self, reference: [f"mixing reference {_reference(reference)}"])
        watch(coders.Mixing, "group", lambda self, g: ["mixing special"] if g == 2**20 else [])
        partitions = list(reader.read(root))
    return partitions, found | set(_archive(root))


def _archive(root: Path) -> Iterator[str]:
    """Fields of the JSON that an archive holds, and what its log and manifests say with them."""
    yield from (f"marker {name}" for name in archive.sealed((root / "latentlake.json").read_bytes()))
    for path in (root / "_commits").iterdir():
        commit = archive.sealed(path.read_bytes())
        yield from (f"commit {name}" for name in commit)
        yield from ("commit removes a partition" for change in commit.changes or [] if change.manifest is None)
        yield from (f"intent {name}" for one in commit.intents or [] for name in one)
        yield from (f"expired {name}" for one in commit.expired or [] for name in one)
        yield from (f"fate {fate}" for one in commit.expired or [] for _, fate in one.fates)
        if commit.checkpoint:
            state = json.loads(archive.fetch(root, commit.checkpoint), object_hook=streams.Record)
            yield from (f"checkpoint {name}" for name in state)
            yield from ("checkpoint of an only copy" for _ in state.only_copies)
    manifests, shared = archive.snapshot(root)
    for manifest in manifests.values():
        yield from (f"manifest {name}" for name in manifest if name != "folder")
        yield f"{len(manifest.layers)} layers"
        yield "several blocks" if len(manifest.block_rows) > 1 else "one block"
        yield from (f"extra {name}" for name in manifest.extra or [])
        table = archive.packed(shared[manifest.table])
        yield from (f"table {name}" for name in table)
        policy = table.policy["resolved"]["columns"].values()
        yield from (f"bound {entry['kind']}" for entry in policy)
        yield from ("sensitive" for entry in policy if entry["sensitive"])


def fields_of_page(page: str) -> set[str]:
    """The fields of JSON files that the page lists in its tables, as `_archive` names them."""
    found, what = set(), ""
    for line in page.splitlines():
        if line.startswith("#") or "**Checkpoints**" in line:
            kinds = {"A3.": "marker", "A4.": "commit", "A6.": "manifest", "**Checkpoints**": "checkpoint"}
            what = next((kind for mark, kind in kinds.items() if mark in line), "")
        if what and (row := re.match(r"\| ((?:`\w+`(?:, )?)+) \|", line)):
            found |= {f"{what} {name}" for name in re.findall(r"`(\w+)`", row[1])}
    return found


def _column(c: Any, field: pa.Field, *_: Any) -> Iterator[str]:
    yield f"coder {c.coder}"
    if c.domain:
        levels, ordinal, specials = c.domain
        yield from (f"special {name}" for name in specials)
        digits = "wide" if levels > 64_000 else "one digit" if levels + len(specials) <= 256 else "two digits"
        yield f"domain of {digits}"
        yield "words" if c.words else "pattern" if c.pattern else "listed" if c.listed else "numbers from first"
        yield from ("pattern letters" if len(one) == 2 else "pattern digits" for one in (c.pattern or [""])[1:])
        yield "shift" if c.shift else ""
        yield "coded apart from the column" if c.coded and c.quantiser else ""
        yield "ordinal" if ordinal else "not ordinal"
        yield "given" if c.coder == "plain" and levels <= 64_000 else ""
    yield "dictionary column" if pa.types.is_dictionary(field.type) else ""
    yield f"bound of a column {c.bound[0]}" if c.bound else ""


def _vectors(found: Any, i: int, c: Any) -> Iterator[str]:
    parts = found.model.vectors.get(i)
    yield "vectors with nulls" if f"{i}:valid" in found.streams else ""
    yield "vectors under a plain coder" if parts is None else ""
    if parts is not None:
        yield "vectors with latents" if "weights" in parts else ""
        yield f"vectors of {len(vectors.cut(c.kind)[0])} cells"


def _ints(data: Any, n: int) -> Iterator[str]:
    if n:
        tag = data.data[data.at]
        yield f"ints {tag}"
        if tag in (3, 4):
            look = streams.Bytes(data.data[data.at + 1 :])
            look.varint()
            yield f"ints {tag} of {2 ** look.take(1)[0]} bytes"


def _told(lengths: Any) -> str:
    return "told by their lengths" if lengths.at < len(lengths.data) else "told by a separator"


def _cells(data: Any, n: int, kind: pa.DataType) -> Iterator[str]:
    if n:
        tag = data.data[data.at]
        yield f"cells {tag} of {_sort(kind)}"
        if tag in (0, 1, 2, 5):
            yield "cells with nulls" if data.data[data.at + 1] else "cells without nulls"


def _sort(kind: pa.DataType) -> str:
    t = pa.types
    if streams.is_letters(kind):
        return "letters"
    if t.is_floating(kind):
        return "floats"
    number = t.is_integer(kind) or t.is_boolean(kind) or t.is_temporal(kind) or t.is_decimal(kind)
    return "integers" if number and not t.is_interval(kind) and not t.is_decimal256(kind) else "others"


def _quantiser(q: Any, levels: Any) -> Iterator[str]:
    if q.kind in ("FloatGrid", "FloatDecimal", "FloatBits"):
        yield f"{q.kind} of width {q.width}"
    yield f"IntGrid of step {'1' if q.step == 1 else 'above 1'}" if q.kind == "IntGrid" else q.kind
    yield "" if q.step in (None, 1) or q.kind == "FloatGrid" else f"half {'as usual' if q.half is None else 'its own'}"
    yield f"FloatBits drop {'0' if q.drop == 0 else 'above 0'}" if q.kind == "FloatBits" else ""
    yield f"FloatDecimal step {'1' if q.grid['step'] == 1 else 'above 1'}" if q.kind == "FloatDecimal" else ""


def _lookup(self: Any, i: int) -> Iterator[str]:
    misses = self.streams.get(f"{i}:misses", b"")
    yield f"lookup of {len(self.model.columns[i].lookup['keys'])} keys"
    yield f"misses {misses[0]}" if misses else "no misses"


def _coded(self: Any, i: int, c: Any) -> Iterator[str]:
    codes = self.codes[i]
    yield f"exceptions of {c.coder}" if (codes == c.size - 1).any() else ""
    yield from (f"cell {name}" for k, name in enumerate(c.specials) if (codes == c.levels + k).any())


def _preview(self: Any, i: int) -> Iterator[str]:
    c = self.model.columns[i]
    if c.elements:
        yield "preview of vectors"
        return
    headed = [place for place in self.shown if not self.model.columns[place].elements]
    head = self.model.network.preview.heads[headed.index(i)]
    yield "preview of an ordinal head" if head[2] else f"preview of {len(head) - 3} digits"
    yield "preview of a wide column" if c.wide else ""
    yield "preview of a given column" if f"{i}:given" in self.streams else ""
    yield "preview of a constant" if c.lookup and not c.lookup["keys"] else ""
    yield "preview of a sum" if f"{i}:rest" in self.streams else ""


def _family(array: pa.Array) -> str:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return "extension"
    return str(kind).split("<")[0].split("[")[0].split("(")[0]


def _mixing_model(self: Any, plan: Any) -> Iterator[str]:
    look = streams.Bytes(plan.data)
    look.at = plan.at
    me, mode = look.varint(), look.varint()
    yield f"mixing mode {mode}"
    _skip(look, look.folded)
    features = [(look.varint(), look.varint(), look.varint())[0] for _ in range(look.varint())]
    yield from (f"mixing feature {kind}" for kind in features)
    _skip(look, look.varint)
    yield "mixing selector" if look.varint() else "no mixing selector"
    if mode & 4:
        look.varint()
    if mode & 2:
        yield "mixing constant" if look.folded() else "no mixing constant"
        taps = [(look.varint(), look.varint(), look.folded())[0] for _ in range(look.varint())]
        yield from ("mixing tap of its own column" if c == me else "mixing tap of another column" for c in taps)


def _skip(look: Any, read: Callable[[], int]) -> None:
    """Lists of lists of numbers."""
    for _ in range(look.varint()):
        for _ in range(look.varint()):
            read()


def _reference(reference: list[int]) -> str:
    return "()" if not reference else "(-d)" if reference[0] < 0 else f"({', '.join('c' * len(reference))})"
