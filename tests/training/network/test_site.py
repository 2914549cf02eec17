"""What a quantizer does step by step: grids beside torch's own observers and fake-quantizers, and a state that only
training moves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.ao.quantization import (
    FakeQuantize,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    PerChannelMinMaxObserver,
)

from qanalysis.arrays import Floats
from qanalysis.training.network.carrier import Carrier
from qanalysis.training.network.site import Clock, Pool, Site
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import KindOfData

VALUES = np.float32([0.30, -1.70, 0.04, 0.90, -0.26])


def make_site(text: str, kind: KindOfData = "weight", **more: Any) -> Site:
    return Site("fc", kind, Recipe.parse(text), Clock(), **more)


def draw(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def set_exponent(site: Site, s: int) -> None:
    """Lets the site's first tensor give it the step 2^s, which then holds."""
    site.quantize(np.float32([(2 ** (site.bits - 1) - 1) * 2.0**s]))


@pytest.mark.parametrize(
    ("bits", "s", "rms", "clipped"),
    [
        pytest.param(8, -7, 0.31654902, 0.2, id="row-24 8 bits s=-7, saturated"),
        pytest.param(8, -6, 0.00524404, 0.0, id="row-24 8 bits s=-6"),
        pytest.param(8, -5, 0.01027740, 0.0, id="row-24 8 bits s=-5"),
        pytest.param(4, -4, 0.60142747, 0.4, id="row-24 4 bits s=-4"),
        pytest.param(4, -3, math.sqrt(0.68545 / 5), 0.2, id="row-24 4 bits s=-3, the ledger of 0.1"),
        pytest.param(4, -2, 0.05779273, 0.0, id="row-24 4 bits s=-2"),
    ],
)
def test_row_24_a_discrete_exponent(bits: int, s: int, rms: float, clipped: float) -> None:
    site = make_site(f"hold bits={bits}")
    set_exponent(site, s)
    passed = site.quantize(VALUES)
    assert site.steps.tolist() == [2.0**s]
    # The data are float32: 2^-24 of 1.7 in the largest error.
    assert np.sqrt(np.mean((VALUES.astype(np.float64) - passed.y) ** 2)) == pytest.approx(rms, rel=1e-5)
    # At s=-3 the value 0.9 lies beyond 0.875 and rounds back to it: as in torch's mask, it is not clipped.
    assert passed.clipped.mean() == pytest.approx(clipped)
    if (bits, s) == (8, -7):
        assert passed.y.tolist() == [0.296875, -0.9921875, 0.0390625, 0.8984375, -0.2578125]


def test_row_25_a_continuous_precision() -> None:
    site = make_site("up-step precision=f")
    site.quantize(np.float32([3.0, -1.0]))
    assert site.steps[0] == pytest.approx(3 / 127, rel=1e-6)


def test_row_36_after_an_up_with_the_covering_rule_nothing_is_clipped() -> None:
    site = make_site("up-step")
    generator = np.random.default_rng(5)
    for step, scale in enumerate([0.1, 0.9, 0.999, 1.0, 2.0, 64.0, 3.0]):
        site.clock.step = step
        x = (generator.uniform(-1, 1, 50) * scale).astype(np.float32)
        x[0] = scale
        assert not site.quantize(x).clipped.any()


OBSERVERS: list[tuple[str, type, dict[str, Any]]] = [
    ("int8 sym + minmax running=yes", MinMaxObserver, {"qscheme": torch.per_tensor_symmetric}),
    ("int8 sym + ema momentum=0.75", MovingAverageMinMaxObserver, {"averaging_constant": 0.25}),
    ("int8 asym + minmax running=yes", MinMaxObserver, {"qscheme": torch.per_tensor_affine}),
    ("int8 asym + ema momentum=0.75", MovingAverageMinMaxObserver, {"averaging_constant": 0.25}),
    ("int8 sym channel + minmax running=yes", PerChannelMinMaxObserver, {"qscheme": torch.per_channel_symmetric}),
    ("int8 asym channel + minmax running=yes", PerChannelMinMaxObserver, {"qscheme": torch.per_channel_affine}),
]


