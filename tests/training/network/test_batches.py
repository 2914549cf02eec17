"""Which items a step learns from: permutations and streams as pure functions of seed and step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from qanalysis.training.network.batches import CHUNK, drift, plan_batches
from tests.training.small_models import make_data


def numbered(count: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(count, dtype=torch.float32)[:, None].repeat(1, 16), torch.arange(count) % 4


def test_an_epoch_shows_each_item_once_in_another_order_than_the_next() -> None:
    inputs, targets = numbered()
    plan = plan_batches(replace(make_data(), inputs=inputs, targets=targets), batch=64, seed=3)
    assert plan.epoch == 4
    epochs = [torch.cat([plan.draw(4 * epoch + step)[0][:, 0] for step in range(4)]) for epoch in range(2)]
    assert all(torch.equal(one.sort().values, inputs[:, 0]) for one in epochs)
    assert not torch.equal(*epochs)


def test_a_step_draws_the_same_whenever_it_is_asked_and_another_seed_others() -> None:
    plan, again, other = (plan_batches(make_data(), batch=16, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(plan.draw(37)[0], again.draw(37)[0])
    assert not torch.equal(plan.draw(37)[0], other.draw(37)[0])


def test_the_last_batch_is_left_out_where_it_is_short_unless_it_is_the_only_one() -> None:
    assert plan_batches(make_data(), batch=100, seed=0).epoch == 2
    alone = plan_batches(make_data(), batch=10**6, seed=0)
    assert alone.epoch == 1
    assert len(alone.draw(5)[0]) == 256
    inputs, targets = numbered(1)
    assert len(plan_batches(replace(make_data(), inputs=inputs, targets=targets), batch=64, seed=0).draw(9)[0]) == 1


def test_a_drift_is_the_same_for_a_seed_and_keeps_targets() -> None:
    data = make_data()
    first, second = drift(data, 4), drift(data, 4)
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.targets, data.targets)
    moved = torch.roll(data.inputs, 1, dims=-1) * 0.7
    # The noise is a twentieth of the deviation: the mean square of 4096 draws is that within 10 %.
    assert float((first.inputs - moved).std() / data.inputs.std()) == pytest.approx(0.05, rel=0.1)


def test_online_shows_one_new_item_a_step_and_incremental_a_chunk() -> None:
    data = make_data()
    for learning, size in (("online", 1), ("incremental", CHUNK)):
        plan = plan_batches(data, batch=64, seed=0, learning=learning, steps=20)
        assert plan.streamed is not None
        assert len(plan.draw(3)[0]) == size
        seen = torch.cat([plan.draw(step)[0] for step in range(256 // size)])
        assert torch.equal(seen.sort(dim=0).values, plan.streamed.inputs.sort(dim=0).values)


def test_batch_learning_draws_half_from_old_items_and_half_from_those_that_have_arrived() -> None:
    data = make_data()
    plan = plan_batches(data, batch=8, seed=0, learning="batch", steps=64)
    assert plan.streamed is not None

    def where(item: torch.Tensor, among: torch.Tensor) -> bool:
        return bool((among == item).all(1).any())

    inputs, targets = plan.draw(0)
    assert len(inputs) == len(targets) == 8
    assert all(where(item, data.inputs) for item in inputs[:4])
    assert all(where(item, plan.streamed.inputs) for item in inputs[4:])
    arrived = {tuple(item.tolist()) for step in (0, 0) for item in plan.draw(step)[0][4:]}
    assert len(arrived) <= 4  # 256 / 64 items have come in after the first step
    assert len(plan.draw(70)[0]) == 8  # calibration may draw beyond the steps


def test_tokens_have_no_drift() -> None:
    data = make_data()
    tokens = replace(data, inputs=data.targets[:, None], held_out_inputs=data.held_out_targets[:, None])
    with pytest.raises(ValueError, match="these are tokens; drop learning"):
        plan_batches(tokens, batch=8, seed=0, learning="online", steps=4)
