"""The mixing coder's arithmetic written out in plain Python integers: what `coder` must equal byte for byte.

A column is coded row by row.  Each row's features are hashed into one number a context; a cell is a few binary
decisions; each decision has a node, and every context a counter for that node under its hash.  A logistic mixer makes
one probability of the counters, a table refines it, a binary arithmetic coder spends it, and all of them learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    starting_weights,
)
from ae_core.mixing.block import buckets, starting_apm
from ae_core.mixing.coder import SELECTED, SETS, TOLD_BITS, WIDE_BITS
from ae_core.mixing.inputs import Codes, Known, column_inputs
from ae_core.mixing.plan import AGAINST, COARSE, ENERGY, FRACTION, GUESS, OWN, RESIDUAL, ColumnModel, MixingPlan

WORD = 0xFFFFFFFF


def encode_block(plan: MixingPlan, values: Codes) -> bytes:
    """`block.encode_block`, slowly."""
    if len(values) == 0:
        return b""
    arithmetic, known = Arithmetic(), Known(plan, values)
    for model in plan.models:
        _Column(plan, model, known, arithmetic).code([int(code) for code in values[:, model.column]])
    return arithmetic.close()


@dataclass
class Arithmetic:
    """A binary arithmetic coder on 32-bit intervals; zeros at the end of the stream are left out."""

    low: int = 0
    high: int = WORD
    clock: int = 0
    out: bytearray = field(default_factory=bytearray)

    def code(self, bit: int, p: int) -> None:
        """Spend a decision whose probability of a one is p / 65536."""
        middle = self.low + ((self.high - self.low) * p >> 16)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.out.append(self.high >> 24)
            self.low = self.low << 8 & WORD
            self.high = self.high << 8 & WORD | 255

    def close(self) -> bytes:
        """The stream."""
        top = self.high >> 24 << 24
        self.out += bytes([top >> 24]) if top >= self.low else self.high.to_bytes(4, "big")
        return bytes(self.out).rstrip(b"\0")


def mix(h: int, value: int) -> int:
    """A 32-bit hash of a hash and a value."""
    h = (h ^ value & WORD) * 0x9E3779B1 & WORD
    return h ^ h >> 15


def magnitude(value: int) -> int:
    """A number's signed class: exact to 2, then two classes an octave."""
    size = abs(value)
    if size > 2:
        exponent = size.bit_length() - 1
        size = 2 * exponent + (size >> exponent - 1 & 1)
    return size if value >= 0 else -size


