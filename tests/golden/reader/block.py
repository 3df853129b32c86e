"""Blocks: from payloads to columns [B1, B5, B6], and to previews [B9]."""

import numpy as np
import pyarrow as pa

from .coders import Mixing, decode_group
from .columns import SPECIALS, rebuilt
from .streams import Bytes, array_of, cells_of, dtype_of, streams_of
from .vectors import Vectors, vectors_of

T = pa.types


class Block:
    """A block: `codes` by column, and its cells."""

    def __init__(self, model, latents, residuals, rows):
        self.model, self.rows, self.streams = model, rows, streams_of(residuals) | streams_of(latents)
        network, columns, self.codes = model.network, dict(enumerate(model.columns)), {}
        symbols = np.zeros((rows, sum(c.digits for c in columns.values())), np.int64)
        for i, c in columns.items():
            if c.given and not c.wide:
                self.codes[i] = self.stream(i, "given").ints(rows)
                symbols[:, c.at : c.at + c.digits] = c.symbols_of(self.codes[i])
        z = self.latents() if network else None
        for number, group in enumerate(network.groups if network else ()):
            joined = np.concatenate([z, symbols[:, group.positions]], 1)
            decode_group(group.frozen, model.tensors[f"g{number}"], self.streams[f"g{number}"], joined)
            symbols[:, group.positions] = joined[:, z.shape[1] :]
        for i, c in columns.items():
            if c.coder == "network" or (c.numbered and model.mixing):
                self.codes[i] = c.codes_of(self.array(i)) if c.numbered else c.codes_of_symbols(symbols)
        if model.mixing:
            numbered = [i for i, c in columns.items() if c.symbols]
            known = {n: self.codes[i].tolist() for n, i in enumerate(numbered) if i in self.codes}
            Mixing(Bytes(model.mixing), self.streams["mixing"], known, rows)
            self.codes |= {i: np.array(known[n], np.int64) for n, i in enumerate(numbered)}
        self.codes |= {i: self.looked_up(i) for i, c in columns.items() if c.lookup}

    def latents(self):
        network = self.model.network
        z = np.zeros((self.rows, len(network.prior.alphabets)), np.int64)
        decode_group(network.prior, self.model.tensors["z"], self.streams["z"], z)
        return z

    def stream(self, i, part):
        return Bytes(self.streams.get(f"{i}:{part}", b""))

    def looked_up(self, i):
        lookup, place, misses = self.model.columns[i].lookup, np.zeros(self.rows, np.int64), self.stream(i, "misses")
        for key, size in zip(lookup["keys"], lookup.sizes, strict=True):
            place = place * size + self.codes[key]
        codes = np.array([self.model.columns[i].table.get(p, -1) for p in place.tolist()], np.int64)
        if misses.data and misses.take(1) == b"\1":
            return misses.ints(self.rows)
        if misses.data:
            k, (gaps, found) = misses.varint(), misses.parts(2)
            codes[np.cumsum(gaps.ints(k)) - 1] = found.ints(k)
        return codes

    def array(self, i):
        """A column's cells, in the type that it is coded as."""
        c = self.model.columns[i]
        if not self.rows:
            return pa.array([], c.kind)
        if c.elements:
            return self.vectors(i, c)
        return self.summed(i, c) if c.linear else self.plain(i, c) if not c.domain or c.numbered else self.coded(i, c)

    def vectors(self, i, c):
        """[B12]"""
        valid = self.stream(i, "valid").valid(self.rows)
        elements = Elements(self, i, c.elements, int(valid.sum()), Vectors(self.model.vectors.get(i, {}), c.kind))
        return vectors_of(c.kind, valid, elements.array(i))

    def summed(self, i, c):
        rest = self.stream(i, "rest")
        if rest.take(1) == b"\0":
            return rest.cells(self.rows, c.kind)
        (valid, rest), total = rest.parts(2), np.zeros(self.rows, np.int64)
        valid = valid.valid(self.rows)
        total[valid] = rest.ints(valid.sum())
        for key, factor in zip(c.linear.inputs, c.linear.coefficients, strict=True):
            total += cells_of(self.array(key)) * np.int64(factor)
        return array_of(c.kind, total, valid)

    def plain(self, i, c):
        data = self.stream(i, "plain")
        if not c.quantiser:
            return data.cells(self.rows, c.kind)
        (state, levels, exact), cells = data.parts(3), np.zeros(self.rows, dtype_of(c.kind))
        state = state.ints(self.rows)
        cells[state == 0] = rebuilt(c.quantiser, levels.ints((state == 0).sum()))
        return self.filled(c, cells, state == 0, state == 2, exact)

    def coded(self, i, c):
        codes = self.codes[i]
        low = self.stream(i, "low").ints((codes < c.levels).sum()) if c.shift else 0
        return self.filled(c, *self.cells(c, codes, low), codes == c.size - 1, self.stream(i, "exceptions"))

    def cells(self, c, codes, low):
        """Cells of codes, and which of them there are: neither null nor escape."""
        cells, there = np.zeros(len(codes), dtype_of(c.kind)), codes < c.levels
        cells[there] = c.cells((codes[there] << c.shift) + low)
        valid = there.copy()
        for i, name in enumerate(c.specials):
            if name not in ("null", "escape"):
                cells[codes == c.levels + i] = SPECIALS[name]
                valid |= codes == c.levels + i
        return cells, valid

    def filled(self, c, cells, valid, escaped, exact):
        places = np.where(escaped, self.rows + np.cumsum(escaped) - 1, np.arange(self.rows))
        exact = exact.cells(int(escaped.sum()), c.kind)
        return pa.concat_arrays([array_of(c.kind, cells, valid), exact]).take(pa.array(places))

    def table(self):
        return self.table_of(range(len(self.model.columns)), self.model.schema)

    def table_of(self, wanted, schema):
        arrays = [(self.array(i), schema.field(i).type) for i in wanted]
        arrays = [array if array.type == kind else array.dictionary_encode().cast(kind) for array, kind in arrays]
        return pa.table(arrays, pa.schema([schema.field(i) for i in wanted], schema.metadata))