@pytest.mark.parametrize(("text", "observer", "words"), OBSERVERS, ids=[one[0] for one in OBSERVERS])
def test_torchs_fake_quantizer_gives_the_same_values_and_gradients(
    text: str, observer: type, words: dict[str, Any]
) -> None:
    is_signed = " sym" in text
    low, high, dtype = (-127, 127, torch.qint8) if is_signed else (0, 255, torch.quint8)
    if "ema" in text:
        words = {**words, "qscheme": torch.per_tensor_symmetric if is_signed else torch.per_tensor_affine}
    peer = FakeQuantize(observer=observer, quant_min=low, quant_max=high, dtype=dtype, **words)
    carrier = Carrier(make_site(text))
    for step in range(4):
        carrier.clock.step = step
        x = draw(step, 8, 16) * (1 + step)
        if "ema" in text:
            # torch averages both ends, we the largest magnitude: alike where that lies on one side.
            x[0, 0] = 2 * np.abs(x).max()
        its, own = (torch.tensor(x, requires_grad=True) for _ in range(2))
        y, z = peer(its), carrier.carry(own)
        g = torch.tensor(draw(100 + step, 8, 16))
        y.backward(g)
        z.backward(g)
        widths = torch.as_tensor(peer.scale).reshape(-1, *[1] * (peer.scale.numel() > 1))
        if not is_signed and "ema" in text:
            # torch averages the low end as it is seen, and we one that is widened to hold 0: alike while it is below.
            assert x.min() < 0 < x.max()
        # Symmetric steps: torch has absmax / 127.5 where the codes may reach -128; here both say 127.
        ratio = np.asarray(carrier.site.steps).reshape(-1) / widths.double().reshape(-1).numpy()
        np.testing.assert_allclose(ratio, 1, rtol=3e-7)
        # Within a last bit of the step a value midway may fall to either side: by one step, and seldom.
        off = (y - z).abs().detach()
        assert float((off > 1e-5 * widths).float().mean()) <= 0.02
        assert bool((off <= 1.001 * widths).all())
        assert its.grad is not None
        assert own.grad is not None
        inside = (own.detach() / widths).abs() < high - 1 if is_signed else torch.ones_like(own, dtype=torch.bool)
        if step and "ema" not in text:
            assert torch.equal(its.grad[inside], own.grad[inside])


def test_a_clipped_element_passes_no_gradient_as_in_torch() -> None:
    carrier = Carrier(make_site("hold bits=4"))
    set_exponent(carrier.site, -2)
    x = torch.tensor([-2.0, -1.7, 0.3, 1.75, 1.8, 5.0], requires_grad=True)
    g = torch.arange(1.0, 7.0)
    carrier.carry(x).backward(g)
    its = x.detach().clone().requires_grad_()
    torch.fake_quantize_per_tensor_affine(its, 0.25, 0, -7, 7).backward(g)
    assert x.grad is not None
    assert its.grad is not None
    assert x.grad.tolist() == its.grad.tolist() == [0, 2, 3, 4, 5, 0]


@pytest.mark.parametrize(
    "text",
    [
        "int4 + minmax",
        "int8 asym + ema",
        "int4 channel + counts count=2 + policy",
        "up-step + down + average",
        "int8 + ema trigger=doubling:8",
        "lsq bits=4",
        "nvfp4 + minmax trigger=every:3",
        "int4 round=stochastic:5",
        "int4 + width-growth",
    ],
)
@pytest.mark.parametrize("kind", ["weight", "input"])
def test_an_evaluation_moves_no_state(text: str, kind: KindOfData) -> None:
    if kind == "input" and ("channel" in text or "policy" in text):
        pytest.skip("groups of activations change with the batch, and a policy acts on weights")
    seen, unseen = make_site(text, kind), make_site(text, kind)
    for step in range(6):
        outputs = []
        for site in (seen, unseen):
            site.clock.step, site.clock.adapts = step, True
            outputs.append(site.quantize(draw(step, 4, 32)).y)
        assert np.array_equal(*outputs)
        before = repr((seen.state, seen.grid, seen.layout, seen.checks, seen.adjustments, seen.events))
        seen.clock.adapts = False
        seen.quantize(draw(50 + step, 4 if kind == "weight" else 9, 32) * 100)
        assert repr((seen.state, seen.grid, seen.layout, seen.checks, seen.adjustments, seen.events)) == before


def test_a_stochastic_rounding_differs_from_step_to_step_and_not_from_run_to_run() -> None:
    first, second = make_site("int4 round=stochastic:5"), make_site("int4 round=stochastic:5")
    x = draw(1, 64)
    runs = []
    for site in (first, second):
        ys = []
        for step in range(3):
            site.clock.step = step
            ys.append(site.quantize(x).y)
        runs.append(ys)
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    assert not np.array_equal(runs[0][0], runs[0][1])
    assert not np.array_equal(runs[0][1], runs[0][2])


