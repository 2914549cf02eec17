"""What a weight's gradient becomes on the way back, and what is remembered of its elements: A1, D7 to D9 in the loop."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.training.network.carrier import Carrier, WeightCarrier, quantized
from qanalysis.training.network.run import Run
from qanalysis.training.network.site import Clock, Site
from qanalysis.training.recipe import Recipe
from tests.training.small_models import make_data, make_mlp, rows_of, run_small

W, G = [0.26, -0.40, 0.62], [0.5, -0.2, 0.3]


def make_weight(text: str, progress: float = 1.0) -> WeightCarrier:
    """The three weights of A1 on the grid of step 1/4: 4 bits whose first value reached 1.75."""
    latent = nn.Parameter(torch.tensor([[1.75, *W]]))
    carrier = WeightCarrier(Site("fc", "weight", Recipe.parse(f"hold bits=4 + {text}"), Clock(progress=progress)))
    carrier.latent = latent
    return carrier


def correct(carrier: WeightCarrier) -> Tensor:
    """The corrected gradient of the three, with a fourth that lies on a level and has none."""
    assert carrier.latent is not None
    carrier.latent.grad = None
    quantized(carrier.latent, carrier).backward(torch.tensor([[0.0, *G]]))
    assert carrier.latent.grad is not None
    return carrier.latent.grad[0, 1:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ste", G, id="row-5 straight through"),
        pytest.param("ewgs delta=0.2", [0.504, -0.184, 0.3288], id="row-5 scaling"),
        pytest.param("curvature", [0.5025, -0.196, 0.3108], id="row-5 curvature, Fisher form"),
        pytest.param("dampening strength=0.1", [0.502, -0.18, 0.324], id="row-5 dampening"),
    ],
)
def test_row_5_corrected_gradients_in_a_carrier(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(correct(make_weight(text)), expected, rtol=1e-6)


def test_row_2_the_error_is_that_of_the_example() -> None:
    carrier = make_weight("ewgs")
    correct(carrier)
    assert carrier.followed is not None
    # Of four weights, one of them on a level.
    assert carrier.followed.error == pytest.approx(0.36147844 * math.sqrt(3 / 4), rel=1e-6)


def test_a_policy_says_why_it_changes_the_rule_and_the_carrier_uses_it() -> None:
    """Weights that flip between r = +0.45 and -0.45 fluctuate by 1.56, above both bands."""
    carrier = make_weight("policy window=4 dwell=2")
    assert carrier.latent is not None
    told = []
    for step in range(8):
        carrier.clock.step = step
        with torch.no_grad():
            carrier.latent[0, 1:] = 0.25 + 0.1125 * (-1) ** step
        correct(carrier)
        told.append(carrier.strategy)
    ((step, reason),) = carrier.site.events
    assert told == ["ewgs"] * 4 + ["dampening"] * 4
    assert step == 4
    assert reason.startswith("v_elem 1.")
    assert reason.endswith("≥ 0.88 for 2 steps: ewgs → dampening")
    assert carrier.switches == 1


def test_memories_begin_anew_where_the_step_changes() -> None:
    latent = nn.Parameter(torch.tensor([[0.7, 0.3]]))
    carrier = WeightCarrier(Site("fc", "weight", Recipe.parse("int4 + policy"), Clock()), latent=latent)
    for step, factor in enumerate([1, 1, 1.05, 2]):
        carrier.clock.step = step
        quantized(latent.detach() * factor, carrier)
        assert carrier.follower is not None
        assert carrier.follower.steps == (step + 1 if factor < 2 else 1)


def codes_of(carrier: WeightCarrier) -> Tensor:
    assert carrier.shown is not None
    x, y = carrier.shown
    return (y / carrier.step_like(x)).round()


def test_frozen_codes_stay_and_their_latent_weights_do_not_move() -> None:
    run = Run.begin(
        make_mlp,
        make_data(),
        run_small(
            steps=80, weight="hold bits=3 + freezing threshold=0.02 momentum=0.02 start=0.1", rate=0.3
        ).configuration,
    )
    frozen: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    for _ in run.proceed(lambda: None):
        for layer, carrier in run.wired.weights.items():
            if carrier.freezing is None or carrier.shown is None:
                continue
            codes, marks = codes_of(carrier), carrier.freezing.frozen
            if layer in frozen:
                before, kept, latent = frozen[layer]
                assert torch.equal(codes[before], kept[before])
                assert carrier.latent is not None
                assert torch.equal(carrier.latent.detach()[before], latent[before])
                assert bool((marks | ~before).all())
            assert carrier.latent is not None
            frozen[layer] = marks.clone(), torch.where(marks, codes, 0), carrier.latent.detach().clone()
    assert sum(int(marks.sum()) for marks, _codes, _latent in frozen.values()) > 0


def test_dampening_pulls_weights_to_their_levels() -> None:
    plain, pulled = (
        run_small(steps=120, weight=f"hold bits=3 + {rule}", record_every=119)
        for rule in ("ste", "dampening strength=2 start=0")
    )
    errors = [rows_of(run, "0", "weight")[-1]["error"] for run in (plain, pulled)]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("magnitude sparsity=0.5 until=0.2", None),
        ("n:m n=2 m=4", (2, 4)),
        ("channels sparsity=0.25 until=0.2", None),
    ],
)
def test_pruned_weights_stay_at_zero_after_every_step(text: str, pattern: tuple[int, int] | None) -> None:
    configuration = run_small(steps=24, pruning=text, weight="int8", optimizer="adam", weight_decay=0.1).configuration
    run = Run.begin(make_mlp, make_data(), configuration)
    for _ in run.proceed(lambda: None):
        for layer, mask in run.masks.items():
            latent = run.wired.weights[layer].latent
            assert latent is not None
            assert not latent[~mask].any()
            if pattern is not None:
                n, m = pattern
                assert bool(((latent.reshape(-1, m) != 0).sum(1) <= n).all())
    share = 0.25 if text.startswith("channels") else 0.5
    assert all(float((~mask).float().mean()) == pytest.approx(share) for mask in run.masks.values())


def test_gradients_that_are_quantized_hold_as_many_levels_as_their_format() -> None:
    run = run_small(weight="int8", weight_gradient="int2", steps=1)
    for carrier in run.wired.weights.values():
        assert carrier.corrected is not None
        assert len(carrier.corrected.unique()) <= 3


def test_gradients_are_not_biased_by_stochastic_rounding() -> None:
    """The mean over seeds tends to the gradient: within 5 deviations of step/2 over sqrt(seeds)."""
    x = torch.linspace(-1, 1, 33)
    total = torch.zeros(33)
    for step in range(400):
        clock = Clock(step=step)
        site = Site("fc", "weight-gradient", Recipe.parse("int4 round=stochastic:1"), clock)
        total += torch.from_numpy(site.quantize(x.numpy()).y)
    assert float((total / 400 - x).abs().max()) < 5 * (1 / 7) / 2 / math.sqrt(400)


@pytest.mark.parametrize("rule", ["ste", "ewgs", "dsq"])
def test_a_gradient_that_is_not_finite_breaks_the_step_and_is_handed_on(rule: str) -> None:
    carrier = Carrier(Site("fc", "output", Recipe.parse(f"int8 + ema + {rule}"), Clock()))
    x = torch.tensor([0.1, 0.9], requires_grad=True)
    carrier.carry(x).backward(torch.tensor([math.nan, 1.0]))
    assert carrier.clock.is_broken


def test_the_soft_staircase_has_the_slope_of_its_curve_by_finite_differences() -> None:
    """D6: half the derivative of S tanh(k u) over a cell, u from its middle."""
    carrier = Carrier(Site("fc", "weight", Recipe.parse("hold bits=4 + dsq alpha=0.2"), Clock()))
    carrier.carry(torch.tensor([1.75]))
    scale, sharpness, h = 1 / 0.8, math.log(9), 1e-5

    def staircase(u: float) -> float:
        return 0.5 * scale * math.tanh(sharpness * (u - 0.5))

    for part in (0.0, 0.1, 0.25, 0.4, 0.49):
        x = torch.tensor([0.25 * (1 + part)], requires_grad=True)
        carrier.carry(x).backward()
        assert x.grad is not None
        slope = (staircase(part + h) - staircase(part - h)) / (2 * h)
        assert float(x.grad) == pytest.approx(slope, rel=1e-4)


def test_a_step_that_is_skipped_leaves_learned_ranges_as_they_are() -> None:
    """Slopes of a broken step belong to no update."""
    run = run_small(make_mlp, weight="lsq bits=4", output="lsq+ bits=8", steps=2)
    for carrier in itertools.chain(run.wired.weights.values(), run.wired.activations):
        carrier.slope["step"] = 1.0
    run.wired.forget()
    assert not any(one.slope for one in itertools.chain(run.wired.weights.values(), run.wired.activations))