class Elements(Block):
    """The elements of a vector column: a column of their own."""

    def __init__(self, block, i, c, count, coder):
        self.model, self.rows, self.streams = {"columns": {i: c}}, count * coder.size, block.streams
        self.model = type(block.model)(self.model)
        if c.coder != "plain":
            z, elements = (block.stream(i, part).data for part in ("z", "elements"))
            self.codes = {i: coder.codes(z, elements, count, c.levels)}


class Preview(Block):
    """What latents and the streams beside them tell."""

    def __init__(self, model, latents, rows):
        self.model, self.rows, self.streams, self.codes = model, rows, streams_of(latents), {}
        t, network, at = model.tensors["p"], model.network, 0
        starts = np.cumsum([0, *network.preview.levels])[:-1]
        out = (t["b"] + t["P"][self.latents() + starts].sum(1)).clip(0, 255) @ t["V"].T + 16 * t["bv"]
        self.shown = [i for i, c in enumerate(model.columns) if c.domain]
        for i, head in zip(self.shown, network.preview.heads, strict=True):
            c, (levels, specials, ordinal, *radices) = model.columns[i], head
            sizes = [1, specials] if ordinal else [radices[0] + specials, *radices[1:]]
            parts, at = np.split(out[:, at : at + sum(sizes)], np.cumsum(sizes)[:-1], 1), at + sum(sizes)
            code = ordinal_code(levels, *parts) if ordinal else mixed_code(levels, radices, *parts)
            wide = (code * (c.levels - 1) + 4095) // 8191
            self.codes[i] = np.where(code < levels, wide, code - levels + c.levels) if c.wide else code
            if f"{i}:given" in self.streams or (c.lookup and not c.lookup["keys"]):
                self.codes[i] = self.looked_up(i) if c.lookup else self.stream(i, "given").ints(rows)
        self.shown = sorted([*self.shown, *(i for i, parts in model.vectors.items() if "weights" in parts)])

    def array(self, i):
        c = self.model.columns[i]
        if c.elements:
            return self.vectors(i, c)
        limited = T.is_boolean(c.kind) or T.is_time(c.kind) or T.is_date64(c.kind)
        limited |= T.is_decimal(c.kind) and c.kind.precision < 19
        told = c.linear and f"{i}:rest" in self.streams and not limited
        if told and all(key in self.shown and self.array(key).null_count == 0 for key in c.linear.inputs):
            return super().array(i)
        return self.guessed(c, self.codes[i])

    def guessed(self, c, codes):
        return array_of(c.kind, *self.cells(c, codes, (1 << c.shift) >> 1))

    def vectors(self, i, c):
        valid, coder = self.stream(i, "valid").valid(self.rows), Vectors(self.model.vectors[i], c.kind)
        codes = coder.guesses(self.stream(i, "z").data, int(valid.sum()), c.elements.levels)
        return vectors_of(c.kind, valid, self.guessed(c.elements, codes))

    def table(self):
        schema = self.model.schema
        fields = [field.with_nullable(True) for field in schema]
        return self.table_of(self.shown, pa.schema(fields, schema.metadata))


def ordinal_code(levels, value, odd):
    code = value[:, 0].clip(0, 2**13) * (levels - 1) + 2**12 >> 13
    return np.where(odd.max(1) > 0, levels + odd.argmax(1), code) if odd.size else code


def mixed_code(levels, radices, first, *more):
    code, special = first.argmax(1), first.argmax(1) - radices[0]
    for digit, radix in zip(more, radices[1:], strict=True):
        code = code * radix + digit.argmax(1)
    return np.where(special >= 0, levels + special, code.clip(0, levels - 1))