def test_doubling_gaps_check_at_the_steps_worked_by_hand() -> None:
    """row-37: changes at checks 1 and 2 only, cap 16."""
    site = make_site("int8 + up-step trigger=doubling:16")
    checked = []
    for step in range(50):
        site.clock.step = step
        before = site.checks
        site.quantize(np.float32([2.0 ** min(step, 1)]))
        if site.checks > before:
            checked.append(step)
    assert checked == [0, 1, 2, 4, 8, 16, 32, 48]


def test_counts_say_why_a_range_moves() -> None:
    """row-8, row-11: 6 to 6.3, as "4 of 5 above 6.0 > 0.6"."""
    site = make_site("int8 asym + counts first=0.6 second=0.6 when=window count=5 start=6", "input")
    site.quantize(np.float32([0, 6.0]))
    site.settle()
    for step, largest in enumerate([6.5, 7.0, 5.5, 6.8, 7.2], start=1):
        site.clock.step = step
        site.quantize(np.float32([0, largest]))
    assert site.state is not None
    assert site.state.high[0] == pytest.approx(6.3)
    ((step, reason),) = site.events
    assert step == 5
    assert reason == "4 of 5 above 6.00 > 0.6: high 6 → 6.3"


def test_one_range_for_all_layers_follows_the_largest_of_them() -> None:
    pool, clock = Pool(), Clock()
    recipe = Recipe.parse("up-step scope=all")
    first, second = (Site(name, "weight", recipe, clock, pool) for name in ("a", "b"))
    for step in range(2):
        clock.step = step
        first.quantize(np.float32([[0.5, -0.2], [0.1, 0.3]]))
        second.quantize(np.float32([[0.02, -3.0], [0.08, 0.01]]))
    assert first.steps.tolist() == second.steps.tolist() == [2.0**-5]


def test_a_width_grows_where_one_value_outweighs_the_rest() -> None:
    """row-38: 8 to 16 bits on the example, and not where all is representable."""
    site = make_site("up-step + width-growth", "output-gradient")
    site.quantize(np.float32([1.0] + [0.003] * 9))
    assert site.bits == 16
    assert site.steps.tolist() == [2.0**-14]
    assert site.events[-1][1] == "diff_bit 0.0374 > 0.03: 8 → 16 bits"
    calm = make_site("up-step + width-growth", "output-gradient")
    calm.quantize(np.float32([0.5, -0.25, 0.125, 1.0, -0.75]))
    assert calm.bits == 8


@pytest.mark.parametrize("text", ["int4", "int4 asym + ema", "up-step + down", "int4 + counts", "lsq bits=4", "mxfp4"])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.0] * 32, id="zeros"),
        pytest.param([float("nan")] * 32, id="NaN alone"),
        pytest.param([float("inf"), 1.0] + [0.5] * 30, id="infinity among numbers"),
        pytest.param([float("nan"), 1.0] + [0.5] * 30, id="NaN among numbers"),
    ],
)
def test_strange_tensors_are_passed_and_counted(text: str, values: list[float]) -> None:
    site = make_site(text, "input")
    x = np.float32(values)
    for step in range(3):
        site.clock.step = step
        y = site.quantize(x).y
        assert np.array_equal(np.isnan(y), np.isnan(x))
        assert np.isfinite(y[~np.isnan(x)]).all()
        assert site.seen is not None
        assert site.seen.non_finite.sum() == (~np.isfinite(x)).sum()


def test_a_range_that_follows_from_zeros_alone_is_replaced_by_the_first_signal() -> None:
    site = make_site("int8 + hold")
    site.quantize(np.zeros(4, np.float32))
    site.clock.step = 1
    site.quantize(np.float32([0.9, 0, 0, 0]))
    assert site.steps.tolist() == [2.0**-7]


def test_an_empty_tensor_passes() -> None:
    assert make_site("int4").quantize(np.zeros((0, 3), np.float32)).y.shape == (0, 3)


def test_another_width_keeps_the_range() -> None:
    site = make_site("int8 + ema trigger=every:100")
    x = np.float32([0.7, -0.3, 0.1])
    site.quantize(x)
    site.clock.step = 1
    site.set_bits(4, "8 → 4 bits")
    np.testing.assert_allclose(site.quantize(x).y, [0.7, -0.3, 0.1], rtol=1e-6)
    assert site.steps[0] == pytest.approx(0.1)
    assert site.events == [(1, "8 → 4 bits")]
