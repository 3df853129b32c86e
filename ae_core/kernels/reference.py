"""The definition of the integer network: slow, obvious, in 64-bit numpy and Python integers.

    previous row --T--> u --M--> base --+--> s --W_j--> h_j --V_j--> logits --> frequencies of x_j
                                        |         copy candidates ---^                |
                                        +<----------------- T[x_j] -------------------+

Per row:  u = c0 + sum over all positions of T[x of the previous row]          (c0 alone in a block's first row)
          s = b0 + ((clamp(u, 0, 255) @ M + 16) >> 5)
for each position j in order, where it is coded and its alphabet has more than one symbol:
          h = clamp((clamp(s, -32768, 32767) @ W_j + 16 * bw_j + 16) >> 5, 0, 255)
          l = h @ V_j + 16 * bv_j
          for each candidate with class c > 0 and value v:  l[v] += boost[c] + ((gate . h) >> GATE_SHIFT)
          code x_j with `frequencies.cumulative(l)`
and for every position, coded or given:  s += T[x_j].

`>>` rounds towards minus infinity. A coded position with one symbol costs nothing and moves no state but T.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ae_core.kernels.frequencies import cumulative
from ae_core.kernels.frozen import GATE_SHIFT, Candidate, FrozenEncoder, FrozenGroup, FrozenPreview, first_rows

Choose = Callable[[int, int, np.ndarray], int]
"""(row, position, cumulative frequencies) -> the symbol: looked up when encoding, decoded when decoding."""


class CopyTable:
    """One candidate's table in one block; `copying.py` words the rules."""

    def __init__(self, candidate: Candidate, rows: int) -> None:
        self.candidate = candidate
        self.bits = next(b for b in range(4, 18) if b == 17 or (1 << b) >= 2 * rows)
        self.entries: dict[int, tuple[int, int, int]] = {}

    def _place(self, row: np.ndarray) -> tuple[int, int]:
        word = sum(int(row[k]) << (16 * i) for i, k in enumerate(self.candidate.key))
        g = word * 0x9E3779B97F4A7C15 % 2**64
        hashed = (g ^ (g >> 32)) * 0xD6E8FEB86659FD93 % 2**64
        return hashed >> (64 - self.bits), (hashed >> 8) % 2**16

    def look_up(self, row: np.ndarray) -> tuple[int, int]:
        """Value and class for this row's key."""
        index, check = self._place(row)
        stored, value, kind = self.entries.get(index, (check, 0, 0))
        return (value, kind) if stored == check else (0, 0)

    def update(self, row: np.ndarray, symbol: int) -> None:
        """Takes in the symbol that was coded."""
        value, kind = self.look_up(row)
        if kind == 0:
            kind = 2
        elif value != symbol:
            kind = 1
        else:
            kind = 3 if kind < 3 else min(kind + 1, 8)
        index, check = self._place(row)
        self.entries[index] = (check, symbol, kind)


def logits(group: FrozenGroup, j: int, s: np.ndarray, named: list[tuple[Candidate, int, int]]) -> np.ndarray:
    """Logits of the j-th coded position; `named` has each candidate with its value and class."""
    a = np.clip(s, -32768, 32767)
    h = np.clip((a @ group.W[j].astype(np.int64) + 16 * group.bw[j].astype(np.int64) + 16) >> 5, 0, 255)
    out = h @ group.V[j].astype(np.int64) + 16 * group.bv[j].astype(np.int64)
    for candidate, value, kind in named:
        if kind > 0:
            out[value] += int(candidate.boost[kind]) + (int(h @ candidate.gate.astype(np.int64)) >> GATE_SHIFT)
    return out


def walk(group: FrozenGroup, symbols: np.ndarray, choose: Choose) -> None:
    """Goes over a block in coding order and writes the chosen symbols of coded positions into `symbols`."""
    table = group.T.astype(np.int64)
    first = first_rows(group.alphabets)
    copies = [CopyTable(candidate, len(symbols)) for candidate in group.candidates]
    layer = {position: j for j, position in enumerate(group.coded_positions)}
    u = group.c0.astype(np.int64)
    for r, row in enumerate(symbols):
        s = group.b0 + ((np.clip(u, 0, 255) @ group.M.astype(np.int64) + 16) >> 5)
        u = group.c0.astype(np.int64)
        for position, size in enumerate(group.alphabets):
            mine = [copy for copy in copies if copy.candidate.position == position]
            if group.coded[position] and size == 1:
                row[position] = 0
            elif group.coded[position]:
                named = [(copy.candidate, *copy.look_up(row)) for copy in mine]
                row[position] = choose(r, position, cumulative(logits(group, layer[position], s, named)))
            for copy in mine:
                copy.update(row, int(row[position]))
            added = table[first[position] + int(row[position])]
            s = s + added
            u = u + added


def intervals(group: FrozenGroup, symbols: np.ndarray) -> list[tuple[int, int]]:
    """(first slot, frequency) of every network-coded symbol of a block, in coding order."""
    found: list[tuple[int, int]] = []

    def choose(row: int, position: int, cum: np.ndarray) -> int:
        x = int(symbols[row, position])
        found.append((int(cum[x]), int(cum[x + 1] - cum[x])))
        return x

    walk(group, symbols.copy(), choose)
    return found


def preview_codes(preview: FrozenPreview, z: np.ndarray) -> np.ndarray:
    """Approximate codes of every column, int32 (rows, columns); `PreviewHead` words the rules."""
    first = first_rows(preview.levels)
    hidden = preview.b + preview.P.astype(np.int64)[first[:-1] + z].sum(axis=1)
    out = np.clip(hidden, 0, 255) @ preview.V.astype(np.int64) + 16 * preview.bv.astype(np.int64)
    codes = np.zeros((len(z), len(preview.heads)), np.int32)
    for r, row in enumerate(out):
        at = 0
        for c, head in enumerate(preview.heads):
            mine, at = row[at : at + head.outputs], at + head.outputs
            if head.ordinal:
                y = min(max(int(mine[0]), 0), 2**13)
                codes[r, c] = (y * (head.levels - 1) + 2**12) >> 13
                if head.specials and mine[1:].max() > 0:
                    codes[r, c] = head.levels + int(mine[1:].argmax())
                continue
            high = head.radices[0] + head.specials
            code, start = int(mine[:high].argmax()), high
            if code >= head.radices[0]:
                codes[r, c] = head.levels + code - head.radices[0]
                continue
            for radix in head.radices[1:]:
                code, start = code * radix + int(mine[start : start + radix].argmax()), start + radix
            codes[r, c] = min(code, head.levels - 1)
    return codes


def encode_latents(encoder: FrozenEncoder, symbols: np.ndarray) -> np.ndarray:
    """Latents of every row, uint16 (rows, d)."""
    first = first_rows(encoder.alphabets)
    total = encoder.bias + encoder.E.astype(np.int64)[first[:-1] + symbols].sum(axis=1)
    return np.clip((total + 8) >> 4, 0, np.array(encoder.levels) - 1).astype(np.uint16)
