"""A tensor is a matrix by its view: rows are output channels, whatever the axes; there and back is the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.quantizers.matrix_view import MatrixView, view_by
from qanalysis.quantizers.scheme import Scheme


def test_rows_of_a_stacked_expert_are_expert_and_output() -> None:
    x = np.arange(24).reshape(2, 3, 4)  # (expert, in, out)
    matrix = MatrixView((0, 2)).to_matrix(x)
    assert matrix.tolist() == [[e * 12 + i * 4 + o for i in range(3)] for e in range(2) for o in range(4)]


def test_a_grouped_transposed_convolution_is_folded() -> None:
    # (C, M/g, k) = (4, 3, 2) in 2 groups: channel m of group g sums over the inputs of its group alone.
    x = np.arange(24).reshape(4, 3, 2)
    matrix = MatrixView((0, 2), (2, 2, 3, 2)).to_matrix(x)
    assert matrix.shape == (6, 4)
    assert matrix[4].tolist() == [x[c, 1, k] for c in (2, 3) for k in (0, 1)]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
@settings(deadline=None)  # a busy machine is no fault of the code
def test_there_and_back_is_the_same(sizes: list[int], data: st.DataObject) -> None:
    shape = tuple(sizes)
    rows = tuple(data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=len(shape))))
    x, view = np.arange(math.prod(shape)).reshape(shape), MatrixView(rows)
    matrix = view.to_matrix(x)
    assert matrix.shape == view.sizes(shape)
    assert view.from_matrix(matrix, shape).tolist() == x.tolist()
    if len(shape) > 1:  # a row holds what one place on the row axes holds
        place = tuple(
            int(np.unravel_index(i, [shape[a] for a in rows])[n]) if rows else 0 for i in (0,) for n in range(len(rows))
        )
        index = [slice(None)] * len(shape)
        for axis, at in zip(rows, place, strict=True):
            index[axis] = at
        assert sorted(matrix[0].tolist()) == sorted(x[tuple(index)].reshape(-1).tolist())


@pytest.mark.parametrize(("text", "rows"), [("1", (1,)), ("0,2", (0, 2)), ("-1", (-1,))])
def test_views_are_read_from_axes(text: str, rows: tuple[int, ...]) -> None:
    assert MatrixView.parse(text) == view_by(rows) == MatrixView(rows)


@pytest.mark.parametrize(
    "view", [MatrixView(()), MatrixView((1,)), MatrixView((0, 2), (2, 8, 4)), MatrixView((), (6,))]
)
def test_the_text_of_a_view_is_read_as_that_view(view: MatrixView) -> None:
    assert MatrixView.parse(str(view)) == view


@pytest.mark.parametrize("text", ["", "a", "1,", "0 2", "0 of", "0 of 2x", "of 2x3", "none of -1", "9" * 5000])
def test_other_texts_are_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(ValueError, match="write the axes of the output channels") as caught:
        MatrixView.parse(text)
    assert len(str(caught.value)) < 200  # a name of 80 characters, and the rule


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        (MatrixView((2,)), "axis 2 of a tensor with 2 dimensions"),
        (MatrixView((0, -2)), "name one axis twice"),
        (MatrixView((0,), (5, 5)), "does not fit"),
    ],
)
def test_a_view_that_a_shape_can_not_have_is_refused(view: MatrixView, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        view.settle((4, 6))


def test_channels_of_a_stack_are_those_of_the_flat_matrix() -> None:
    x = np.random.default_rng(0).standard_normal((3, 8, 16)).astype(np.float32)
    scheme = Scheme.parse("int4 channel")
    flat = scheme.fit(x.reshape(24, 16)).round_trip(x.reshape(24, 16)).reshape(x.shape)
    assert (scheme.fit(x, axis=(0, 1)).round_trip(x) == flat).all()
    turned = np.ascontiguousarray(x.transpose(0, 2, 1))
    back = scheme.fit(turned, axis=(0, 2)).round_trip(turned).transpose(0, 2, 1)
    assert (back == flat).all()
