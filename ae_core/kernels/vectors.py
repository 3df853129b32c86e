"""Vector steps of the network as LLVM instructions: what plain loops would compute, five times faster.

Numba widens every small integer to 64 bits, which keeps LLVM from using the 16-bit multiply-add instructions. So the
few inner steps are written here as generic vector instructions (no instruction set is named; LLVM lowers them to
AVX-512, AVX2, SSE2 or NEON by itself), all exact integer arithmetic on int32 that `bounds.py` proves not to overflow.

Every array is one-dimensional and contiguous, every `..._at` is an element offset that the caller has proved to be in
range, and every length is a number of vectors of LANES elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ae_core.kernels.frequencies import (
    DISTANCE_LIMIT,
    EXP2_LINEAR,
    EXP2_SQUARE,
    LOG2_FACTOR,
    LOG2_SHIFT,
)

LANES: Final = 16
CHUNK: Final = 4
"""Output vectors that `dense` keeps in registers at once."""
MAX_BLOCKS: Final = 4
"""Blocks that `dense` serves with one pass over its weights."""

PADDING: Final = -(1 << 30)
"""Logit of padding: e becomes 0 whatever the others are."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_V16, _V32 = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)
_PAIRS16 = ir.VectorType(_I16, 2 * LANES)
_Builder = Any


def _data(context: Any, builder: _Builder, kind: Any, value: Any) -> Any:
    """The data pointer of an array argument."""
    return context.make_array(kind)(context, builder, value).data


def _address(builder: _Builder, data: Any, offset: Any, element: ir.Type, of: ir.Type) -> Any:
    """Pointer to `of` at an element offset."""
    base = builder.bitcast(data, element.as_pointer())
    return builder.bitcast(builder.gep(base, [offset]), of.as_pointer())


