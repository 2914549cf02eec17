"""Names of other tools: what is understood, and what is left alone because it can mean two things."""

from __future__ import annotations

import pytest

from qanalysis.training.state import KINDS
from qanalysis.training.statistics.names import SPELLINGS, find_column, find_exponent, find_kind, split_name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_understood_as_it_is_written(kind: str) -> None:
    assert find_kind(kind) == kind
    assert find_kind(kind.upper().replace("-", "_")) == kind
    assert split_name(f"model.fc1/{kind}") == ("model.fc1", kind)


@pytest.mark.parametrize(("ours", "other"), [(ours, other) for ours, others in SPELLINGS.items() for other in others])
def test_every_spelling_means_its_column(ours: str, other: str) -> None:
    assert find_column(other) == find_column(ours) == ours


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fc1.weight", ("fc1", "weight")),
        ("enc.layers.0.self_attn/weight", ("enc.layers.0.self_attn", "weight")),
        ("fc1.weight.grad", ("fc1", "weight-gradient")),
        ("fc1.weight_grad", ("fc1", "weight-gradient")),
        ("fc1/grad_input", ("fc1", "input-gradient")),
        ("grads/fc1.weight", ("fc1", "weight-gradient")),
        ("gradients/fc1/output", ("fc1", "output-gradient")),
        ("Weights/Weight", ("Weights", "weight")),
        ("fc1.bias", None),
        ("fc1.activation", None),
        ("weight", None),
        ("loss/train", None),
    ],
)
def test_layer_and_kind_of_a_name(name: str, found: tuple[str, str] | None) -> None:
    assert split_name(name) == found


def test_exponents_of_block_scales() -> None:
    assert find_column("scale_exponent_-7") == "scale_exponent_-7"
    assert [find_exponent(name) for name in ("scale_exponent_-7", "scale_exponent_12", "absmax")] == [-7, 12, None]
