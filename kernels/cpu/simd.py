"""A vector type for Numba: LANES float32 numbers in one register, tiles of such vectors, and the maths on them.

Numba leaves plain loops over these kernels at 1-5 % of the processor's peak. With this type, loops are written in
scalar form around a tile of accumulators, a tuple of vectors that stays in registers:

    acc = zeros(16)                                        # 8 rows x 2 vectors
    for k in range(K):
        acc = fma_outer(acc, 8, a, at_a, row, b, at_b, LANES)
    store_tile(acc, 8, c, at_c, ldc, LANES)

which reaches two thirds of it. Arrays are addressed by a count of elements from their first; nothing checks bounds.
Every function here becomes a few instructions in place (llvmlite's builder), and none allows reassociation: what is
not a number stays so, and a sum has the order that is written.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable


def features() -> set[str]:
    """Names of the instruction sets that Numba compiles for, which NUMBA_CPU_FEATURES may have cut down."""
    chosen = config.CPU_FEATURES if config.CPU_FEATURES is not None else "" if config.CPU_NAME else None
    text = get_host_cpu_features().flatten() if chosen is None else chosen
    return {name[1:] for name in text.split(",") if name.startswith("+")}


FEATURES = features()
LANES = 16 if "avx512f" in FEATURES else 8 if {"avx2", "fma"} <= FEATURES else 4
REGISTERS = 32 if "avx512f" in FEATURES or "neon" in FEATURES else 16

FLOAT, INT = ir.FloatType(), ir.IntType(32)
SIZE, BYTE = ir.IntType(64), ir.IntType(8)
VECTOR, INTS, BITS = (ir.VectorType(kind, LANES) for kind in (FLOAT, INT, ir.IntType(1)))
UNDEFINED = ir.Constant(VECTOR, ir.Undefined)

Value = Any  # llvmlite's values
Builder = Any


class VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


class MaskType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"bool_x{LANES}")


class WordsType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"uint32x{LANES}")


vector, mask, words = VectorType(), MaskType(), WordsType()


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, VECTOR)


@register_model(MaskType)
class MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, BITS)


@register_model(WordsType)
class WordsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, INTS)


def tile(n: int) -> types.UniTuple:
    """The type of n vectors."""
    return types.UniTuple(vector, n)


# ---- pieces of LLVM code --------------------------------------------------------------------------------------------
def constant(x: float) -> Value:
    return ir.Constant(VECTOR, [float(np.float32(x))] * LANES)


def constant_int(x: int) -> Value:
    return ir.Constant(INTS, [x] * LANES)


ZERO, ONE = constant(0), constant(1)


def splat_value(b: Builder, scalar: Value) -> Value:
    first = b.insert_element(UNDEFINED, scalar, ir.Constant(INT, 0))
    return b.shuffle_vector(first, UNDEFINED, constant_int(0))


def call(b: Builder, name: str, *arguments: Value) -> Value:
    """LLVM's intrinsic function of that name, on vectors."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(arguments))
    return b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.{name}.v{LANES}f32"), arguments)


def fma_value(b: Builder, x: Value, y: Value, z: Value) -> Value:
    """x y + z with one rounding where the processor can."""
    return call(b, "fmuladd", x, y, z)


def pointer(context: Any, b: Builder, kind: types.Array, array: Value, at: Value) -> Value:
    data = cgutils.create_struct_proxy(kind)(context, b, array).data
    return b.gep(data, [at])


def ahead(b: Builder, start: Value, stride: Value, i: int) -> Value:
    """The place i strides behind start."""
    return start if i == 0 else b.gep(start, [b.mul(stride, ir.Constant(SIZE, i))])


def load_value(b: Builder, place: Value, kind: Any = VECTOR, align: int = 4) -> Value:
    value = b.load(b.bitcast(place, kind.as_pointer()))
    value.align = align
    return value


def store_value(b: Builder, value: Value, place: Value, align: int = 4) -> None:
    b.store(value, b.bitcast(place, value.type.as_pointer())).align = align


def first_lanes(b: Builder, n: Value) -> Value:
    """A mask of the first n lanes; n may be negative, or more than there are."""
    small = b.select(b.icmp_signed("<", n, ir.Constant(SIZE, LANES)), n, ir.Constant(SIZE, LANES))
    bound = b.insert_element(ir.Constant(INTS, ir.Undefined), b.trunc(small, INT), ir.Constant(INT, 0))
    bound = b.shuffle_vector(bound, ir.Constant(INTS, ir.Undefined), constant_int(0))
    return b.icmp_signed("<", ir.Constant(INTS, list(range(LANES))), bound)


def whole(b: Builder, n: Value) -> Value:
    """Whether n lanes are all: masks are slow on some processors, a branch that is almost always taken on none."""
    return b.icmp_signed(">=", n, ir.Constant(SIZE, LANES))


def masked_load(b: Builder, place: Value, lanes: Value) -> Value:
    place = b.bitcast(place, VECTOR.as_pointer())
    kind = ir.FunctionType(VECTOR, [place.type, INT, BITS, VECTOR])
    function = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
    return b.call(function, [place, ir.Constant(INT, 4), lanes, ZERO])


