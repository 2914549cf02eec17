"""Precision rules A5 to A11, triggers A12, and ranges that follow: the worked numbers, laws, torch's own observers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.ao.quantization.observer import MinMaxObserver, MovingAverageMinMaxObserver

from qanalysis.training.adapting import adapt, find_exponent_of
from qanalysis.training.reach import Reach
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import Command, Observation, QuantizerState

SEQUENCE = [0.9, 3.0, 3.2, 12.0, 2.0, 0.7, 0.7, 0.7, 0.05]
VALUES = np.array([0.30, -1.70, 0.04, 0.90, -0.26])


def replay(text: str, amounts: list[float], *, epoch: int = 1000, **more: float):
    """States after each step, one quantizer, beside reasons."""
    recipe = Recipe.parse(text)
    state = QuantizerState.blank(1, recipe.bits)
    found = []
    for step, amount in enumerate(amounts):
        adapted = adapt(
            recipe, state, Observation.of([amount], **{k: [v] for k, v in more.items()}), step=step, epoch=epoch
        )
        state = adapted.state
        found.append(adapted)
    return recipe, found


def exponents(text: str, amounts: list[float], **more) -> list[int]:
    recipe, found = replay(text, amounts, **more)
    return [round(float(find_exponent_of(recipe, one.state)[0]), 9) for one in found]


def begin_at(text: str, s: int):
    recipe = Recipe.parse(text)
    high = np.array([127.0 * 2.0**s])
    return recipe, QuantizerState.blank(1, 8).with_range(-high, high)


def test_row_26_up_by_absmax_in_one_step() -> None:
    assert exponents("up-step + down", SEQUENCE) == [-7, -5, -5, -3, -4, -5, -6, -6, -7]


def test_row_27_up_by_absmax_gradually() -> None:
    assert exponents("up-gradual + down", SEQUENCE) == [-7, -6, -5, -4, -4, -5, -6, -6, -7]


def test_row_27_gradual_f_doubles() -> None:
    recipe, found = replay("up-gradual precision=f", [0.9, 3.0, 3.0])
    steps = [float(recipe.reach.step(one.state.low, one.state.high, one.state.bits)[0]) for one in found]
    assert steps == pytest.approx([0.9 / 127, 1.8 / 127, 3.6 / 127], rel=1e-12)


@pytest.mark.parametrize(
    ("amount", "source", "library", "covering"),
    [
        (0.9, -7, -7, -7), (0.999, -7, -7, -6), (1.0, -7, -6, -6), (1.5, -6, -6, -6),
        (1.99, -6, -6, -5), (2.0, -6, -5, -5), (3.0, -5, -5, -5), (0.5, -8, -7, -7),
    ],
    ids=lambda value: f"row-26-{value}",
)  # fmt: skip
def test_three_exponent_rules(amount: float, source: int, library: int, covering: int) -> None:
    reach, bits = Reach(Recipe.parse("up-step").scheme), np.array([8])
    for rule, wanted in (("source", source), ("library", library), ("covering", covering)):
        assert reach.exponent(np.array([amount]), bits, rule)[0] == wanted


def test_the_source_rule_retriggers_without_an_event() -> None:
    _recipe, found = replay("up-step exponent=source", [0.999, 0.999])
    assert not found[1].reasons
    assert not found[1].changed.any()


def test_pos_itself_changes_nothing_under_the_covering_rule() -> None:
    _recipe, found = replay("up-step", [0.9921875, 0.9921875])
    assert not found[1].changed.any()


@pytest.mark.parametrize(("amount", "wanted"), [(0.9, 0.00708661), (3.0, 0.02362205), (12.0, 0.09448819)])
def test_row_25_continuous_precision(amount: float, wanted: float) -> None:
    recipe, found = replay("up-step precision=f", [amount])
    state = found[0].state
    assert recipe.reach.step(state.low, state.high, state.bits)[0] == pytest.approx(wanted, abs=5e-9)


@pytest.mark.parametrize(("n", "amount", "s"), [(1, 1.24186377, -6), (2, 1.84372754, -6), (3, 2.44559132, -5)])
def test_row_28_up_by_distribution(n: int, amount: float, s: int) -> None:
    recipe = Recipe.parse(f"up-distribution n={n}")
    seen = Observation.of([1.7], mean=[np.abs(VALUES).mean()], std=[np.abs(VALUES).std()])
    assert recipe.range.amount(seen)[0] == pytest.approx(amount, abs=5e-9)
    after = adapt(recipe, QuantizerState.blank(1, 8), seen, step=0, epoch=9).state
    assert find_exponent_of(recipe, after)[0] == s


def test_row_29_up_by_distribution_gradually() -> None:
    recipe, state = begin_at("up-distribution-gradual", -7)
    seen = Observation.of([1.7], mean=[0.64], std=[0.60186377])
    found = []
    for step in range(3):
        state = adapt(recipe, state, seen, step=step, epoch=9).state
        found.append(find_exponent_of(recipe, state)[0])
    assert found == [-6, -5, -5]


@pytest.mark.parametrize(("amount", "s"), [(2.0, -4), (4.0, -3), (0.0, -3), (float("nan"), -3)])
def test_row_30_down(amount: float, s: int) -> None:
    recipe, state = begin_at("up-step + down", -3)
    after = adapt(recipe, state, Observation.of([amount]), step=0, epoch=9).state
    assert find_exponent_of(recipe, after)[0] == s


def test_row_30_never_below_the_least_exponent() -> None:
    assert min(exponents("up-step + down s_min=-9".replace("s_min", "s-min"), [0.9] + [1e-6] * 20)) == -9


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=30), st.sampled_from(["up-step", "up-step precision=f"]))
def test_row_36_covering_leaves_no_clipping(amounts: list[float], text: str) -> None:
    _recipe, found = replay(f"{text} + down", amounts)
    for amount, one in zip(amounts, found, strict=True):
        # f: pos = m (a/m), two roundings of float64
        assert amount <= one.state.high[0] * (1 + 2**-51)


def test_row_35_pos() -> None:
    assert Command("weight", "discrete", -7, 8).positive_end == 0.9921875


@pytest.mark.parametrize(
    "command", [Command("input", "discrete", -7, 8), Command("weight-gradient", "continuous", 3 / 127, 4, "half-up")]
)
def test_row_17_a_command_survives_json(command: Command) -> None:
    assert Command.from_json(command.to_json()) == command


def test_row_37_doubling_gaps() -> None:
    recipe = Recipe.parse("minmax trigger=doubling:16")
    state, checks = QuantizerState.blank(1, 8), []
    for step in range(60):
        seen = Observation.of([{0: 1.0}.get(step, 2.0)])
        adapted = adapt(recipe, state, seen, step=step, epoch=100)
        state = adapted.state
        checks += [step] * bool(adapted.checked[0])
    assert checks[:8] == [0, 1, 2, 4, 8, 16, 32, 48]


def test_a_step_without_a_finite_value_uses_no_check_up() -> None:
    recipe = Recipe.parse("minmax trigger=doubling:16")
    state, checks = QuantizerState.blank(1, 8), []
    for step, amount in enumerate([1.0, float("nan"), 2.0, 2.0]):
        adapted = adapt(recipe, state, Observation.of([amount]), step=step, epoch=100)
        state = adapted.state
        checks += [step] * bool(adapted.checked[0])
    assert checks == [0, 2, 3]


def test_zeros_keep_the_range_and_begin_at_step_one() -> None:
    assert exponents("up-step + down", [0.0, 0.0, 0.9, 0.0]) == [0, 0, -7, -7]


@pytest.mark.parametrize("momentum", [0.9, 0.5])
def test_moving_average_as_torch_observes(momentum: float) -> None:
    rng = np.random.default_rng(3)
    batches = [rng.normal(size=50).astype(np.float32) * (1 + k) for k in range(6)]
    peer = MovingAverageMinMaxObserver(averaging_constant=1 - momentum)
    recipe, state = Recipe.parse(f"int8 asym + ema momentum={momentum}"), QuantizerState.blank(1, 8)
    for step, batch in enumerate(batches):
        peer(torch.from_numpy(batch))
        seen = Observation.of([abs(batch).max()], low=[batch.min()], high=[batch.max()])
        state = adapt(recipe, state, seen, step=step, epoch=9).state
    # torch averages in float32: six roundings of 2^-24 each
    assert state.low[0] == pytest.approx(float(peer.min_val), rel=6 * 2**-23)
    assert state.high[0] == pytest.approx(float(peer.max_val), rel=6 * 2**-23)


def test_running_extremes_as_torch_observes() -> None:
    rng = np.random.default_rng(4)
    peer = MinMaxObserver()
    recipe, state = Recipe.parse("int8 asym + minmax running=yes"), QuantizerState.blank(1, 8)
    for step in range(5):
        batch = rng.normal(size=50).astype(np.float32)
        peer(torch.from_numpy(batch))
        seen = Observation.of([abs(batch).max()], low=[batch.min()], high=[batch.max()])
        state = adapt(recipe, state, seen, step=step, epoch=9).state
    assert (state.low[0], state.high[0]) == (float(peer.min_val), float(peer.max_val))
