"""How does the loss of single samples change with each tensor? Gradients and traces of Hessians, sample by sample.

One pass forward and a few back serve all tensors. The Hessian of a loss has two parts: what the loss bends in the
outputs (Gauss-Newton, J A JT) and what the outputs bend themselves. Random signs over the outputs give the trace of the
first for every tensor at once, without noise of other tensors' blocks; random signs over one tensor at a time, the
first part taken off, give that of the second, which is often small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.factory import describe_error
from qanalysis.models.measures.objectives import Objective, Root
from qanalysis.models.measures.quiet import with_second_derivatives
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.notation import quote


@dataclass(frozen=True, slots=True, eq=False)
class Derivatives:
    """Of one sample, by tensor: the gradient of its summed loss, None where none arrives there; estimates of the trace
    of the Gauss-Newton part and, where they were asked for, of the rest. The loss is summed over `targets` targets.
    """

    gradients: Mapping[str, Tensor | None]
    bends: Mapping[str, float] = field(default_factory=dict)
    rests: Mapping[str, float] = field(default_factory=dict)
    targets: int = 1


class NoSecondDerivativesError(Exception):
    """An operation of the model has no second derivative; the text names it."""


def choose_samples(calibration: Calibration, limit: int, seed: int) -> list[Batch]:
    """At most so many samples, drawn without replacement, each a batch of its own, in the order of the data."""
    total = len(calibration)
    numbers = np.random.default_rng(seed).choice(total, min(limit, total), replace=False)
    chosen = list[Batch]()
    for number in sorted(map(int, numbers)):
        block = next(one for one in reversed(calibration.blocks) if one.first <= number)
        chosen.append(block.cut(number - block.first, number - block.first + 1))
    return chosen


@contextmanager
def with_gradients(model: TorchModel, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """The tensors take part in derivatives inside the block, and do so as before after it.

    Raises ValueError where one can not.
    """
    tensors = {name: model.find(name).value for name in names}
    before = {name: one.requires_grad for name, one in tensors.items()}
    try:
        for name, one in tensors.items():
            _want_gradient(name, one)
        with with_second_derivatives(model.module), torch.enable_grad():
            yield tensors
    finally:
        for name, one in tensors.items():
            if one.requires_grad != before[name]:
                one.requires_grad_(before[name])


def _want_gradient(name: str, tensor: Tensor) -> None:
    try:
        tensor.requires_grad_()
    except RuntimeError as error:  # one made in inference mode
        raise ValueError(f"{quote(name)} takes no part in derivatives: {describe_error(error)}") from error


def differentiate(
    model: TorchModel,
    tensors: Mapping[str, Tensor],
    batch: Batch,
    objective: Objective,
    generator: torch.Generator,
    *,
    draws: int,
) -> Derivatives:
    """Gradient and Gauss-Newton trace of one sample, the latter the mean over so many draws of signs, inside
    `with_gradients`.

    Raises ValueError where the model does not run or has no gradients.
    """
    outputs, bends = model.compute(batch), dict.fromkeys(tensors, 0.0)
    try:
        loss, targets = objective.take(outputs, batch, generator)
        root = objective.root(outputs, batch)
        gradients = _derive(loss, tensors, retain_graph=draws > 0)
        for _draw in range(draws):
            pushed = _derive(outputs, tensors, root.multiply(_draw_signs(outputs, generator)), retain_graph=True)
            for name, one in pushed.items():
                bends[name] += 0.0 if one is None else float(one.double().square().sum()) / draws
    except RuntimeError as error:
        raise ValueError(f"the model has no gradients: {describe_error(error)}") from error
    return Derivatives(gradients, bends, {}, targets)


def find_rests(
    model: TorchModel, tensors: Mapping[str, Tensor], batch: Batch, objective: Objective, generator: torch.Generator
) -> dict[str, float]:
    """Of one sample for each tensor v H v - v J A JT v, v random signs over its elements: the mean is the trace of what
    the Gauss-Newton part leaves out, 0 where the outputs are piecewise linear in the tensor.

    Raises ValueError where the model does not run, NoSecondDerivativesError where an operation has none.
    """
    outputs = model.compute(batch)
    loss, _targets = objective.take(outputs, batch, generator)
    root, still = objective.root(outputs, batch), torch.zeros_like(outputs, requires_grad=True)
    try:
        gradients = _derive(loss, tensors, create_graph=True)
        pulled = _derive(outputs, tensors, still, create_graph=True)  # linear in `still`: deriving it pushes forward
        return {
            name: _find_rest(one, gradients[name], pulled[name], still, root, generator)
            for name, one in tensors.items()
        }
    except RuntimeError as error:
        raise NoSecondDerivativesError(describe_error(error)) from error


def _find_rest(
    tensor: Tensor,
    gradient: Tensor | None,
    pulled: Tensor | None,
    still: Tensor,
    root: Root,
    generator: torch.Generator,
) -> float:
    signs, whole, bent = _draw_signs(tensor, generator), 0.0, 0.0
    if gradient is not None and gradient.requires_grad:
        (product,) = torch.autograd.grad((gradient * signs).sum(), tensor, retain_graph=True, allow_unused=True)
        whole = 0.0 if product is None else float((product.double() * signs).sum())
    if pulled is not None and pulled.requires_grad:
        (direction,) = torch.autograd.grad((pulled * signs).sum(), still, retain_graph=True, allow_unused=True)
        bent = 0.0 if direction is None else root.measure(direction)
    return whole - bent


def _derive(
    of: Tensor,
    tensors: Mapping[str, Tensor],
    weights: Tensor | None = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> dict[str, Tensor | None]:
    """The derivatives by tensor, None where there are none; of several numbers their sum with these weights."""
    found = torch.autograd.grad(
        of,
        list(tensors.values()),
        weights,
        retain_graph=retain_graph or create_graph,
        create_graph=create_graph,
        allow_unused=True,
    )
    return dict(zip(tensors, found, strict=True))


def _draw_signs(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(like.detach()).bernoulli_(0.5, generator=generator) * 2 - 1
