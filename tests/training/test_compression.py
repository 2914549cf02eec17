"""Pruning masks as worked by hand and as a stable sort gives them; the schedule; a squared error split by its causes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qanalysis.quantizers.scheme import Scheme
from qanalysis.training.compression import (
    PRUNING_RULES,
    PruningRule,
    count_padding,
    prune_channels,
    prune_magnitude,
    prune_n_of_m,
    scheduled_sparsity,
    split_error,
)
from qanalysis.training.words import parse_rule

W = torch.tensor([0.3, -0.2, -0.01, 0.05, 0.9, -0.8, 0.7, 0.1], dtype=torch.float64)


def parse(text: str) -> PruningRule:
    return parse_rule(text, PRUNING_RULES, what="pruning rule")


@pytest.mark.parametrize(
    ("text", "kept", "loss"),
    [
        pytest.param("magnitude sparsity=0.5", [0.3, 0, 0, 0, 0.9, -0.8, 0.7, 0], 0.0526, id="row-46 magnitude"),
        pytest.param("n:m n=2 m=4", [0.3, -0.2, 0, 0, 0.9, -0.8, 0, 0], 0.5026, id="row-46 2 of 4"),
    ],
)
def test_row_46_masks_and_losses_equal_those_worked_by_hand(text: str, kept: list[float], loss: float) -> None:
    pruned = W * parse(text)(W, 1.0)
    assert pruned.tolist() == kept
    assert float((W - pruned).square().sum()) == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize(("t", "sparsity"), [(0, 0), (2, 0.3904), (5, 0.7), (8, 0.7936), (10, 0.8)])
def test_row_46_the_schedule_grows_as_worked_by_hand(t: int, sparsity: float) -> None:
    assert scheduled_sparsity(t, 10, 0, 0.8) == pytest.approx(sparsity, rel=1e-9)


def test_the_schedule_rests_before_and_after() -> None:
    assert scheduled_sparsity(-1, 10, 0.2, 0.8) == pytest.approx(0.2)
    assert scheduled_sparsity(11, 10, 0.2, 0.8) == 0.8
    assert scheduled_sparsity(0, 0, 0.2, 0.8) == 0.8


@given(
    st.lists(st.sampled_from([0.0, 0.5, -0.5, 1.0, -2.0, math.nan, math.inf]), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_a_magnitude_mask_is_that_of_a_stable_sort(values: list[float], sparsity: float) -> None:
    w = torch.tensor(values)
    mask = prune_magnitude(w, sparsity)
    magnitudes = [math.inf if math.isnan(one) else abs(one) for one in values]
    first = sorted(range(len(values)), key=magnitudes.__getitem__)
    pruned = set(first[: math.floor(round(sparsity * len(values), 6))])
    assert [not kept for kept in mask.tolist()] == [place in pruned for place in range(len(values))]


def test_sparsity_0_keeps_all_and_1_nothing() -> None:
    for prune in (prune_magnitude, prune_channels):
        assert bool(prune(W, 0).all())
        assert not bool(prune(W, 1).any())


def test_a_share_written_in_decimals_counts_as_written() -> None:
    # 0.29 * 100 is 28.999999999999996.
    assert int((~prune_magnitude(torch.arange(100.0), 0.29)).sum()) == 29
    assert int((~prune_magnitude(torch.arange(3.0), 0.99)).sum()) == 2


def test_equal_magnitudes_go_in_order() -> None:
    equal = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert prune_magnitude(equal, 0.5).tolist() == [False, False, True, True]
    assert prune_n_of_m(equal, 1, 2).tolist() == [False, True, False, True]
    assert prune_channels(equal.reshape(4, 1), 0.5).flatten().tolist() == [False, False, True, True]


def test_a_shorter_last_run_is_padded_and_told() -> None:
    w = torch.tensor([[4.0, 3, 2, 1, 5, 6], [1, 2, 3, 4, 5, 6]])
    assert count_padding(w, 4) == 2
    assert count_padding(w, 3) == 0
    # Two are left of the last run of four: both are among its two largest.
    assert prune_n_of_m(w, 2, 4).int().tolist() == [[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    assert prune_n_of_m(w, 1, 4).int().tolist() == [[1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 1]]


@pytest.mark.parametrize("shape", [(3, 8), (2, 3, 3, 3), (4, 5), (1, 1), (7,), (0,), (0, 4), (3, 0)])
def test_runs_go_along_the_rows_of_the_matrix(shape: tuple[int, ...]) -> None:
    w = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    rows = w.reshape(shape[0], math.prod(shape[1:])) if len(shape) > 1 else w.reshape(1, -1)
    mask = prune_n_of_m(w, 2, 4)
    assert mask.shape == w.shape
    for row, kept in zip(rows, mask.reshape(rows.shape), strict=True):
        for start in range(0, len(row), 4):
            run, stay = row[start : start + 4].abs(), kept[start : start + 4]
            assert int(stay.sum()) == min(2, len(run))
            assert set(run[stay].tolist()) == set(run.sort(descending=True).values[:2].tolist())


def test_whole_channels_go_by_their_norm() -> None:
    w = torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 2.0], [0.0, 0.0]]).reshape(4, 2, 1)
    mask = prune_channels(w, 0.5)
    assert mask.shape == w.shape
    assert mask[:, :, 0].tolist() == [[True] * 2, [False] * 2, [True] * 2, [False] * 2]


def test_a_mask_needs_no_gradient() -> None:
    w = W.clone().requires_grad_()
    assert not any(parse(text)(w, 1.0).requires_grad for text in PRUNING_RULES)


@pytest.mark.parametrize("text", ["int4 channel", "int8 asym group=4", "nf4 group=8", "fp8_e4m3"])
def test_row_46_the_error_splits_where_zero_stays_zero(text: str) -> None:
    x = torch.randn((6, 8), generator=torch.Generator().manual_seed(5))
    pruned = x * prune_magnitude(x, 0.4)
    quantized = Scheme.parse(text).fit(pruned.numpy()).round_trip(pruned.numpy())
    split = split_error(x, pruned, quantized)
    assert split.cross == 0
    whole = float(((x.numpy().astype(np.float64) - quantized) ** 2).sum())
    # Sums of 48 positive float64 terms in another order: at most 48 roundings each.
    assert split.total == pytest.approx(whole, rel=1e-13)
    assert 0 < split.pruning < whole
    assert 0 < split.quantization < whole


def test_a_pruned_weight_that_comes_back_shows_as_a_cross_term() -> None:
    # 0.5 is pruned, and a grid without 0 brings 0.25 of it back: 0.25^2 is left of 0.5^2 + 0.25^2 - 2 * 0.5 * 0.25.
    split = split_error([0.5, 1.0], [0.0, 1.0], [0.25, 1.0])
    assert (split.pruning, split.quantization, split.cross) == (0.25, 0.0625, -0.25)
    assert split.total == 0.0625


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("magnitude", "magnitude"),
        ("magnitude until=0.9 sparsity=0.8 from=0.1", "magnitude sparsity=0.8 from=0.1 until=0.9"),
        ("n:m n=1", "n:m n=1"),
        ("n:m n=2 m=4", "n:m"),
        ("channels sparsity=0.25", "channels"),
    ],
)
def test_a_rule_prints_canonically_and_parses_back(text: str, canonical: str) -> None:
    rule = parse(text)
    assert str(rule) == canonical
    assert parse(str(rule)) == rule
    assert rule.meaning


def test_a_gradual_rule_prunes_between_its_ends() -> None:
    rule = parse("magnitude sparsity=0.8 from=0.2 until=0.7")
    w = torch.linspace(-1, 1, 1000)

    def share(progress: float) -> float:
        return 1 - float(rule(w, progress).double().mean())

    assert [share(progress) for progress in (0, 0.2, 0.45, 0.7, 1)] == pytest.approx([0, 0, 0.7, 0.8, 0.8], abs=1e-9)
    assert bool(parse("n:m from=0.5")(w, 0.4).all())
    assert not bool(parse("n:m from=0.5")(w, 0.5).all())
    assert bool(parse("channels from=0.5 until=0.5")(w, 0.4).all())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("magnitude sparsity=1.5", "sparsity=1.5 must lie from 0 to 1"),
        ("magnitude from=0.6", "from=0.6 lies after until=0.5; swap them"),
        ("n:m n=5", "n=5 of m=4 keeps more than there are; lower n"),
        ("n:m m=0 n=0", "m=0 must be at least 1"),
        ("random", "pruning rule 'random' is unknown; there are magnitude, n:m, channels"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"magnitude|n:m") as caught:
        parse(text)
    assert told in str(caught.value)


def test_wrong_numbers_are_refused() -> None:
    def prune(w: Tensor) -> Tensor:
        return prune_n_of_m(w, 3, 2)

    with pytest.raises(ValueError, match=r"3 of 2: needs a run of at least 1"):
        prune(W)
    with pytest.raises(ValueError, match=r"sparsity -0\.1: the share of pruned weights lies from 0 to 1"):
        prune_magnitude(W, -0.1)
    with pytest.raises(ValueError, match=r"shapes \(1,\), \(2,\) and \(1,\) differ"):
        split_error([1.0], [1.0, 2.0], [1.0])