def load_cast_value(b: Builder, place: Value, dtype: Any, lanes: Value | None = None) -> Value:
    """LANES numbers of another type as float32, or those in a mask, with 0 for the others."""
    kind = ir.VectorType({types.float32: FLOAT, types.float64: ir.DoubleType(), types.uint8: BYTE}[dtype], LANES)
    if lanes is None:
        x = load_value(b, place, kind, dtype.bitwidth // 8)
    else:
        place = b.bitcast(place, kind.as_pointer())
        name = f"llvm.masked.load.v{LANES}{'f' if dtype in types.real_domain else 'i'}{dtype.bitwidth}.p0"
        function = ir.FunctionType(kind, [place.type, INT, BITS, kind])
        arguments = [place, ir.Constant(INT, dtype.bitwidth // 8), lanes, ir.Constant(kind, None)]
        x = b.call(cgutils.get_or_insert_function(b.module, function, name), arguments)
    if dtype == types.float32:
        return x
    return b.fptrunc(x, VECTOR) if dtype == types.float64 else b.uitofp(x, VECTOR)


def masked_store(b: Builder, value: Value, place: Value, lanes: Value) -> None:
    place = b.bitcast(place, VECTOR.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, place.type, INT, BITS])
    function = cgutils.get_or_insert_function(b.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
    b.call(function, [value, place, ir.Constant(INT, 4), lanes])


def fold(b: Builder, vectors: Sequence[Value]) -> Value:
    """The sum of each of up to LANES vectors in one: vector i's in lane i. A tree of pairs."""
    level = [*vectors, *[ZERO] * (LANES - len(vectors))]
    width = LANES // 2
    while width:  # each vector holds LANES / 2 width groups of 2 width lanes that are still to be added
        merged = []
        for x, y in zip(level[:width], level[width:], strict=True):
            low, high = [], []
            for group in range(0, LANES, 2 * width):
                low += [*range(group, group + width), *range(LANES + group, LANES + group + width)]
                high += [i + width for i in low[-2 * width :]]
            parts = [b.shuffle_vector(x, y, ir.Constant(INTS, lanes)) for lanes in (low, high)]
            merged.append(b.fadd(*parts))
        level, width = merged, width // 2
    return level[0]


def exp_value(b: Builder, x: Value) -> Value:
    """exp within 2 units in the last place: 2^n e^r with |r| <= ln 2 / 2, e^r a polynomial (Cephes' expf).

    Over- and underflow give infinity and 0; NaN stays.
    """
    low = b.fcmp_ordered("<", x, constant(-103.98))
    x = b.select(b.fcmp_ordered(">", x, constant(128 * np.log(2))), constant(np.inf), x)
    held = call(b, "minnum", call(b, "maxnum", x, constant(-103.98)), constant(88.8))
    n = call(b, "rint", b.fmul(held, constant(1 / np.log(2))))
    r = fma_value(b, n, constant(-0.693359375), held)
    r = fma_value(b, n, constant(2.12194440e-4), r)
    p = constant(1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = fma_value(b, p, r, constant(c))
    p = fma_value(b, b.fmul(p, r), r, b.fadd(r, ONE))
    whole = b.fptosi(n, INTS)  # 2^n in two factors: n reaches 128 and -150
    half = b.ashr(whole, constant_int(1))
    for part in (half, b.sub(whole, half)):
        p = b.fmul(p, b.bitcast(b.shl(b.add(part, constant_int(127)), constant_int(23)), VECTOR))
    p = b.select(b.fcmp_unordered("==", x, constant(np.inf)), x, p)  # infinity, and NaN
    return b.select(low, ZERO, p)


def log_value(b: Builder, x: Value) -> Value:
    """Natural logarithm of positive normal numbers within 2 units in the last place (Cephes' logf).

    Infinity and NaN stay.
    """
    bits = b.bitcast(x, INTS)
    # x = m 2^e with sqrt(1/2) <= m < sqrt(2)
    bits = b.sub(bits, constant_int(0x3F3504F3))
    e = b.sitofp(b.ashr(bits, constant_int(23)), VECTOR)
    m = b.bitcast(b.add(b.and_(bits, constant_int(0x007FFFFF)), constant_int(0x3F3504F3)), VECTOR)
    r = b.fsub(m, ONE)
    p = constant(7.0376836292e-2)
    for c in (
        -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
        -2.4999993993e-1, 3.3333331174e-1,
    ):  # fmt: skip
        p = fma_value(b, p, r, constant(c))
    square = b.fmul(r, r)
    y = b.fmul(b.fmul(p, r), square)
    y = fma_value(b, e, constant(-2.12194440e-4), y)
    y = fma_value(b, square, constant(-0.5), y)
    y = fma_value(b, e, constant(0.693359375), b.fadd(r, y))
    return b.select(b.fcmp_ordered("<", x, constant(np.inf)), y, x)


def turns_value(b: Builder, u: Value) -> tuple[Value, Value]:
    """cos and sin of 2 pi u for 0 <= u < 1: u less its nearest quarter is exact, the rest is up to pi / 4 (Cephes)."""
    quarter = call(b, "rint", b.fmul(u, constant(4)))
    angle = b.fmul(fma_value(b, quarter, constant(-0.25), u), constant(2 * np.pi))
    s, p, q = b.fmul(angle, angle), constant(-1.9515295891e-4), constant(2.443315711809948e-5)
    for c in (8.3321608736e-3, -1.6666654611e-1):
        p = fma_value(b, p, s, constant(c))
    for c in (-1.388731625493765e-3, 4.166664568298827e-2):
        q = fma_value(b, q, s, constant(c))
    sine = fma_value(b, b.fmul(p, s), angle, angle)
    cosine = fma_value(b, b.fmul(q, s), s, fma_value(b, s, constant(-0.5), ONE))
    n = b.fptosi(quarter, INTS)  # by so many quarters the pair is turned
    odd = b.icmp_signed("!=", b.and_(n, constant_int(1)), constant_int(0))
    turned = []
    for value, quarters in ((b.select(odd, sine, cosine), b.add(n, constant_int(1))), (b.select(odd, cosine, sine), n)):
        sign = b.shl(b.and_(quarters, constant_int(2)), constant_int(30))
        turned.append(b.bitcast(b.xor(b.bitcast(value, INTS), sign), VECTOR))
    return turned[0], turned[1]


def bounded(b: Builder, x: Value, limit: float) -> Value:
    """x within [-limit, limit]; NaN stays."""
    x = b.select(b.fcmp_ordered("<", x, constant(-limit)), constant(-limit), x)
    return b.select(b.fcmp_ordered(">", x, constant(limit)), constant(limit), x)


def exp_parts(b: Builder, x: Value, scale: int) -> tuple[Value, Value]:
    """s = 2^n and q with e^(scale x) = s (1 + scale q), for |scale x| <= 87; q is NaN where x is.

    q comes from a polynomial of our own, e^r = 1 + r + r^2 p(r) within 4e-9 for |r| <= ln 2 / 2.
    """
    magic = constant(1.5 * 2**23 + 127)  # adding it leaves n + 127, the exponent of 2^n, in the last bits
    shifted = fma_value(b, x, constant(scale / np.log(2)), magic)
    s = b.bitcast(b.shl(b.bitcast(shifted, INTS), constant_int(23)), VECTOR)
    r = fma_value(b, b.fsub(shifted, magic), constant(-np.log(2) / scale), x)
    p = constant(1.3951719305e-3 * scale**5)
    for k, c in enumerate((8.3695982071e-3, 4.1666187255e-2, 1.6666512891e-1, 5.000000101e-1)):
        p = fma_value(b, p, r, constant(c * scale ** (4 - k)))
    return s, fma_value(b, b.fmul(p, r), r, r)


def decay_value(b: Builder, x: Value) -> Value:
    """e^-|x| for |x| <= 87, in half of exp's instructions; 1e-7 of the value."""
    s, q = exp_parts(b, call(b, "copysign", x, constant(-1)), 1)
    return fma_value(b, s, q, s)


def sigmoid_value(b: Builder, x: Value) -> Value:
    """e^x / (e^x + 1) with |x| held below 80; 1e-7 of the value."""
    s, q = exp_parts(b, bounded(b, x, 80), 1)
    e = fma_value(b, s, q, s)
    return b.fdiv(e, b.fadd(e, ONE))


def tanh_value(b: Builder, x: Value) -> Value:
    """m / (m + 1) with m = (e^2x - 1) / 2, which keeps the digits near zero: 2e-7 of the value everywhere."""
    s, q = exp_parts(b, bounded(b, x, 10), 2)
    m = fma_value(b, s, q, fma_value(b, s, constant(0.5), constant(-0.5)))
    return b.fdiv(m, b.fadd(m, ONE))


# ---- vectors in Numba's language ------------------------------------------------------------------------------------
@intrinsic(prefer_literal=True)
def load(typing: Any, a: Any, at: Any) -> Any:
    """a[at : at + LANES]."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return load_value(b, pointer(context, b, signature.args[0], *values))

    return vector(a, types.intp), generate


@intrinsic(prefer_literal=True)
def store(typing: Any, x: Any, a: Any, at: Any) -> Any:
    """a[at : at + LANES] = x."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        store_value(b, values[0], pointer(context, b, signature.args[1], *values[1:]))
        return context.get_dummy_value()

    return types.void(vector, a, types.intp), generate


@intrinsic(prefer_literal=True)
def copy(typing: Any, n: Any, to: Any, at: Any, a: Any, at_a: Any) -> Any:
    """n numbers in one piece: to[at : at + n] = a[at_a : at_a + n]."""
    kind = ir.VectorType(FLOAT, n.literal_value)

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, to, at, a, at_a = values
        numbers = load_value(b, pointer(context, b, signature.args[3], a, at_a), kind)
        store_value(b, numbers, pointer(context, b, signature.args[1], to, at))
        return context.get_dummy_value()

    return types.void(n, to, types.intp, a, types.intp), generate


@intrinsic(prefer_literal=True)
def load_part(typing: Any, a: Any, at: Any, n: Any) -> Any:
    """The first n lanes of load(a, at), and 0 in the others, whose memory is not touched."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        a, at, n = values
        place = pointer(context, b, signature.args[0], a, at)
        with b.if_else(whole(b, n), likely=True) as (then, otherwise):
            with then:
                plain, block = load_value(b, place), b.block
            with otherwise:
                masked, other_block = masked_load(b, place, first_lanes(b, n)), b.block
        loaded = b.phi(VECTOR)
        loaded.add_incoming(plain, block)
        loaded.add_incoming(masked, other_block)
        return loaded

    return vector(a, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_part(typing: Any, x: Any, a: Any, at: Any, n: Any) -> Any:
    """The first n lanes of store(x, a, at)."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, a, at, n = values
        place = pointer(context, b, signature.args[1], a, at)
        with b.if_else(whole(b, n), likely=True) as (then, otherwise):
            with then:
                store_value(b, x, place)
            with otherwise:
                masked_store(b, x, place, first_lanes(b, n))
        return context.get_dummy_value()

    return types.void(vector, a, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def load_cast(typing: Any, a: Any, at: Any, n: Any) -> Any:
    """load_part from an array of float32, float64 or uint8."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        (a, at, n), kind = values, signature.args[0]
        place = pointer(context, b, kind, a, at)
        with b.if_else(whole(b, n), likely=True) as (then, otherwise):
            with then:
                plain, block = load_cast_value(b, place, kind.dtype), b.block
            with otherwise:
                masked, other_block = load_cast_value(b, place, kind.dtype, first_lanes(b, n)), b.block
        loaded = b.phi(VECTOR)
        loaded.add_incoming(plain, block)
        loaded.add_incoming(masked, other_block)
        return loaded

    return vector(a, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def load_bytes(typing: Any, a: Any, at: Any) -> Any:
    """uint8 a[at : at + LANES] as a vector."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        place = pointer(context, b, signature.args[0], *values)
        return b.uitofp(load_value(b, place, ir.VectorType(BYTE, LANES), 1), VECTOR)

    return vector(a, types.intp), generate


@intrinsic(prefer_literal=True)
def store_bytes(typing: Any, x: Any, a: Any, at: Any) -> Any:
    """uint8 a[at : at + LANES] = x, whose lanes are whole numbers."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        whole = b.trunc(b.fptosi(values[0], INTS), ir.VectorType(BYTE, LANES))
        store_value(b, whole, pointer(context, b, signature.args[1], *values[1:]), 1)
        return context.get_dummy_value()

    return types.void(vector, a, types.intp), generate


@intrinsic(prefer_literal=True)
def splat(typing: Any, x: Any) -> Any:
    """The number x in every lane."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return splat_value(b, context.cast(b, values[0], signature.args[0], types.float32))

    return vector(types.unliteral(x)), generate


def elementwise(name: str, compute: Callable[..., Value], arguments: int) -> Any:
    """An intrinsic on vectors, or on tiles vector by vector; a vector among tiles goes with each of theirs."""

    def operation(kinds: tuple) -> tuple:
        n = next((kind.count for kind in kinds if isinstance(kind, types.UniTuple)), 0)

        def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
            if not n:
                return compute(b, *values)
            rows = [
                [b.extract_value(value, i) if isinstance(kind, types.UniTuple) else value for i in range(n)]
                for value, kind in zip(values, kinds, strict=True)
            ]
            return context.make_tuple(b, signature.return_type, [compute(b, *row) for row in zip(*rows, strict=True)])

        return (tile(n) if n else vector)(*kinds), generate

    if arguments == 1:

        def function(typing: Any, x: Any) -> Any:
            return operation((x,))

    elif arguments == 2:

        def function(typing: Any, x: Any, y: Any) -> Any:  # type: ignore[misc]
            return operation((x, y))

    else:

        def function(typing: Any, x: Any, y: Any, z: Any) -> Any:  # type: ignore[misc]
            return operation((x, y, z))

    function.__name__ = name
    return intrinsic(function)


fma = elementwise("fma", fma_value, 3)  # x y + z
exp = elementwise("exp", exp_value, 1)
log = elementwise("log", log_value, 1)
sqrt = elementwise("sqrt", lambda b, x: call(b, "sqrt", x), 1)
negative = elementwise("negative", lambda b, x: b.fneg(x), 1)
absolute = elementwise("absolute", lambda b, x: call(b, "fabs", x), 1)
relu = elementwise("relu", lambda b, x: b.select(b.fcmp_ordered("<", x, ZERO), ZERO, x), 1)  # NaN stays
sigmoid = elementwise("sigmoid", sigmoid_value, 1)
tanh = elementwise("tanh", tanh_value, 1)
decay = elementwise("decay", decay_value, 1)
# x, but 0 for numbers below 1e-30: where a sum decays towards zero, it would end among the subnormal numbers, whose
# arithmetic is a hundred times slower, and stay there
settle = elementwise(
    "settle", lambda b, x: b.select(b.fcmp_ordered("<", call(b, "fabs", x), constant(1e-30)), ZERO, x), 1
)
add = elementwise("add", lambda b, x, y: b.fadd(x, y), 2)
multiply = elementwise("multiply", lambda b, x, y: b.fmul(x, y), 2)
# dx from dy and y: what is not above zero passes nothing on, what is not a number passes on
relu_gradient = elementwise("relu_gradient", lambda b, dy, y: b.select(b.fcmp_ordered("<=", y, ZERO), ZERO, dy), 2)
sigmoid_gradient = elementwise("sigmoid_gradient", lambda b, dy, y: b.fmul(dy, b.fmul(y, b.fsub(ONE, y))), 2)
# dx from dy, x and what x was clipped to: where that is another number, nothing passes on
clip_gradient = elementwise(
    "clip_gradient", lambda b, dy, x, clipped: b.select(b.fcmp_ordered("!=", x, clipped), ZERO, dy), 3
)
tanh_gradient = elementwise("tanh_gradient", lambda b, dy, y: b.fmul(dy, b.fsub(ONE, b.fmul(y, y))), 2)


def wins(b: Builder, x: Value, best: Value) -> Value:
    """Whether x is larger than the best before it; NaN counts as larger than any number."""
    return b.and_(b.fcmp_unordered(">", x, best), b.fcmp_ordered("ord", best, best))


larger = elementwise("larger", lambda b, best, x: b.select(wins(b, x, best), x, best), 2)


@intrinsic(prefer_literal=True)
def place_of_larger(typing: Any, place: Any, best: Any, x: Any, k: Any) -> Any:
    """The number k where x is larger than the best, else place; vectors or tiles."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        place, best, x, k = values
        k = splat_value(b, b.sitofp(k, FLOAT))
        if place.type == VECTOR:
            return b.select(wins(b, x, best), k, place)
        chosen = []
        for i in range(signature.args[0].count):
            before, old, new = (b.extract_value(t, i) for t in (place, best, x))
            chosen.append(b.select(wins(b, new, old), k, before))
        return context.make_tuple(b, signature.return_type, chosen)

    return place(place, best, x, types.intp), generate


def arithmetic(
    function: Any, compute: Callable[[Builder, Value, Value], Value], result: Any = vector, kind: Any = vector
) -> None:
    """Python's operator on two vectors."""

    @type_callable(function)
    def typed(context: Any) -> Any:
        return lambda x, y: result if x == kind and y == kind else None

    @lower_builtin(function, kind, kind)
    def lowered(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return compute(b, *values)


arithmetic(operator.add, lambda b, x, y: b.fadd(x, y))
arithmetic(operator.sub, lambda b, x, y: b.fsub(x, y))
arithmetic(operator.mul, lambda b, x, y: b.fmul(x, y))
arithmetic(operator.truediv, lambda b, x, y: b.fdiv(x, y))
arithmetic(operator.lt, lambda b, x, y: b.fcmp_ordered("<", x, y), mask)
arithmetic(operator.gt, lambda b, x, y: b.fcmp_ordered(">", x, y), mask)
arithmetic(operator.le, lambda b, x, y: b.fcmp_ordered("<=", x, y), mask)
arithmetic(operator.eq, lambda b, x, y: b.fcmp_ordered("==", x, y), mask)
arithmetic(operator.ne, lambda b, x, y: b.fcmp_unordered("!=", x, y), mask)  # a NaN is not itself


@intrinsic
def where(typing: Any, condition: Any, x: Any, y: Any) -> Any:
    """x in the lanes where the mask is true, y in the others."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return b.select(*values)

    return vector(mask, vector, vector), generate


@intrinsic
def any_lane(typing: Any, condition: Any) -> Any:
    """Whether the mask is true somewhere."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        word = b.bitcast(values[0], ir.IntType(LANES))
        return b.icmp_unsigned("!=", word, ir.Constant(word.type, 0))

    return types.boolean(mask), generate


@intrinsic(prefer_literal=True)
def lanes_below(typing: Any, n: Any) -> Any:
    """The mask of the first n lanes."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return first_lanes(b, values[0])

    return mask(types.intp), generate


@intrinsic
def sum_lanes(typing: Any, x: Any) -> Any:
    """The sum of a vector's lanes: halves, quarters, ..."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, width = values[0], LANES // 2
        while width:
            turned = ir.Constant(INTS, [(i + width) % LANES for i in range(LANES)])
            x, width = b.fadd(x, b.shuffle_vector(x, UNDEFINED, turned)), width // 2
        return b.extract_element(x, ir.Constant(INT, 0))

    return types.float32(vector), generate


# ---- 32-bit words, for random numbers -------------------------------------------------------------------------------
arithmetic(operator.xor, lambda b, x, y: b.xor(x, y), words, words)
arithmetic(operator.eq, lambda b, x, y: b.icmp_unsigned("==", x, y), mask, words)


@intrinsic
def splat_words(typing: Any, x: Any) -> Any:
    """The lower 32 bits of an integer in every lane."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        word = b.trunc(values[0], INT)
        first = b.insert_element(ir.Constant(INTS, ir.Undefined), word, ir.Constant(INT, 0))
        return b.shuffle_vector(first, ir.Constant(INTS, ir.Undefined), constant_int(0))

    return words(types.int64), generate


@intrinsic
def count_lanes(typing: Any, first: Any, stride: Any) -> Any:
    """(first + lane stride) / 4 as 64 bits, in lower and upper words, and the remainders."""
    wide = ir.VectorType(SIZE, LANES)

    def splat_size(b: Builder, x: Value) -> Value:
        start = b.insert_element(ir.Constant(wide, ir.Undefined), x, ir.Constant(INT, 0))
        return b.shuffle_vector(start, ir.Constant(wide, ir.Undefined), constant_int(0))

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        first, stride = (splat_size(b, x) for x in values)
        n = b.add(first, b.mul(ir.Constant(wide, list(range(LANES))), stride))
        quotient = b.lshr(n, ir.Constant(wide, [2] * LANES))
        upper = b.lshr(quotient, ir.Constant(wide, [32] * LANES))
        rest = b.and_(b.trunc(n, INTS), constant_int(3))
        return context.make_tuple(b, signature.return_type, [b.trunc(quotient, INTS), b.trunc(upper, INTS), rest])

    return types.UniTuple(words, 3)(types.int64, types.int64), generate


@intrinsic
def multiply_words(typing: Any, x: Any, y: Any) -> Any:
    """The 64-bit products of two vectors of words: their upper and lower words."""
    wide = ir.VectorType(SIZE, LANES // 2)

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, y = (b.bitcast(value, wide) for value in values)
        lower, half = ir.Constant(wide, [2**32 - 1] * (LANES // 2)), ir.Constant(wide, [32] * (LANES // 2))
        even = b.bitcast(b.mul(b.and_(x, lower), b.and_(y, lower)), INTS)
        odd = b.bitcast(b.mul(b.lshr(x, half), b.lshr(y, half)), INTS)
        halves = [
            b.shuffle_vector(even, odd, ir.Constant(INTS, [i - i % 2 + part + i % 2 * LANES for i in range(LANES)]))
            for part in (1, 0)
        ]
        return context.make_tuple(b, signature.return_type, halves)

    return types.UniTuple(words, 2)(words, words), generate


@intrinsic
def unit(typing: Any, x: Any) -> Any:
    """The upper 24 bits of each word as a number in [0, 1)."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return b.fmul(b.sitofp(b.lshr(values[0], constant_int(8)), VECTOR), constant(2.0**-24))

    return vector(words), generate


@intrinsic
def turns(typing: Any, u: Any) -> Any:
    """cos and sin of 2 pi u for u in [0, 1)."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return context.make_tuple(b, signature.return_type, turns_value(b, values[0]))

    return tile(2)(vector), generate


# ---- tiles: tuples of vectors ---------------------------------------------------------------------------------------
@intrinsic(prefer_literal=True)
def zeros(typing: Any, n: Any) -> Any:
    """A tile of n vectors of zeros."""
    count = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        return context.make_tuple(b, signature.return_type, [ZERO] * count)

    return tile(count)(n), generate


@intrinsic(prefer_literal=True)
def load_tile(typing: Any, m: Any, n: Any, a: Any, at: Any, row: Any, column: Any) -> Any:
    """m x n vectors: vector (i, j) begins at a[at + i row + j column]."""
    M, N = m.literal_value, n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, _, a, at, row, column = values
        start = pointer(context, b, signature.args[2], a, at)
        rows = [ahead(b, start, row, i) for i in range(M)]
        loaded = [load_value(b, ahead(b, place, column, j)) for place in rows for j in range(N)]
        return context.make_tuple(b, signature.return_type, loaded)

    return tile(M * N)(m, n, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def load_tile_part(typing: Any, m: Any, n: Any, a: Any, at: Any, row: Any, count: Any) -> Any:
    """m rows of n vectors side by side, of which only the first `count` numbers are there; 0 stands for the rest."""
    M, N = m.literal_value, n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, _, a, at, row, count = values
        start = pointer(context, b, signature.args[2], a, at)
        lanes = [first_lanes(b, b.sub(count, ir.Constant(SIZE, j * LANES))) for j in range(N)]
        rows = [ahead(b, start, row, i) for i in range(M)]
        step = ir.Constant(SIZE, LANES)
        loaded = [masked_load(b, ahead(b, place, step, j), lanes[j]) for place in rows for j in range(N)]
        return context.make_tuple(b, signature.return_type, loaded)

    return tile(M * N)(m, n, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_tile(typing: Any, x: Any, m: Any, a: Any, at: Any, row: Any, column: Any) -> Any:
    """The reverse of load_tile."""
    M = m.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, _, a, at, row, column = values
        start, n = pointer(context, b, signature.args[2], a, at), signature.args[0].count // M
        for i in range(M):
            place = ahead(b, start, row, i)
            for j in range(n):
                store_value(b, b.extract_value(x, i * n + j), ahead(b, place, column, j))
        return context.get_dummy_value()

    return types.void(x, m, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_tile_part(typing: Any, x: Any, m: Any, a: Any, at: Any, row: Any, count: Any) -> Any:
    """The reverse of load_tile_part."""
    M = m.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, _, a, at, row, count = values
        start, n = pointer(context, b, signature.args[2], a, at), signature.args[0].count // M
        for j in range(n):
            lanes = first_lanes(b, b.sub(count, ir.Constant(SIZE, j * LANES)))
            for i in range(M):
                place = ahead(b, ahead(b, start, row, i), ir.Constant(SIZE, LANES), j)
                masked_store(b, b.extract_value(x, i * n + j), place, lanes)
        return context.get_dummy_value()

    return types.void(x, m, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def prefetch(typing: Any, m: Any, n: Any, a: Any, at: Any, row: Any) -> Any:
    """Have m rows of n vectors side by side brought near, to be written; row i begins at a[at + i row]."""
    M, N = m.literal_value, n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, _, a, at, row = values
        start = pointer(context, b, signature.args[2], a, at)
        kind = ir.FunctionType(ir.VoidType(), [start.type, INT, INT, INT])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
        for i in range(M):
            for j in range(N):
                place = ahead(b, ahead(b, start, row, i), ir.Constant(SIZE, LANES), j)
                b.call(function, [place, ir.Constant(INT, 1), ir.Constant(INT, 3), ir.Constant(INT, 1)])
        return context.get_dummy_value()

    return types.none(m, n, a, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def load_rows(typing: Any, n: Any, rows: Any, a: Any, at: Any, row: Any, count: Any) -> Any:
    """n vectors, vector i the first `count` numbers at a[at + i row], 0 behind them and from the `rows`-th on."""
    N = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, rows, a, at, row, count = values
        start = pointer(context, b, signature.args[2], a, at)
        loaded = []
        for i in range(N):
            inside = b.select(b.icmp_signed("<", ir.Constant(SIZE, i), rows), count, ir.Constant(SIZE, 0))
            loaded.append(masked_load(b, ahead(b, start, row, i), first_lanes(b, inside)))
        return context.make_tuple(b, signature.return_type, loaded)

    return tile(N)(n, types.intp, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def load_chosen_rows(typing: Any, n: Any, rows: Any, i: Any, samples: Any, a: Any, at: Any, row: Any, c: Any) -> Any:
    """n vectors, vector k the first c numbers at a[at + rows[i + k] row], cast as load_cast does; 0 behind them and
    from the `samples`-th on, whose place in `rows` is not read."""
    N = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, rows, first, samples, a, at, row, count = values
        kind, indices = signature.args[4], pointer(context, b, signature.args[1], rows, first)
        start = pointer(context, b, kind, a, at)
        last = b.sub(samples, ir.Constant(SIZE, 1))

        def place(i: int) -> Value:
            index = ir.Constant(SIZE, i)
            held = b.select(b.icmp_signed("<", index, last), index, last)
            return b.gep(start, [b.mul(b.load(b.gep(indices, [held])), row)])

        def chosen(i: int) -> Value:
            inside = b.icmp_signed("<", ir.Constant(SIZE, i), samples)
            return first_lanes(b, b.select(inside, count, ir.Constant(SIZE, 0)))

        everything = b.and_(whole(b, count), b.icmp_signed(">=", samples, ir.Constant(SIZE, N)))
        with b.if_else(everything, likely=True) as (then, otherwise):
            with then:
                plain, block = [load_cast_value(b, place(i), kind.dtype) for i in range(N)], b.block
            with otherwise:
                masked = [load_cast_value(b, place(i), kind.dtype, chosen(i)) for i in range(N)]
                other_block = b.block
        loaded = [b.phi(VECTOR) for _ in range(N)]
        for phi, x, y in zip(loaded, plain, masked, strict=True):
            phi.add_incoming(x, block)
            phi.add_incoming(y, other_block)
        return context.make_tuple(b, signature.return_type, loaded)

    return tile(N)(n, rows, types.intp, types.intp, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_rows(typing: Any, x: Any, rows: Any, a: Any, at: Any, row: Any, count: Any) -> Any:
    """The reverse of load_rows: the first `count` numbers of the first `rows` vectors."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, rows, a, at, row, count = values
        start, lanes = pointer(context, b, signature.args[2], a, at), first_lanes(b, count)
        for i in range(signature.args[0].count):
            with b.if_then(b.icmp_signed("<", ir.Constant(SIZE, i), rows), likely=True):
                masked_store(b, b.extract_value(x, i), ahead(b, start, row, i), lanes)
        return context.get_dummy_value()

    return types.void(x, types.intp, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_first(typing: Any, x: Any, m: Any, count: Any, a: Any, at: Any, row: Any, column: Any) -> Any:
    """The first `count` of the m rows of a tile, vector (i, j) at a[at + i row + j column]."""
    M = m.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, _, count, a, at, row, column = values
        start, n = pointer(context, b, signature.args[3], a, at), signature.args[0].count // M
        for i in range(M):
            with b.if_then(b.icmp_signed("<", ir.Constant(SIZE, i), count)):
                for j in range(n):
                    store_value(b, b.extract_value(x, i * n + j), ahead(b, ahead(b, start, row, i), column, j))
        return context.get_dummy_value()

    return types.void(x, m, types.intp, a, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def store_bytes_first(typing: Any, x: Any, count: Any, a: Any, at: Any) -> Any:
    """The first `count` vectors of a tile as uint8, side by side."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, count, a, at = values
        start = pointer(context, b, signature.args[2], a, at)
        for i in range(signature.args[0].count):
            with b.if_then(b.icmp_signed("<", ir.Constant(SIZE, i), count)):
                whole = b.trunc(b.fptosi(b.extract_value(x, i), INTS), ir.VectorType(BYTE, LANES))
                store_value(b, whole, ahead(b, start, ir.Constant(SIZE, LANES), i), 1)
        return context.get_dummy_value()

    return types.void(x, types.intp, a, types.intp), generate


@intrinsic(prefer_literal=True)
def splat_tile(typing: Any, m: Any, n: Any, a: Any, at: Any) -> Any:
    """m x n vectors: vector (i, j) is a[at + i] in every lane."""
    M, N = m.literal_value, n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        start = pointer(context, b, signature.args[2], *values[2:])
        rows = [splat_value(b, load_value(b, ahead(b, start, ir.Constant(SIZE, 1), i), FLOAT)) for i in range(M)]
        return context.make_tuple(b, signature.return_type, [x for x in rows for _ in range(N)])

    return tile(M * N)(m, n, a, types.intp), generate


@intrinsic(prefer_literal=True)
def column(typing: Any, x: Any, m: Any, j: Any) -> Any:
    """Column j of a tile of m rows."""
    M, J = m.literal_value, j.literal_value
    N = x.count // M

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        chosen = [b.extract_value(values[0], i * N + J) for i in range(M)]
        return context.make_tuple(b, signature.return_type, chosen)

    return tile(M)(x, m, j), generate


@intrinsic(prefer_literal=True)
def part(typing: Any, x: Any, first: Any, n: Any) -> Any:
    """Vectors first, ..., first + n - 1 of a tile."""
    start, count = first.literal_value, n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        chosen = [b.extract_value(values[0], start + i) for i in range(count)]
        return context.make_tuple(b, signature.return_type, chosen)

    return tile(count)(x, first, n), generate


@intrinsic(prefer_literal=True)
def add_row(typing: Any, x: Any, m: Any, row: Any) -> Any:
    """A tile of m rows plus the tile `row` in each of them."""
    M, N = m.literal_value, row.count

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, _, row = values
        added = [b.extract_value(row, j) for j in range(N)]
        result = [b.fadd(b.extract_value(x, i * N + j), v) for i in range(M) for j, v in enumerate(added)]
        return context.make_tuple(b, signature.return_type, result)

    return x(x, m, row), generate


@intrinsic(prefer_literal=True)
def fma_outer(typing: Any, acc: Any, m: Any, a: Any, at: Any, row: Any, x: Any, at_x: Any, column: Any) -> Any:
    """acc[i, j] += a[at + i row] * vector x[at_x + j column : + LANES]   for i < m: numbers times vectors."""
    M = m.literal_value
    N = acc.count // M

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        acc, _, a, at, row, x, at_x, column = values
        scalars = pointer(context, b, signature.args[2], a, at)
        start = pointer(context, b, signature.args[5], x, at_x)
        vectors = [load_value(b, ahead(b, start, column, j)) for j in range(N)]
        result = []
        for i in range(M):
            factor = splat_value(b, load_value(b, ahead(b, scalars, row, i), FLOAT))
            result += [fma_value(b, factor, v, b.extract_value(acc, i * N + j)) for j, v in enumerate(vectors)]
        return context.make_tuple(b, signature.return_type, result)

    return acc(acc, m, a, types.intp, types.intp, x, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def fma_outer_part(typing: Any, acc: Any, m: Any, a: Any, at: Any, row: Any, x: Any, at_x: Any, count: Any) -> Any:
    """fma_outer for vectors side by side of which only the first `count` numbers are there."""
    M = m.literal_value
    N = acc.count // M

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        acc, _, a, at, row, x, at_x, count = values
        scalars = pointer(context, b, signature.args[2], a, at)
        start = pointer(context, b, signature.args[5], x, at_x)
        step = ir.Constant(SIZE, LANES)
        vectors = [
            masked_load(b, ahead(b, start, step, j), first_lanes(b, b.sub(count, ir.Constant(SIZE, j * LANES))))
            for j in range(N)
        ]
        result = []
        for i in range(M):
            factor = splat_value(b, load_value(b, ahead(b, scalars, row, i), FLOAT))
            result += [fma_value(b, factor, v, b.extract_value(acc, i * N + j)) for j, v in enumerate(vectors)]
        return context.make_tuple(b, signature.return_type, result)

    return acc(acc, m, a, types.intp, types.intp, x, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def fma_packed(typing: Any, acc: Any, n: Any, a: Any, at: Any, x: Any, at_x: Any) -> Any:
    """acc[i] += sum_k a[at + k len(acc) + i] * vector x[at_x + k LANES : + LANES]   for k < n, one after the other."""
    K = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        acc, _, a, at, x, at_x = values
        numbers = pointer(context, b, signature.args[2], a, at)
        start = pointer(context, b, signature.args[4], x, at_x)
        result = [b.extract_value(acc, i) for i in range(signature.args[0].count)]
        for k in range(K):
            v = load_value(b, ahead(b, start, ir.Constant(SIZE, LANES), k))
            for i in range(len(result)):
                place = ahead(b, numbers, ir.Constant(SIZE, 1), k * len(result) + i)
                result[i] = fma_value(b, splat_value(b, load_value(b, place, FLOAT)), v, result[i])
        return context.make_tuple(b, signature.return_type, result)

    return acc(acc, n, a, types.intp, x, types.intp), generate


@intrinsic(prefer_literal=True)
def steps(typing: Any, n: Any, stride: Any) -> Any:
    """The places (0, stride, 2 stride, ...) of n vectors."""
    count = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        places = [b.mul(values[1], ir.Constant(SIZE, i)) for i in range(count)]
        return context.make_tuple(b, signature.return_type, places)

    return types.UniTuple(types.intp, count)(n, types.intp), generate


@intrinsic(prefer_literal=True)
def steps_within(typing: Any, n: Any, stride: Any, count: Any) -> Any:
    """steps(n, stride) with the last of the first `count` places repeated."""
    N = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        _, stride, count = values
        last = b.sub(count, ir.Constant(SIZE, 1))
        indices = [ir.Constant(SIZE, i) for i in range(N)]
        held = [b.select(b.icmp_signed("<", i, count), i, last) for i in indices]
        return context.make_tuple(b, signature.return_type, [b.mul(stride, i) for i in held])

    return types.UniTuple(types.intp, N)(n, types.intp, types.intp), generate


def make_fma_vectors(name: str, partly: bool) -> Any:
    def operation(acc: Any, a: Any, places_a: Any, x: Any, places_x: Any, more: tuple) -> tuple:
        M, N = places_a.count, places_x.count

        def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
            acc, a, at_a, places_a, x, at_x, places_x = values[:7]
            lanes = first_lanes(b, values[7]) if partly else None

            def fetch(start: Value, places: Value, i: int) -> Value:
                place = b.gep(start, [b.extract_value(places, i)])
                return masked_load(b, place, lanes) if partly else load_value(b, place)

            start_a = pointer(context, b, signature.args[1], a, at_a)
            start_x = pointer(context, b, signature.args[4], x, at_x)
            factors = [fetch(start_a, places_a, i) for i in range(M)]
            result = [b.extract_value(acc, i) for i in range(M * N)]
            for j in range(N):
                v = fetch(start_x, places_x, j)
                for i in range(M):
                    result[i * N + j] = fma_value(b, factors[i], v, result[i * N + j])
            return context.make_tuple(b, signature.return_type, result)

        return acc(acc, a, types.intp, places_a, x, types.intp, places_x, *more), generate

    if partly:

        def function(typing: Any, acc: Any, a: Any, at_a: Any, pa: Any, x: Any, at_x: Any, px: Any, n: Any) -> Any:
            return operation(acc, a, pa, x, px, (types.intp,))

    else:

        def function(typing: Any, acc: Any, a: Any, at_a: Any, pa: Any, x: Any, at_x: Any, px: Any) -> Any:  # type: ignore[misc]
            return operation(acc, a, pa, x, px, ())

    function.__name__ = name
    return intrinsic(function)


# acc[i, j] += vector a[at_a + pa[i] : + LANES] * vector x[at_x + px[j] : + LANES]: vectors times vectors
fma_vectors = make_fma_vectors("fma_vectors", partly=False)
fma_vectors_part = make_fma_vectors("fma_vectors_part", partly=True)  # of the first n lanes only


@intrinsic(prefer_literal=True)
def fma_windows(
    typing: Any, acc: Any, x: Any, at_x: Any, row: Any, pixel: Any, down: Any, right: Any,
    dy: Any, at: Any, channel: Any, winner: Any, at_winner: Any,
) -> Any:  # fmt: skip
    """What a pooling window adds to the gradients of a kernel's 9 weights, for as many channels as acc is 9 vectors:

    acc[i, j, o] += vector x[at_x + i row + j pixel + (the winner's place in the window) : + LANES] * vector dy[at + o
    channel : + LANES], and winner has a byte a lane at at_winner + o channel: 0, 1 to the right, 2 below, 3 both.
    """
    channels = acc.count // 9

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        acc, x, at_x, row, pixel, down, right, dy, at, channel, winner, at_winner = values
        start_x, start_dy, start = (
            pointer(context, b, signature.args[i], array, place)
            for i, array, place in ((1, x, at_x), (7, dy, at), (10, winner, at_winner))
        )
        bytes_of = ir.VectorType(BYTE, LANES)
        places = [load_value(b, ahead(b, start, channel, o), bytes_of, 1) for o in range(channels)]
        upstream = [load_value(b, ahead(b, start_dy, channel, o)) for o in range(channels)]
        kept = [
            [b.select(b.icmp_unsigned("==", place, ir.Constant(bytes_of, [k] * LANES)), d, ZERO) for k in range(4)]
            for place, d in zip(places, upstream, strict=True)
        ]
        result = [b.extract_value(acc, i) for i in range(signature.args[0].count)]
        for i in range(4):
            line = ahead(b, start_x, row, i) if i < 3 else b.gep(ahead(b, start_x, row, 2), [down])
            for j in range(4):
                v = load_value(b, ahead(b, line, pixel, j) if j < 3 else b.gep(ahead(b, line, pixel, 2), [right]))
                for k in range(4):
                    y, x = i - k // 2, j - k % 2  # of the weight by which the pixel meets that place of the window
                    for o in range(channels if 0 <= y < 3 and 0 <= x < 3 else 0):
                        cell = (y * 3 + x) * channels + o
                        result[cell] = fma_value(b, v, kept[o][k], result[cell])
        return context.make_tuple(b, signature.return_type, result)

    size = types.intp
    return acc(acc, x, size, size, size, size, size, dy, size, size, winner, size), generate


@intrinsic(prefer_literal=True)
def store_corner(typing: Any, x: Any, n: Any, a: Any, at: Any, row: Any, rows: Any, columns: Any) -> Any:
    """The lanes of x as a matrix of rows of n, of which the first `rows` and `columns` go to a[at + i row + j]."""
    N = n.literal_value

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        x, _, a, at, row, rows, columns = values
        start = pointer(context, b, signature.args[2], a, at)
        for i in range(LANES // N):
            for j in range(N):
                inside = b.and_(
                    b.icmp_signed("<", ir.Constant(SIZE, i), rows), b.icmp_signed("<", ir.Constant(SIZE, j), columns)
                )
                with b.if_then(inside, likely=True):
                    place = b.gep(ahead(b, start, row, i), [ir.Constant(SIZE, j)])
                    store_value(b, b.extract_element(x, ir.Constant(INT, i * N + j)), place)
        return context.get_dummy_value()

    return types.void(x, n, a, types.intp, types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def sums(typing: Any, x: Any) -> Any:
    """The sums over the lanes of each vector of a tile, LANES of them a vector."""
    count = x.count

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        vectors = [b.extract_value(values[0], i) for i in range(count)]
        folded = [fold(b, vectors[i : i + LANES]) for i in range(0, count, LANES)]
        return context.make_tuple(b, signature.return_type, folded)

    return tile(-(-count // LANES))(x), generate


@intrinsic(prefer_literal=True)
def sum_vectors(typing: Any, x: Any) -> Any:
    """The sum of a tile's vectors, lane by lane: of each half, of each quarter, ..."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        vectors = [b.extract_value(values[0], i) for i in range(x.count)]
        while len(vectors) > 1:
            half = len(vectors) // 2
            pairs = zip(vectors[:half], vectors[half : 2 * half], strict=True)
            vectors = [*(b.fadd(*pair) for pair in pairs), *vectors[2 * half :]]
        return vectors[0]

    return vector(x), generate


@intrinsic
def interleave(typing: Any, x: Any) -> Any:
    """Four vectors' lanes in turn: a0 b0 c0 d0 a1 b1 c1 d1 ..., in four vectors."""

    def zip_lanes(b: Builder, x: Value, y: Value) -> list[Value]:
        turns = [i // 2 + i % 2 * LANES for i in range(2 * LANES)]
        return [b.shuffle_vector(x, y, ir.Constant(INTS, turns[at : at + LANES])) for at in (0, LANES)]

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        v0, v1, v2, v3 = (b.extract_value(values[0], i) for i in range(4))
        pairs = zip(zip_lanes(b, v0, v2), zip_lanes(b, v1, v3), strict=True)
        return context.make_tuple(b, signature.return_type, [v for x, y in pairs for v in zip_lanes(b, x, y)])

    return x(x), generate


@intrinsic(prefer_literal=True)
def transpose(typing: Any, x: Any) -> Any:
    """A tile of LANES vectors with rows and columns exchanged."""

    def generate(context: Any, b: Builder, signature: Any, values: Any) -> Value:
        v = [b.extract_value(values[0], i) for i in range(LANES)]
        width = LANES // 2
        while width:  # exchange the off-diagonal blocks of all blocks of 2 width
            for i in range(LANES):
                if not i & width:
                    low = [j if not j & width else LANES + j - width for j in range(LANES)]
                    high = [j + width if not j & width else LANES + j for j in range(LANES)]
                    x, y = v[i], v[i + width]
                    v[i] = b.shuffle_vector(x, y, ir.Constant(INTS, low))
                    v[i + width] = b.shuffle_vector(x, y, ir.Constant(INTS, high))
            width //= 2
        return context.make_tuple(b, signature.return_type, v)

    return x(x), generate
