"""The network's weights and its context groups [B7, B8]."""

import json
import zlib

import numpy as np

WORD = 2**32 - 1


class Arithmetic:
    """The binary arithmetic decoder."""

    def __init__(self, data):
        self.low, self.high, self.data, self.at = 0, WORD, data, 4
        self.point = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def decide(self, p):
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.point <= middle)
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & WORD, self.high << 8 & WORD | 255
            self.point = self.point << 8 & WORD | int.from_bytes(self.data[self.at : self.at + 1], "big")
            self.at += 1
        return bit


class Weights(Arithmetic):
    """A network's tensors, by name."""

    def __init__(self, data):
        size = 4 + int.from_bytes(data[:4], "little")
        super().__init__(data[size:])
        self.nodes, self.tensors = {}, {}
        for name, _, shape in json.loads(zlib.decompress(data[4:size])):
            self.tensors[name] = np.array([*self.rows(shape)], np.int64).reshape(shape)
        assert self.at - 3 == len(self.data)

    def bit(self, *node):
        p, n = self.nodes.get(node, (32768, 0))
        bit = self.decide(p)
        p += (65536 * bit - p) * (2**17 // (2 * n + 3)) >> 16
        self.nodes[node] = min(max(p, 48), 65488), min(n + 1, 79)
        return bit

    def rows(self, shape):
        columns = max(shape[-1], 1)
        above, above2, mean, overall = [0] * columns, [0] * columns, [1024] * columns, 1024
        for row in range(int(np.prod(shape)) // columns):
            total, line = 0, []
            for j in range(columns):
                expected = (2 * overall + 256 * total) // (2 + j) * mean[j] // max(overall, 16)
                context, length, size = min(max(expected.bit_length() - 1, 0), 23), 0, 0
                while self.bit("length", context, length):
                    length += 1
                lean = 2 * above[j] + above2[j]
                negative = length and self.bit("sign", min(abs(lean).bit_length(), 6), lean < 0, min(length, 4))
                for k in range(length):
                    bit = k == 0 or (self.bit(context, length, size) if size < 4 else self.decide(32768))
                    size = 2 * size + bit
                line.append(-size if negative else size)
                total += size
                mean[j] += (256 * size - mean[j]) >> (1 if row == 0 else 2)
            overall += (256 * total // columns - overall) >> (1 if row < 2 else 3)
            above, above2 = line, above
            yield line


class Rans:
    """A rANS stream."""

    def __init__(self, data):
        words = np.frombuffer(data[:8], "<u8").tolist() + np.frombuffer(data[8:], "<u4").tolist() or [2**31]
        self.state, self.words = words[0], words[:0:-1]

    def symbol(self, logits):
        t = np.minimum(logits.max() - logits, 2**22 - 1) * 369 >> 7
        f = t & 1023
        e = 32768 - (f * (22007 - (f * 5623 >> 10)) >> 10) >> np.minimum(t >> 10, 31)
        part = (65536 - len(e) << 15) // int(e.sum())
        cum = [*(np.arange(len(e)) + ((np.cumsum(e) - e) * part >> 15)).tolist(), 65536]
        slot = self.state % 2**16
        x = int(np.searchsorted(cum, slot, "right")) - 1
        self.state = (cum[x + 1] - cum[x]) * (self.state >> 16) + slot - cum[x]
        if self.state < 2**31:
            self.state = self.state << 32 | self.words.pop()
        return x


class Candidate:
    """A copy candidate: what stood at the last row with the same key."""

    def __init__(self, key, boost, gate, rows):
        self.key, self.boost, self.gate, self.table = key, boost, gate, {}
        self.bits = min(max((2 * rows - 1).bit_length(), 4), 17)

    def look(self, row):
        g = sum(int(row[k]) << 16 * i for i, k in enumerate(self.key)) * 0x9E3779B97F4A7C15 % 2**64
        place = (g ^ g >> 32) * 0xD6E8FEB86659FD93 % 2**64
        self.index, self.check = place >> (64 - self.bits), (place >> 8) % 2**16
        stored, self.value, self.kind = self.table.get(self.index, (self.check, 0, 0))
        self.kind *= stored == self.check
        return self.kind

    def learn(self, x):
        again = 3 if self.kind < 3 else min(self.kind + 1, 8)
        kind = 2 if self.kind == 0 else again if self.value == x else 1
        self.table[self.index] = self.check, x, kind


def decode_group(group, t, data, symbols):
    """Fills in the coded positions of symbols (rows, positions) from a stream and the group's tensors."""
    stream, sizes, (c0, b0), layers, end = Rans(data), group.alphabets, t["start"], {}, 0
    coded, starts = [p for p in range(len(sizes)) if p not in group.given], np.cumsum([0, *sizes])
    for p, w, bw in zip(coded, t["W"].reshape(len(coded), len(c0), -1), t["bw"], strict=True):
        start, end = end, end + sizes[p]
        layers[p] = w, 16 * bw + 16, t["V"][start:end], 16 * t["bv"][start:end], []
    for (p, *key), boost, gate in zip(group.candidates, t["boost"], t["gate"], strict=True):
        layers[p][-1].append(Candidate(key, boost, gate, len(symbols)))
    u = c0
    for row in symbols:
        s, u = b0 + (u.clip(0, 255) @ t["M"] + 16 >> 5), c0
        for p, size in enumerate(sizes):
            if p in layers and size > 1:
                w, bw, v, bv, candidates = layers[p]
                h = (s.clip(-32768, 32767) @ w + bw >> 5).clip(0, 255)
                logits = v @ h + bv
                for one in candidates:
                    if one.look(row):
                        logits[one.value] += one.boost[one.kind - 1] + one.gate @ h
                row[p] = stream.symbol(logits)
                for one in candidates:
                    one.learn(int(row[p]))
            s, u = s + t["T"][starts[p] + row[p]], u + t["T"][starts[p] + row[p]]
    assert (stream.state, stream.words) == (2**31, [])
