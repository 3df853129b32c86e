"""The network's arithmetic at speed: the same integers as `reference.py`, bit for bit.

`pack` lays a frozen group out for vector instructions: every width is padded with zeros to whole vectors of 16; a
position's logits are *vertical* (symbol k at vector k % n, lane k // n, so that prefix sums are plain vector
additions); the gates of copy candidates are extra columns of V behind the symbols. The inlined functions below are
one row's steps; `ae_core.coder.blocks` loops over them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from ae_core.kernels.copying import entry_check, entry_index, hash_word, seen, table_bits, updated
from ae_core.kernels.frequencies import FREQUENCY_SUM
from ae_core.kernels.frozen import COPY_CLASSES, GATE_SHIFT, MAX_KEY, FrozenGroup, first_rows
from ae_core.kernels.vectors import (
    CHUNK,
    LANES,
    PADDING,
    add_row,
    add_shifted,
    clamp_shifted,
    dense,
    divide,
    exponentials,
    find_slots,
    item,
    prefetch,
    put,
    sum_below,
)

GIVEN: Final = 0
NETWORK: Final = 1
CONSTANT: Final = 2


class Packed(NamedTuple):
    """A frozen group laid out for the kernels; vectors are 16 wide, `..._at` are element offsets."""

    kinds: np.ndarray  # int64 (positions,): GIVEN, NETWORK or CONSTANT (coded, one symbol)
    alphabets: np.ndarray  # int64 (positions,)
    first: np.ndarray  # int64 (positions,): first row of a position in T
    T: np.ndarray  # int16 (sum K * state vectors * 16,)
    c0: np.ndarray  # int32 (state vectors * 16,)
    b0: np.ndarray  # int32 (state vectors * 16,)
    M: np.ndarray  # int16, packed
    m_bias: np.ndarray  # int32: 16, the rounding
    W: np.ndarray  # int8 where all fit, else int16; packed, one after the other
    w_at: np.ndarray  # int64 (positions,)
    w_bias: np.ndarray  # int32 (positions * hidden vectors * 16,): 16 * bw + 16
    V: np.ndarray  # int16, packed, one after the other
    v_at: np.ndarray  # int64 (positions,)
    v_vectors: np.ndarray  # int64 (positions,)
    v_bias: np.ndarray  # int32, vertical: 16 * bv, padding PADDING
    numbers: np.ndarray  # int32, vertical: k, padding at least 2^16
    v_bias_at: np.ndarray  # int64 (positions,), of v_bias and numbers
    place: np.ndarray  # int64: where symbol k lies among the vertical logits
    place_at: np.ndarray  # int64 (positions,)
    candidates_at: np.ndarray  # int64 (positions + 1,)
    keys: np.ndarray  # int64 (candidates * 4,)
    key_masks: np.ndarray  # uint64 (candidates * 4,): 2^16 - 1 where the key has that part, else 0
    boosts: np.ndarray  # int32 (candidates * 9,)
    gate_places: np.ndarray  # int64 (candidates,): where a candidate's gate lies among the vertical logits
    due: np.ndarray  # int64 (candidates,): the candidates by the last position of their key
    due_at: np.ndarray  # int64 (positions + 2,): those due before position p begin at due_at[p]
    state_vectors: int
    hidden_vectors: int


class Work(NamedTuple):
    """Scratch of up to MAX_BLOCKS blocks, side by side: block b's part of an array begins at b times its stride."""

    u: np.ndarray
    base: np.ndarray
    s: np.ndarray
    sums: np.ndarray  # strides as of what is summed
    a: np.ndarray
    h: np.ndarray
    logits: np.ndarray
    e: np.ndarray
    totals: np.ndarray  # int64 (blocks,): sum of e
    ratios: np.ndarray  # int64 (blocks,)
    slots: np.ndarray  # int64 (blocks,): the slot that picks the symbol
    chosen: np.ndarray  # int64 (blocks,): the symbol; before that, how many symbols begin up to the slot
    before: np.ndarray
    cum: np.ndarray
    tables: np.ndarray  # uint32: every block's candidates' entries
    tables_at: np.ndarray  # int64 (blocks,)
    bits: np.ndarray  # int64 (blocks,): log2 of the entries of a table
    places: np.ndarray  # int64 (blocks * candidates,): this row's entry
    checks: np.ndarray  # uint32 (blocks * candidates,): its check
    state: int  # strides: of u, base, s, a
    hidden: int  # of h
    logit: int  # of logits, e, cum
    candidates: int  # of places, checks


