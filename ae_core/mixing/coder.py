"""One column of one block, coded decision by decision: counters, mixer, refinement and binary arithmetic coder.

`reference.py` defines the same arithmetic without any care for speed; both give the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ae_core.mixing.arithmetic import (
    APM_BINS,
    APM_STEP,
    CLASS,
    CLASSES,
    COUNTS,
    FAST_RATE,
    FINAL_RATE,
    LIMIT,
    NODES,
    SLOW_RATE,
    SQUASH,
    STARTING_RATE,
    STEP_MASK,
    STRETCH,
)

LOW, HIGH, WINDOW, AT, CLOCK, STEPS = range(6)  # places of the coder's state
STATE_SIZE = 6
OWN, COARSE, GUESS, AGAINST, RESIDUAL, ENERGY, FRACTION, RUN = range(8)  # features that need the column's own past
SETS, SELECTED = 48, 16  # weight sets by node, and by the column's selector
_SPECIAL_GROUP, _FAR_GROUP, _AGAIN_GROUP, _SIZE_GROUP = 1 << 20, 1 << 21, 1 << 22, 1 << 23
WIDE_BITS = 17  # from here on errors are told by the length of their size
TOLD_BITS = 12  # bits behind an error's highest that have probabilities, where it is long
_ABSENT = -1


@njit(cache=True, nogil=True)
def _mix(h: Any, value: Any) -> Any:
    """A 32-bit hash of a hash and a value."""
    h = ((h ^ (value & 0xFFFFFFFF)) * 0x9E3779B1) & 0xFFFFFFFF
    return (h ^ (h >> 15)) & 0xFFFFFFFF


@njit(cache=True, nogil=True)
def _clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)


@njit(cache=True, nogil=True)
def _magnitude(value: Any) -> Any:
    """A number's class: exact to 2, then two classes an octave, signed."""
    m = abs(value)
    k = m
    if m > 2:
        k = 0
        while m >> (k + 1):
            k += 1
        k = 2 * k + ((m >> (k - 1)) & 1)
    return k if value >= 0 else -k


@njit(cache=True, nogil=True)
def open_stream(state: Any, data: Any, decode: bool) -> None:
    """Set a coder up, to write or to read `data`."""
    state[LOW] = 0
    state[HIGH] = 0xFFFFFFFF
    state[WINDOW] = 0
    state[AT] = 0
    state[CLOCK] = 0
    if decode:
        for _ in range(4):
            state[WINDOW] = (state[WINDOW] << 8) | _next(state, data)


@njit(cache=True, nogil=True)
def _next(state: Any, data: Any) -> Any:
    at = state[AT]
    state[AT] = at + 1
    return np.int64(data[at]) if at < len(data) else np.int64(0)


@njit(cache=True, nogil=True)
def _code(state: Any, data: Any, decode: bool, bit: Any, p: Any) -> Any:
    """Code one decision whose probability of a one is p / 65536; the decision."""
    low, high = state[LOW], state[HIGH]
    middle = low + (((high - low) * p) >> 16)
    if decode:
        bit = 1 if state[WINDOW] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) < (1 << 24):
        if decode:
            state[WINDOW] = ((state[WINDOW] << 8) & 0xFFFFFFFF) | _next(state, data)
        else:
            data[state[AT]] = high >> 24
            state[AT] += 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 255
    state[LOW] = low
    state[HIGH] = high
    return bit


@njit(cache=True, nogil=True)
def close_stream(state: Any, data: Any) -> Any:
    """Write what tells the last interval; the length of the stream."""
    at = state[AT]
    top = (state[HIGH] >> 24) << 24
    if top >= state[LOW]:
        data[at] = top >> 24
        at += 1
    else:
        for shift in (24, 16, 8, 0):
            data[at] = (state[HIGH] >> shift) & 255
            at += 1
    while at > 0 and data[at - 1] == 0:
        at -= 1
    return at


@njit(cache=True, nogil=True)
def _buckets(table: Any, hashes: Any, group: int, slots: Any) -> None:
    """Where the counters of a group of decisions lie, for every context; buckets are taken over where they clash."""
    mask = len(table) // NODES - 1
    for i in range(len(hashes)):
        h = _mix(_mix(hashes[i], group), i + 1)
        check = (h >> 8) | 1 << 24
        first = (((h * 0x85EBCA6B) & 0xFFFFFFFF) >> 7) & mask
        second = first ^ 1
        a, b = first * NODES, second * NODES
        if table[a] == check:
            slots[i] = a
        elif table[b] == check:
            slots[i] = b
        else:
            at = a if (table[a + 1] & 15) <= (table[b + 1] & 15) else b
            table[at] = check
            for k in range(1, NODES):
                table[at + k] = 1 << 31 | 1 << 15
            slots[i] = at


