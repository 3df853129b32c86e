"""Canonical JSON, the sealed envelope, and typed access to what was parsed.

Canonical JSON here: UTF-8, keys sorted by code point, no white space, no NaN or infinity. A *sealed* file is one line

    {"sha256":"<64 hex digits>","body":<canonical JSON>}

with a newline at the end; the SHA-256 is that of the bytes of the body and is checked before the body is parsed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import brotli

from ae_core.archive.names import is_sha256
from ae_core.errors import Corrupt

MAX_DEPTH = 32
MAX_COMMIT = 1 << 20
"""Most bytes of a marker or commit."""
MAX_MANIFEST = 64 << 20
"""Most bytes of a manifest or table record, before decompression and after."""

MAX_VALUES = 1 << 22
"""Most values in a JSON text: Python takes some 70 bytes for the smallest, two of the text."""

_OPEN = b'{"sha256":"'
_BODY = b'","body":'
_CLOSE = b"}\n"
_START = len(_OPEN) + 64 + len(_BODY)
_QUICK = 1 << 20  # bytes from which on the last percent of a manifest is not worth the time
_STEP = 16  # bytes given to brotli at once: they can unfold to some 16 MiB at most, so no bomb gets far

T = TypeVar("T")


def sha256_hex(data: bytes | memoryview) -> str:
    """SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """`value` as canonical JSON bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in `data`, whose hash the caller has checked.

    Raises
    ------
    Corrupt
        If it is not one JSON object, is nested deeper than `MAX_DEPTH`, or holds more than `MAX_VALUES` values.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise Corrupt(f"{where}: holds more than the {MAX_VALUES} values that are allowed")
    try:
        value = json.loads(data.decode("utf-8", "surrogatepass"))
        too_deep = _depth_exceeds(value, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{where}: not readable as JSON ({type(error).__name__})") from None
    if too_deep or not isinstance(value, dict):
        raise Corrupt(f"{where}: not a JSON object of at most {MAX_DEPTH} levels")
    return value


def seal(body: Mapping[str, object]) -> bytes:
    """The sealed file around `body`."""
    inner = canonical_json(body)
    return _OPEN + sha256_hex(inner).encode() + _BODY + inner + _CLOSE


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """The body of a sealed file, its SHA-256 checked before it is parsed.

    Raises
    ------
    Corrupt
        If any byte of the file is not as it was written.
    """
    inner = data[_START : -len(_CLOSE)]
    wanted = data[len(_OPEN) : len(_OPEN) + 64]
    frame = data[: len(_OPEN)] == _OPEN and data[_START - len(_BODY) : _START] == _BODY and data.endswith(_CLOSE)
    if not frame or len(data) < _START + len(_CLOSE):
        raise Corrupt(f"{where}: not a sealed file ({len(data)} bytes); it is cut or overwritten")
    found = sha256_hex(inner)
    if found.encode() != wanted:
        raise Corrupt(f"{where}: SHA-256 of its body is {found}, its seal says {wanted.decode('ascii', 'replace')}")
    return parse_json(inner, where)


def pack_json(value: Mapping[str, object]) -> bytes:
    """Canonical JSON of `value` as one brotli stream (its SHA-256 is kept by whoever refers to it)."""
    text = canonical_json(value)
    return brotli.compress(text, mode=brotli.MODE_TEXT, quality=11 if len(text) < _QUICK else 9)


def unpack_json(data: bytes, where: str) -> dict[str, Any]:
    """Inverse of `pack_json`; the caller has checked the hash of `data`.

    Raises
    ------
    Corrupt
        If it is not one whole brotli stream, or would take more than `MAX_MANIFEST` bytes.
    """
    engine, parts, size = brotli.Decompressor(), [], 0
    try:
        for start in range(0, len(data), _STEP):
            parts.append(engine.process(data[start : start + _STEP]))
            size += len(parts[-1])
            if size > MAX_MANIFEST:
                raise Corrupt(f"{where}: holds more than the {MAX_MANIFEST} bytes that are allowed")
    except brotli.error:
        raise Corrupt(f"{where}: not readable as brotli") from None
    if not engine.is_finished():
        raise Corrupt(f"{where}: cut short")
    return parse_json(b"".join(parts), where)


class Fields:
    """Typed reading of one JSON object: a missing field or a wrong type is `Corrupt` and names the file and field."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, dict):
            raise Corrupt(f"{where}: should be an object")
        self.values: dict[str, Any] = values
        self.where = where

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """A string field."""
        return self._typed(key, str, "a string")

    def number(self, key: str) -> int:
        """A whole number, 0 or more, below 2^63."""
        value = self._typed(key, int, "a whole number")
        if isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise Corrupt(f"{self.where}: {key} is out of range")
        return value

    def sha256(self, key: str) -> str:
        """A SHA-256 field."""
        value = self.text(key)
        if not is_sha256(value):
            raise Corrupt(f"{self.where}: {key} is not a SHA-256")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """A JSON object; empty if the field is missing."""
        return self._typed(key, dict, "an object") if key in self.values else {}

    def items(self, key: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """A list, each element given to `read(element, where)`; empty if the field is missing."""
        values = self._typed(key, list, "a list") if key in self.values else []
        return tuple(read(value, f"{self.where}: {key}[{index}]") for index, value in enumerate(values))

    def _typed(self, key: str, kind: type[T], words: str) -> T:
        value = self.values.get(key)
        if not isinstance(value, kind):
            raise Corrupt(f"{self.where}: {key} should be {words}")
        return value


def as_text(value: object, where: str) -> str:
    """`value` if it is a string."""
    if not isinstance(value, str):
        raise Corrupt(f"{where} should be a string")
    return value


def as_number(value: object, where: str) -> int:
    """`value` if it is a whole number from 0 to 2^63 - 1."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise Corrupt(f"{where} should be a whole number, 0 or more")
    return value


def _depth_exceeds(value: object, levels: int) -> bool:
    """Whether lists and objects, as `json` makes them, are nested deeper than `levels`; one level after the other."""
    layer: list[Any] = [value]
    for _ in range(levels + 1):
        layer = [one for one in layer if type(one) is dict or type(one) is list]
        if not layer:
            return False
        layer = [inner for one in layer for inner in (one.values() if type(one) is dict else one)]
    return True
