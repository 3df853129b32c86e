"""Adaptive mixing [B11]."""

import numpy as np

from .network import WORD, Arithmetic

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


def coarse(code, levels, special):
    return code * 40 // levels if code < levels else special + 64


class Mixing(Arithmetic):
    """Fills in the codes (lists, by the column's number) of the columns under mixing."""

    def __init__(self, plan, data, codes, rows):
        super().__init__(data)
        self.plan, self.codes, self.rows, self.clock = plan, codes, rows, 0
        self.shapes = [(plan.varint(), plan.varint()) for _ in range(plan.varint())]
        for _ in range(plan.varint()):
            self.model()

    def many(self, read):
        return [read() for _ in range(self.plan.varint())]

    def named(self, reference):
        """The row that a reference names, for every row; -1 for none."""
        last, found = {}, []
        for row in range(self.rows):
            key = tuple(self.codes[c][row] for c in reference if c >= 0)
            found.append(row if not reference else row + reference[0] if reference[0] < 0 else last.get(key, -1))
            last[key] = row
        return [max(back, -1) for back in found]

    def numbers(self, column, there):
        """The numbers of a known column at the rows named."""
        found, last = [], 0
        for code in self.codes[column]:
            last = code if code < self.shapes[column][0] else last
            found.append(last)
        return [found[back] if back >= 0 else found[row - 1] if row else 0 for row, back in enumerate(there)]

    def known(self, kind, c, there):
        """A feature of a known column, for every row."""
        codes, levels = self.codes[c], max(self.shapes[c][0], 1)
        if kind == 10:
            return [magnitude(code - codes[back]) if back >= 0 else 99 for code, back in zip(codes, there, strict=True)]
        return [coarse(code, levels, code - levels) for code in codes] if kind == 9 else codes

    def model(self):
        """Reads one model of the plan, then decodes its column."""
        varint, folded, many = self.plan.varint, self.plan.folded, self.many
        me, mode = varint(), varint()
        named = [self.named(reference) for reference in many(lambda: many(folded))]
        features = many(lambda: (varint(), varint(), varint()))
        contexts, selector = many(lambda: many(varint)), varint() - 1
        again = named[varint()] if mode & 4 else [-1] * self.rows
        constant, taps = folded() if mode & 2 else 0, []
        if mode & 2:
            taps = many(lambda: (varint(), named[varint()], folded()))
        base = [constant] * self.rows
        for column, there, weight in taps:
            if column != me:
                base = [b + weight * number for b, number in zip(base, self.numbers(column, there), strict=True)]
        own = [(there, weight) for column, there, weight in taps if column == me]
        known = {f: self.known(kind, c, named[r]) for f, (kind, c, r) in enumerate(features) if kind > 7}

        (self.levels, specials), last = self.shapes[me], 0
        guided = mode & 3 == 3 or taps
        self.start(len(contexts))
        special, runs = self.decide(32768), [[] for _ in named]
        for row in range(self.rows):
            guess = min(max(base[row], -(2**60)), 2**60)
            guess += sum(w * (self.number[there[row]] if there[row] >= 0 else last) for there, w in own)
            guess = min(max(guess, 0), self.levels - 1 << 12) if guided else 0
            middle, there = guess + 2048 >> 12, again[row]
            seen = [
                known[f][row] if f in known else self.feature(kind, c, named[r][row], guess, runs[r])
                for f, (kind, c, r) in enumerate(features)
            ]
            self.hashes = [0] * len(contexts)
            for i, context in enumerate(contexts):
                for f in context:
                    self.hashes[i] = mix(self.hashes[i], seen[f] + 1)
            self.two = seen[selector] % 16 if selector >= 0 else 0
            x = self.special(specials) if special else -1
            if x < 0 and there >= 0 and self.x[there] < self.levels:
                self.group(2**22)
                x = self.x[there] if self.bit(1, 34) else x
            if x < 0:
                x = 0 if self.levels < 2 else middle + self.residual() if mode & 3 == 3 else self.value()
                x = min(max(x, 0), self.levels - 1)
            last = x if x < self.levels else last
            self.x.append(x)
            self.number.append(last)
            self.error.append(last - middle)
            self.energy += 16 * abs(last - middle) - self.energy >> 3
            for run, places in zip(runs, named, strict=True):
                there = places[row]
                run.append(min(run[there] + 1, 7) if 0 <= there < row and self.x[there] == x else 0)
        self.codes[me] = self.x

    def start(self, n):
        """Tables made anew, for n contexts."""
        self.bits, self.steps, self.energy, size = max(self.levels - 1, 0).bit_length(), 0, 0, 256
        self.x, self.number, self.error = [], [], []
        while size < min(self.rows * n, 2**19):
            size *= 2
        self.buckets = [[0, *[(0, 0, 0)] * 15] for _ in range(size)]
        first = [1024 * V[k // 2] for k in range(14)]
        halves = [[v * 5 // (2 * (n + 2)) for v in first], [v // (4 * (n + 2)) for v in first]]
        self.weights = [[[half.copy() for half in halves] for _ in range(n)] for _ in range(48)]
        self.chosen = [[[[0] * 14, [0] * 14] for _ in range(n)] for _ in range(16)]
        self.apm = [[SQUASH[min(176 * k, 5630)] for k in range(33)] for _ in range(48)]

    def feature(self, kind, c, there, guess, run):
        """One that looks at the column itself."""
        if kind == 2:
            return guess + 2048 >> 12 + c
        if kind == 5:
            return min(magnitude(self.energy >> 2), 15)
        if kind == 6:
            return (guess + 2048 >> 10) % 4
        if there < 0 or kind == 7:
            return run[there] if there >= 0 else -1
        if kind < 2:
            return coarse(self.x[there], self.levels, self.x[there]) if kind else self.x[there]
        return magnitude(self.error[there] if kind == 4 else self.number[there] - (guess + 2048 >> 12))

    def special(self, specials):
        self.group(2**20)
        if not self.bit(1, 32):
            return -1
        at = 0
        while at < specials - 1 and self.bit(2 + at, 33):
            at += 1
        return self.levels + at

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