def _load(builder: _Builder, data: Any, offset: Any, element: ir.IntType, of: ir.Type) -> Any:
    return builder.load(_address(builder, data, offset, element, of), align=element.width // 8)


def _store(builder: _Builder, value: Any, data: Any, offset: Any, element: ir.IntType) -> None:
    builder.store(value, _address(builder, data, offset, element, value.type), align=element.width // 8)


def _splat(builder: _Builder, scalar: Any, of: ir.VectorType = _V32) -> Any:
    """A vector whose every lane is `scalar`."""
    one = builder.insert_element(ir.Constant(of, ir.Undefined), scalar, ir.Constant(_I32, 0))
    mask = ir.Constant(ir.VectorType(_I32, of.count), [0] * of.count)
    return builder.shuffle_vector(one, ir.Constant(of, ir.Undefined), mask)


def _constant(value: int, of: ir.VectorType = _V32) -> ir.Constant:
    return ir.Constant(of, [value] * of.count)


def _lesser(builder: _Builder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _greater(builder: _Builder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _reduced(builder: _Builder, vectors: list[Any], combine: Callable[[_Builder, Any, Any], Any]) -> list[Any]:
    """Vectors whose every lane is all lanes of the given ones combined; the steps of all vectors side by side."""
    step = LANES // 2
    while step:
        mask = ir.Constant(ir.VectorType(_I32, LANES), [(lane + step) % LANES for lane in range(LANES)])
        vectors = [combine(builder, one, builder.shuffle_vector(one, one, mask)) for one in vectors]
        step //= 2
    return vectors


def _scanned(builder: _Builder, vectors: list[Any]) -> list[Any]:
    """Every lane plus all lanes below it; the steps of all vectors side by side."""
    step = 1
    while step < LANES:
        mask = ir.Constant(_V32, [lane - step if lane >= step else LANES for lane in range(LANES)])
        vectors = [builder.add(one, builder.shuffle_vector(one, _constant(0), mask)) for one in vectors]
        step *= 2
    return vectors


def _add(builder: _Builder, a: Any, b: Any) -> Any:
    return builder.add(a, b)


def _for_blocks(builder: _Builder, blocks: Any, emit: Callable[[int], None]) -> None:
    """`emit` for whatever number of blocks there is, 1..MAX_BLOCKS, so that their steps can stand side by side."""
    for count in range(1, MAX_BLOCKS + 1):
        with builder.if_then(builder.icmp_signed("==", blocks, ir.Constant(_I64, count))):
            emit(count)


def _vectors(builder: _Builder, count: Any) -> Any:
    """A loop over vectors; the context's `index` times LANES is the element offset."""
    return cgutils.for_range(builder, count, intp=_I64)


def _times(builder: _Builder, index: Any, factor: int) -> Any:
    return builder.mul(index, ir.Constant(_I64, factor))


def _dense_chunk(
    builder: _Builder,
    arrays: tuple[Any, ...],
    at: tuple[Any, ...],
    strides: tuple[Any, Any],
    weight: ir.IntType,
    pairs: Any,
    vectors: int,
    blocks: int,
) -> None:
    """out[...] = bias[...] + inputs @ weights for `vectors` output vectors of `blocks` blocks, sums in registers.

    Every weight is loaded once for all blocks. Where the sums are few, even and odd pairs have sums of their own, so
    that enough multiply-adds are under way at once.
    """
    out, bias, weights, inputs = arrays
    out_at, bias_at, weights_at = at
    wide, halves = ir.VectorType(_I32, 2 * LANES), (0, 1)
    split = vectors * blocks <= CHUNK
    evens, odds = (ir.Constant(_V32, list(range(first, 2 * LANES, 2))) for first in halves)
    starts = [
        _load(builder, bias, builder.add(bias_at, ir.Constant(_I64, v * LANES)), _I32, _V32) for v in range(vectors)
    ]
    sums = [
        [
            [cgutils.alloca_once_value(builder, value) for value in (start, _constant(0))[: 1 + split]]
            for start in starts
        ]
        for _ in range(blocks)
    ]
    with cgutils.for_range(builder, builder.sdiv(pairs, ir.Constant(_I64, 2)), intp=_I64) as loop:
        for half in halves:
            pair_at = builder.add(_times(builder, loop.index, 4), ir.Constant(_I64, 2 * half))
            row = builder.add(weights_at, _times(builder, pair_at, LANES * vectors))
            factors = []
            for v in range(vectors):
                here = builder.add(row, ir.Constant(_I64, 2 * LANES * v))
                loaded = _load(builder, weights, here, weight, ir.VectorType(weight, 2 * LANES))
                factors.append(builder.sext(loaded, wide))
            for block in range(blocks):
                block_at = builder.add(pair_at, _times(builder, strides[1], block))
                pair = _load(builder, inputs, block_at, _I16, _I32)
                spread = builder.sext(builder.bitcast(_splat(builder, pair), _PAIRS16), wide)
                for v in range(vectors):
                    product = builder.mul(factors[v], spread)
                    even, odd = (builder.shuffle_vector(product, product, mask) for mask in (evens, odds))
                    total = sums[block][v][half * split]
                    builder.store(builder.add(builder.load(total), builder.add(even, odd)), total)
    for block in range(blocks):
        block_at = builder.add(out_at, _times(builder, strides[0], block))
        for v in range(vectors):
            total = builder.load(sums[block][v][0])
            if split:
                total = builder.add(total, builder.load(sums[block][v][1]))
            _store(builder, total, out, builder.add(block_at, ir.Constant(_I64, v * LANES)), _I32)


@intrinsic
def dense(
    typingctx: Any,
    out: Any,
    out_stride: Any,
    bias: Any,
    bias_at: Any,
    weights: Any,
    weights_at: Any,
    inputs: Any,
    input_stride: Any,
    pairs: Any,
    vectors: Any,
    blocks: Any,
) -> Any:
    """out = bias[bias_at:] + inputs @ weights[weights_at:], int32 (vectors * 16,), for each of 1..4 blocks.

    Block b reads `inputs` from b * input_stride, int16 (2 * pairs,), pairs even, and writes `out` from
    b * out_stride. `weights` (int8 or int16) are packed by `fast.pack_dense`: chunks of at most four output vectors, in
    a chunk the input pairs, in a pair the vectors, in a vector its 16 outputs, for each the weights of the two inputs.
    """
    i64 = types.int64
    signature = types.void(out, i64, bias, i64, weights, i64, inputs, i64, i64, i64, i64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        arrays = tuple(_data(context, builder, kinds[i], args[i]) for i in (0, 2, 4, 6))
        weight = ir.IntType(kinds[4].dtype.bitwidth)
        bias_at, weights_at, pairs, vectors = args[3], args[5], args[8], args[9]
        chunks = builder.sdiv(vectors, ir.Constant(_I64, CHUNK))
        weights_per_vector = _times(builder, pairs, 2 * LANES)

        def emit(first_vector: Any, size: int, blocks: int) -> None:
            element = _times(builder, first_vector, LANES)
            at = (
                element,
                builder.add(bias_at, element),
                builder.add(weights_at, builder.mul(first_vector, weights_per_vector)),
            )
            _dense_chunk(builder, arrays, at, (args[1], args[7]), weight, pairs, size, blocks)

        def emit_all(blocks: int) -> None:
            with cgutils.for_range(builder, chunks, intp=_I64) as loop:
                emit(_times(builder, loop.index, CHUNK), CHUNK, blocks)
            done = _times(builder, chunks, CHUNK)
            for size in range(1, CHUNK):
                left = builder.icmp_signed("==", builder.sub(vectors, done), ir.Constant(_I64, size))
                with builder.if_then(left):
                    emit(done, size, blocks)

        _for_blocks(builder, args[10], emit_all)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def clamp_shifted(
    typingctx: Any, out: Any, out_at: Any, values: Any, values_at: Any, shift: Any, low: Any, high: Any, vectors: Any
) -> Any:
    """out[out_at:] = clamp(values[values_at:] >> shift, low, high), int16 from int32."""
    scalars = (types.int32,) * 3
    signature = types.void(out, types.int64, values, types.int64, *scalars, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, source = (_data(context, builder, signature.args[i], args[i]) for i in (0, 2))
        shift, low, high = (_splat(builder, args[i]) for i in (4, 5, 6))
        with _vectors(builder, args[7]) as loop:
            at = _times(builder, loop.index, LANES)
            value = builder.ashr(_load(builder, source, builder.add(args[3], at), _I32, _V32), shift)
            value = _lesser(builder, _greater(builder, value, low), high)
            _store(builder, builder.trunc(value, _V16), to, builder.add(args[1], at), _I16)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_shifted(
    typingctx: Any, out: Any, out_at: Any, base: Any, values: Any, values_at: Any, shift: Any, vectors: Any
) -> Any:
    """out[out_at:] = base + (values[values_at:] >> shift), int32."""
    signature = types.void(out, types.int64, base, values, types.int64, types.int32, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, start, source = (_data(context, builder, signature.args[i], args[i]) for i in (0, 2, 3))
        shift = _splat(builder, args[5])
        with _vectors(builder, args[6]) as loop:
            at = _times(builder, loop.index, LANES)
            value = builder.ashr(_load(builder, source, builder.add(args[4], at), _I32, _V32), shift)
            total = builder.add(_load(builder, start, at, _I32, _V32), value)
            _store(builder, total, to, builder.add(args[1], at), _I32)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_row(typingctx: Any, state: Any, state_at: Any, table: Any, table_at: Any, vectors: Any) -> Any:
    """state[state_at:] += table[table_at:], int32 from int16."""
    signature = types.void(state, types.int64, table, types.int64, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, source = (_data(context, builder, signature.args[i], args[i]) for i in (0, 2))
        with _vectors(builder, args[4]) as loop:
            at = _times(builder, loop.index, LANES)
            row = builder.sext(_load(builder, source, builder.add(args[3], at), _I16, _V16), _V32)
            here = builder.add(args[1], at)
            _store(builder, builder.add(_load(builder, to, here, _I32, _V32), row), to, here, _I32)
        return context.get_dummy_value()

    return signature, codegen


def _exponential(builder: _Builder, top: Any, logit: Any) -> Any:
    """e of a vector of logits, as `frequencies.exponentials` defines it."""
    d = _lesser(builder, builder.sub(top, logit), _constant(DISTANCE_LIMIT))
    t = builder.ashr(builder.mul(d, _constant(LOG2_FACTOR)), _constant(LOG2_SHIFT))
    i = _lesser(builder, builder.ashr(t, _constant(10)), _constant(31))
    f = builder.and_(t, _constant(1023))
    inner = builder.ashr(builder.mul(f, _constant(EXP2_SQUARE)), _constant(10))
    outer = builder.ashr(builder.mul(f, builder.sub(_constant(EXP2_LINEAR), inner)), _constant(10))
    return builder.ashr(builder.sub(_constant(32768), outer), i)


@intrinsic
def exponentials(
    typingctx: Any, out: Any, before: Any, totals: Any, logits: Any, stride: Any, vectors: Any, blocks: Any
) -> Any:
    """out = e of every one of logits, int32, for each of 1..4 blocks; totals[b] (int64) = their sum.

    Block b's part of `out` and `logits` begins at b * stride, its sums of e over all lanes below each lane are put
    into `before` from b * 16 on.
    """
    i64 = types.int64
    signature = types.void(out, before, totals, logits, i64, i64, i64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, lanes, sums, source = (_data(context, builder, signature.args[i], args[i]) for i in range(4))

        def emit(blocks: int) -> None:
            starts = [_times(builder, args[4], b) for b in range(blocks)]
            most = [cgutils.alloca_once_value(builder, _constant(PADDING)) for _ in starts]
            with _vectors(builder, args[5]) as loop:
                offset = _times(builder, loop.index, LANES)
                for start, one in zip(starts, most, strict=True):
                    logit = _load(builder, source, builder.add(start, offset), _I32, _V32)
                    builder.store(_greater(builder, builder.load(one), logit), one)
            tops = _reduced(builder, [builder.load(one) for one in most], _greater)
            total = [cgutils.alloca_once_value(builder, _constant(0)) for _ in starts]
            with _vectors(builder, args[5]) as loop:
                offset = _times(builder, loop.index, LANES)
                for start, top, one in zip(starts, tops, total, strict=True):
                    at = builder.add(start, offset)
                    e = _exponential(builder, top, _load(builder, source, at, _I32, _V32))
                    builder.store(builder.add(builder.load(one), e), one)
                    _store(builder, e, to, at, _I32)
            own = [builder.load(one) for one in total]
            for b, (scan, one) in enumerate(zip(_scanned(builder, own), own, strict=True)):
                _store(builder, builder.sub(scan, one), lanes, ir.Constant(_I64, b * LANES), _I32)
                whole = builder.zext(builder.extract_element(scan, ir.Constant(_I32, LANES - 1)), _I64)
                _store(builder, whole, sums, ir.Constant(_I64, b), _I64)

        _for_blocks(builder, args[6], emit)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def sum_below(
    typingctx: Any, values: Any, values_at: Any, numbers: Any, numbers_at: Any, symbol: Any, vectors: Any
) -> Any:
    """Sum of the values[values_at:] whose number (of numbers[numbers_at:]) is less than `symbol`, int32."""
    signature = types.int32(values, types.int64, numbers, types.int64, types.int32, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, names = (_data(context, builder, signature.args[i], args[i]) for i in (0, 2))
        limit = _splat(builder, args[4])
        total = cgutils.alloca_once_value(builder, _constant(0))
        with _vectors(builder, args[5]) as loop:
            at = _times(builder, loop.index, LANES)
            number = _load(builder, names, builder.add(args[3], at), _I32, _V32)
            value = _load(builder, source, builder.add(args[1], at), _I32, _V32)
            chosen = builder.select(builder.icmp_signed("<", number, limit), value, _constant(0))
            builder.store(builder.add(builder.load(total), chosen), total)
        (whole,) = _reduced(builder, [builder.load(total)], _add)
        return builder.extract_element(whole, ir.Constant(_I32, 0))

    return signature, codegen


@intrinsic
def find_slots(
    typingctx: Any,
    cum: Any,
    values: Any,
    stride: Any,
    before: Any,
    numbers: Any,
    numbers_at: Any,
    ratios: Any,
    slots: Any,
    counts: Any,
    vectors: Any,
    blocks: Any,
) -> Any:
    """cum = number + ((sum of the values before it in number order * ratio) >> 15); counts = how many are <= slot.

    For each of 1..4 blocks; block b's part of `cum` and `values` begins at b * stride, of `before` at b * 16; `ratios`,
    `slots` and `counts` (int64) have one element a block. `values` are vertical: number k is at vector k % vectors,
    lane k // vectors; `before` has the sums over all lanes below each lane. `numbers` holds k, and at least 2^16 for
    padding, whose value is 0.
    """
    i64 = types.int64
    signature = types.void(cum, values, i64, before, numbers, i64, ratios, slots, counts, i64, i64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, source, lanes, names, factors, wanted, found = (
            _data(context, builder, signature.args[i], args[i]) for i in (0, 1, 3, 4, 6, 7, 8)
        )

        def emit(blocks: int) -> None:
            places = [ir.Constant(_I64, b) for b in range(blocks)]

            def spread(data: Any, place: Any) -> Any:
                return _splat(builder, builder.trunc(_load(builder, data, place, _I64, _I64), _I32))

            starts = [_times(builder, args[2], b) for b in range(blocks)]
            ratio, slot = ([spread(data, place) for place in places] for data in (factors, wanted))
            running, count = [], []
            for b in range(blocks):
                first = _load(builder, lanes, ir.Constant(_I64, b * LANES), _I32, _V32)
                running.append(cgutils.alloca_once_value(builder, first))
                count.append(cgutils.alloca_once_value(builder, ir.Constant(_I64, 0)))
            with _vectors(builder, args[9]) as loop:
                offset = _times(builder, loop.index, LANES)
                number = _load(builder, names, builder.add(args[5], offset), _I32, _V32)
                for b in range(blocks):
                    at = builder.add(starts[b], offset)
                    sum_before = builder.load(running[b])
                    scaled = builder.ashr(builder.mul(sum_before, ratio[b]), _constant(15))
                    edge = builder.add(number, scaled)
                    _store(builder, edge, to, at, _I32)
                    below = builder.bitcast(builder.icmp_signed("<=", edge, slot[b]), _I16)
                    counted = builder.zext(builder.ctpop(below), _I64)
                    builder.store(builder.add(builder.load(count[b]), counted), count[b])
                    value = _load(builder, source, at, _I32, _V32)
                    builder.store(builder.add(sum_before, value), running[b])
            for place, one in zip(places, count, strict=True):
                _store(builder, builder.load(one), found, place, _I64)

        _for_blocks(builder, args[10], emit)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def item(typingctx: Any, array: Any, at: Any) -> Any:
    """array[at], without Python's rule for negative indices."""
    signature = array.dtype(array, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]]))

    return signature, codegen


@intrinsic
def put(typingctx: Any, array: Any, at: Any, value: Any) -> Any:
    """array[at] = value, without Python's rule for negative indices; `value` is of any integer type."""
    signature = types.void(array, types.int64, array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]]))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def divide(typingctx: Any, dividend: Any, divisor: Any) -> Any:
    """dividend // divisor for 0 <= dividend < 2^31 and 0 < divisor < 2^31, int32, without Python's checks."""
    signature = types.int32(types.int32, types.int32)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.udiv(args[0], args[1])

    return signature, codegen


@intrinsic
def prefetch(typingctx: Any, table: Any, at: Any) -> Any:
    """Asks for the cache line of table[at] (uint32), which will be read and written soon."""
    signature = types.void(table, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(builder, _data(context, builder, signature.args[0], args[0]), args[1], _I32, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [address.type, _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(function, [address, *(ir.Constant(_I32, value) for value in (1, 3, 1))])
        return context.get_dummy_value()

    return signature, codegen
