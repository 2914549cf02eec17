"""Codes out of bit streams and values out of codes, held against Python's own integers and numpy's float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qanalysis.kernels.unpacking import (
    look_up_codes,
    scale_codes,
    scale_codes_by_index,
    shift_codes,
    unpack_bits,
    unpack_words,
)

EXTREMES = np.array([1, -0.3, 1e-45, 1e-38, 1e30, 3.4e38, np.inf, np.nan, 0, -0.0], np.float32)


def pack(codes: list[int], bits: int) -> bytes:
    """The stream as one large integer, code k at bit k * bits."""
    stream = sum(code << (place * bits) for place, code in enumerate(codes))
    return stream.to_bytes(-(-len(codes) * bits // 8), "little")


def draw_parts(columns: int, length: int, seed: int = 0) -> tuple[Any, Any, NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    groups = -(-columns // length)
    scales = rng.normal(size=(3, groups)).astype(np.float32)
    scales.flat[: EXTREMES.size] = EXTREMES[: scales.size]
    zeros = rng.integers(-128, 256, (3, groups)).astype(np.float32)
    return scales, zeros, rng.integers(0, 256, (3, columns)).astype(np.uint8)


@settings(deadline=None)  # the first call compiles
@given(bits=st.integers(1, 8), codes=st.lists(st.integers(0, 255), max_size=70), padding=st.integers(0, 5))
def test_a_stream_gives_back_its_codes(bits: int, codes: list[int], padding: int) -> None:
    codes = [code % (1 << bits) for code in codes]
    stream = pack(codes, bits)
    rows = np.frombuffer((stream + b"\xff" * padding) * 2, np.uint8).reshape(2, -1)
    assert unpack_bits(rows, bits, len(codes)).tolist() == [codes, codes]


@pytest.mark.parametrize(
    ("bits", "words", "codes"),
    [
        (4, [0x76543210], [0, 1, 2, 3, 4, 5, 6, 7]),
        (3, [0x88FAC688, 0xC688FAC6, 0xFAC688FA], [0, 1, 2, 3, 4, 5, 6, 7] * 4),
        (8, [0x04030201], [1, 2, 3, 4]),
    ],
    ids=["nibbles", "three-bits-straddle-words", "bytes"],
)
def test_words_by_hand(bits: int, words: list[int], codes: list[int]) -> None:
    rows = np.array([words], np.uint32).view(np.uint8)
    assert unpack_bits(rows, bits, len(codes)).tolist() == [codes]


@pytest.mark.parametrize(("bits", "codes"), [(4, [1, 14]), (2, [0, 1, 3, 2]), (1, [0, 0, 0, 1, 1, 1, 1, 0])])
def test_the_highest_bits_may_come_first(bits: int, codes: list[int]) -> None:
    rows = np.array([[0x1E]], np.uint8)
    assert unpack_bits(rows, bits, len(codes), high_first=True).tolist() == [codes]
    assert unpack_bits(rows, bits, 1, high_first=True).tolist() == [codes[:1]]


@pytest.mark.parametrize(
    ("bits", "count", "high_first", "match"),
    [(0, 1, False, "0 bits"), (9, 1, False, "9 bits"), (3, 1, True, "3 bits"), (4, 5, False, "5 codes of 4 bits")],
)
def test_what_is_no_stream_fails(bits: int, count: int, high_first: bool, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        unpack_bits(np.zeros((1, 2), np.uint8), bits, count, high_first=high_first)


def test_words_hold_rows_in_the_order_that_is_given() -> None:
    words = np.array([[0x76543210, 0xFFFFFFF0]], np.uint32)
    codes = unpack_words(words, 4, np.array([0, 2, 4, 6, 1, 3, 5, 7]))
    assert codes[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert codes[:, 1].tolist() == [0, 15, 15, 15, 15, 15, 15, 15]


@settings(deadline=None)  # the first call compiles
@given(columns=st.integers(0, 70), length=st.integers(1, 33), seed=st.integers(0, 9))
def test_values_are_rounded_as_numpy_rounds_them(columns: int, length: int, seed: int) -> None:
    scales, zeros, codes = draw_parts(columns, length, seed)
    groups = np.arange(columns) // length
    with np.errstate(all="ignore"):
        expected = (codes.astype(np.float32) - zeros[:, groups]) * scales[:, groups]
        signed = (codes.view(np.int8).astype(np.float32) - zeros[:, groups]) * scales[:, groups]
        product = codes.astype(np.float32) * scales[:, groups]
        shifted = product + zeros[:, groups]
    np.testing.assert_array_equal(scale_codes(codes, zeros, scales, length), expected)
    np.testing.assert_array_equal(scale_codes(codes.view(np.int8), zeros, scales, length), signed)
    np.testing.assert_array_equal(scale_codes_by_index(codes, zeros, scales, groups), expected)
    np.testing.assert_array_equal(shift_codes(codes, scales, zeros, length), shifted)
    table = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(look_up_codes(codes, table, scales, length), product)


def test_one_zero_point_serves_all_groups() -> None:
    scales = np.array([[1, 2], [3, 4]], np.float32)
    codes = np.array([[8, 9], [7, 0]], np.uint8)
    assert scale_codes(codes, np.float32(8), scales, 1).tolist() == [[0, 2], [-3, -32]]


def test_a_sum_is_not_contracted_with_its_product() -> None:
    # 3 * float32(1/3) is 1 + 2^-25, which rounds to 1; a fused sum would keep the 2^-25.
    scale, offset = np.array([[1 / 3]], np.float32), np.array([[-1]], np.float32)
    assert 3 * float(scale[0, 0]) - 1 == 2**-25
    assert shift_codes(np.array([[3]], np.uint8), scale, offset, 1).tolist() == [[0.0]]


@pytest.mark.parametrize("index", [[0, 2], [-1, 0], [0]], ids=["past-the-groups", "negative", "too-few"])
def test_an_index_that_names_no_group_fails(index: list[int]) -> None:
    parts = np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match=r"must name 2 groups"):
        scale_codes_by_index(np.ones((1, 2), np.uint8), parts, parts, np.array(index))


@pytest.mark.parametrize("length", [0, 1])
def test_groups_that_do_not_cover_the_codes_fail(length: int) -> None:
    parts = np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match="do not lie in"):
        scale_codes(np.ones((1, 3), np.uint8), parts, parts, length)


def test_a_table_of_odd_size_fails() -> None:
    parts = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="3 numbers"):
        look_up_codes(np.ones((1, 1), np.uint8), np.ones(3, np.float32), parts, 1)
