"""Pieces of tensors: they cover the matrix once, no group of a scheme crosses them unless it must, windows fit their groups."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.quantizers.grouping import Layout, parse_grouping
from qanalysis.sweeps.chunks import CHUNK_VALUES, Chunk, cut_chunks

TEXTS = st.lists(
    st.sampled_from(["tensor", "channel", "group=1", "group=7", "group=4", "group=50", "block=3x5", "block=2x100"]),
    min_size=1,
    max_size=4,
)
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 60))


def lay(text: str, shape: tuple[int, ...]) -> Layout:
    return parse_grouping(text).lay_out(shape)


def test_whole_rows_are_taken_while_they_fit() -> None:
    assert [
        (chunk.start, chunk.rows, chunk.columns, chunk.first_row)
        for chunk in cut_chunks([lay("channel", (5, 4))], values=8)
    ] == [
        (0, 2, 4, 0),
        (8, 2, 4, 2),
        (16, 1, 4, 4),
    ]


def test_a_long_row_is_cut_at_a_common_multiple_of_the_groups() -> None:
    layouts = [lay(text, (2, 50)) for text in ("group=4", "group=6", "tensor")]
    assert [(chunk.start, chunk.stop, chunk.first_column) for chunk in cut_chunks(layouts, values=30)] == [
        (0, 24, 0),
        (24, 48, 24),
        (48, 50, 48),
        (50, 74, 0),
        (74, 98, 24),
        (98, 100, 48),
    ]


def test_blocks_keep_their_rows_together() -> None:
    assert [
        chunk.rows for chunk in cut_chunks([lay("block=3x5", (10, 40)), lay("block=2x2", (10, 40))], values=200)
    ] == [6, 4]
    assert [chunk.rows for chunk in cut_chunks([lay("block=3x5", (10, 40))], values=1)] == [3, 3, 3, 1]


def test_a_default_piece_fits_into_cache() -> None:
    layout = lay("group=128", (1000, 4096))
    assert {chunk.rows * chunk.columns for chunk in cut_chunks([layout])} <= {
        CHUNK_VALUES,
        layout.rows * layout.columns % CHUNK_VALUES,
    }


@given(shape=SHAPES, texts=TEXTS, values=st.integers(1, 200))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pieces_cover_the_matrix_once_and_in_order(shape: tuple[int, int], texts: list[str], values: int) -> None:
    chunks = list(cut_chunks([lay(text, shape) for text in texts], values=values))
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])]
    assert chunks[-1].stop == shape[0] * shape[1]
    matrix = np.arange(shape[0] * shape[1]).reshape(shape)
    for chunk in chunks:
        window = matrix[
            chunk.first_row : chunk.first_row + chunk.rows, chunk.first_column : chunk.first_column + chunk.columns
        ]
        assert window.reshape(-1).tolist() == list(range(chunk.start, chunk.stop))


@given(shape=SHAPES, texts=TEXTS, values=st.integers(1, 200))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_piece_sees_its_own_groups_and_knows_which_cross_it(
    shape: tuple[int, int], texts: list[str], values: int
) -> None:
    layouts = [lay(text, shape) for text in texts]
    chunks = list(cut_chunks(layouts, values=values))
    for layout in layouts:
        numbers = np.broadcast_to(layout.spread(np.arange(layout.groups)), shape)
        owners = dict.fromkeys(range(layout.groups), 0)
        for chunk in chunks:
            seen = numbers[
                chunk.first_row : chunk.first_row + chunk.rows, chunk.first_column : chunk.first_column + chunk.columns
            ]
            window = chunk.take(np.arange(layout.groups), layout)
            assert window.reshape(-1).tolist() == sorted(set(seen.reshape(-1).tolist()))
            assert window.size == chunk.localize(layout).groups
            np.testing.assert_array_equal(
                np.broadcast_to(chunk.localize(layout).spread(window.reshape(-1)), seen.shape), seen
            )
            crosses = any(
                (numbers == number).sum() != (seen == number).sum() for number in set(seen.reshape(-1).tolist())
            )
            assert not crosses or chunks[0].crosses(layout)
            if not chunks[0].crosses(layout) or chunk.begins_groups(layout):
                for number in window.reshape(-1).tolist():
                    owners[number] += 1
        # Steps and storage of each group are counted exactly once.
        assert set(owners.values()) == {1}


def test_windows_are_views() -> None:
    values = np.zeros(6)
    Chunk(0, 1, 4, 0, 0).take(values, lay("group=2", (2, 6)))[:] = 1
    assert values.tolist() == [1, 1, 0, 0, 0, 0]
