"""Integer tensors to bytes and back, entropy-coded: what a model costs in an archive.

    bytes = header length (uint32 little-endian), header (deflated JSON: [[name, type, shape], ...]), code

One binary arithmetic code holds the tensors in the header's order, row by row (a vector is one row). A weight's
context is the magnitude that its row and column so far predict; its bit length is coded in unary, then its sign in the
context of the two weights above it (neighbouring symbols have similar rows), then the bits below the leading one, of
which the first two are modelled. All arithmetic is on integers: `_code` is the definition, and encoding and decoding
are one and the same walk.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit

from ae_core.errors import Corrupt
from ae_core.kernels.compiling import kernel

MAX_ELEMENTS: Final = 1 << 24
MAX_HEADER: Final = 1 << 20
WORST_BYTES: Final = 96
"""Of one weight: at most 66 bits are coded for it, each at a probability of 48 / 65536 or more (10.5 bits)."""
_TYPES: Final[dict[str, Any]] = {"b": np.int8, "h": np.int16, "i": np.int32}
_LENGTHS: Final = 33
_CONTEXTS: Final = 24
_TAILS: Final = 4 * _LENGTHS
_TAILS_AT: Final = _CONTEXTS * _LENGTHS
_SIGNS_AT: Final = _TAILS_AT + _CONTEXTS * _TAILS
_LEANS: Final = 7
_SIGN_LENGTHS: Final = 4
_NODES: Final = _SIGNS_AT + 2 * _LEANS * _SIGN_LENGTHS
_RATE_LIMIT: Final = 80
_RATES: Final = np.array([(1 << 17) // (2 * n + 3) for n in range(_RATE_LIMIT)], np.int64)
_LOW: Final = 0
_HIGH: Final = 1
_POINT: Final = 2
_AT: Final = 3


@njit(inline="always")
def _bit(state: np.ndarray, data: np.ndarray, model: np.ndarray, node: int, bit: int, decoding: bool) -> int:
    """Codes one bit with the node's adaptive probability (16 bits, of a 1); returns it."""
    low, high = state[_LOW], state[_HIGH]
    p = model[node, 0] if node >= 0 else 32768
    middle = low + (((high - low) * p) >> 16)
    if decoding:
        bit = 1 if state[_POINT] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    if node >= 0:
        rate = _RATES[model[node, 1]]
        p += (((65536 - p) if bit else -p) * rate) >> 16
        model[node, 0] = min(max(p, 48), 65536 - 48)
        model[node, 1] = min(model[node, 1] + 1, _RATE_LIMIT - 1)
    while (low ^ high) >> 24 == 0:
        at = state[_AT]
        if decoding:
            state[_POINT] = ((state[_POINT] << 8) & 0xFFFFFFFF) | (data[at] if at < data.shape[0] else 0)
        elif at < data.shape[0]:
            data[at] = high >> 24
        state[_AT] = at + 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 0xFF
    state[_LOW], state[_HIGH] = low, high
    return bit


@njit(inline="always")
def _context(row: int, column: int, overall: int) -> int:
    """Octave of the expected magnitude; all three are mean magnitudes times 256."""
    expected = (row * column) // max(overall, 16)
    octave = 0
    while expected >> octave > 1 and octave < _CONTEXTS - 1:
        octave += 1
    return octave


@njit(inline="always")
def _sign_node(above: int, above_that: int, length: int) -> int:
    """Node of the sign of a weight of this bit length, below two others (0 where there is none)."""
    lean = 2 * above + above_that
    strength = 0
    while abs(lean) >> strength > 0 and strength < _LEANS - 1:
        strength += 1
    side = 1 if lean < 0 else 0
    return _SIGNS_AT + (2 * strength + side) * _SIGN_LENGTHS + min(length, _SIGN_LENGTHS) - 1