@njit(cache=True, nogil=True)
def _decide(
    state: Any, data: Any, decode: bool, bit: Any, table: Any, slots: Any, node: int,
    weights: Any, chosen: Any, apm: Any, one: Any, two: Any, xs: Any, places: Any,
) -> Any:  # fmt: skip
    """One decision: predict, code, learn."""
    count = len(slots)
    width = 2 * CLASSES
    base_one, base_two = one * count * width, two * count * width
    dot = np.int64(0)
    for i in range(count):
        cell = np.int64(table[slots[i] + node])
        n = cell & 15
        if n:
            place = i * width + CLASS[n * 64 + (cell >> 26)]
            slow = np.int64(STRETCH[cell >> 20])
            fast = np.int64(STRETCH[(cell >> 4) & 4095])
            places[i] = place
            xs[2 * i] = slow
            xs[2 * i + 1] = fast
            dot += slow * (weights[base_one + place] + np.int64(chosen[base_two + place]))
            dot += fast * (weights[base_one + place + CLASSES] + np.int64(chosen[base_two + place + CLASSES]))
        else:
            places[i] = -1
    logit = _clip(dot >> 16, -LIMIT, LIMIT)
    mixed = np.int64(SQUASH[logit + LIMIT])
    offset = logit + LIMIT + 1
    bin_at = offset // APM_STEP
    share = offset - bin_at * APM_STEP
    left = one * APM_BINS + bin_at
    refined = (np.int64(apm[left]) * (APM_STEP - share) + np.int64(apm[left + 1]) * share) // APM_STEP
    p = _clip((mixed + refined) >> 1, 1, 65535)
    bit = _code(state, data, decode, bit, p)

    error = (bit << 16) - mixed
    steps = state[STEPS]
    state[STEPS] = steps + 1
    rate = FINAL_RATE + (STARTING_RATE - FINAL_RATE) * 256 // (256 + steps)
    push = error * rate
    goal = 65535 if bit else 0
    state[CLOCK] = (state[CLOCK] * 1664525 + 1013904223) & 0xFFFFFFFF
    clock = state[CLOCK] >> 16
    for i in range(count):
        place = places[i]
        if place >= 0:
            move = (xs[2 * i] * push + (1 << 23)) >> 24
            weights[base_one + place] += move
            chosen[base_two + place] += move
            move = (xs[2 * i + 1] * push + (1 << 23)) >> 24
            weights[base_one + place + CLASSES] += move
            chosen[base_two + place + CLASSES] += move
        cell = np.int64(table[slots[i] + node])
        n = cell & 15
        slow = cell >> 16
        fast = (cell >> 4) & 4095
        slow += ((goal - slow) * SLOW_RATE[n]) >> 16
        fast += (((goal >> 4) - fast) * FAST_RATE[n]) >> 16
        if n < COUNTS - 1 and (clock & STEP_MASK[n]) == 0:
            n += 1
        table[slots[i] + node] = (slow << 16) | (fast << 4) | n
    near = left + (1 if 2 * share >= APM_STEP else 0)
    apm[near] += (goal - np.int64(apm[near])) >> 6
    return bit


@njit(cache=True, nogil=True)
def _feature(
    op: int, a: int, row: int, refs: Any, statics: Any, codes: Any, values: Any, errors: Any, runs: Any,
    guess: Any, energy: Any, levels: int,
) -> Any:  # fmt: skip
    """Value of a feature at a row, from what is known before the row's own cell."""
    if op < 0:
        return np.int64(statics[a, row])
    if op == GUESS:
        return (guess + 2048) >> (12 + a)
    if op == ENERGY:
        return min(_magnitude(energy >> 2), 15)
    if op == FRACTION:
        return ((guess + 2048) >> 10) & 3
    back = refs[a, row]
    if back < 0:
        return _ABSENT
    if op == OWN:
        return np.int64(codes[back])
    if op == COARSE:
        code = np.int64(codes[back])
        return code * 40 // levels if code < levels else code + 64
    if op == AGAINST:
        return _magnitude(np.int64(values[back]) - ((guess + 2048) >> 12))
    if op == RESIDUAL:
        return _magnitude(np.int64(errors[back]))
    return np.int64(runs[a, back])


