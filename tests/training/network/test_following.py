"""What is remembered of a weight: errors and their fluctuation, codes and their oscillation, against slow loops in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.arrays import Floats
from qanalysis.quantizers.grouping import Layout, parse_grouping
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.training.network.following import Followed, Follower

NONE = np.zeros(1, np.bool_)


def lay_out(shape: tuple[int, ...], text: str = "tensor") -> Layout:
    return parse_grouping(text).lay_out(shape)


def spread_steps(fitted: LevelQuantizer) -> Floats:
    """The step of each element, in the order of the tensor."""
    layout = fitted.layout
    return np.ascontiguousarray(
        layout.from_matrix(np.broadcast_to(layout.spread(fitted.step), (layout.rows, layout.columns)))
    )


def follow_codes(follower: Follower, codes: list[int], step: float = 0.5) -> list[Followed]:
    return [
        follower.follow(np.float32([code * step]), np.float32([code * step]), [step], lay_out((1,)), NONE)
        for code in codes
    ]


class Slow:
    """The formulas as they are written, element by element in float64, every element used in every step."""

    def __init__(self, size: int, decay: float, momentum: float) -> None:
        self.decay, self.momentum, self.t = decay, momentum, 0
        self.m1, self.m2, self.f, self.last = np.zeros((4, size))
        self.codes, self.ema = np.zeros((2, size))

    def follow(self, r: Floats, codes: Floats) -> tuple[float, float, int, int]:
        self.t += 1
        self.m1 = self.decay * self.m1 + (1 - self.decay) * r
        self.m2 = self.decay * self.m2 + (1 - self.decay) * r**2
        correct = 1 - self.decay**self.t
        v = math.sqrt(np.maximum(self.m2 / correct - (self.m1 / correct) ** 2, 0).mean() * 12)
        flips = turns = 0
        for i in range(r.size):
            change = 0 if self.t == 1 else np.sign(codes[i] - self.codes[i])
            turn = change * self.last[i] < 0
            flips, turns = flips + (change != 0), turns + turn
            self.f[i] = self.momentum * turn + (1 - self.momentum) * self.f[i]
            self.last[i] = change or self.last[i]
            self.ema[i] = codes[i] if self.t == 1 else self.momentum * codes[i] + (1 - self.momentum) * self.ema[i]
        self.codes = codes
        return math.sqrt((r**2).mean()), v, flips, turns


def test_row_2_error_of_the_example() -> None:
    w, q = np.float32([0.26, -0.40, 0.62]), np.float32([0.25, -0.50, 0.50])
    followed = Follower((3,)).follow(w, q, [0.25], lay_out((3,)), np.zeros(3, np.bool_))
    assert followed.error == pytest.approx(0.36147844, rel=1e-6)
    assert (followed.v_elem, followed.flips, followed.oscillations, followed.used) == (0, 0, 0, 3)


def test_row_3_fluctuation_of_an_error_that_alternates() -> None:
    follower = Follower((1,), decay=0.9)
    for r in [0.45, -0.45] * 3:
        followed = follower.follow(np.float32([r]), np.zeros(1, np.float32), [1], lay_out((1,)), NONE)
    assert followed.v_elem == pytest.approx(1.55668516, rel=1e-6)
    assert followed.error == pytest.approx(0.45, rel=1e-6)
    # Six steps of weights 0.1 * 0.9^k, newest negative, over their sum 1 - 0.9^6.
    weights = 0.1 * 0.9 ** np.arange(6) / (1 - 0.9**6)
    assert follower.m1[0] == pytest.approx(0.45 * (weights * [-1, 1, -1, 1, -1, 1]).sum(), rel=1e-6)


def test_oscillations_of_the_worked_codes() -> None:
    follower = Follower((1,), momentum=0.1)
    oscillations, frequencies = [], []
    for code in [3, 4, 3, 4, 4, 3, 3, 3]:
        oscillations += [followed.oscillations for followed in follow_codes(follower, [code])]
        frequencies.append(float(follower.frequency[0]))
    assert oscillations == [0, 0, 1, 1, 0, 1, 0, 0]
    # float32 keeps 6e-8 of each of eight products.
    assert frequencies == pytest.approx([0, 0, 0.1, 0.19, 0.171, 0.2539, 0.22851, 0.205659], rel=1e-6)


def test_the_average_code_before_freezing_is_that_of_the_example() -> None:
    follower = Follower((1,), momentum=0.1)
    follow_codes(follower, [3, 4, 3])
    assert follower.ema_code[0] == pytest.approx(3.09, rel=1e-6)


def test_a_jump_over_codes_counts_once_and_rests_keep_the_direction() -> None:
    found = follow_codes(Follower((1,)), [0, 5, 5, 5, 1, 0, -6, 2])
    assert [one.oscillations for one in found] == [0, 0, 0, 0, 1, 0, 0, 1]
    assert [one.flips for one in found] == [0, 1, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("text", ["tensor", "channel", "channel=1", "group=7", "block=2x5"])
@pytest.mark.parametrize("words", ["int3", "int4 asym"])
def test_a_walk_is_followed_as_the_formulas_say(words: str, text: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 5, 83)).astype(np.float32)
    fitted = Scheme.parse(f"{words} {text}").fit(x * 2)
    step = spread_steps(fitted)
    follower, slow = Follower(x.shape, momentum=0.1), Slow(x.size, 0.9, 0.1)
    for _ in range(12):
        x = x + (rng.normal(size=x.shape) * 0.1).astype(np.float32)
        y = pass_through(x, fitted.grid, fitted.layout).y
        followed = follower.follow(x, y, fitted.step, fitted.layout, np.zeros(x.shape, np.bool_))
        r = (np.float64(x) - np.float64(y)) / np.float64(step)
        error, v_elem, flips, turns = slow.follow(r.reshape(-1), np.rint(y / step).reshape(-1))
        # x - y is rounded to float32 with |x| up to some 8 steps: r to 8 * 2^-24; sums of a tile to some 2^-20.
        assert followed.error == pytest.approx(error, rel=1e-6)
        assert followed.v_elem == pytest.approx(v_elem, rel=2e-6, abs=1e-7)
        assert (followed.flips, followed.oscillations, followed.used) == (flips, turns, x.size)
    np.testing.assert_allclose(follower.m1.reshape(-1), slow.m1 / (1 - 0.9**12), atol=1e-5)
    np.testing.assert_allclose(follower.frequency.reshape(-1), slow.f, rtol=1e-6, atol=1e-9)
    # Codes reach 12, their averages lose 2^-24 of that in each of 12 steps.
    np.testing.assert_allclose(follower.ema_code.reshape(-1), slow.ema, atol=12 * 12 * 2**-24)


def test_clipped_and_strange_elements_have_no_error_but_codes() -> None:
    layout, follower = lay_out((4,)), Follower((4,))
    for sign in (1, -1):
        x, y = np.float32([0.25 * sign, 900 * sign, np.nan, np.inf]), np.float32([0, 7 * sign, np.nan, 7])
        followed = follower.follow(x, y, [1], layout, np.array([False, True, False, True]))
    assert (followed.error, followed.used) == (0.25, 1)
    assert (followed.flips, followed.oscillations) == (1, 0)
    assert follower.m1[1:].tolist() == [0, 0, 0]
    assert np.isfinite(follower.ema_code).all()
    # Only the first has moved: means 0.25 and -0.25 with weights 9/19 and 10/19, so that V is 0.5 sqrt(90)/19 sqrt(12).
    assert followed.v_elem == pytest.approx(0.5 * math.sqrt(90) / 19 * math.sqrt(12), rel=1e-6)


def test_coming_in_late_is_no_fluctuation() -> None:
    layout, follower = lay_out((2,)), Follower((2,))
    for step in range(9):
        clipped = np.array([False, step < 5])
        followed = follower.follow(np.float32([0.3, 0.4]), np.zeros(2, np.float32), [1], layout, clipped)
        assert (followed.v_elem, followed.used) == (0, 2 - (step < 5))
    assert follower.m1.tolist() == pytest.approx([0.3, 0.4], rel=1e-6)


def test_where_nothing_is_used_there_is_no_error() -> None:
    followed = Follower((1,)).follow(np.float32([9]), np.float32([7]), [1], lay_out((1,)), np.ones(1, np.bool_))
    assert (math.isnan(followed.error), math.isnan(followed.v_elem), followed.used) == (True, True, 0)


@pytest.mark.parametrize("none", [0, 1e-45, np.inf, np.nan])
def test_a_group_without_a_step_has_no_error(none: float) -> None:
    x, layout = np.float32([[0.25, 0], [0.5, 0.25]]), lay_out((2, 2), "channel")
    followed = Follower((2, 2)).follow(x, np.zeros_like(x), [2, none], layout, np.zeros((2, 2), np.bool_))
    # One of four is off, by an eighth of a step.
    assert followed.error == 0.0625


@pytest.mark.parametrize("words", ["nf4 group=8", "fp4_e2m1", "gguf:q4_1"])
def test_on_unequal_levels_y_stands_for_the_code(words: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 64)).astype(np.float32)
    fitted = Scheme.parse(words).fit(x)
    follower = Follower(x.shape, by_code=False)
    first = pass_through(x, fitted.grid, fitted.layout)
    follower.follow(x, first.y, fitted.step, fitted.layout, first.clipped)
    second = pass_through(x * np.float32(0.9), fitted.grid, fitted.layout)
    followed = follower.follow(x, second.y, fitted.step, fitted.layout, second.clipped)
    assert followed.flips == (first.y != second.y).sum() > 0
    back = follower.follow(x, first.y, fitted.step, fitted.layout, first.clipped)
    assert back.oscillations == back.flips == followed.flips


def test_a_new_step_begins_anew() -> None:
    follower = Follower((1,), momentum=0.1)
    follow_codes(follower, [3, 4, 3])
    follower.reset()
    assert (follower.steps, follower.frequency[0], follower.m1[0]) == (0, 0, 0)
    assert [one.flips for one in follow_codes(follower, [9, 9, 8])] == [0, 0, 1]


def test_a_restored_follower_goes_on_to_the_last_digit() -> None:
    rng = np.random.default_rng(3)
    layout, walk = lay_out((5, 100)), rng.normal(size=(8, 5, 100)).astype(np.float32).cumsum(axis=0)
    whole, first = Follower((5, 100)), Follower((5, 100))
    clipped = rng.random((5, 100)) < 0.1
    expected = [whole.follow(x, np.rint(x), [1], layout, clipped) for x in walk]
    found = [first.follow(x, np.rint(x), [1], layout, clipped) for x in walk[:4]]
    second = Follower((5, 100))
    second.restore({name: np.array(part, order="F") for name, part in first.state().items()})
    found += [second.follow(x, np.rint(x), [1], layout, clipped) for x in walk[4:]]
    assert found == expected
    assert {name: part.tolist() for name, part in second.state().items()} == {
        name: part.tolist() for name, part in whole.state().items()
    }


def test_a_state_is_not_moved_by_later_steps() -> None:
    follower = Follower((1,))
    follow_codes(follower, [3])
    state = follower.state()
    follow_codes(follower, [5])
    assert state["code"].tolist() == [3]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"decay 1 of a follower: it lies between 0 and 1"):
        Follower((1,), decay=1)
    with pytest.raises(ValueError, match=r"momentum 0 of a follower"):
        Follower((1,), momentum=0)
    follower, x = Follower((2,)), np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"a follower of shape \(2,\) got a layout for \(3,\)"):
        follower.follow(x, x, [1], lay_out((3,)), NONE)
    with pytest.raises(ValueError, match=r"a follower of shape \(2,\) got arrays of another size"):
        follower.follow(x, x, [1], lay_out((2,)), NONE)
    with pytest.raises(ValueError, match=r"lacks \['steps'\]"):
        follower.restore({name: part for name, part in follower.state().items() if name != "steps"})
    with pytest.raises(ValueError, match=r"lacks its shape, it has \[\(3,\)\]"):
        follower.restore(Follower((3,)).state())
