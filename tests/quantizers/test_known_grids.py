"""Values that lie on a quantizer's grid are told, behind a cast too; ordinary values never are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qanalysis.quantizers.known_grids import KnownGrid, find_grid

Matrix = NDArray[np.float32]
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
CASTS: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def draw(rows: int = 64, columns: int = 1024, seed: int = 0) -> Matrix:
    return (0.02 * np.random.default_rng(seed).standard_normal((rows, columns))).astype(np.float32)


def cast(x: NDArray[Any], word: str) -> Matrix:
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(CASTS[word]).astype(np.float32)


def put_on_symmetric(x: Matrix, length: int, most: int) -> Matrix:
    groups = x.reshape(-1, length)
    step = np.abs(groups).max(axis=1, keepdims=True) / most
    return (np.rint(groups / step) * step).astype(np.float32).reshape(x.shape)


def put_on_shifted(x: Matrix, length: int, most: int) -> Matrix:
    groups = x.reshape(-1, length)
    low = groups.min(axis=1, keepdims=True)
    step = (groups.max(axis=1, keepdims=True) - low) / most
    return (np.rint((groups - low) / step) * step + low).astype(np.float32).reshape(x.shape)


def put_on_fp4(x: Matrix, length: int, *, powers: bool) -> Matrix:
    groups = x.reshape(-1, length).astype(np.float64)
    scale = np.abs(groups).max(axis=1, keepdims=True) / 6
    scale = 2.0 ** np.ceil(np.log2(scale)) if powers else (1000 * scale).astype(ml_dtypes.float8_e4m3fn) / 1000.0
    nearest = np.abs(np.abs(groups / scale)[..., np.newaxis] - FP4).argmin(axis=-1)
    return (np.sign(groups) * FP4[nearest] * scale).astype(np.float32).reshape(x.shape)


@pytest.mark.parametrize("word", CASTS)
@pytest.mark.parametrize(
    ("length", "grouping"),
    [(16, "group 16"), (32, "group 32"), (64, "group 64"), (128, "group 128"), (256, "group 256"), (1024, "channel")],
)
@pytest.mark.parametrize(("most", "levels"), [(7, 15), (127, 255)])
def test_symmetric_integers_are_told_behind_a_cast(
    word: str, length: int, grouping: str, most: int, levels: int
) -> None:
    found = find_grid(cast(put_on_symmetric(draw(), length, most), word))
    if (word, length, most) == ("bfloat16", 16, 127):
        assert found is None  # 16 values of 8 bits on a grid of 8 bits: chance would do it
    else:
        assert found == KnownGrid("int", levels, grouping)
        assert found.text == f"already on a grid of {levels} levels, {grouping}"


@pytest.mark.parametrize("length", [32, 128, 1024])
@pytest.mark.parametrize(("most", "word"), [(15, "float32"), (15, "bfloat16"), (255, "float32")])
def test_integers_with_an_offset_are_told(length: int, most: int, word: str) -> None:
    found = find_grid(cast(put_on_shifted(draw(), length, most), word))
    assert found == KnownGrid("int", most + 1, "channel" if length == 1024 else f"group {length}")


def test_zero_points_of_the_groups_do_not_add_levels() -> None:
    codes = np.random.default_rng(1).integers(0, 16, (64, 8, 128))
    zeros = np.random.default_rng(2).integers(0, 16, (64, 8, 1))
    step = np.random.default_rng(3).uniform(0.001, 0.01, (64, 8, 1))
    found = find_grid(((codes - zeros) * step).astype(np.float32).reshape(64, 1024))
    assert found == KnownGrid("int", 16, "group 128")


def test_one_step_for_all_is_told_as_the_tensors() -> None:
    assert find_grid(np.rint(draw() * 1000) * np.float32(0.0137)).grouping == "tensor"


@pytest.mark.parametrize("word", ["float32", "bfloat16"])
@pytest.mark.parametrize(("length", "powers", "kind"), [(32, True, "mxfp4"), (16, False, "fp4"), (128, False, "fp4")])
def test_fp4_is_told_with_the_kind_of_its_scales(word: str, length: int, powers: bool, kind: str) -> None:
    found = find_grid(cast(put_on_fp4(draw(), length, powers=powers), word))
    assert found == KnownGrid(kind, 15, f"group {length}")


@pytest.mark.parametrize("word", ["float32", "bfloat16"])
@pytest.mark.parametrize("scaling", ["power of two", "channel", "tensor"])
def test_fp8_is_told_with_and_without_scales(word: str, scaling: str) -> None:
    x = draw()
    scale: Any = {
        "power of two": np.float32(2.0**-12),
        "channel": np.abs(x).max(axis=1, keepdims=True) / 448,
        "tensor": np.float32(np.abs(x).max() / 448),
    }[scaling]
    found = find_grid(cast((x / scale).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * scale, word))
    assert found is not None
    assert (found.kind, found.levels) == ("fp8", 253)
    assert found.grouping == ("channel" if scaling == "channel" else "tensor")


def test_ternary_weights_have_three_levels() -> None:
    x = draw()
    scale = np.random.default_rng(1).uniform(0.01, 0.02, (64, 1)).astype(np.float32)
    assert find_grid(np.sign(x) * (np.abs(x) > 0.02) * scale) == KnownGrid("int", 3, "channel")


ORDINARY: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "laplace": lambda rng, shape: rng.laplace(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "one binade": lambda rng, shape: rng.uniform(1, 2, shape),
    "near one": lambda rng, shape: 1 + 0.02 * rng.standard_normal(shape),
    "pruned": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.1),
    "low rank": lambda rng, shape: rng.standard_normal((shape[0], 1)) * rng.standard_normal((1, shape[1])),
    "equal rows": lambda rng, shape: np.repeat(rng.standard_normal((1, shape[1])), shape[0], axis=0),
}


@pytest.mark.parametrize("word", CASTS)
@pytest.mark.parametrize("kind", ORDINARY)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 700),
    power=st.floats(-7, 3),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15, deadline=None)
def test_ordinary_values_are_on_no_grid(kind: str, word: str, rows: int, columns: int, power: float, seed: int) -> None:
    # float16 at 1e-7 is made of multiples of its smallest subnormal: a cast, no quantizer's grid.
    x = ORDINARY[kind](np.random.default_rng(seed), (rows, columns))
    assert find_grid(cast(x * 10.0**power, word)) is None


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((64, 64), np.float32),
        np.full((64, 64), 0.1, np.float32),
        np.sign(draw()),
        (draw() > 0).astype(np.float32),
        np.full((64, 64), np.nan, np.float32),
        np.full((64, 64), np.inf, np.float32),
        np.empty((0, 4), np.float32),
        np.empty((4, 0), np.float32),
        np.ones(7, np.float32),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        put_on_symmetric(draw(3, 16), 16, 7),
    ],
    ids=[
        *("zeros", "constant", "signs", "mask", "nan", "infinity", "no rows", "no columns", "vector", "tiny"),
        "three groups",
    ],
)
def test_what_could_not_tell_a_grid_is_on_none(matrix: Matrix) -> None:
    assert find_grid(matrix) is None


def test_one_value_off_the_grid_among_the_sampled_is_no_grid() -> None:
    x = put_on_symmetric(draw(16, 1024), 128, 7)
    assert find_grid(x) is not None
    x[7, 1] *= np.float32(1.2)
    found = find_grid(x)
    assert found is None or found.levels > 15


def test_the_input_is_not_changed() -> None:
    x = put_on_symmetric(draw(), 128, 7)
    before = x.copy()
    find_grid(x[::-1])
    np.testing.assert_array_equal(x, before)