class Decisions:
    """What decisions are coded with: counters, weights and refinements, made anew for so many rows and contexts.

    hashes : of every context, and two : the selected weight set, both set before decisions are made.
    """

    def __init__(self, arithmetic: Arithmetic, rows: int, contexts: int, levels: int) -> None:
        self.arithmetic = arithmetic
        self.bits = max(levels - 1, 0).bit_length()
        self.table = [0] * (buckets(rows, contexts) * NODES)
        self.weights = [int(w) for w in starting_weights(contexts, SETS)]
        self.chosen = [0] * (contexts * 2 * CLASSES * SELECTED)
        self.apm = [int(p) for p in starting_apm()]
        self.steps, self.two = 0, 0
        self.hashes: list[int] = []
        self.slots: list[int] = []

    def value(self, code: int) -> None:
        """A value below the levels as the path through a binary tree."""
        done, prefix = 0, 1
        while done < self.bits:
            length = 4 if done else (self.bits - 1) % 4 + 1
            self._find(prefix)
            node = 1
            for depth in range(length):
                bit = code >> self.bits - 1 - done - depth & 1
                self._decide(bit, node, min(16 + done + depth, 31) if done else node)
                node = 2 * node + bit
            prefix = prefix << length | node - (1 << length)
            done += length

    def _find(self, group: int) -> None:
        mask = len(self.table) // NODES - 1
        self.slots = []
        for i, context in enumerate(self.hashes):
            h = mix(mix(context, group), i + 1)
            check = h >> 8 | 1 << 24
            first = (h * 0x85EBCA6B & WORD) >> 7 & mask
            a, b = first * NODES, (first ^ 1) * NODES
            if self.table[a] == check:
                at = a
            elif self.table[b] == check:
                at = b
            else:
                at = a if self.table[a + 1] & 15 <= self.table[b + 1] & 15 else b
                self.table[at : at + NODES] = [check] + [1 << 31 | 1 << 15] * (NODES - 1)
            self.slots.append(at)

    def _decide(self, bit: int, node: int, one: int) -> None:
        contexts = len(self.slots)
        width = 2 * CLASSES
        dot, told = 0, []
        for i, slot in enumerate(self.slots):
            cell = self.table[slot + node]
            n, slow, fast = cell & 15, cell >> 16, cell >> 4 & 4095
            if n:
                place = i * width + int(CLASS[n * 64 + (slow >> 10)])
                for at, logit in ((place, int(STRETCH[slow >> 4])), (place + CLASSES, int(STRETCH[fast]))):
                    told.append((at, logit))
                    dot += logit * (
                        self.weights[one * contexts * width + at] + self.chosen[self.two * contexts * width + at]
                    )
        logit = min(max(dot >> 16, -LIMIT), LIMIT)
        mixed = int(SQUASH[logit + LIMIT])
        place, share = divmod(logit + LIMIT + 1, APM_STEP)
        left = one * APM_BINS + place
        refined = (self.apm[left] * (APM_STEP - share) + self.apm[left + 1] * share) // APM_STEP
        self.arithmetic.code(bit, min(max(mixed + refined >> 1, 1), 65535))

        rate = FINAL_RATE + (STARTING_RATE - FINAL_RATE) * 256 // (256 + self.steps)
        self.steps += 1
        self.arithmetic.clock = self.arithmetic.clock * 1664525 + 1013904223 & WORD
        for at, logit in told:
            move = logit * ((bit << 16) - mixed) * rate + (1 << 23) >> 24
            self.weights[one * contexts * width + at] += move
            self.chosen[self.two * contexts * width + at] += move
        goal = 65535 if bit else 0
        for slot in self.slots:
            cell = self.table[slot + node]
            n, slow, fast = cell & 15, cell >> 16, cell >> 4 & 4095
            slow += (goal - slow) * int(SLOW_RATE[n]) >> 16
            fast += ((goal >> 4) - fast) * int(FAST_RATE[n]) >> 16
            n += int(n < COUNTS - 1 and (self.arithmetic.clock >> 16) & int(STEP_MASK[n]) == 0)
            self.table[slot + node] = slow << 16 | fast << 4 | n
        near = left + int(2 * share >= APM_STEP)
        self.apm[near] += goal - self.apm[near] >> 6


