"""The fused path of every format that is not intN against the scalar truth: every column, over awkward tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import pytest

from qanalysis.sweeps import jobs
from qanalysis.sweeps.chunks import cut_chunks
from qanalysis.sweeps.sweep import sweep
from tests.reference import MODES, SCALE_BITS, Truth, check_row
from tests.reference_formats import ALL_FORMATS, BLOCKS, SCALED_FLOATS, FormatWords, describe_format

FREE = ("binary", "ternary", *SCALED_FLOATS, "nf4")
ROUNDED = (
    *SCALED_FLOATS,
    "mxfp4",
    "mxfp6_e2m3",
    "mxfp6_e3m2",
    "mxfp8_e4m3",
    "mxfp8_e5m2",
    "mxint8",
    "nvfp4",
    "nvfp4:one-level",
    "bfloat16",
    "float16",
)
GROUPINGS = ("tensor", "channel", "group=7", "group=32", "block=3x5")
PLAIN = [FormatWords(name) for name in ALL_FORMATS]
CATALOGUE = [
    FormatWords(name, grouping, scale, mode)
    for name in FREE
    for grouping in GROUPINGS
    for scale in [*SCALE_BITS, *(["double"] if name == "nf4" else [])]
    for mode in (MODES if name in ROUNDED else MODES[:1])
] + [FormatWords(name, mode=mode) for name in ROUNDED if name not in FREE for mode in MODES[1:]]


def make_tensors() -> dict[str, np.ndarray]:
    """Rows of 64, which 16 and 32 divide; two tensors have rows of 256 for the ternary blocks."""
    rng = np.random.default_rng(15)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    tensors = {
        "gaussian": normal(3, 64),
        "outlier column": normal(3, 64) * np.where(np.arange(64) == 5, 50, 1).astype(np.float32),
        "outlier column, rows of 256": normal(2, 256) * np.where(np.arange(256) == 200, 50, 1).astype(np.float32),
        "zeros": np.zeros((2, 256), np.float32),
        "constant": np.full((2, 256), 0.3, np.float32),
        "negative constant": np.full((2, 64), -1.7, np.float32),
        "one dimension": normal(256),
        "three dimensions": normal(2, 4, 8),
        "holes": normal(3, 256),
        "nothing finite": np.full((2, 256), np.nan, np.float32),
        "a row of zeros": normal(4, 64),
        "all positive": np.abs(normal(2, 64)),
        "all negative": -np.abs(normal(2, 64)) - 1,
        # Multiples of 1/16 up to 4 meet midpoints of most formats, in both signs, and extremes that tie.
        "ties": np.clip(np.arange(-96, 96, dtype=np.float32).reshape(3, 64) / 16, -4, 4),
        "negative zeros": -np.zeros((2, 64), np.float32) + np.eye(2, 64, dtype=np.float32),
        "subnormal": normal(2, 64) * np.float32(1e-41),
        "nearly subnormal": normal(2, 64) * np.float32(1e-36),
        "1e-30": normal(2, 64) * np.float32(1e-30),
        "below float16's numbers": normal(2, 256) * np.float32(3e-8),
        "across float16's smallest": normal(4, 256) * np.float32([[3e-8], [3e-7], [3e-6], [3e-5]]),
        "1e30": normal(2, 64) * np.float32(1e30),
        "close to the largest float": normal(2, 64) * np.float32(5e37),
        "many magnitudes": normal(4, 64) * np.float32(10) ** np.arange(-30, 40, 20, dtype=np.float32)[:, None],
        "rows too small to more": normal(4, 64) * np.float32([[1e-41], [1e-38], [1], [1e-3]]),
        "near one": 1 + normal(3, 64) * np.float32(1e-4),
    }
    tensors["holes"][1, 2:5] = [np.nan, np.inf, -np.inf]
    tensors["holes"][2, 64:96] = np.nan
    tensors["a row of zeros"][2] = 0
    return tensors


TENSORS = make_tensors()


def fits(words: FormatWords, x: np.ndarray) -> bool:
    row = x.size // x.shape[0] if x.ndim > 1 else x.size
    return row % BLOCKS.get(words.format, 1) == 0


@cache
def know(name: str, words: FormatWords) -> Truth:
    """The truth of one of the tensors, worked out once."""
    return describe_format(TENSORS[name], words)


def check(name: str, plan: Sequence[FormatWords]) -> None:
    plan = [words for words in plan if fits(words, TENSORS[name])]
    for words, row in zip(plan, sweep({name: TENSORS[name]}, [words.text for words in plan], workers=1), strict=True):
        check_row(row, know(name, words))


@pytest.mark.parametrize("name", TENSORS)
def test_rows_equal_the_truth_for_every_format(name: str) -> None:
    check(name, PLAIN)


@pytest.mark.parametrize("name", TENSORS)
def test_rows_equal_the_truth_over_groupings_scales_and_rounding_modes(name: str) -> None:
    # 61 is coprime to the number of words of every kind, so words meet in all pairs.
    check(name, CATALOGUE[list(TENSORS).index(name) % 61 :: 61])


def check_alone(x: np.ndarray, *plan: FormatWords) -> None:
    for words, row in zip(plan, sweep({"x": x}, [words.text for words in plan], workers=1), strict=True):
        check_row(row, describe_format(x, words))


LONG = np.random.default_rng(16).standard_t(4, size=(2, 1280)).astype(np.float32)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_rows_that_fill_several_tiles_equal_the_truth(name: str) -> None:
    check_alone(LONG, FormatWords(name))


@pytest.mark.parametrize("values", [1, 40, 64, 200])
def test_pieces_of_any_size_give_the_same_rows(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "cut_chunks", partial(cut_chunks, values=values))
    plan = [
        *PLAIN,
        *(FormatWords(name, grouping) for name in FREE for grouping in GROUPINGS[1:]),
        FormatWords("nf4", "group=7", "double"),
    ]
    plan += [FormatWords("mxfp6_e3m2", mode="stochastic:7"), FormatWords("fp8_e4m3", mode="stochastic:7")]
    for name in ("gaussian", "outlier column, rows of 256", "holes", "three dimensions", "many magnitudes"):
        check(name, plan)


def test_zeros_that_fill_a_tile_beside_tiny_values_have_binarys_errors() -> None:
    x = np.zeros((1, 4096), np.float32)
    x[0, 2048:] = 1e-36
    check_alone(x, FormatWords("binary"), FormatWords("binary", "group=7"), FormatWords("fp8_e4m3", mode="ceil"))


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_ranges_wider_than_the_largest_float_are_measured_without_a_warning(name: str) -> None:
    check_alone(np.resize(np.float32([3e38, -3e38, 1e37, 0, 0, 0, 0, 0]), (1, 256)), FormatWords(name))


@pytest.mark.parametrize("axis", [1, 2])
def test_another_channel_axis_turns_the_blocks_with_it(axis: int) -> None:
    x = np.random.default_rng(17).normal(size=(4, 8, 8)).astype(np.float32)
    moved = np.ascontiguousarray(np.moveaxis(x, axis, 0))
    for grouping in (f"channel={axis}", "channel"):
        words = FormatWords("fp8_e4m3", grouping)
        tensor = x if "=" in grouping else moved
        check_row(sweep({"x": tensor}, [words.text])[0], describe_format(tensor, words))