def aligned(values: np.ndarray) -> np.ndarray:
    """A one-dimensional copy that starts at a cache line."""
    room = np.zeros(values.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    out = room[start : start + values.nbytes].view(values.dtype)
    out[:] = values.ravel()
    return out


def whole_vectors(size: int) -> int:
    """Vectors that hold `size` elements."""
    return -(-size // LANES)


def pack_dense(weights: np.ndarray, place: np.ndarray, inputs: int, vectors: int) -> np.ndarray:
    """The layout that `vectors.dense` reads, int16, for `weights` (inputs, outputs) with output o at `place[o]`."""
    padded = np.zeros((inputs, vectors * LANES), np.int16)
    padded[: weights.shape[0], place[: weights.shape[1]]] = weights
    parts = []
    for first in range(0, vectors, CHUNK):
        size = min(CHUNK, vectors - first)
        chunk = padded[:, first * LANES : (first + size) * LANES]
        parts.append(chunk.reshape(inputs // 2, 2, size, LANES).transpose(0, 2, 3, 1).ravel())
    return np.concatenate(parts)


def _padded(values: np.ndarray, vectors: int, dtype: type, fill: int = 0) -> np.ndarray:
    out: np.ndarray = np.full(vectors * LANES, fill, dtype)
    out[: len(values)] = values
    return out


def vertical_places(columns: int) -> np.ndarray:
    """Where column k of `columns` lies: vector k % n, lane k // n of n vectors; int64 (columns,)."""
    k, n = np.arange(columns), whole_vectors(columns)
    return (k % n) * LANES + k // n


class _OutputLayers:
    """Collects the V of all positions, gates behind the symbols."""

    def __init__(self) -> None:
        self.V: list[np.ndarray] = []
        self.bias: list[np.ndarray] = []
        self.numbers: list[np.ndarray] = []
        self.place: list[np.ndarray] = []
        self.gate_places: list[int] = []

    def add(self, V: np.ndarray, bv: np.ndarray, gates: list[np.ndarray], inputs: int) -> int:
        """Appends one position and returns its vectors."""
        columns = np.column_stack([V, *gates]) if gates else V
        symbols, vectors = V.shape[1], whole_vectors(columns.shape[1])
        place = vertical_places(columns.shape[1])
        bias = np.full(vectors * LANES, PADDING, np.int32)
        bias[place[:symbols]] = 16 * bv
        bias[place[symbols:]] = 0
        numbers = np.full(vectors * LANES, FREQUENCY_SUM, np.int32)
        numbers[place[:symbols]] = np.arange(symbols)
        self.V.append(pack_dense(columns, place, inputs, vectors))
        self.bias.append(bias)
        self.numbers.append(numbers)
        self.place.append(place[:symbols])
        self.gate_places.extend(place[symbols:])
        return vectors


def _offsets(parts: list[np.ndarray]) -> np.ndarray:
    return first_rows(tuple(len(part) for part in parts))[:-1]


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return aligned(np.concatenate([*parts, np.zeros(LANES, dtype)]).astype(dtype))


def _narrowed(parts: list[np.ndarray]) -> np.ndarray:
    """Joined weights, int8 where all of them fit: half the memory to stream for every symbol."""
    fits = all(np.abs(part.astype(np.int32)).max(initial=0) <= 127 for part in parts)
    return _joined(parts, np.int8 if fits else np.int16)


def pack(group: FrozenGroup) -> Packed:
    """The group laid out for the kernels; its bounds must have been checked (`bounds.check_bounds`)."""
    positions, sv, hv = len(group.alphabets), whole_vectors(group.width), whole_vectors(group.hidden)
    layer = {position: j for j, position in enumerate(group.coded_positions)}
    T = np.zeros((len(group.T), sv * LANES), np.int16)
    T[:, : group.width] = group.T
    W, w_bias, layers = [], np.zeros((positions, hv * LANES), np.int32), _OutputLayers()
    v_vectors = np.zeros(positions, np.int64)
    for p in range(positions):
        if p not in layer:
            W.append(np.zeros(0, np.int16))
            layers.add(np.zeros((group.hidden, 1), np.int16), np.zeros(1, np.int32), [], hv * LANES)
            continue
        j = layer[p]
        W.append(pack_dense(group.W[j], np.arange(group.hidden), sv * LANES, hv))
        w_bias[p, : group.hidden] = 16 * group.bw[j].astype(np.int32) + 16
        gates = [c.gate for c in group.candidates if c.position == p]
        v_vectors[p] = layers.add(group.V[j], group.bv[j], gates, hv * LANES)
    keys = np.zeros((len(group.candidates), MAX_KEY), np.int64)
    masks = np.zeros((len(group.candidates), MAX_KEY), np.uint64)
    for i, c in enumerate(group.candidates):
        keys[i, : len(c.key)] = c.key
        masks[i, : len(c.key)] = 0xFFFF
    kinds = [
        (CONSTANT if k == 1 else NETWORK) if c else GIVEN for k, c in zip(group.alphabets, group.coded, strict=True)
    ]
    last = np.array([max(c.key, default=-1) + 1 for c in group.candidates], np.int64)
    owners = np.array([c.position for c in group.candidates], np.int64)
    return Packed(
        kinds=np.array(kinds, np.int64),
        alphabets=np.array(group.alphabets, np.int64),
        first=first_rows(group.alphabets)[:-1],
        T=aligned(T),
        c0=aligned(_padded(group.c0, sv, np.int32)),
        b0=aligned(_padded(group.b0, sv, np.int32)),
        M=aligned(pack_dense(group.M, np.arange(group.width), sv * LANES, sv)),
        m_bias=aligned(np.full(sv * LANES, 16, np.int32)),
        W=_narrowed(W),
        w_at=_offsets(W),
        w_bias=aligned(w_bias),
        V=_joined(layers.V, np.int16),
        v_at=_offsets(layers.V),
        v_vectors=v_vectors,
        v_bias=_joined(layers.bias, np.int32),
        numbers=_joined(layers.numbers, np.int32),
        v_bias_at=_offsets(layers.bias),
        place=_joined(layers.place, np.int64),
        place_at=_offsets(layers.place),
        candidates_at=np.searchsorted(owners, np.arange(positions + 1)).astype(np.int64),
        keys=keys.ravel(),
        key_masks=masks.ravel(),
        boosts=np.array([c.boost for c in group.candidates], np.int32).ravel(),
        gate_places=np.array(layers.gate_places, np.int64),
        due=np.argsort(last, kind="stable").astype(np.int64),
        due_at=np.searchsorted(np.sort(last), np.arange(positions + 2)).astype(np.int64),
        state_vectors=sv,
        hidden_vectors=hv,
    )


def make_work(packed: Packed, rows: np.ndarray) -> Work:
    """Scratch for blocks of `rows` rows (blocks,), tables empty, u at its start."""
    blocks, candidates = len(rows), len(packed.keys)
    state, hidden = packed.state_vectors * LANES, packed.hidden_vectors * LANES
    logits = int(max(packed.v_vectors.max(), 1)) * LANES
    bits = np.array([table_bits(int(count)) for count in rows], np.int64)
    tables_at = first_rows(tuple(int(candidates << b) for b in bits))

    def zeros(size: int, dtype: type) -> np.ndarray:
        return aligned(np.zeros(blocks * size, dtype))

    return Work(
        u=aligned(np.tile(packed.c0, blocks)),
        base=zeros(state, np.int32),
        s=zeros(state, np.int32),
        sums=zeros(max(state, hidden), np.int32),
        a=zeros(state, np.int16),
        h=zeros(hidden, np.int16),
        logits=zeros(logits, np.int32),
        e=zeros(logits, np.int32),
        totals=np.zeros(blocks, np.int64),
        ratios=np.zeros(blocks, np.int64),
        slots=np.zeros(blocks, np.int64),
        chosen=np.zeros(blocks, np.int64),
        before=zeros(LANES, np.int32),
        cum=zeros(logits, np.int32),
        tables=np.zeros(tables_at[-1], np.uint32),
        tables_at=tables_at[:-1],
        bits=bits,
        places=np.zeros(blocks * candidates, np.int64),
        checks=np.zeros(blocks * candidates, np.uint32),
        state=state,
        hidden=hidden,
        logit=logits,
        candidates=candidates,
    )


@njit(inline="always")
def begin_row(m: Packed, w: Work, blocks: int) -> None:
    """Sets base and s from u, for the first `blocks` blocks."""
    clamp_shifted(w.a, 0, w.u, 0, 0, 0, 255, blocks * m.state_vectors)
    pairs = m.state_vectors * (LANES // 2)
    dense(w.sums, w.state, m.m_bias, 0, m.M, 0, w.a, w.state, pairs, m.state_vectors, blocks)
    for b in range(blocks):
        add_shifted(w.s, b * w.state, m.b0, w.sums, b * w.state, 5, m.state_vectors)
        add_shifted(w.base, b * w.state, m.b0, w.sums, b * w.state, 5, m.state_vectors)


@njit(inline="always")
def end_row(m: Packed, w: Work, blocks: int) -> None:
    """Sets u for the next row: c0 and this row's T rows, which s holds beyond base."""
    for b in range(blocks):
        for i in range(w.state):
            at = b * w.state + i
            put(w.u, at, np.int32(item(m.c0, i) + (item(w.s, at) - item(w.base, at))))


@njit(inline="always")
def find_copies(m: Packed, w: Work, p: int, symbols: np.ndarray, rows_at: np.ndarray, row: int, blocks: int) -> None:
    """Finds the entries of the candidates whose key ends just before position p, ahead of their use.

    Block b's row is row `rows_at[b] + row` of `symbols`, uint16 (rows * positions,).
    """
    for i in range(item(m.due_at, p), item(m.due_at, p + 1)):
        candidate = item(m.due, i)
        for b in range(blocks):
            row_at = (item(rows_at, b) + row) * m.kinds.shape[0]
            word = np.uint64(0)
            for part in range(MAX_KEY):
                key = candidate * MAX_KEY + part
                symbol = np.uint64(item(symbols, row_at + item(m.keys, key))) & item(m.key_masks, key)
                word |= symbol << np.uint64(16 * part)
            hashed = hash_word(word)
            bits = item(w.bits, b)
            place = item(w.tables_at, b) + (candidate << bits) + entry_index(hashed, bits)
            here = b * w.candidates + candidate
            put(w.places, here, place)
            put(w.checks, here, entry_check(hashed))
            prefetch(w.tables, place)


@njit(inline="always")
def raise_copies(m: Packed, w: Work, p: int, blocks: int) -> None:
    """Raises the logits that the candidates of position p name, and puts their gates out of the way."""
    for candidate in range(item(m.candidates_at, p), item(m.candidates_at, p + 1)):
        for b in range(blocks):
            here = b * w.candidates + candidate
            entry = seen(item(w.tables, item(w.places, here)), item(w.checks, here))
            kind = np.int64(entry & np.uint32(15))
            gate_at = b * w.logit + item(m.gate_places, candidate)
            gate = item(w.logits, gate_at) >> GATE_SHIFT
            put(w.logits, gate_at, np.int32(PADDING))
            if kind > 0:
                value = np.int64((entry >> np.uint32(4)) & np.uint32(0xFFF))
                at = b * w.logit + item(m.place, item(m.place_at, p) + value)
                raised = item(w.logits, at) + item(m.boosts, candidate * COPY_CLASSES + kind) + gate
                put(w.logits, at, np.int32(raised))


@njit(inline="always")
def weigh(m: Packed, w: Work, p: int, blocks: int) -> None:
    """Fills `w.e` with the e of every symbol of position p, copy candidates included, and `w.totals` with their sums.

    One step of all blocks after the other: each weight is read once, and the steps of one block need not wait for
    each other.
    """
    vectors = item(m.v_vectors, p)
    clamp_shifted(w.a, 0, w.s, 0, 0, -32768, 32767, blocks * m.state_vectors)
    bias_at, pairs = p * m.hidden_vectors * LANES, m.state_vectors * (LANES // 2)
    dense(w.sums, w.hidden, m.w_bias, bias_at, m.W, item(m.w_at, p), w.a, w.state, pairs, m.hidden_vectors, blocks)
    clamp_shifted(w.h, 0, w.sums, 0, 5, 0, 255, blocks * m.hidden_vectors)
    pairs = m.hidden_vectors * (LANES // 2)
    bias_at = item(m.v_bias_at, p)
    dense(w.logits, w.logit, m.v_bias, bias_at, m.V, item(m.v_at, p), w.h, w.hidden, pairs, vectors, blocks)
    raise_copies(m, w, p, blocks)
    exponentials(w.e, w.before, w.totals, w.logits, w.logit, vectors, blocks)


@njit(inline="always")
def slot_range(m: Packed, w: Work, b: int, p: int, symbol: int) -> tuple[int, int]:
    """First slot and frequency of a symbol of position p in block b, from `w.e` and its sum."""
    size = item(m.alphabets, p)
    ratio = divide((FREQUENCY_SUM - size) << 15, item(w.totals, b))
    numbers_at = item(m.v_bias_at, p)
    below = np.int64(sum_below(w.e, b * w.logit, m.numbers, numbers_at, symbol, item(m.v_vectors, p)))
    low = symbol + ((below * ratio) >> 15)
    high = FREQUENCY_SUM
    if symbol + 1 < size:
        own = item(w.e, b * w.logit + item(m.place, item(m.place_at, p) + symbol))
        high = symbol + 1 + (((below + own) * ratio) >> 15)
    return low, high - low


@njit(inline="always")
def find_symbols(m: Packed, w: Work, p: int, blocks: int) -> None:
    """Sets `w.chosen` to the symbols of position p that own `w.slots`, and `w.cum` to all symbols' first slots."""
    whole = (FREQUENCY_SUM - item(m.alphabets, p)) << 15
    for b in range(blocks):
        put(w.ratios, b, np.int64(divide(whole, item(w.totals, b))))
    numbers_at, vectors = item(m.v_bias_at, p), item(m.v_vectors, p)
    find_slots(w.cum, w.e, w.logit, w.before, m.numbers, numbers_at, w.ratios, w.slots, w.chosen, vectors, blocks)
    for b in range(blocks):
        put(w.chosen, b, item(w.chosen, b) - 1)


@njit(inline="always")
def found_range(m: Packed, w: Work, b: int, p: int) -> tuple[int, int]:
    """First slot and frequency of the symbol that `find_symbols` chose for position p in block b."""
    symbol = item(w.chosen, b)
    at, place = b * w.logit, item(m.place_at, p) + symbol
    low: Any = np.int64(item(w.cum, at + item(m.place, place)))
    high: Any = np.int64(FREQUENCY_SUM)
    if symbol + 1 < item(m.alphabets, p):
        high = np.int64(item(w.cum, at + item(m.place, place + 1)))
    return low, high - low


@njit(inline="always")
def update_copies(m: Packed, w: Work, p: int, blocks: int) -> None:
    """Moves the tables of position p's candidates on, by the symbols in `w.chosen`."""
    for candidate in range(item(m.candidates_at, p), item(m.candidates_at, p + 1)):
        for b in range(blocks):
            here = b * w.candidates + candidate
            at, check = item(w.places, here), item(w.checks, here)
            put(w.tables, at, updated(seen(item(w.tables, at), check), check, item(w.chosen, b)))


@njit(inline="always")
def update_state(m: Packed, w: Work, b: int, p: int, symbol: int) -> None:
    """Adds the row of T of position p's symbol to block b's state."""
    add_row(w.s, b * w.state, m.T, (item(m.first, p) + symbol) * w.state, m.state_vectors)
