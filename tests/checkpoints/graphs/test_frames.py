"""Axes followed through reshapes and transposes, against numpy doing the same to the numbers of the elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qanalysis.checkpoints.graphs.frames import Frame
from qanalysis.quantizers.matrix_view import MatrixView

SIZES = st.sampled_from([1, 2, 3, 4, 6])


def split_somewhere(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with one axis split in two."""
    axis = draw(st.integers(0, len(shape) - 1))
    outer = draw(st.sampled_from([size for size in range(1, shape[axis] + 1) if shape[axis] % size == 0]))
    return (*shape[:axis], outer, shape[axis] // outer, *shape[axis + 1 :])


def merge_somewhere(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with two neighbouring axes merged."""
    axis = draw(st.integers(0, max(0, len(shape) - 2)))
    return (*shape[:axis], math.prod(shape[axis : axis + 2]), *shape[axis + 2 :])


@st.composite
def walks(draw: Any) -> tuple[Frame, NDArray[np.int64]]:
    """A frame, and the numbers of the stored elements moved by numpy in the same way."""
    shape = tuple(draw(st.lists(SIZES, min_size=1, max_size=4)))
    frame: Frame | None = Frame.of(shape)
    numbers = np.arange(math.prod(shape)).reshape(shape)
    for _ in range(draw(st.integers(0, 5))):
        assert frame is not None
        kind = draw(st.sampled_from(["transpose", "split", "merge"]))
        if kind == "transpose":
            order = draw(st.permutations(range(numbers.ndim)))
            frame, numbers = frame.transpose(order), numbers.transpose(order)
            continue
        target = (split_somewhere if kind == "split" else merge_somewhere)(draw, numbers.shape)
        followed = frame.reshape(target)
        if followed is not None:  # a merge across factors that do not fit ends the walk there
            frame, numbers = followed, numbers.reshape(target)
    assert frame is not None
    return frame, numbers


@given(walks(), st.data())
@settings(deadline=None)  # a busy machine is no fault of the code
def test_the_view_parts_elements_as_the_axes_of_the_value_do(
    walk: tuple[Frame, NDArray[np.int64]], data: st.DataObject
) -> None:
    frame, numbers = walk
    assert frame.shape == numbers.shape
    rows = data.draw(st.sets(st.integers(0, numbers.ndim - 1)))
    places = np.indices(numbers.shape)
    row_of = np.zeros(numbers.size, dtype=np.int64)
    for axis in sorted(rows):
        row_of[numbers.reshape(-1)] = row_of[numbers.reshape(-1)] * numbers.shape[axis] + places[axis].reshape(-1)
    view = frame.find_view(rows)
    assert view is not None
    if len(view.fold or frame.stored) < 2 and len(set(row_of.tolist())) > 1:
        return  # a tensor of one axis is one row whatever the view says
    found = {frozenset(row.tolist()) for row in view.to_matrix(np.arange(numbers.size).reshape(frame.stored))}
    assert found == {frozenset(np.flatnonzero(row_of == row).tolist()) for row in set(row_of.tolist())}


def test_parts_of_an_axis_that_are_row_and_column_have_no_view() -> None:
    sliced = Frame.of((12, 3)).resize(0, 4)
    halves = sliced.reshape((2, 2, 3))
    assert halves is not None
    assert halves.find_view((0,)) is None
    assert halves.find_view((0, 1)) == MatrixView((0,))
    assert halves.find_view((2,)) == MatrixView((1,))


def test_what_was_taken_from_a_stack_leaves_the_stack_in_the_rows() -> None:
    assert Frame.of((3, 8, 4)).drop(0).find_view((1,)) == MatrixView((0, 2))


@pytest.mark.parametrize("target", [(5, 4), (0, 24), (23,)], ids=["no factors", "empty", "another size"])
def test_shapes_that_do_not_fit_are_not_followed(target: tuple[int, ...]) -> None:
    assert Frame.of((4, 6)).reshape(target) is None


def test_axes_that_do_not_fit_are_not_followed() -> None:
    assert Frame.of((4, 6)).transpose((0, 0)) is None
    assert Frame.of((4, 6)).unsqueeze((0, 0)) is None


def test_a_repeated_axis_belongs_to_nothing() -> None:
    assert Frame.of((4, 6)).broadcast((5, 1, 6)).find_view((0, 2)) == MatrixView((1,))
    assert Frame.of((4, 6)).broadcast((None, 4, 6)).shape == (1, 4, 6)
