"""Statistics of a tensor where it lies: the way of any device against the compiled loop of main memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from qanalysis.training.statistics.tensor_statistics import (
    Layouts,
    merge_calls,
    observe_on_device,
    parse_layouts,
    widen,
)

GENERATOR = torch.Generator().manual_seed(11)
TENSORS = {
    "normal": torch.randn(64, 33, generator=GENERATOR),
    "large": 1e30 * torch.randn(5, 7, generator=GENERATOR),
    "small ripple on a large mean": 1000 + 1e-2 * torch.rand(4000, generator=GENERATOR),
    "one": torch.tensor(-2.0),
    "zeros": torch.zeros(3, 4),
    "some infinite": torch.tensor([1.0, torch.inf, -3.0, torch.nan, 0.0]),
    "none finite": torch.full((4,), torch.nan),
    "empty": torch.zeros(0, 4),
    "not contiguous": torch.randn(8, 6, generator=GENERATOR).T,
    "bfloat16": torch.randn(40, generator=GENERATOR).bfloat16(),
}


@pytest.mark.parametrize("x", TENSORS.values(), ids=TENSORS.keys())
def test_both_ways_tell_the_same(x: Tensor) -> None:
    in_memory = Layouts().observe(x)[0].numpy()
    on_device = observe_on_device(widen(x)).numpy()
    # Both sum float32 values in float64.
    np.testing.assert_allclose(on_device, in_memory, rtol=1e-9, atol=0, equal_nan=True)


def test_calls_merge_as_all_their_elements() -> None:
    parts = [TENSORS["normal"], TENSORS["none finite"], TENSORS["some infinite"], TENSORS["zeros"]]
    merged = merge_calls([Layouts().observe(part).numpy() for part in parts])
    whole = Layouts().observe(torch.cat([part.flatten() for part in parts]))[0].numpy()
    found = [merged.absmax, merged.absmin, merged.mean, merged.std, merged.low, merged.high, merged.count]
    np.testing.assert_allclose(np.concatenate([*found, merged.non_finite]), whole, rtol=1e-9)


def test_groups_of_images_are_channels() -> None:
    x = torch.randn(2, 6, 3, 3, generator=GENERATOR)
    layouts = parse_layouts("group=4", "")
    assert layouts.name_groups(x) == ["0:4", "4:6"]
    np.testing.assert_allclose(layouts.observe(x)[1, :2], [x[:, 4:].abs().max(), x[:, 4:].abs().min()], rtol=1e-6)


@pytest.mark.parametrize("format", ["mxfp4", "mxfp6_e2m3", "mxfp8_e5m2", "mxint8"])
def test_scales_of_a_block_that_holds_a_power_of_two(format: str) -> None:
    layouts = parse_layouts("layer", format)
    largest = {"mxfp4": 2, "mxfp6_e2m3": 2, "mxfp8_e5m2": 15, "mxint8": 0}[format]
    for exponent in (-100, -1, 0, 7, 100):
        counts = layouts.count_scales(torch.full((1, 32), 2.0**exponent))
        assert counts is not None
        # OCP MX: the block's exponent less that of the format's largest number.
        assert layouts.sum_scales(counts.numpy()) == {exponent - largest: 1}
