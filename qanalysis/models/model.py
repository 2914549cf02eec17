"""Which model is run or trained, and how good is it on some data?

A model is named by text: a shipped sample (`sample:digits-mlp`) or a function of the user's own that returns one
(`package.module:factory`). Loss is cross-entropy in nats over the last axis of the logits, or the squared error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from qanalysis.models.data import LOSSES, SAMPLE_PREFIX
from qanalysis.models.factory import call_factory, describe_error
from qanalysis.notation import quote
from sample_models import evaluate, training
from sample_models.training import IGNORED


class Score(TypedDict):
    """Mean loss per target, and the share of targets that have the largest logit (None for the squared error)."""

    loss: float
    accuracy: float | None


def load_model(text: str) -> nn.Module:
    """The model in evaluation mode: a sample with its shipped weights, or what `package.module:factory` returns.

    Raises ValueError for an unknown sample and for one without a module, for what `call_factory` refuses, and for a
    result that is no module, has no parameters or has parameters without a shape (lazy ones).

    >>> sum(weights.numel() for weights in load_model("sample:digits-mlp").parameters())
    50826
    """
    if text.startswith(SAMPLE_PREFIX):
        return evaluate.load_model(text.removeprefix(SAMPLE_PREFIX))
    if ":" not in text:
        samples = ", ".join(SAMPLE_PREFIX + name for name in evaluate.MODELS)
        raise ValueError(
            f"model {quote(text)} is neither a sample ({samples}) nor package.module:factory; type one of them"
        )
    return take_module(call_factory(text), text)


def take_module(made: Any, text: str) -> nn.Module:
    """What the factory `text` returned, in evaluation mode. Raises ValueError as `load_model` does."""
    if isinstance(made, nn.Module):
        _check_parameters(made, text)
        return made.eval()
    raise ValueError(f"factory {quote(text)} returns {_name_type(made)}; it must return a torch.nn.Module")


def _check_parameters(model: nn.Module, text: str) -> None:
    parameters = list(model.parameters())
    if not parameters:
        raise ValueError(
            f"the model of {quote(text)} has no parameters; there is nothing in it to quantize or to train"
        )
    if any(nn.parameter.is_lazy(weights) for weights in parameters):
        raise ValueError(
            f"the model of {quote(text)} has lazy parameters without a shape; run it once inside the factory"
        )


def sum_loss(logits: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Summed loss, a tensor of one element that has gradients.

    "cross-entropy": logits `(..., classes)`, labels `(...)`, nats; "mse": outputs and targets of one shape, axes of
    length 1 not counted, squared differences. Raises ValueError for an unknown loss and for shapes or labels that do
    not fit.

    >>> float(sum_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0]), "mse"))
    5.0
    """
    if loss == "mse":
        if [n for n in logits.shape if n != 1] != [n for n in targets.shape if n != 1]:
            raise ValueError(
                f"the model's outputs are {tuple(logits.shape)} and the targets {tuple(targets.shape)}; the squared "
                "error needs one shape, and targets that are labels are given as integers"
            )
        return functional.mse_loss(logits.reshape(targets.shape), targets, reduction="sum")
    if loss != "cross-entropy":
        raise ValueError(f"loss {quote(loss)} is not known; choose {' or '.join(LOSSES)}")
    if logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"the model's logits are {tuple(logits.shape)} and the labels {tuple(targets.shape)}; cross-entropy needs "
            "logits (..., classes) for labels (...)"
        )
    try:
        return training.sum_loss(logits, targets)
    except IndexError as error:
        raise ValueError(
            f"the labels reach {int(targets.max())} and the model has {logits.shape[-1]} classes; labels count from 0"
        ) from error


def count_targets(targets: Tensor) -> int:
    """How many targets a mean is taken over: padding (-100 among labels) is left out.

    >>> count_targets(torch.tensor([[3, 1], [2, -100]]))
    3
    """
    return targets.numel() if targets.is_floating_point() else int((targets != IGNORED).sum())


def count_right(logits: Tensor, labels: Tensor) -> int:
    """How many labels have the largest logit; where a logit is NaN no answer is right.

    >>> count_right(torch.tensor([[2.0, 0.0], [float("nan"), 0.0]]), torch.tensor([0, 0]))
    1
    """
    return int(((logits.argmax(-1) == labels) & ~logits.isnan().any(-1)).sum())


def measure(model: nn.Module, inputs: Tensor, targets: Tensor, *, loss: str, batch: int = 500) -> Score:
    """Loss and accuracy over all targets, without gradients, in evaluation mode; every part's own mode is put back.

    A model that diverged gives a loss of NaN or infinity, as a value. Raises ValueError where the model does not run
    on the inputs, returns no tensor, or where `sum_loss` refuses what it returns.

    >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> measure(nn.Identity(), logits, labels, loss="cross-entropy")["accuracy"]
    0.5
    """
    total, right, count = 0.0, 0, count_targets(targets)
    if count == 0:
        raise ValueError(
            f"targets {tuple(targets.shape)} hold nothing to measure; give at least one that is no padding"
        )
    # no inference mode: a tensor made in it and kept by an observer could not enter a later training step
    with _evaluating(model), torch.no_grad():
        for some, wanted in zip(torch.split(inputs, batch), torch.split(targets, batch), strict=True):
            outputs = run_model(model, some)
            total += float(sum_loss(outputs, wanted, loss))
            right += count_right(outputs, wanted) if loss == "cross-entropy" else 0
    return Score(loss=total / count, accuracy=right / count if loss == "cross-entropy" else None)


def run_model(model: nn.Module, inputs: Tensor) -> Tensor:
    """What the model returns for one batch; ValueError on one line where it can not run or returns no tensor."""
    shape = f"inputs {str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape)}"
    try:
        outputs: Any = model(inputs)
    except ValueError:
        raise
    except Exception as error:
        tokens = "" if inputs.is_floating_point() else "; integers are taken as tokens, give other inputs as floats"
        raise ValueError(f"the model does not run on {shape}: {describe_error(error)}{tokens}") from error
    if isinstance(outputs, Tensor):
        return outputs
    raise ValueError(f"the model returns {_name_type(outputs)} for {shape}; it must return one tensor")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in model.modules()]  # a frozen BatchNorm keeps its own
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _name_type(value: Any) -> str:
    return "nothing" if value is None else f"a value of type {quote(type(value).__name__)}"
