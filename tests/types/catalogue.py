"""One column of every Arrow type: its extremes, what is odd about it, nulls, and ordinary values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

SECONDS_A_DAY = 86_400
_VIEWED = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Kind:
    """A type and how its column is made; `lossy` where a policy may allow a loss."""

    name: str
    type: pa.DataType
    odd: Callable[[], pa.Array]
    ordinary: Callable[[np.random.Generator, int], pa.Array]
    lossy: bool = True

    def column(self, rows: int, *, seed: int = 0, odd: bool = True) -> pa.Array:
        """Ordinary values with a few nulls; the odd ones first where asked."""
        rng = np.random.default_rng(seed)
        common = _with_nulls(self.ordinary(rng, rows), rng)
        if not odd or not rows:
            return common
        found = pa.concat_arrays([self.odd(), common])
        return found.slice(0, max(rows, len(self.odd())))


def kinds() -> tuple[Kind, ...]:
    """Every type of the catalogue, in the order of the documentation."""
    return (*_numbers(), *_times(), *_texts(), *_dictionaries(), *_nested(), *_extensions(), *_rest())


def _with_nulls(array: pa.Array, rng: np.random.Generator) -> pa.Array:
    places = pa.array(np.arange(len(array)), pa.int64(), mask=rng.random(len(array)) < 0.05)
    plain = _VIEWED.get(array.type, array.type)  # views cannot be taken from
    return array.cast(plain).take(places).cast(array.type) if plain != array.type else array.take(places)


def from_storage(kind: pa.DataType, values: list[int | None]) -> pa.Array:
    """The array of a fixed-width type from its storage integers, which may have up to 256 bits."""
    width = kind.bit_width // 8
    signed = not (pa.types.is_unsigned_integer(kind) or pa.types.is_floating(kind))
    data = b"".join((value or 0).to_bytes(width, "little", signed=signed) for value in values)
    mask = np.packbits(np.array([value is not None for value in values], np.bool_), bitorder="little").tobytes()
    return pa.Array.from_buffers(kind, len(values), [pa.py_buffer(mask), pa.py_buffer(data)])


# --- numbers -----------------------------------------------------------------------------------------


def _whole(kind: pa.DataType, low: int, high: int, spread: int, name: str = "") -> Kind:
    odd: list[int | None] = [low, high, low + 1, high - 1, 0, 1, None, (low + high) // 2, min(1, high), max(-1, low)]

    def ordinary(rng: np.random.Generator, rows: int) -> pa.Array:
        steps = rng.integers(0, spread, rows).tolist()
        return from_storage(kind, [min(high, max(low, step - spread // 3)) for step in steps])

    return Kind(name or str(kind), kind, lambda: from_storage(kind, odd), ordinary)


def _float(kind: pa.DataType) -> Kind:
    width = kind.bit_width
    mantissa = {16: 10, 32: 23, 64: 52}[width]
    infinity = ((1 << (width - 1 - mantissa)) - 1) << mantissa
    sign = 1 << (width - 1)
    magnitudes = [0, 1, (1 << mantissa) - 1, 1 << mantissa, infinity - 1, infinity]  # zero … largest, infinity
    nans = [infinity | 1 << (mantissa - 1), infinity | 1 << (mantissa - 1) | 5, infinity | 1, infinity | 3]
    odd = [bits | s for bits in (*magnitudes, *nans) for s in (0, sign)]

    def ordinary(rng: np.random.Generator, rows: int) -> pa.Array:
        return pa.array(rng.normal(20, 5, rows).astype(f"f{width // 8}"), kind)

    return Kind(str(kind), kind, lambda: from_storage(kind, [*odd, None]), ordinary)


def _numbers() -> Iterator[Kind]:
    for bits in (8, 16, 32, 64):
        for kind in (getattr(pa, f"int{bits}")(), getattr(pa, f"uint{bits}")()):
            unsigned = pa.types.is_unsigned_integer(kind)
            low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            yield _whole(kind, low, high, min(90, 2 ** (bits - 1) - 1))
    yield from (_float(kind) for kind in (pa.float16(), pa.float32(), pa.float64()))
    for kind in (
        pa.decimal32(7, 2),
        pa.decimal64(18, 3),
        pa.decimal128(9, 0),
        pa.decimal128(38, 10),
        pa.decimal256(76, 38),
    ):
        top = 10**kind.precision - 1
        yield _whole(kind, -top, top, 5000)
    yield Kind(
        "bool",
        pa.bool_(),
        lambda: pa.array([True, False, None]),
        lambda rng, rows: pa.array(rng.random(rows) < 0.3),
        lossy=False,
    )


# --- times -------------------------------------------------------------------------------------------


def _times() -> Iterator[Kind]:
    least, most = -(2**63), 2**63 - 1
    yield _whole(pa.date32(), -(2**31), 2**31 - 1, 4000)
    for unit, kind in (("ms", pa.time32("ms")), ("us", pa.time64("us")), ("ns", pa.time64("ns"))):
        yield _whole(kind, 0, SECONDS_A_DAY * _UNITS[unit] - 1, 86_000)
    for unit in ("ms", "us", "ns"):
        yield _whole(pa.timestamp(unit), least, most, 10**6)
    for unit, zone in (("ms", "UTC"), ("us", "Europe/Vienna"), ("ns", "+05:30")):
        yield _whole(pa.timestamp(unit, zone), least, most, 10**6)
    for unit in ("s", "ms", "us", "ns"):
        yield _whole(pa.duration(unit), least, most, 10**5)


# --- texts -------------------------------------------------------------------------------------------

_WORDS = ["", "a", "ä€😀", "e\u0301", "\u0000", " ", "line\nbreak", "\U0010ffff", "null"]


def _of(
    kind: pa.DataType, odd: list[Any], ordinary: Callable[[np.random.Generator, int], list[Any]], name: str = ""
) -> Kind:
    def make(values: list[Any]) -> pa.Array:
        return _array(values, kind)

    return Kind(
        name or str(kind), kind, lambda: make([*odd, None]), lambda rng, rows: make(ordinary(rng, rows)), lossy=False
    )


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        encoded = pa.array(values, kind.value_type).dictionary_encode()
        return pa.DictionaryArray.from_arrays(
            encoded.indices.cast(kind.index_type), encoded.dictionary, ordered=kind.ordered
        )
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


def _names(rng: np.random.Generator, rows: int) -> list[str]:
    return [f"name {n}" for n in rng.integers(0, 12, rows)]


def _bytes(rng: np.random.Generator, rows: int) -> list[bytes]:
    return [f"name {n}".encode() for n in rng.integers(0, 12, rows)]


def _texts() -> Iterator[Kind]:
    yield from (_of(kind, _WORDS, _names) for kind in (pa.string(), pa.large_string(), pa.string_view()))
    odd = [b"", b"\x00", b"\xff\xfe", bytes(range(256))]
    yield from (_of(kind, odd, _bytes) for kind in (pa.binary(), pa.large_binary(), pa.binary_view()))
    yield _of(
        pa.binary(3),
        [b"\x00\x00\x00", b"\xff\xff\xff", b"abc"],
        lambda rng, rows: [b"x%02d" % (n % 100) for n in range(rows)],
    )
    long = ["x" * (1 << 20), "é" * (1 << 19), "short"]
    yield _of(pa.string(), long, lambda rng, rows: [f"long {n}" for n in range(rows)], "string of 1 MB")


def _dictionaries() -> Iterator[Kind]:
    for bits in (8, 16, 32, 64):
        for make, ordered in ((getattr(pa, f"int{bits}"), False), (getattr(pa, f"uint{bits}"), True)):
            yield _of(pa.dictionary(make(), pa.string(), ordered=ordered), _WORDS, _names)
    yield _of(pa.dictionary(pa.int16(), pa.binary()), [b"", b"\xff"], _bytes)
    yield _of(pa.dictionary(pa.int16(), pa.int64()), [2**63 - 1, -(2**63)], lambda rng, rows: [7] * rows)


# --- nested ------------------------------------------------------------------------------------------

_NAN = np.array([0x7FF8000000000005], np.uint64).view(np.float64)[0]


def _nested() -> Iterator[Kind]:
    odd_lists = [[], [None], [0.0, -0.0, _NAN, float("inf")], [1.5] * 50]
    for kind in (pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_view(pa.float64())):
        yield _of(kind, odd_lists, lambda rng, rows: [[float(n)] * (n % 4) for n in rng.integers(0, 9, rows)])
    yield _of(
        pa.list_(pa.int32(), 2), [[1, None], [-(2**31), 2**31 - 1]], lambda rng, rows: [[n, 1] for n in range(rows)]
    )
    yield _of(pa.list_(pa.list_(pa.string())), [[], [[]], [None, ["a", None]]], lambda rng, rows: [[["b"]]] * rows)
    yield _of(
        pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.string())]))]),
        [{"a": None, "b": None}, {"a": 2**63 - 1, "b": {"c": None}}, {"a": -(2**63), "b": {"c": ""}}],
        lambda rng, rows: [{"a": int(n), "b": {"c": "x"}} for n in rng.integers(0, 9, rows)],
    )
    yield _of(
        pa.map_(pa.string(), pa.float32()),
        [[], [("", None)], [("k", 1.5), ("k", -0.0)]],
        lambda rng, rows: [[("k", float(n))] for n in rng.integers(0, 9, rows)],
    )
    yield _of(
        pa.list_(pa.struct([("x", pa.decimal128(20, 2)), ("t", pa.timestamp("us", "UTC"))])),
        [[], [None], [{"x": None, "t": None}]],
        lambda rng, rows: [
            [{"x": int(n), "t": dt.datetime(1969, 1, 1, tzinfo=dt.UTC)}] for n in rng.integers(0, 9, rows)
        ],
    )
    inner = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    yield _of(
        inner, [[], [None], ["a", "b", "a"]], lambda rng, rows: [["a"], ["b"]] * (rows // 2) + [["c"]] * (rows % 2)
    )


def _extensions() -> Iterator[Kind]:
    yield _of(pa.uuid(), [bytes(16), b"\xff" * 16], lambda rng, rows: [rng.bytes(16) for _ in range(rows)], "uuid")
    yield _of(
        pa.json_(), ["null", "{}", '{"a": "😀"}'], lambda rng, rows: [json.dumps({"n": n}) for n in range(rows)], "json"
    )
    yield _of(
        pa.fixed_shape_tensor(pa.int32(), [2, 2]),
        [[0, 0, 0, 0], [-(2**31), 2**31 - 1, 1, -1]],
        lambda rng, rows: rng.integers(0, 5, (rows, 4)).tolist(),
        "fixed-shape tensor",
    )
    yield _of(
        pa.fixed_shape_tensor(pa.int8(), [1, 2], dim_names=["y", "x"], permutation=[1, 0]),
        [[-128, 127]],
        lambda rng, rows: rng.integers(0, 5, (rows, 2)).tolist(),
        "permuted tensor",
    )
    yield _of(pa.bool8(), [0, 1, -1, 127], lambda rng, rows: rng.integers(0, 2, rows).tolist(), "bool8")
    yield _of(pa.opaque(pa.binary(), "point", "gis"), [b"", b"\x00"], _bytes, "opaque")


def _rest() -> Iterator[Kind]:
    yield Kind("null", pa.null(), lambda: pa.nulls(1), lambda rng, rows: pa.nulls(rows), lossy=False)