@kernel
def _code(
    values: np.ndarray, columns: int, state: np.ndarray, data: np.ndarray, model: np.ndarray, decoding: bool
) -> bool:
    """Codes a tensor (elements,) of rows of `columns`; False when a decoded weight cannot be."""
    means = np.full(columns, 1024, np.int64)
    overall = 1024
    rows = values.shape[0] // columns
    for row in range(rows):
        total = 0
        for column in range(columns):
            at = row * columns + column
            value = values[at]
            size = abs(value)
            expected = (2 * overall + 256 * total) // (2 + column)
            context = _context(expected, means[column], overall)
            length = 0
            while _bit(state, data, model, context * _LENGTHS + length, 1 if size >> length > 0 else 0, decoding):
                length += 1
                if length == _LENGTHS - 1:
                    return False
            negative = 0
            if length > 0:
                above = values[at - columns] if row > 0 else 0
                node = _sign_node(above, values[at - 2 * columns] if row > 1 else 0, length)
                negative = _bit(state, data, model, node, 1 if value < 0 else 0, decoding)
            prefix = 1
            for below in range(length - 2, -1, -1):
                node = -1
                if prefix < 4:
                    node = _TAILS_AT + context * _TAILS + length * 4 + prefix
                bit = _bit(state, data, model, node, (size >> below) & 1, decoding)
                prefix = 2 * prefix + bit
            if decoding:
                size = prefix if length > 0 else 0
                values[at] = -size if negative else size
            total += size
            means[column] += ((size << 8) - means[column]) >> (1 if row == 0 else 2)
        overall += (total * 256 // columns - overall) >> (1 if row < 2 else 3)
    return True


def _new_model() -> np.ndarray:
    """Probability (of 2^16) and number of bits seen of every node; int64 (nodes, 2)."""
    model = np.zeros((_NODES, 2), np.int64)
    model[:, 0] = 32768
    return model


def _columns(shape: tuple[int, ...]) -> int:
    return max(shape[-1], 1) if shape else 1


def pack_tensors(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The tensors' bytes; exact, deterministic, about the entropy of their weights.

    Parameters
    ----------
    tensors
        int8, int16 or int32 of any shape by name; -2^31 does not occur.
    """
    names = {np.dtype(kind): code for code, kind in _TYPES.items()}
    described = [[name, names[tensor.dtype], list(tensor.shape)] for name, tensor in tensors.items()]
    header = zlib.compress(json.dumps(described, separators=(",", ":")).encode(), 9)
    elements = sum(tensor.size for tensor in tensors.values())
    if elements > MAX_ELEMENTS or len(header) > MAX_HEADER:
        raise ValueError(f"{elements} weights: a model may hold {MAX_ELEMENTS}")
    state, model = np.array([0, 0xFFFFFFFF, 0, 0], np.int64), _new_model()
    data = np.zeros(16 + WORST_BYTES * elements, np.uint8)
    for name, tensor in tensors.items():
        if not _code(tensor.astype(np.int64).ravel(), _columns(tensor.shape), state, data, model, False):
            raise ValueError(f"tensor {name} holds -2^31")
    code = data[: state[_AT]].tobytes() + ((int(state[_LOW]) + 0xFFFFFF) >> 24).to_bytes(1, "little")
    return len(header).to_bytes(4, "little") + header + code


def _read_header(data: bytes) -> tuple[list[Any], int]:
    """The header's entries, and where the code begins."""
    size = int.from_bytes(data[:4], "little")
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data[4 : 4 + size], MAX_HEADER)
        if len(data) < 4 + size or not inflater.eof or inflater.unused_data:
            raise Corrupt("weights: the header is cut or too long: restore the model from its twin")
        return json.loads(text), 4 + size
    except (zlib.error, ValueError, RecursionError) as error:
        raise Corrupt(f"weights: malformed header ({error}): restore the model from its twin") from error


def _described(entries: Any) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, type and shape of every tensor, checked."""
    found: dict[str, tuple[str, str, tuple[int, ...]]] = {}
    elements = 0
    if not isinstance(entries, list):
        raise Corrupt("weights: the header is not a list: restore the model from its twin")
    for entry in entries:
        match entry:
            case [str(name), str(code), list(shape)] if code in _TYPES and name not in found and len(shape) <= 4:
                if not all(type(n) is int and 0 <= n <= MAX_ELEMENTS for n in shape):
                    raise Corrupt(f"weights: tensor {name} has shape {shape}: restore the model from its twin")
                size = 1
                for n in shape:
                    size *= n
                elements += size
                found[name] = (name, code, tuple(shape))
            case _:
                raise Corrupt("weights: malformed header entry: restore the model from its twin")
    if elements > MAX_ELEMENTS:
        raise Corrupt(f"weights: {elements} weights, a model may hold {MAX_ELEMENTS}: restore the model from its twin")
    return list(found.values())


def unpack_tensors(data: bytes) -> dict[str, np.ndarray]:
    """The tensors that `pack_tensors` packed.

    Raises
    ------
    Corrupt
        When the bytes are not what `pack_tensors` writes; no bytes make it read out of bounds or allocate more than
        2^24 weights need.
    """
    entries, at = _read_header(data)
    code = np.frombuffer(data, np.uint8)[at:].copy()
    first = int.from_bytes(code[:4].tobytes().ljust(4, b"\0"), "big")
    state, model = np.array([0, 0xFFFFFFFF, first, 4], np.int64), _new_model()
    out = {}
    for name, kind, shape in _described(entries):
        values = np.zeros(shape, np.int64)
        flat = values.reshape(-1)
        limits = np.iinfo(_TYPES[kind])
        # a tensor without numbers takes no bits, but its columns would take memory
        fine = not flat.size or _code(flat, _columns(shape), state, code, model, True)
        if not fine or (flat.size and (flat.min() < limits.min or flat.max() > limits.max)):
            raise Corrupt(f"weights: tensor {name} holds an impossible weight: restore the model from its twin")
        out[name] = values.astype(_TYPES[kind])
    if state[_AT] - 3 != len(code):
        raise Corrupt("weights: the code does not end where its tensors end: restore the model from its twin")
    return out