@njit(cache=True, nogil=True)
def code_column(
    decode: bool, state: Any, data: Any, codes: Any, levels: int, size: int, guided: bool, residual: bool, again: int,
    refs: Any, statics: Any, features: Any, contexts: Any, selector: int, base: Any, taps: Any,
    table: Any, weights: Any, chosen: Any, apm: Any,
) -> None:  # fmt: skip
    """Code every row of a column: writes `data`, or reads it and fills `codes`.

    state : int64 (STATE_SIZE,), open; codes : int64 (rows,), values below `levels`, specials below `size`;
    again : the reference whose code is asked for before an error, -1 for none;
    refs : int32 (references, rows), an earlier row or -1; statics : int32 (n, rows);
    features : int64 (n, 2), op (-1: static) and place; contexts : int64 (contexts, 4) of features, -1 where fewer;
    base : int64 (rows,) and taps : int64 (n, 2) of reference and weight: the guess in 2^-12, guided columns only;
    table : uint32 (buckets * NODES,), zeroed; weights, chosen : int32 by `starting_weights`; apm : int32.
    """
    rows = len(codes)
    count = len(contexts)
    values = np.zeros(rows if guided else 0, np.int64)
    errors = np.zeros(rows if guided else 0, np.int64)
    runs = np.zeros((len(refs), rows), np.int8)
    hashes = np.zeros(count, np.int64)
    slots = np.zeros(count, np.int64)
    known = np.zeros(len(features), np.int64)
    xs = np.zeros(2 * count, np.int64)
    places = np.zeros(count, np.int64)
    state[STEPS] = 0
    bits = 0
    while (1 << bits) < levels:
        bits += 1
    special = 0
    if not decode:
        for row in range(rows):
            special |= 1 if codes[row] >= levels else 0
    special = _code(state, data, decode, special, 32768)
    energy, two = 0, 0
    last: Any = 0
    for row in range(rows):
        guess: Any = 0
        if guided:
            guess = base[row]
            for k in range(len(taps)):
                back = refs[taps[k, 0], row]
                guess += taps[k, 1] * (np.int64(values[back]) if back >= 0 else last)
            guess = _clip(guess, 0, np.int64(levels - 1) << 12)
        for k in range(len(features)):
            known[k] = _feature(
                features[k, 0], features[k, 1], row, refs, statics, codes, values, errors, runs, guess, energy, levels
            )
        for i in range(count):
            h = 0
            for k in range(contexts.shape[1]):
                if contexts[i, k] >= 0:
                    h = _mix(h, known[contexts[i, k]] + 1)
            hashes[i] = h
        if selector >= 0:
            two = known[selector] & (SELECTED - 1)

        code: Any = np.int64(codes[row])
        rare = 0
        if special:
            rare = 1 if code >= levels else 0
            _buckets(table, hashes, _SPECIAL_GROUP, slots)
            rare = _decide(state, data, decode, rare, table, slots, 1, weights, chosen, apm, 32, two, xs, places)
            if rare:
                which, at = code - levels, 0
                while at < size - levels - 1:
                    more = 1 if which > at else 0
                    more = _decide(
                        state, data, decode, more, table, slots, 2 + at, weights, chosen, apm, 33, two, xs, places
                    )
                    if not more:
                        break
                    at += 1
                code = min(levels + at, size - 1)
        middle = (guess + 2048) >> 12
        same = 0
        if not rare and again >= 0:
            back = refs[again, row]
            if back >= 0 and codes[back] < levels:
                same = 1 if codes[back] == code else 0
                _buckets(table, hashes, _AGAIN_GROUP, slots)
                same = _decide(state, data, decode, same, table, slots, 1, weights, chosen, apm, 34, two, xs, places)
                if same:
                    code = codes[back]
        if not rare and not same and levels > 1:
            if residual and bits >= WIDE_BITS:
                error = _code_far(
                    state, data, decode, code - middle, table, hashes, slots, weights, chosen, apm, two, xs, places
                )
                code = _clip(middle + error, 0, levels - 1)
            elif residual:
                error = _code_error(
                    state,
                    data,
                    decode,
                    code - middle,
                    bits,
                    table,
                    hashes,
                    slots,
                    weights,
                    chosen,
                    apm,
                    two,
                    xs,
                    places,
                )
                code = _clip(middle + error, 0, levels - 1)
            else:
                code = _code_value(
                    state, data, decode, code, bits, table, hashes, slots, weights, chosen, apm, two, xs, places
                )
                code = _clip(code, 0, levels - 1)
        elif not rare and not same:
            code = np.int64(0)
        codes[row] = code
        if guided:
            last = last if rare else code
            error = last - middle
            values[row] = last
            errors[row] = error
            energy += (abs(error) * 16 - energy) >> 3
        for a in range(len(refs)):
            back = refs[a, row]
            if back >= 0 and codes[back] == code:
                runs[a, row] = min(runs[a, back] + 1, 7)


