"""Error feedback against a slow loop that inverts anew for every weight, and what holds for it by law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qanalysis.models.repairs.gptq import ErrorFeedback, sum_errors
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.stages import ignore
from qanalysis.quantizers.scheme import Scheme

FORMATS = [
    "int3 channel",
    "int3 asym group=4",
    "int4",
    "nf4 group=8",
    "fp4_e2m1 channel",
    "ternary channel",
    "int8 block=2x4",
]


def draw(rows: int, width: int, *, groups: int = 1, seed: int = 0):
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(rows * groups, width)).astype(np.float32)
    inputs = generator.normal(size=(groups, 4 * width, width)) + 2 * generator.normal(size=(groups, 4 * width, 1))
    return weights, np.swapaxes(inputs, 1, 2) @ inputs / (4 * width)


def round_slowly(weights: np.ndarray, matrix: np.ndarray, quantizer, damping: float, by_activity: bool) -> np.ndarray:
    """Optimal brain quantization with a fixed order: what a rounding lost is made good by the weights not yet rounded,
    as the inverse of their part of the damped matrix says, row by row and weight by weight.
    """
    width = len(matrix)
    damped = matrix + damping * np.trace(matrix) / width * np.eye(width)
    order = sorted(range(width), key=lambda j: -matrix[j, j]) if by_activity else list(range(width))
    left, rounded = weights.astype(np.float64), np.zeros_like(weights)
    for step, column in enumerate(order):
        rest = order[step:]
        inverse = np.linalg.inv(damped[np.ix_(rest, rest)])
        for row in range(len(weights)):
            tensor = weights.copy()
            tensor[row, column] = left[row, column]
            rounded[row, column] = quantizer.round_trip(tensor)[row, column]
            lost = (left[row, column] - rounded[row, column]) / inverse[0, 0]
            left[row, rest] -= lost * inverse[0]
    return rounded


@pytest.mark.parametrize("by_activity", [False, True], ids=["natural order", "act-order"])
@pytest.mark.parametrize("text", FORMATS)
def test_equals_the_slow_loop(text: str, by_activity: bool) -> None:
    weights, matrix = draw(8, 16)
    quantizer = Scheme.parse(text).fit(weights)
    found = ErrorFeedback(by_activity=by_activity).round(weights, quantizer, matrix, ignore)
    np.testing.assert_array_equal(found.values, round_slowly(weights, matrix[0], quantizer, 0.01, by_activity))


def test_groups_of_a_layer_are_rounded_each_for_its_own_inputs() -> None:
    weights, matrix = draw(3, 9, groups=4)
    quantizer = Scheme.parse("int3 channel").fit(weights)
    whole = ErrorFeedback(by_activity=True).round(weights, quantizer, matrix, ignore).values
    for group in range(4):
        own = weights[3 * group : 3 * group + 3]
        alone = ErrorFeedback(by_activity=True).round(
            own, Scheme.parse("int3 channel").fit(own), matrix[[group]], ignore
        )
        np.testing.assert_array_equal(whole[3 * group : 3 * group + 3], alone.values)


def test_more_columns_than_are_taken_together_lose_nothing() -> None:
    weights, matrix = draw(2, 150)
    quantizer = Scheme.parse("int4 channel").fit(weights)
    found = ErrorFeedback().round(weights, quantizer, matrix, ignore).values
    np.testing.assert_array_equal(found, round_slowly(weights, matrix[0], quantizer, 0.01, False))


@pytest.mark.parametrize("text", FORMATS)
def test_inputs_that_are_not_correlated_leave_nearest_rounding(text: str) -> None:
    weights, _matrix = draw(4, 16)
    quantizer = Scheme.parse(text).fit(weights)
    found = ErrorFeedback().round(weights, quantizer, np.diag(np.arange(16.0))[np.newaxis], ignore)
    np.testing.assert_array_equal(found.values, quantizer.round_trip(weights))


@pytest.mark.parametrize("text", ["int4 channel", "int3 channel", "int2 channel", "nf4 group=8", "int4 asym group=8"])
def test_correlated_inputs_lose_less_than_by_nearest_rounding(text: str) -> None:
    weights, matrix = draw(16, 32, seed=3)
    quantizer = Scheme.parse(text).fit(weights)
    found = ErrorFeedback().round(weights, quantizer, matrix, ignore).values - weights
    nearest = quantizer.round_trip(weights) - weights
    assert sum_errors(found[np.newaxis], matrix) < 0.8 * sum_errors(nearest[np.newaxis], matrix)


def test_where_feedback_gains_nothing_nearest_rounding_is_kept_and_said() -> None:
    weights, matrix = draw(4, 16)
    quantizer = Scheme.parse("int3 asym group=4").fit(weights)
    found = ErrorFeedback().round(weights, quantizer, matrix, ignore)
    assert found.note == "error feedback gained nothing; rounded to the nearest"
    np.testing.assert_array_equal(found.values, quantizer.round_trip(weights))
    slow = round_slowly(weights, matrix[0], quantizer, 0.01, by_activity=False)
    assert sum_errors((slow - weights)[np.newaxis], matrix) > sum_errors((found.values - weights)[np.newaxis], matrix)


def test_a_feature_that_is_never_seen_and_a_singular_matrix_are_no_obstacle() -> None:
    weights, matrix = draw(4, 8)
    matrix[:, :, 3] = matrix[:, 3, :] = 0
    matrix[:, 5] = matrix[:, 4]
    matrix[:, :, 5] = matrix[:, :, 4]
    quantizer = Scheme.parse("int3 channel").fit(weights)
    found = ErrorFeedback().round(weights, quantizer, matrix, ignore).values
    np.testing.assert_array_equal(found[:, 3], quantizer.round_trip(weights)[:, 3])
    silent = ErrorFeedback().round(weights, quantizer, np.zeros((1, 8, 8)), ignore).values
    np.testing.assert_array_equal(silent, quantizer.round_trip(weights))


def test_a_rounding_that_is_drawn_leaves_layers_at_the_nearest_with_a_note(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(8, 4)), 8)
    repaired = Repair("gptq", "", rounder=ErrorFeedback()).make(
        model, calibration, layers, Scheme.parse("int4 round=stochastic:3")
    )
    assert "its rounding is drawn at random" in repaired.notes[0]
    assert not repaired.touched


@pytest.mark.parametrize("is_sequential", [True, False], ids=["sequential", "float inputs"])
def test_every_layer_reads_back_bit_for_bit_and_the_model_is_as_before(open_module, is_sequential: bool) -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5))
    model, calibration, layers = open_module(module, 2, 4, 4)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    repaired = Repair("gptq", "", rounder=ErrorFeedback()).make(
        model, calibration, layers, Scheme.parse("int3 channel"), is_sequential=is_sequential
    )
    assert repaired.touched == ["0.weight", "3.weight"]
    for name, quantizer in repaired.quantizers.items():
        values = repaired.change.weights[name]
        again = quantizer.decode(quantizer.encode(values))
        assert values.view(np.uint32).tolist() == again.view(np.uint32).tolist()
        original = model.read(model.find(name).info)
        np.testing.assert_array_equal(quantizer.scale, Scheme.parse("int3 channel").fit(original).scale)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_later_layer_is_rounded_for_the_inputs_that_it_gets(open_module) -> None:
    model, calibration, layers = open_module(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 6)), 8)
    scheme = Scheme.parse("int2 channel")
    repaired = Repair("gptq", "", rounder=ErrorFeedback()).make(model, calibration, layers, scheme)
    first, second = (model.find(name).value.detach().numpy() for name in ("0.weight", "2.weight"))
    bias = model.find("0.bias").value.detach().numpy()
    inputs = calibration.blocks[0].inputs["x"].numpy()
    hidden = np.maximum(inputs @ repaired.change.weights["0.weight"].T + bias, 0).astype(np.float64)
    own = ErrorFeedback().round(second, scheme.fit(second), (hidden.T @ hidden / len(hidden))[np.newaxis], ignore)
    np.testing.assert_array_equal(repaired.change.weights["2.weight"], own.values)
    assert first.shape == (16, 8)
