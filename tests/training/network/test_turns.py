"""Trainings take turns: small networks on one thread; threads and torch's generator come back as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qanalysis.training.network.turns import SMALL, choose_threads, take_turn


@pytest.fixture
def two() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("rows", "threads"), [(3, 1), (SMALL, 2)])
def test_threads_follow_the_size_and_come_back(rows: int, threads: int) -> None:
    with take_turn(torch.get_rng_state(), threads=choose_threads(nn.Linear(1, rows))):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two")
def test_threads_come_back_after_a_fault() -> None:
    with pytest.raises(ValueError, match="ended"), take_turn(torch.get_rng_state(), threads=1):
        raise ValueError("ended")
    assert torch.get_num_threads() == 2


def test_the_generator_comes_back_and_the_state_reached_is_read_inside() -> None:
    before = torch.get_rng_state()
    with take_turn(torch.Generator().manual_seed(5).get_state()):
        first = torch.rand(3)
        reached = torch.get_rng_state()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert not torch.equal(reached, before)
