"""Ways to spoil bytes and JSON values, drawn from a seeded generator."""

from __future__ import annotations

import copy
import random
from typing import Any

NUMBERS = (
    0,
    1,
    2,
    3,
    255,
    256,
    4095,
    65535,
    65536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    1 << 44,
    (1 << 63) - 1,
    1 << 63,
    1 << 80,
)
TEXTS = (
    "",
    "../x",
    "/etc/passwd",
    "a" * 300,
    "\x00",
    "\ud800",
    "\x1b[2J",
    "null",
    "escape",
    "1/0",
    "1e999999999",
    "nan",
    "0x1p9999",
)


def spoil_bytes(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """`data` with bits flipped, a part cut out, repeated, zeroed, or put in from somewhere else."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        kind = rng.randrange(9)
        at = rng.randrange(len(out) + 1)
        span = min(len(out) - at, 1 << rng.randrange(8))
        if kind <= 2 and out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        elif kind == 3 and out:
            out[rng.randrange(len(out))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 4:
            del out[at:]
        elif kind == 5:
            del out[at : at + span]
        elif kind == 6:
            out[at:at] = rng.randbytes(span or 1)
        elif kind == 7:
            out[at : at + span] = bytes(span)
        elif others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            out[at : at + span] = other[start : start + (1 << rng.randrange(10))]
    return bytes(out)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def spoil_json(rng: random.Random, value: Any) -> Any:
    """`value` with one to three values in it replaced, moved, doubled or removed."""
    result = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        found = places(result)[1:]
        if not found:
            return spoil_leaf(rng, result)
        path = rng.choice(found)
        holder = result
        for key in path[:-1]:
            holder = holder[key]
        old, kind = holder[path[-1]], rng.randrange(8)
        if kind == 0:
            del holder[path[-1]]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(old))
        elif kind == 2:
            other = rng.choice(found)
            source = result
            try:
                for key in other:
                    source = source[key]
            except (KeyError, IndexError, TypeError):
                continue
            holder[path[-1]] = copy.deepcopy(source)
        else:
            holder[path[-1]] = spoil_leaf(rng, old)
    return result


def spoil_leaf(rng: random.Random, old: Any) -> Any:
    """A value in the place of `old`, of its kind more often than not."""
    kind = rng.randrange(10)
    if type(old) is int and kind < 8:
        return old + rng.choice((-1, 1, -2, 2, 7)) if kind < 3 else rng.choice(NUMBERS) * rng.choice((1, 1, 1, -1))
    if isinstance(old, str) and kind < 6:
        return rng.choice((*TEXTS, old[:-1], old + "x", old.upper()))
    return rng.choice(
        (None, True, False, 1.5, -1e300, [], {}, [old], {"a": old}, rng.choice(NUMBERS), rng.choice(TEXTS))
    )
