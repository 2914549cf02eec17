"""PACT, LSQ and LSQ+ as a carrier runs them: the worked numbers, torch's own learnable quantizer, finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.ao.quantization import MovingAverageMinMaxObserver
from torch.ao.quantization._learnable_fake_quantize import _LearnableFakeQuantize

from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.training.learned_ranges import IDLE_STEP, LEAST_CLIP, LEAST_STEP, Lsq, find_step
from qanalysis.training.network.carrier import Carrier
from qanalysis.training.network.site import Clock, Site
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import KindOfData, QuantizerState

RELATIVE = 1e-6  # of float32 arithmetic on a handful of numbers


def make_carrier(text: str, kind: KindOfData = "input", *, step: float | None = None) -> Carrier:
    recipe = Recipe.parse(text)
    site = Site("fc", kind, recipe, Clock())
    if step is not None:
        assert isinstance(recipe.range, Lsq)
        blank = QuantizerState.blank(1, recipe.bits)
        site.state = recipe.range.with_step(blank, np.array([step]), recipe.reach)
    return Carrier(site)


def pass_there_and_back(carrier: Carrier, values: list[float], g: list[float] | None = None) -> tuple[Tensor, Tensor]:
    """What comes out, and the gradient of the input for upstream ones."""
    x = torch.tensor(values, requires_grad=True)
    y = carrier.carry(x)
    y.backward(torch.ones_like(y) if g is None else torch.tensor(g))
    assert x.grad is not None
    return y.detach(), x.grad


def step_of(carrier: Carrier) -> float:
    site = carrier.site
    assert site.state is not None
    assert site.recipe is not None
    return find_step(site.state, site.recipe.reach)


def test_pact_as_worked_by_hand() -> None:
    carrier = make_carrier("pact start=2 bits=2")
    y, dx = pass_there_and_back(carrier, [-1, 0.5, 1.2, 2.5, 3])
    np.testing.assert_allclose(y, [0, 2 / 3, 4 / 3, 2, 2], rtol=RELATIVE)
    assert dx.tolist() == [0, 1, 1, 0, 0]
    assert carrier.slope == {"clip": 2.0}
    carrier.descend(0.1)
    assert carrier.site.state is not None
    # 2 - 0.1 (2 + 1e-4 * 2)
    assert carrier.site.state.high[0] == pytest.approx(1.79998, rel=RELATIVE)


def test_pact_begins_at_its_own_clip_whatever_is_seen_and_never_collapses() -> None:
    carrier = make_carrier("pact")
    pass_there_and_back(carrier, [0.1, 100.0])
    assert carrier.site.state is not None
    assert (carrier.site.state.low[0], carrier.site.state.high[0]) == (0, 6)
    carrier.descend(1e9)
    assert carrier.site.state.high[0] == LEAST_CLIP


def test_the_penalty_alone_moves_a_clip_that_nothing_reaches() -> None:
    carrier = make_carrier("pact penalty=0.5")
    pass_there_and_back(carrier, [0.1, 1.0])
    carrier.descend(0.1)
    assert carrier.site.state is not None
    assert carrier.site.state.high[0] == pytest.approx(6 - 0.1 * 0.5 * 6)


def test_lsq_as_worked_by_hand() -> None:
    carrier = make_carrier("lsq bits=3", "weight", step=0.3)
    y, dx = pass_there_and_back(carrier, [-1, -0.3, 0.12, 0.5, 1.2])
    np.testing.assert_allclose(y, [-0.9, -0.3, 0, 0.6, 0.9], rtol=RELATIVE, atol=1e-7)
    assert dx.tolist() == [1, 1, 1, 1, 0]
    assert carrier.slope["step"] == pytest.approx((1 / 3 - 0.4 + 1 / 3 + 3) / math.sqrt(15), rel=RELATIVE)
    assert carrier.slope["step"] == pytest.approx(0.8434, abs=5e-5)


def test_the_first_step_of_lsq() -> None:
    carrier = make_carrier("lsq bits=3", "weight")
    pass_there_and_back(carrier, [-1, -0.3, 0.12, 0.5, 1.2])
    assert step_of(carrier) == pytest.approx(2 * 0.624 / math.sqrt(3), rel=RELATIVE)
    assert step_of(carrier) == pytest.approx(0.7205, abs=5e-5)


def test_lsq_over_zeros_begins_at_its_idle_step_and_a_step_stays_above_its_floor() -> None:
    carrier = make_carrier("lsq bits=3", "weight")
    y, _dx = pass_there_and_back(carrier, [0.0, 0.0])
    assert y.tolist() == [0, 0]
    assert step_of(carrier) == pytest.approx(IDLE_STEP)
    carrier.slope["step"] = 1e9
    carrier.descend(1.0)
    assert step_of(carrier) == pytest.approx(LEAST_STEP)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_the_grid_has_the_step_that_is_learned_under_every_convention(symmetry: str) -> None:
    carrier = make_carrier(f"int4 {symmetry} + lsq", "weight", step=0.25)
    y, _dx = pass_there_and_back(carrier, [0.26, 0.6, 9.0])
    assert carrier.site.grid is not None
    assert float(carrier.site.grid.step[0]) == pytest.approx(0.25, rel=RELATIVE)
    top = SYMMETRIES[symmetry].ends(7)[1]
    np.testing.assert_allclose(y, [0.25, 0.5, 0.25 * top], rtol=RELATIVE)


def test_lsq_plus_as_worked_by_hand() -> None:
    carrier = make_carrier("lsq+ bits=4", step=0.1)
    assert carrier.site.state is not None
    carrier.site.state = carrier.site.state.remember(offset=np.array([-0.1]))
    y, dx = pass_there_and_back(carrier, [-0.2, 0, 0.5, 1, 1.9])
    np.testing.assert_allclose(y, [-0.1, 0, 0.5, 1, 1.4], rtol=RELATIVE, atol=1e-7)
    assert dx.tolist() == [0, 1, 1, 1, 0]
    assert carrier.slope["offset"] == 2
    # Inside, round(z) - z is the rounding of float32 alone, at most 20 * 2^-23 in each of three.
    assert carrier.slope["step"] * math.sqrt(5 * 15) == pytest.approx(15, abs=1e-5)


def test_the_first_step_and_offset_of_lsq_plus() -> None:
    carrier = make_carrier("lsq+ bits=4")
    pass_there_and_back(carrier, [-0.2, 0, 0.5, 1, 1.9])
    assert step_of(carrier) == pytest.approx(0.14, rel=RELATIVE)
    assert carrier.site.offset == pytest.approx(-0.2, rel=RELATIVE)


def test_the_first_step_of_lsq_plus_on_weights_takes_their_mean_with_its_sign() -> None:
    values = np.array([-0.5, 0.25, 1.0, 1.25, 2.0])
    carrier = make_carrier("int4 sym-noclip + lsq+", "weight")
    pass_there_and_back(carrier, values.tolist())
    assert step_of(carrier) == pytest.approx((values.mean() + 3 * values.std()) / 8, rel=RELATIVE)


def test_a_gradient_rule_beside_a_learned_step_corrects_the_input_and_leaves_the_step_alone() -> None:
    plain, scaled = (make_carrier(text, "weight", step=0.3) for text in ("lsq bits=3", "lsq bits=3 + ewgs delta=0.2"))
    values, g = [-0.3, 0.12, 0.5], [1.0, -2.0, 0.5]
    pass_there_and_back(plain, values, g)
    _y, dx = pass_there_and_back(scaled, values, g)
    r = np.array([0, 0.4, -1 / 3])
    np.testing.assert_allclose(dx, np.array(g) * (1 + 0.2 * np.sign(g) * r), rtol=1e-5)
    assert scaled.slope == plain.slope


@pytest.mark.parametrize(("low", "high", "text"), [(-8, 7, "lsq bits=4"), (0, 15, "int4 asym + lsq")])
def test_torchs_learnable_quantizer_has_the_same_gradients(low: int, high: int, text: str) -> None:
    generator = torch.Generator().manual_seed(3)
    step = 0.1875  # exact in float32, so that both divide by the same number
    x = torch.randn(64, generator=generator) * 0.9
    # Half a step beyond an end torch rounds back inside and lets the gradient pass; the paper clips there.
    x = x[((x / step - low).abs() > 0.5) & ((x / step - high).abs() > 0.5) | (x == 0)]
    g = torch.randn(len(x), generator=generator)
    dtype = torch.qint8 if low else torch.quint8
    peer = _LearnableFakeQuantize(
        MovingAverageMinMaxObserver, quant_min=low, quant_max=high, scale=step, use_grad_scaling=True, dtype=dtype
    )
    peer.enable_param_learning()
    peer.zero_point.requires_grad_(False)
    its = x.clone().requires_grad_()
    peer(its).backward(g)
    carrier = make_carrier(text, "weight", step=step)
    own = x.clone().requires_grad_()
    y = carrier.carry(own)
    y.backward(g)
    np.testing.assert_allclose(y.detach(), peer(x).detach(), rtol=RELATIVE)
    assert its.grad is not None
    assert own.grad is not None
    np.testing.assert_array_equal(own.grad, its.grad)
    # torch sums 64 products in float32, each about 10 at most, and divides where we multiply.
    assert peer.scale.grad is not None
    assert carrier.slope["step"] == pytest.approx(float(peer.scale.grad), rel=1e-4, abs=1e-5)


def test_the_step_s_gradient_is_the_slope_of_what_comes_out_away_from_the_edges_of_cells() -> None:
    """d(s round(v/s))/ds = round(v/s) by finite differences; LSQ takes off v/s, as the latent value stands for it."""
    values, h = np.array([-9.0, -0.31, 0.4, 0.55, 7.7]), 1e-4

    def total(step: float) -> float:
        carrier = make_carrier("lsq bits=4", "weight", step=step)
        return float(carrier.carry(torch.tensor(values, dtype=torch.float32)).double().sum())

    carrier = make_carrier("lsq bits=4", "weight", step=0.2)
    pass_there_and_back(carrier, values.tolist())
    inside = np.abs(values) < 1
    slope = (total(0.2 + h) - total(0.2 - h)) / (2 * h) - (values[inside] / 0.2).sum()
    # y has 24 bits at 1.6, so the difference quotient is good to 2^-23 * 3 / 2e-4.
    assert carrier.slope["step"] * math.sqrt(5 * 7) == pytest.approx(slope, abs=5e-3)