@njit(cache=True, nogil=True)
def _code_value(
    state: Any, data: Any, decode: bool, code: Any, bits: int, table: Any, hashes: Any, slots: Any,
    weights: Any, chosen: Any, apm: Any, two: Any, xs: Any, places: Any,
) -> Any:  # fmt: skip
    """A value as the path through a binary tree, four decisions a bucket."""
    done, prefix = 0, 1
    first = (bits - 1) % 4 + 1
    while done < bits:
        length = first if done == 0 else 4
        _buckets(table, hashes, prefix, slots)
        node = 1
        for depth in range(length):
            bit = (code >> (bits - 1 - done - depth)) & 1
            one = node if done == 0 else min(16 + done + depth, 31)
            bit = _decide(state, data, decode, bit, table, slots, node, weights, chosen, apm, one, two, xs, places)
            node = 2 * node + bit
        prefix = (prefix << length) | (node - (1 << length))
        done += length
    return prefix - (1 << bits)


@njit(cache=True, nogil=True)
def _code_error(
    state: Any, data: Any, decode: bool, error: Any, bits: int, table: Any, hashes: Any, slots: Any,
    weights: Any, chosen: Any, apm: Any, two: Any, xs: Any, places: Any,
) -> Any:  # fmt: skip
    """A residual: zero or not, sign, unary exponent, mantissa."""
    _buckets(table, hashes, 1, slots)
    more = 1 if error != 0 else 0
    if not _decide(state, data, decode, more, table, slots, 1, weights, chosen, apm, 1, two, xs, places):
        return 0
    sign = 1 if error < 0 else 0
    sign = _decide(state, data, decode, sign, table, slots, 2, weights, chosen, apm, 2, two, xs, places)
    size = abs(error)
    exponent = 0
    while exponent < bits:
        more = 1 if size >> (exponent + 1) else 0
        if exponent == 6:
            _buckets(table, hashes, _FAR_GROUP + sign, slots)
        node = 3 + 6 * sign + exponent if exponent < 6 else min(exponent - 5, 15)
        one = node if exponent < 6 else 15 + min(exponent - 5, 8)
        more = _decide(state, data, decode, more, table, slots, node, weights, chosen, apm, one, two, xs, places)
        if not more:
            break
        exponent += 1
    if exponent:
        _buckets(table, hashes, 2 + 2 * exponent + sign, slots)
    found = 1
    for depth in range(exponent):
        bit = (size >> (exponent - 1 - depth)) & 1
        node = found if depth < 3 else 5 + min(depth, 10)
        bit = _decide(
            state, data, decode, bit, table, slots, node, weights, chosen, apm, 24 + min(depth, 7), two, xs, places
        )
        found = 2 * found + bit
    return -found if sign else found


@njit(cache=True, nogil=True)
def _code_far(
    state: Any, data: Any, decode: bool, error: Any, table: Any, hashes: Any, slots: Any,
    weights: Any, chosen: Any, apm: Any, two: Any, xs: Any, places: Any,
) -> Any:  # fmt: skip
    """A residual of a wide column: the length of its size in six bits, its sign, the bits behind the highest."""
    size = abs(error)
    length = 0
    while size >> length:
        length += 1
    _buckets(table, hashes, _SIZE_GROUP, slots)
    found, high = 1, 0
    for depth in range(6):
        if depth == 3:
            high, found = found & 7, 1
            _buckets(table, hashes, _SIZE_GROUP + 8 + high, slots)
        bit = (length >> (5 - depth)) & 1
        node, one = found, 1 + depth if depth < 3 else 4 + high
        bit = _decide(state, data, decode, bit, table, slots, node, weights, chosen, apm, one, two, xs, places)
        found = 2 * found + bit
    length = 8 * high + (found & 7)
    if length == 0:
        return 0
    _buckets(table, hashes, _SIZE_GROUP + 64 + length, slots)
    sign = 1 if error < 0 else 0
    sign = _decide(state, data, decode, sign, table, slots, 1, weights, chosen, apm, 12, two, xs, places)
    told: Any = np.int64(1)
    for depth in range(length - 1):
        bit = (size >> (length - 2 - depth)) & 1
        if depth >= TOLD_BITS:
            bit = _code(state, data, decode, bit, 32768)
        else:
            node = 2 + sign if depth == 0 else 4 + 2 * (told & 1) + sign if depth == 1 else min(6 + depth, 15)
            one = 13 + min(depth, 11)
            bit = _decide(state, data, decode, bit, table, slots, node, weights, chosen, apm, one, two, xs, places)
        told = 2 * told + bit
    return -told if sign else told