class _Column(Decisions):
    """One column being coded: counters, weights and what was seen."""

    def __init__(self, plan: MixingPlan, model: ColumnModel, known: Known, arithmetic: Arithmetic) -> None:
        super().__init__(arithmetic, known.rows, len(model.contexts), plan.levels[model.column])
        self.model, self.levels, self.size = model, plan.levels[model.column], plan.sizes[model.column]
        self.inputs = column_inputs(model, known)
        self.energy, self.last = 0, 0
        self.codes: list[int] = []
        self.values: list[int] = []
        self.errors: list[int] = []
        self.runs: list[list[int]] = [[] for _ in self.inputs.refs]

    def code(self, codes: list[int]) -> None:
        """Code the whole column."""
        special = any(code >= self.levels for code in codes)
        self.arithmetic.code(int(special), 32768)
        for row, code in enumerate(codes):
            guess = self._guess(row) if self.model.guided else 0
            known = [self._feature(int(op), int(a), row, guess) for op, a in self.inputs.features]
            self.hashes = []
            for context in self.inputs.contexts:
                h = 0
                for place in context:
                    h = mix(h, known[place] + 1) if place >= 0 else h
                self.hashes.append(h)
            if self.inputs.selector >= 0:
                self.two = known[self.inputs.selector] & SELECTED - 1
            middle = guess + 2048 >> 12
            rare = code >= self.levels
            if special:
                self._special(code)
            if not rare and self.inputs.again >= 0 and self._again(row, code):
                pass
            elif not rare and self.levels > 1:
                if self.model.residual and self.bits >= WIDE_BITS:
                    self._far(code - middle)
                elif self.model.residual:
                    self._error(code - middle)
                else:
                    self.value(code)
            self._seen(row, code, middle, rare)

    def _guess(self, row: int) -> int:
        guess = int(self.inputs.base[row])
        for reference, weight in self.inputs.taps:
            back = int(self.inputs.refs[reference, row])
            guess += int(weight) * (self.values[back] if back >= 0 else self.last)
        guess = (guess + 2**63) % 2**64 - 2**63
        return min(max(guess, 0), self.levels - 1 << 12)

    def _feature(self, op: int, a: int, row: int, guess: int) -> int:
        if op < 0:
            return int(self.inputs.statics[a, row])
        if op == GUESS:
            return guess + 2048 >> 12 + a
        if op == ENERGY:
            return min(magnitude(self.energy >> 2), 15)
        if op == FRACTION:
            return guess + 2048 >> 10 & 3
        back = int(self.inputs.refs[a, row])
        if back < 0:
            return -1
        if op == OWN:
            return self.codes[back]
        if op == COARSE:
            code = self.codes[back]
            return code * 40 // self.levels if code < self.levels else code + 64
        if op == AGAINST:
            return magnitude(self.values[back] - (guess + 2048 >> 12))
        if op == RESIDUAL:
            return magnitude(self.errors[back])
        return self.runs[a][back]

    def _seen(self, row: int, code: int, middle: int, rare: bool) -> None:
        self.codes.append(code)
        self.last = self.last if rare else code
        self.values.append(self.last)
        self.errors.append(self.last - middle)
        self.energy += abs(self.errors[-1]) * 16 - self.energy >> 3
        for a, rows in enumerate(self.inputs.refs):
            back = int(rows[row])
            again = back >= 0 and self.codes[back] == code
            self.runs[a].append(min(self.runs[a][back] + 1, 7) if again else 0)

    # --- cells as decisions ------------------------------------------------------------------------

    def _special(self, code: int) -> None:
        self._find(1 << 20)
        self._decide(int(code >= self.levels), 1, 32)
        if code >= self.levels:
            for at in range(self.size - self.levels - 1):
                more = code - self.levels > at
                self._decide(int(more), 2 + at, 33)
                if not more:
                    break

    def _error(self, error: int) -> None:
        self._find(1)
        self._decide(int(error != 0), 1, 1)
        if error == 0:
            return
        sign, size = int(error < 0), abs(error)
        self._decide(sign, 2, 2)
        exponent = 0
        while exponent < self.bits:
            more = int(size >> exponent + 1 > 0)
            if exponent == 6:
                self._find((1 << 21) + sign)
            if exponent < 6:
                self._decide(more, 3 + 6 * sign + exponent, 3 + 6 * sign + exponent)
            else:
                self._decide(more, min(exponent - 5, 15), 15 + min(exponent - 5, 8))
            if not more:
                break
            exponent += 1
        if exponent:
            self._find(2 + 2 * exponent + sign)
        found = 1
        for depth in range(exponent):
            bit = size >> exponent - 1 - depth & 1
            self._decide(bit, found if depth < 3 else 5 + min(depth, 10), 24 + min(depth, 7))
            found = 2 * found + bit

    def _again(self, row: int, code: int) -> bool:
        back = int(self.inputs.refs[self.inputs.again, row])
        if back < 0 or self.codes[back] >= self.levels:
            return False
        self._find(1 << 22)
        self._decide(int(self.codes[back] == code), 1, 34)
        return self.codes[back] == code

    def _far(self, error: int) -> None:
        size, sign = abs(error), int(error < 0)
        length = size.bit_length()
        high, low = length >> 3, length & 7
        self._find(1 << 23)
        for depth in range(3):
            self._decide(high >> 2 - depth & 1, 1 << depth | high >> 3 - depth, 1 + depth)
        self._find((1 << 23) + 8 + high)
        for depth in range(3):
            self._decide(low >> 2 - depth & 1, 1 << depth | low >> 3 - depth, 4 + high)
        if not length:
            return
        self._find((1 << 23) + 64 + length)
        self._decide(sign, 1, 12)
        for depth in range(length - 1):
            bit = size >> length - 2 - depth & 1
            if depth >= TOLD_BITS:
                self.arithmetic.code(bit, 32768)
                continue
            first = size >> length - 2 & 1
            node = (2 + sign, 4 + 2 * first + sign)[depth] if depth < 2 else min(6 + depth, 15)
            self._decide(bit, node, 13 + min(depth, 11))
