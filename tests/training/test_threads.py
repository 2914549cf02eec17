"""Small networks train on one thread, and what was set before comes back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qanalysis.training.threads import SMALL, fit_threads


@pytest.fixture
def two() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("rows", "threads"), [(3, 1), (SMALL, 2)])
def test_threads_follow_the_size_and_come_back(rows: int, threads: int) -> None:
    with fit_threads(nn.Linear(1, rows)):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two")
def test_threads_come_back_after_a_fault() -> None:
    with pytest.raises(ValueError, match="ended"), fit_threads(nn.Linear(1, 1)):
        raise ValueError("ended")
    assert torch.get_num_threads() == 2
