"""Groupings: text forms, worked layouts, and the laws that hold for every shape (inverse, cover, order of the groups)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.quantizers.grouping import Grouping, Layout, parse_grouping
from tests.reference import find_groups

TEXTS = [
    "tensor",
    "channel",
    "channel=0",
    "channel=1",
    "group=1",
    "group=7",
    "group=32",
    "block=3x5",
    "block=2x1",
    "block=100x100",
]
SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)


def lay(text: str, shape: tuple[int, ...], *, axis: int = 0) -> Layout:
    return parse_grouping(text).lay_out(shape, axis=axis)


@pytest.mark.parametrize("text", TEXTS)
def test_text_forms_parse_back(text: str) -> None:
    assert str(parse_grouping(text)) == text
    assert parse_grouping(str(parse_grouping(text))) == parse_grouping(text)


def test_block_of_one_row_is_a_group() -> None:
    assert parse_grouping("block=1x128") == parse_grouping("group=128")


@pytest.mark.parametrize(
    "text", ["row", "group", "group=", "group=-4", "group=3.5", "block=3", "block=3x", "channel=-1", "tensor=1", ""]
)
def test_unknown_words_fail_and_name_the_forms(text: str) -> None:
    with pytest.raises(
        ValueError, match=rf"grouping '{text}' is unknown; write tensor, channel, channel=AXIS, group=N or block=RxC"
    ):
        parse_grouping(text)


@pytest.mark.parametrize("text", ["group=0", "block=0x4", "block=4x0"])
def test_groups_of_no_elements_fail(text: str) -> None:
    with pytest.raises(ValueError, match=f"grouping {text}: a group has at least one element"):
        parse_grouping(text)


def test_zero_dimensions_fail() -> None:
    with pytest.raises(ValueError, match="a 0-d tensor has no channels to group"):
        Grouping().lay_out(())


@pytest.mark.parametrize(("text", "axis"), [("channel=2", 0), ("channel", 2), ("tensor", -3)])
def test_axis_that_the_tensor_does_not_have_fails(text: str, axis: int) -> None:
    with pytest.raises(ValueError, match=r"axis -?\d of a tensor with 2 dimensions; axes are 0 to 1"):
        lay(text, (4, 5), axis=axis)


@pytest.mark.parametrize(
    ("text", "groups", "lengths"),
    [
        ("tensor", 1, {77: 1}),
        ("channel", 7, {11: 7}),
        ("channel=1", 11, {7: 11}),
        ("group=7", 14, {7: 7, 4: 7}),
        ("group=32", 7, {11: 7}),
        # 3, 3 and 1 rows by 5, 5 and 1 columns.
        ("block=3x5", 9, {15: 4, 3: 2, 5: 2, 1: 1}),
    ],
)
def test_groups_of_7_rows_by_11_columns(text: str, groups: int, lengths: dict[int, int]) -> None:
    layout = lay(text, (7, 11))
    assert (layout.groups, layout.length_counts) == (groups, lengths)


def test_channel_axis_comes_from_the_tensor_unless_the_word_says_otherwise() -> None:
    assert lay("channel", (4, 6), axis=1).groups == 6
    assert lay("channel=0", (4, 6), axis=1).groups == 4


def test_one_dimension_is_one_row_whatever_the_axis() -> None:
    assert [lay(text, (9,), axis=1).groups for text in ("tensor", "channel", "group=4")] == [1, 1, 3]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("text", TEXTS)
def test_empty_tensors_have_no_elements_in_any_group(text: str, shape: tuple[int, ...]) -> None:
    if text == "channel=1" and len(shape) == 1:
        return
    layout = lay(text, shape)
    assert sum(length * count for length, count in layout.length_counts.items()) == 0


@given(shape=SHAPES, text=st.sampled_from(TEXTS), data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_layout_finds_the_groups_of_plain_index_arithmetic(
    shape: tuple[int, ...], text: str, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    if text == "channel=1" and len(shape) == 1:
        text = "channel"
    layout = lay(text, shape, axis=axis)
    order, groups = find_groups(shape, text, axis=axis if len(shape) > 1 else 0)
    x = np.arange(np.prod(shape)).reshape(shape)

    matrix = layout.to_matrix(x)
    assert matrix.reshape(-1).tolist() == [x[index] for index in order]
    np.testing.assert_array_equal(layout.from_matrix(matrix), x)

    numbers = np.broadcast_to(layout.spread(np.arange(layout.groups)), matrix.shape).reshape(-1)
    assert layout.groups == len(groups)
    for number, group in enumerate(groups):
        assert np.flatnonzero(numbers == number).tolist() == group.places


@given(shape=SHAPES, text=st.sampled_from(TEXTS[:2] + TEXTS[4:]))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_split_gives_each_group_once_with_its_elements(shape: tuple[int, ...], text: str) -> None:
    layout = lay(text, shape)
    matrix = layout.to_matrix(np.arange(np.prod(shape)).reshape(shape))
    found = {}
    parts = list(layout.split(matrix))
    for indices, values in parts:
        found |= {int(index): sorted(row.tolist()) for index, row in zip(indices, values, strict=True)}
    _order, groups = find_groups(shape, text)
    # The first axis is the channel axis, so a place in the matrix view is its value.
    assert found == {number: group.places for number, group in enumerate(groups)}
    assert len(parts) <= 4
    assert sum(len(indices) for indices, _values in parts) == layout.groups


def test_matrix_view_of_the_first_axis_is_no_copy() -> None:
    x = np.zeros((4, 3, 2), np.float32)
    assert np.shares_memory(lay("channel", x.shape).to_matrix(x), x)
