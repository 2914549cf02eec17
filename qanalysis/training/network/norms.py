"""Which statistics must be estimated anew when weights stop moving? Those of batch normalisation (B3).

As Nagel et al. 2022 do (Overcoming Oscillations).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from qanalysis.models.model import run_model
from qanalysis.training.network.batches import Plan
from qanalysis.training.network.site import Clock

#: Batches that the statistics are averaged over.
BATCHES = 50


def reestimate_norms(model: nn.Module, clock: Clock, plan: Plan) -> bool:
    """Average the statistics of every BatchNorm over the first batches of the plan, quantizers standing still; whether
    there is any. Momenta are put back.
    """
    norms = [one for one in model.modules() if isinstance(one, BatchNorm) and one.track_running_stats]
    if not norms:
        return False
    momenta = [one.momentum for one in norms]
    was = model.training
    for one in norms:
        one.reset_running_stats()
        one.momentum = None  # a plain average over all batches
    clock.adapts = False
    model.train()
    try:
        with torch.no_grad():
            for step in range(min(BATCHES, max(plan.epoch, 1))):
                run_model(model, plan.draw(step)[0])
    finally:
        clock.adapts = True
        model.train(was)
        for one, momentum in zip(norms, momenta, strict=True):
            one.momentum = momentum
    return True
