"""What is one batch of an iterable or one array of a file? Inputs by name and targets, as tensors that a model takes.

Floats become float32, whole numbers and truth values int64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qanalysis.models.factory import describe_error
from qanalysis.notation import quote
from sample_models.training import IGNORED

#: The name of the input that is given by place: a model's first one, whatever it is called there.
FIRST_INPUT = "x"
#: The name of the array that holds targets.
TARGETS_NAME = "y"

Item = tuple[dict[str, Tensor], Tensor | None]
_RULE = "give tensors or arrays, mappings of them by the names of the model's inputs, or pairs (inputs, targets)"


def read_items(data: Iterable[Any], name: str) -> Iterator[Item]:
    """The batches that an iterable yields. Raises ValueError, where it stands, for what is no batch and for an iterable
    that raises.
    """
    try:
        waiting = iter(data)
    except TypeError:
        raise ValueError(f"{name} is a {type(data).__name__}; {_RULE}, in a list or a generator") from None
    count = 0
    while True:
        try:
            item = next(waiting)
        except StopIteration:
            return
        except Exception as error:  # a generator of the user's may raise anything
            raise ValueError(f"{name}: after {count} batches it raises {describe_error(error)}") from error
        yield read_item(item, f"{name}, batch {count}")
        count += 1


def read_item(item: Any, place: str) -> Item:
    """Inputs and targets of one batch: a tensor, a mapping (targets under "y"), or a pair of inputs and targets.

    Raises ValueError for anything else, for what is no real number, and for parts of unequal length.

    >>> inputs, targets = read_item((np.zeros((2, 3)), [0, 1]), "data")
    >>> tuple(inputs["x"].shape), targets
    ((2, 3), tensor([0, 1]))
    """
    given, targets = item, None
    if isinstance(item, list | tuple):
        if len(item) not in {1, 2}:
            raise ValueError(f"{place} is a {type(item).__name__} of {len(item)}; {_RULE}")
        given, targets = item[0], item[1] if len(item) == 2 else None
    if isinstance(given, Mapping):
        named = {str(key): value for key, value in given.items()}
        targets = named.pop(TARGETS_NAME, targets) if len(named) > 1 else targets
        inputs = {key: make_tensor(value, f"{place}: {quote(key)}") for key, value in named.items()}
    else:
        inputs = {FIRST_INPUT: make_tensor(given, place)}
    wanted = None if targets is None else make_targets(targets, f"{place}: targets")
    check_lengths(inputs, wanted, place)
    return inputs, wanted


def check_lengths(inputs: Mapping[str, Tensor], targets: Tensor | None, place: str) -> None:
    """ValueError where parts are not all of as many samples, or there is none."""
    if not inputs:
        raise ValueError(f"{place} holds no inputs; {_RULE}")
    counts = {name: len(values) for name, values in inputs.items()}
    if targets is not None:
        counts["targets"] = len(targets)
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{quote(name)} has {count}" for name, count in list(counts.items())[:6])
        raise ValueError(f"{place}: {said} samples; all need as many")


def make_tensor(value: Any, place: str) -> Tensor:
    """An array as a tensor (samples, ...). Raises ValueError for what is no array of finite real numbers, for one
    without a first axis, and for an empty one.
    """
    array = _take(value, place)
    if array.ndim == 0 or array.numel() == 0:
        raise ValueError(f"{place} is {describe_tensor(array)}, which holds no samples; the first axis counts them")
    bad = int((~torch.isfinite(array)).sum()) if array.is_floating_point() else 0
    if bad:
        raise ValueError(f"{place} holds {bad} values that are not finite in float32; leave those samples out")
    return array


def make_targets(value: Any, place: str) -> Tensor:
    """Targets: labels from 0 on, -100 where nothing is asked for, or numbers. Raises ValueError for anything else."""
    targets = make_tensor(value, place)
    if targets.is_floating_point():
        return targets
    labels = targets[targets != IGNORED]
    if not labels.numel():
        raise ValueError(f"{place} hold padding ({IGNORED}) alone; leave them out, or give labels")
    if int(labels.min()) < 0:
        raise ValueError(
            f"{place} hold the label {int(labels.min())}; labels count from 0, {IGNORED} is padding, and targets that "
            "are no labels are given as floats"
        )
    return targets


def _take(value: Any, place: str) -> Tensor:
    if isinstance(value, Tensor):
        if value.is_complex() or value.layout != torch.strided or value.is_meta:
            raise ValueError(f"{place} holds {value.dtype} ({value.layout}); give plain real numbers")
        plain = value.detach().cpu()
        return plain.float() if plain.is_floating_point() else plain.long()
    try:
        array = np.asarray(value)
    except Exception as error:  # of rows of unequal length, or whatever an object's own conversion raises
        raise ValueError(f"{place} is no array ({describe_error(error)}); give samples of one shape") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{place} holds {array.dtype} {array.shape}, no real numbers; {_RULE}")
    # through float64, since torch rounds to infinity without numpy's warning
    return (
        torch.from_numpy(np.array(array, np.float64)).float()
        if array.dtype.kind == "f" and array.dtype.itemsize > 4
        else torch.from_numpy(np.array(array, np.float32 if array.dtype.kind == "f" else np.int64))
    )


def describe_tensor(values: Tensor) -> str:
    """Type and shape for people.

    >>> describe_tensor(torch.zeros(2, 3))
    'float32 (2, 3)'
    """
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
