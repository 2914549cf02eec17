"""What every compiled loop is made of: how loops are compiled, float32 operations that LLVM turns into vector lanes,
the roundings.

Loops are compiled on first use, cached on disk, and release the interpreter lock; none starts threads. The cache knows
a loop by its own file: after an edit here, the files that use it must be touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba.extending import intrinsic

from qanalysis.kernels.codes import CEIL, FLOOR, HALF_UP, NEAREST_AWAY, NEAREST_EVEN, TO_ZERO

# LLVM takes 256-bit lanes by default where the machine has 512; the loops here are 10 to 20 % faster with them.
_settings: Any = numba.config
if _settings.CPU_FEATURES is None and llvm.get_host_cpu_features().get("avx512f"):
    _settings.CPU_NAME = llvm.get_host_cpu_name()
    _settings.CPU_FEATURES = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"

TILE = 2048
# Between these, squares of values and of their errors stay normal float32 numbers, also a thousand of them added up.
SMALLEST_TAME, LARGEST_TAME = np.float32(2**-50), np.float32(2**50)

# Sums may be reordered into lanes; contraction and reciprocal rewriting stay forbidden, so y and e keep their rounding.
REORDER = {"nnan", "ninf", "nsz", "reassoc"}


def compiled(*, variant: str = "", **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A loop that can be called from Python. Loops from one definition need a `variant` each.

    A symbol is made of a function's name and a counter of its process: two variants of one name, compiled in different
    processes and both read from the cache, can bear the same symbol, and the first one loaded would serve for both.
    """
    compile_loop = numba.njit(nogil=True, cache=True, error_model="numpy", **options)

    def rename(loop: Callable[..., Any]) -> Callable[..., Any]:
        if variant:
            loop.__name__ = loop.__qualname__ = f"{loop.__name__}_{variant}"
        return cast("Callable[..., Any]", compile_loop(loop))

    return rename


def inner(*, variant: str = "", **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A loop called from compiled code alone: without the wrappers for Python and C it compiles faster."""
    return compiled(variant=variant, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


def _float_intrinsic(name: str, operands: int) -> Callable[..., Any]:
    """An operation of LLVM on `operands` float32 numbers, one to three, as a function for compiled code; what it makes
    of NaN is not defined.
    """
    # numba's own rint, min and max branch on NaN and keep LLVM from using vector lanes.
    signature = numba.float32(*[numba.float32] * operands)

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * operands)
        return builder.call(
            builder.module.declare_intrinsic(name, [ir.FloatType()], kind), values, fastmath=["nnan", "nsz", "reassoc"]
        )

    def type_one(_typing: Any, _first: Any) -> Any:
        return signature, emit

    def type_two(_typing: Any, _first: Any, _second: Any) -> Any:
        return signature, emit

    def type_three(_typing: Any, _first: Any, _second: Any, _third: Any) -> Any:
        return signature, emit

    return intrinsic((type_one, type_two, type_three)[operands - 1])


rint = _float_intrinsic("llvm.rint", 1)
floor = _float_intrinsic("llvm.floor", 1)
ceil = _float_intrinsic("llvm.ceil", 1)
trunc = _float_intrinsic("llvm.trunc", 1)
absolute = _float_intrinsic("llvm.fabs", 1)
minimum = _float_intrinsic("llvm.minnum", 2)
maximum = _float_intrinsic("llvm.maxnum", 2)
muladd = _float_intrinsic("llvm.fmuladd", 3)

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


def _reinterpret(source: Any, target: Any, llvm_target: Any) -> Callable[..., Any]:
    """The bits of one 32-bit type read as the other."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], llvm_target)

    def type_one(_typing: Any, _value: Any) -> Any:
        return target(source), emit

    return intrinsic(type_one)


bits_of = _reinterpret(numba.float32, numba.int32, ir.IntType(32))
float_of = _reinterpret(numba.int32, numba.float32, ir.FloatType())


@inner()
def fill(row, begin, end, value):
    """Set row[begin:end], (TILE,) float32, to one value."""
    # Unsigned indices: numba then leaves out the wrap-around of negative ones, and LLVM can use vector stores.
    for i in range(np.uint64(begin), np.uint64(end)):
        row[i] = value


@inner()
def make_row():
    """Room for one value per element of a tile, (TILE,) float32; what is in it means nothing yet."""
    return np.empty(TILE, np.float32)


@inner(fastmath=REORDER)
def round_one(scaled, mode, seed, index):
    """A scaled value, float32, as a whole number by one of `codes.ROUNDINGS`; `seed` and the element's `index` decide a
    stochastic one.

    The modes are those of `quantizers.rounding`, bit for bit; NaN may come out as anything, so values are finite.
    """
    if mode == NEAREST_EVEN:
        return rint(scaled)
    if mode == FLOOR:
        return floor(scaled)
    if mode == CEIL:
        return ceil(scaled)
    if mode == TO_ZERO:
        return trunc(scaled)
    if mode == HALF_UP:
        return _round_half_up(scaled)
    if mode == NEAREST_AWAY:
        return _round_away(scaled)
    return _round_by_draw(scaled, seed, index)


@inner(fastmath=REORDER)
def _round_half_up(scaled):
    """Halves go up, also below zero (-0.5 to 0); the comparison is on the fraction, as adding one half first could
    carry 0.49999997 over.
    """
    whole = floor(scaled)
    return whole + (ONE if scaled - whole >= HALF else ZERO)


@inner(fastmath=REORDER)
def _round_away(scaled):
    """Halves go away from zero, as C's round does."""
    whole = floor(absolute(scaled))
    away = whole + (ONE if absolute(scaled) - whole >= HALF else ZERO)
    return -away if scaled < ZERO else away


@inner(fastmath=REORDER)
def _round_by_draw(scaled, seed, index):
    """Up with the probability of the fraction: where the draw in [0, 1) lies below it; whole numbers stay."""
    whole = floor(scaled)
    return whole + (ONE if draw(np.uint64(index), seed) < scaled - whole else ZERO)


@inner()
def draw(index, seed):
    """A uniform draw in [0, 1), a multiple of 2^-24, float32, for a uint64 index and a seed.

    The same for the same index and seed in every process and in any order, so that a sweep in pieces rounds as one in
    whole.
    """
    # SplitMix64's output function; quantizer.draw_uniform is the same in numpy and a test holds them equal.
    mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float32((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)) * np.float32(2**-24)
