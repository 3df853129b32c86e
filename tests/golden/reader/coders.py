"""What decodes symbols: arithmetic coder and weights [B7], context groups [B8], mixing [B11], texts [B13]."""

import json
import math
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


def weights(data):
    """The network's tensors, by name."""
    head = 4 + int.from_bytes(data[:4], "little")
    code, nodes, tensors = Arithmetic(data[head:]), {}, {}

    def bit(*node):
        p, n = nodes.get(node, (32768, 0))
        found = code.decide(p)
        p += (65536 * found - p) * (2**17 // (2 * n + 3)) >> 16
        nodes[node] = min(max(p, 48), 65488), min(n + 1, 79)
        return found

    for name, _, shape in json.loads(zlib.decompress(data[4:head])):
        columns = max(shape[-1], 1)
        lines, mean, overall = [[0] * columns, [0] * columns], [1024] * columns, 1024
        for row in range(math.prod(shape) // columns):
            total, line = 0, []
            for j in range(columns):
                expected = (2 * overall + 256 * total) // (2 + j) * mean[j] // max(overall, 16)
                context, length, size = min(max(expected.bit_length() - 1, 0), 23), 0, 0
                while bit("length", context, length):
                    length += 1
                lean = 2 * lines[-1][j] + lines[-2][j]
                negative = length and bit("sign", min(abs(lean).bit_length(), 6), lean < 0, min(length, 4))
                for k in range(length):
                    size = 2 * size + (k == 0 or (bit(context, length, size) if size < 4 else code.decide(32768)))
                line.append(-size if negative else size)
                total += size
                mean[j] += 256 * size - mean[j] >> (1 if row == 0 else 2)
            overall += 256 * total // columns - overall >> (1 if row < 2 else 3)
            lines.append(line)
        tensors[name] = np.array(lines[2:], np.int64).reshape(shape)
    assert code.at - 3 == len(code.data)
    return tensors


class Rans:
    """A rANS stream."""

    def __init__(self, data):
        words = np.frombuffer(data[:8], "<u8").tolist() + np.frombuffer(data[8:], "<u4").tolist() or [2**31]
        self.state, self.words = words[0], words[:0:-1]

    def symbol(self, logits):
        t = np.minimum(logits.max() - logits, 2**22 - 1) * 369 >> 7
        f = t & 1023
        e = 32768 - (f * (22007 - (f * 5623 >> 10)) >> 10) >> np.minimum(t >> 10, 31)
        share = np.cumsum([0, *e]) * ((65536 - len(e) << 15) // int(e.sum())) >> 15
        cum = [*(np.arange(len(e)) + share[:-1]).tolist(), 65536]
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
        self.table[self.index] = self.check, x, 2 if self.kind == 0 else again if self.value == x else 1


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


SEEN = 0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 24, 36, 56, 90, 150, 250
SLOW = [655360 // (10 * seen + 16) for seen in SEEN]
FAST = [max(rate, 3034) for rate in SLOW]
MASK = 0, 0, 0, 0, 0, 0, 1, 1, 3, 7, 7, 15, 31, 31, 63, 0
A = 0, 1, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6
V = 0, 7, 11, 13, 15, 17, 19


def classes(n):
    p = 32768
    for k in range(SEEN[n]):
        p += (65535 - p) * (655360 // (10 * k + 16)) >> 16
    return [2 * A[n] + (n > 0 and (q >= p >> 10 or q <= 63 - (p >> 10))) for q in range(64)]


def squash():
    unit = term = 2**64
    for k in range(1, 20):
        term //= 256 * k
        unit += term
    powers = [2**64]
    for _ in range(2815):
        powers.append(powers[-1] * unit >> 64)
    upper = [(power << 16) // (power + 2**64) for power in powers]
    return [min(max(p, 1), 65535) for p in (*(65536 - p for p in upper[:0:-1]), *upper)]


CLASS, SQUASH = [classes(n) for n in range(16)], squash()
STRETCH = (np.searchsorted(SQUASH, np.arange(4096) * 16 + 8) - 2815).tolist()


def mix(h, value):
    h = (h ^ value & WORD) * 0x9E3779B1 & WORD
    return h ^ h >> 15


def magnitude(value):
    size, e = abs(value), abs(value).bit_length() - 1
    size = 2 * e + (size >> e - 1 & 1) if size > 2 else size
    return size if value >= 0 else -size


def signed(value):
    return (value + 2**63) % 2**64 - 2**63


class Mixing(Arithmetic):
    """Fills in the codes (lists, by the column's number) of the columns under mixing."""

    def __init__(self, plan, data, codes, rows):
        super().__init__(data)
        self.codes, self.rows, self.clock = codes, rows, 0
        self.shapes = [(plan.varint(), plan.varint()) for _ in range(plan.varint())]
        self.numbers = {c: [] for c in range(len(self.shapes))}
        for c in codes:
            for code in codes[c]:
                self.number(c, code)
        for _ in range(plan.varint()):
            self.model(plan)

    def number(self, c, code):
        """Adds the number of a column's next row."""
        before = self.numbers[c][-1] if self.numbers[c] else 0
        self.numbers[c].append(code if code < self.shapes[c][0] else before)

    def named(self, reference):
        """The row that a reference names, for every row; -1 for none."""
        last, found = {}, []
        for row in range(self.rows):
            key = tuple(self.codes[c][row] for c in reference if c >= 0)
            found.append(row if not reference else row + reference[0] if reference[0] < 0 else last.get(key, -1))
            last[key] = row
        return [max(back, -1) for back in found]

    def model(self, plan):
        """Reads one model of the plan, then decodes its column."""
        varint, folded = plan.varint, plan.folded
        me, mode = varint(), varint()
        named = [self.named([folded() for _ in range(varint())]) for _ in range(varint())]
        features = [(varint(), varint(), varint()) for _ in range(varint())]
        contexts, selector = [[varint() for _ in range(varint())] for _ in range(varint())], varint() - 1
        again = named[varint()] if mode & 4 else [-1] * self.rows
        constant = folded() if mode & 2 else 0
        taps = [(varint(), named[varint()], folded()) for _ in range(varint())] if mode & 2 else []
        (self.levels, specials), runs, error, energy = self.shapes[me], [[] for _ in named], [], 0
        x, numbers, guided = self.codes.setdefault(me, []), self.numbers[me], mode & 3 == 3 or taps
        self.start(len(contexts))
        special = self.decide(32768)

        def tapped(row, own):
            """The sum of the taps of the column itself, or of the others."""
            rows = [(c, there[row] if there[row] >= 0 else row - 1, w) for c, there, w in taps if (c == me) == own]
            return sum(w * self.numbers[c][there] for c, there, w in rows if there >= 0)

        def feature(row, kind, c, r):
            there, number = named[r][row], x if kind < 2 else self.codes.get(c, x)
            if kind in (2, 6):
                return guess >> 12 + c if kind == 2 else guess >> 10 & 3
            if kind == 5:
                return min(magnitude(energy >> 2), 15)
            if there < 0:
                return 99 if kind == 10 else -1
            if kind == 7:
                return runs[r][there]
            if kind in (3, 4):
                return magnitude(error[there] if kind == 4 else numbers[there] - middle)
            if kind == 10:
                return magnitude(number[row] - number[there])
            levels, code = self.levels if kind < 2 else self.shapes[c][0], number[there]
            odd = code + 64 if kind == 1 else code - levels + 64
            return code if kind in (0, 8) else code * 40 // max(levels, 1) if code < levels else odd

        for row in range(self.rows):
            guess = signed(min(max(signed(constant + tapped(row, False)), -(2**60)), 2**60) + tapped(row, True))
            guess = (min(max(guess, 0), self.levels - 1 << 12) if guided else 0) + 2048
            middle, there, code = guess >> 12, again[row], -1
            seen = [feature(row, *one) for one in features]
            self.hashes = [0] * len(contexts)
            for i, context in enumerate(contexts):
                for f in context:
                    self.hashes[i] = mix(self.hashes[i], seen[f] + 1)
            self.two = seen[selector] % 16 if selector >= 0 else 0
            if special and self.group(2**20) and self.bit(1, 32):
                code = self.levels
                while code < self.levels + specials - 1 and self.bit(2 + code - self.levels, 33):
                    code += 1
            elif there >= 0 and x[there] < self.levels and self.group(2**22) and self.bit(1, 34):
                code = x[there]
            elif self.levels < 2:
                code = 0
            else:
                code = middle + self.residual() if mode & 3 == 3 else self.value()
                code = min(max(code, 0), self.levels - 1)
            x.append(code)
            self.number(me, code)
            error.append(numbers[-1] - middle)
            energy += 16 * abs(error[-1]) - energy >> 3
            for run, places in zip(runs, named, strict=True):
                there = places[row]
                run.append(min(run[there] + 1, 7) if 0 <= there < row and x[there] == code else 0)

    def start(self, n):
        """Tables made anew, for n contexts."""
        self.bits, self.steps, size = max(self.levels - 1, 0).bit_length(), 0, 256
        while size < min(self.rows * n, 2**19):
            size *= 2
        self.buckets = [[0, *[(0, 0, 0)] * 15] for _ in range(size)]
        first = [1024 * V[k // 2] for k in range(14)]
        halves = [[v * 5 // (2 * (n + 2)) for v in first], [v // (4 * (n + 2)) for v in first]]
        self.weights = [[[half.copy() for half in halves] for _ in range(n)] for _ in range(48)]
        self.chosen = [[[[0] * 14, [0] * 14] for _ in range(n)] for _ in range(16)]
        self.apm = [[SQUASH[min(176 * k, 5630)] for k in range(33)] for _ in range(48)]

    def value(self):
        done, prefix = 0, 1
        while done < self.bits:
            n, node = 4 if done else (self.bits - 1) % 4 + 1, 1
            self.group(prefix)
            for k in range(n):
                node = 2 * node + self.bit(node, min(16 + done + k, 31) if done else node)
            prefix, done = (prefix << n) + node - 2**n, done + n
        return prefix - 2**self.bits

    def residual(self):
        if self.bits >= 17:
            return self.wide_residual()
        self.group(1)
        if not self.bit(1, 1):
            return 0
        sign, e, m, more = self.bit(2, 2), 0, 1, 1
        while e < self.bits and more:
            if e == 6:
                self.group(2**21 + sign)
            k = 3 + 6 * sign + e
            more = self.bit(k, k) if e < 6 else self.bit(min(e - 5, 15), 15 + min(e - 5, 8))
            e += more
        if e:
            self.group(2 + 2 * e + sign)
        for k in range(e):
            m = 2 * m + self.bit(m if k < 3 else 5 + min(k, 10), 24 + min(k, 7))
        return -m if sign else m

    def wide_residual(self):
        high = low = 1
        self.group(2**23)
        for k in range(3):
            high = 2 * high + self.bit(high, 1 + k)
        self.group(2**23 + high)
        for _ in range(3):
            low = 2 * low + self.bit(low, high - 4)
        e = 8 * (high - 8) + low - 8
        if e == 0:
            return 0
        self.group(2**23 + 64 + e)
        sign, m = self.bit(1, 12), 1
        for k in range(e - 1):
            node = (2 + sign, 4 + 2 * (m % 2) + sign)[k] if k < 2 else min(6 + k, 15)
            m = 2 * m + (self.bit(node, 13 + min(k, 11)) if k < 12 else self.decide(32768))
        return -m if sign else m

    def group(self, g):
        self.found = []
        for i, context in enumerate(self.hashes):
            h = mix(mix(context, g), i + 1)
            check, place = (h >> 8) + 2**24, (h * 0x85EBCA6B & WORD) >> 7 & len(self.buckets) - 1
            a, b = self.buckets[place], self.buckets[place ^ 1]
            bucket = a if a[0] == check else b if b[0] == check or a[1][2] > b[1][2] else a
            if bucket[0] != check:
                bucket[:] = [check, *[(32768, 2048, 0)] * 15]
            self.found.append(bucket)
        return True

    def bit(self, node, one):
        dot, told, apm = 0, [], self.apm[one]
        for bucket, weights, chosen in zip(self.found, self.weights[one], self.chosen[self.two], strict=True):
            slow, fast, n = bucket[node]
            if n:
                k = CLASS[n][slow >> 10]
                for w, v, logit in zip(weights, chosen, (STRETCH[slow >> 4], STRETCH[fast]), strict=True):
                    dot += logit * (w[k] + v[k])
                    told.append((w, v, k, logit))
        logit = min(max(dot >> 16, -2815), 2815)
        mixed, (t, share) = SQUASH[logit + 2815], divmod(logit + 2816, 176)
        refined = (apm[t] * (176 - share) + apm[t + 1] * share) // 176
        bit = self.decide(min(max(mixed + refined >> 1, 1), 65535))
        rate, goal = 72 + 568 * 256 // (256 + self.steps), 65535 * bit
        self.steps, self.clock = self.steps + 1, self.clock * 1664525 + 1013904223 & WORD
        for w, v, k, logit in told:
            move = logit * (65536 * bit - mixed) * rate + 2**23 >> 24
            w[k], v[k] = w[k] + move, v[k] + move
        for bucket in self.found:
            slow, fast, n = bucket[node]
            slow, fast = slow + ((goal - slow) * SLOW[n] >> 16), fast + (((goal >> 4) - fast) * FAST[n] >> 16)
            bucket[node] = slow, fast, n + (n < 15 and not (self.clock >> 16) & MASK[n])
        t += 2 * share >= 176
        apm[t] += goal - apm[t] >> 6
        return bit


def kind(byte):
    c = chr(byte)
    return 4 if byte > 127 else 1 if c.islower() else 2 if c.isupper() else 3 if c.isdigit() else 5 if c == " " else 6


class Text(Mixing):
    """A text of n bytes [B13]."""

    def __init__(self, data, n):
        Arithmetic.__init__(self, data[1:])
        self.rows, self.levels, self.clock, self.text = n, 256, 0, b""
        self.start(12)
        seen, start, up, word, line, shape, alike, run, match = {}, 0, -1, 0, 0, 0, 1, 0, 0
        slots = 1 << max(n - 1, 0).bit_length()
        for t in range(n):
            c, there = [*self.text[: -7 if t > 6 else None : -1], *[0] * 6][:6], up + t - start
            above = self.text[there] if up >= 0 and there < start else data[0]
            expected = self.text[match] if run else -1
            lists = (), c[:1], c[:2], c[:4], c, (above, c[0], alike), (expected, magnitude(run)), (shape, c[0])
            hashes = [hashed(*one) for one in (*lists, (min(t - start, 255), above), c[1:3])]
            self.hashes = [*hashes[:5], word, line, *hashes[5:]]
            self.two = kind(c[0]) + 8 * (run > 0)
            x = self.value()
            self.text += bytes([x])
            if x == data[0]:
                start, up, word, line, shape, alike = t + 1, start, 0, 0, 0, 1
            else:
                word = mix(word, (x | 32 if x < 128 else x) + 1) if kind(x) in (1, 2, 4) else 0
                line, shape, alike = mix(line, x + 1), (8 * shape + kind(x)) % 2**18, alike and x == above
            run, match, slot = (run + 1 if run and x == expected else 0), match + 1, hashed(x, *c[:5]) % slots
            there = seen.get(slot, 0)
            if not run and there > 5 and self.text[there - 6 : there] == self.text[t - 5 :]:
                run, match = 6, there
            seen[slot] = t + 1
        assert self.at >= len(self.data)


def hashed(*features):
    h = 0
    for feature in features:
        h = mix(h, feature + 1)
    return h
