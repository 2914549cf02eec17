"""How would the float network learn here? Its gradient at the same latent weights and items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qanalysis.models.factory import describe_error
from qanalysis.models.model import count_targets, run_model, sum_loss
from qanalysis.training.network.carrier import WeightCarrier
from qanalysis.training.network.wiring import Wired


@contextmanager
def differentiating() -> Iterator[None]:
    """A model that has no gradient is a mistake of its author, told as a ValueError of one sentence."""
    try:
        yield
    except RuntimeError as error:
        raise ValueError(
            f"the model has no gradient: {describe_error(error)}; its own training step must run"
        ) from error


def differentiate_float(
    model: nn.Module, wired: Wired, inputs: Tensor, targets: Tensor, loss: str
) -> dict[str, Tensor]:
    """The gradient of the float network's mean loss by each latent weight that is trained, by layer.

    Nothing of the training moves: no quantizer, no buffer of the model, no draw of torch's generator.
    """
    weights = wired.weights.items()
    latents = {name: one.latent for name, one in weights if one.latent is not None and one.latent.requires_grad}
    if not latents:
        return {}
    random, buffers = torch.get_rng_state(), [one.clone() for one in model.buffers()]
    wired.clock.is_float = True
    try:
        mean = sum_loss(run_model(model, inputs), targets, loss) / count_targets(targets)
        with differentiating():
            found = torch.autograd.grad(mean, list(latents.values()), allow_unused=True)
    finally:
        wired.clock.is_float = False
        torch.set_rng_state(random)
        with torch.no_grad():
            for buffer, kept in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(kept)
    known = {name: g for name, g in zip(latents, found, strict=True) if g is not None}
    return {name: g.to_dense() if g.is_sparse else g for name, g in known.items()}


def find_cosine(carrier: WeightCarrier, reference: Tensor | None) -> float | None:
    """Between the corrected gradient of a weight and another of its shape; None where either is missing, zero or not
    finite.
    """
    own = carrier.corrected
    if own is None or reference is None:
        return None
    first, second = own.double().flatten(), reference.double().flatten()
    norms = float(first.norm() * second.norm())
    return float(first @ second) / norms if norms > 0 and math.isfinite(norms) else None
