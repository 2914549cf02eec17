"""Names of layers lose what all share, neighbours share a heading, and nothing of a name is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.charts.layer_names import FEW_ROWS, Block, LayerNames

ENCODER = [
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    *(f"encoder.layer.{i}.{part}.weight" for i in range(12) for part in ("query", "key", "value", "dense")),
    "pooler.dense.weight",
]


def whole(names, place):
    """A layer's name put together again."""
    heading = next((block.label + "." for block in names.blocks if block.start <= place < block.stop), "")
    return names.prefix + heading + names.labels[place] + names.suffix


def test_neighbours_share_a_heading_and_the_rest_stands_alone():
    names = LayerNames.split(ENCODER)
    assert (names.prefix, names.suffix) == ("", ".weight")
    assert names.blocks[:2] == (Block("embeddings", 0, 2), Block("encoder.layer.0", 2, 6))
    assert [block.label for block in names.blocks[1:]] == [f"encoder.layer.{i}" for i in range(12)]
    assert names.labels[:3] == ("word_embeddings", "position_embeddings", "query")
    assert names.labels[-1] == "pooler.dense"
    assert [whole(names, place) for place in range(len(ENCODER))] == ENCODER


def test_up_to_forty_rows_have_no_blocks():
    assert not LayerNames.split(ENCODER[:FEW_ROWS]).blocks
    assert LayerNames.split(ENCODER[: FEW_ROWS + 1]).blocks


@pytest.mark.parametrize(
    "names",
    [
        [f"layers.{i}.weight" for i in range(60)],  # each block would hold one layer
        [f"model.layers.{i % 7}.proj_{i}" for i in range(60)],  # no neighbours share a part
        [f"tensor_{i}" for i in range(60)],
    ],
    ids=["one layer a block", "worst first", "no parts"],
)
def test_names_without_neighbours_have_no_blocks(names):
    assert not LayerNames.split(names).blocks


def test_layers_without_a_figure_have_no_say_in_what_is_shared():
    names = LayerNames.split(["a.weight", "b.weight", "position_ids", "c.weight"], 2)
    assert names.suffix == ".weight"
    assert names.labels == ("a", "b", "position_ids", "c")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["only.one"], ("only.one",)),
        (["conv", "conv.weight"], ("conv", "conv.weight")),
        (["a.weight", "b.weight", "a"], ("a.weight", "b.weight", "a")),  # cut, the first and the last would be one
        (["/model/conv1/w", "/model/conv2/w"], ("conv1", "conv2")),
        (["h.0.attn", "h.1.attn"], ("h.0", "h.1")),
    ],
)
def test_a_label_is_what_is_left_between_the_shared_ends(names, labels):
    assert LayerNames.split(names, 2).labels == labels


parts = st.lists(st.sampled_from(["model", "layers", "0", "1", "12", "q", "weight", "a_b"]), min_size=1, max_size=5)


@given(st.lists(parts.map(".".join), min_size=1, max_size=60, unique=True))
def test_no_part_of_a_name_is_lost_and_labels_differ(given_names):
    names = LayerNames.split(given_names)
    assert [whole(names, place) for place in range(len(given_names))] == given_names
    assert all(names.labels)
    assert all(first.stop <= second.start for first, second in zip(names.blocks, names.blocks[1:], strict=False))
