"""docs/types.md, written from round trips: `python -m tests.types.page > docs/types.md`.

Every type goes through Parquet, then through each coder that can carry it (random frozen weights stand in for trained
ones), exactly and under each form of bound. The plan is made from ordinary values alone; the extremes come after.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.codec import Codec
from ae_core.columns import build_plan
from ae_core.errors import PolicyError
from ae_core.pipeline import StoredBlock, decode_blocks, encode_blocks
from ae_core.policy import ResolvedPolicy, load_policy, resolve
from tests.properties.codecs import random_codec
from tests.properties.recipes import finite_range
from tests.types.catalogue import Kind, kinds
from tests.types.judge import judge

ROWS = 90
FORMS = {"exact": "exact", "abs": "{abs: 3}", "range": "{range: 0.01}", "pointwise": "{pointwise: 0.1}"}
CODERS = ("network", "mixing", "plain")
CHANGED = [  # what Parquet itself gives back as another type
    pa.date64(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("s", "Europe/Vienna"),
    pa.dictionary(pa.int16(), pa.int64()),
    pa.dictionary(pa.int32(), pa.float64()),
    pa.dictionary(pa.int8(), pa.large_string()),
]
REFUSED = [  # what Parquet cannot hold, so that no lake has it
    pa.run_end_encoded(pa.int32(), pa.int64()),
    pa.sparse_union([pa.field("n", pa.int64())]),
    pa.dense_union([pa.field("n", pa.int64())]),
    pa.month_day_nano_interval(),
    pa.decimal128(5, -2),
    pa.binary(0),
    pa.struct([]),
]

HEAD = """# Types

What comes back of every Arrow type that a lake can hold. This page is written by `python -m tests.types.page` from
round trips of each type's extremes (NaN payloads, −0.0, subnormals, the ends of every integer, time and decimal) after
a model made from ordinary values; a test fails where the page is not what the round trips give.

- **as it was**: every cell bit for bit, nulls, NaN payloads and the sign of zero included.
- **within**: cells changed, and every one is within the bound in exact arithmetic; integers, decimals and times stay
  legal values of their type; null, NaN, the infinities, and zero under `pointwise`, stay what they are.
- **kept whole**: the bound would allow a loss, and nothing is lost: 256-bit decimals are always stored exactly, and
  so are cells whose type has no other value within the bound.
- **refused**: a policy that asks for a loss that the type cannot have stops the run before anything is read.

Coders: *network* and *mixing* code a column by its symbols, *plain* is what is left for columns that no model helps,
*vector* codes the elements of vectors, which a bound is for each of. The writer picks by bytes.
"""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    type: str
    coders: str
    results: tuple[str, ...]


def through_parquet(table: pa.Table) -> pa.Table:
    """What plain pyarrow gives back of a table."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    found = pq.read_table(pa.BufferReader(sink.getvalue()))
    # as the lake's reader has it: Parquet names the entries of a map after its column
    return pa.Table.from_arrays(found.columns, schema=pa.ipc.read_schema(found.schema.serialize()))


def row_of(kind: Kind, seed: int) -> Row:
    """The results of a type."""
    odd, ordinary = (through_parquet(pa.table({"x": kind.column(ROWS, seed=seed, odd=odd)})) for odd in (True, False))
    used: set[str] = set()
    results = []
    for form, text in FORMS.items():
        policy = _resolved(odd, text)
        if policy is None:
            results.append("refused")
            continue
        kept = [_trip(odd, ordinary, policy, coder, seed, used) for coder in CODERS]
        results.append(_word(form, all(kept)))
    return Row(kind.name, ", ".join(coder for coder in (*CODERS, "vector") if coder in used), tuple(results))


def _resolved(table: pa.Table, text: str) -> ResolvedPolicy | None:
    policy = load_policy(f"version: 1\ncolumns: {{x: {text}}}\n")
    ranged = text.startswith("{range")
    try:
        resolve(policy, table.schema, {})
    except PolicyError:
        return None
    return resolve(policy, table.schema, {"x": finite_range(table["x"])} if ranged else {})


def _word(form: str, kept: bool) -> str:
    if kept:
        return "as it was" if form == "exact" else "kept whole"
    return "within"


def _trip(odd: pa.Table, ordinary: pa.Table, policy: ResolvedPolicy, coder: str, seed: int, used: set[str]) -> bool:
    """Code both tables, check every promise; True where nothing changed."""
    plan = build_plan(ordinary.schema, [ordinary], policy)
    wish = {"x": "as planned" if coder == "network" else coder}
    codec = Codec.from_bytes(random_codec(plan, wish, network=coder == "network", seed=seed).to_bytes())
    (column,) = codec.plan.columns
    used.add("plain" if column.coder in ("lookup", "linear") else column.coder)
    kept = True
    (bound,) = policy.bounds.values()
    for table in (odd, ordinary):
        (block,) = encode_blocks(codec, [table])
        (rebuilt,) = decode_blocks(codec, [StoredBlock(block.latents, block.residuals, table.num_rows)])
        judge(table, rebuilt, {"x": (bound.kind, bound.value)})
        try:
            judge(table, rebuilt, {})
        except AssertionError:
            kept = False
    return kept


def parquet_says(kind: pa.DataType) -> str | None:
    """The type that Parquet gives back for a type, None where it refuses to hold it."""
    try:
        empty = pa.array([], kind) if not pa.types.is_run_end_encoded(kind) else pa.nulls(0, kind)
        return str(through_parquet(pa.table({"x": empty})).schema.field(0).type)
    except (pa.ArrowException, NotImplementedError, OSError):
        return None


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield HEAD
    yield "| type | coders | " + " | ".join(f"`{text}`" for text in FORMS.values()) + " |"
    yield "|---|---|" + "---|" * len(FORMS)
    for seed, kind in enumerate(kinds()):
        row = row_of(kind, seed)
        yield f"| {row.type} | {row.coders} | " + " | ".join(row.results) + " |"
    yield "\n## What Parquet changes or refuses\n"
    yield "An archive gives back what plain pyarrow reads from the lake's own files.\n"
    yield "| written as | read from Parquet as |"
    yield "|---|---|"
    for kind in (*CHANGED, *REFUSED):
        yield f"| {kind} | {parquet_says(kind) or 'refused by Parquet: no lake holds it'} |"
    yield "\nTwo columns of one name are refused with that name; any other name is fine, even none. A file without"
    yield "rows comes back as one, with its name."


def page() -> str:
    """The whole page."""
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
