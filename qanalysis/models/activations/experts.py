"""Which experts did calibration reach? How many tokens were routed to each, be experts modules of their own or
stacked in one tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd as Convolution

from qanalysis.arrays import Codes
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.runnable import Layer, Receive, Runnable
from qanalysis.models.running.torch_model import TorchModel

_WHOLE = (torch.int64, torch.int32)
#: A module of one expert: the path of all of them, and its number.
_MODULE = re.compile(r"^(.*\bexperts?)\.(?:expert_)?([0-9]{1,5})(?:\.|$)")
#: Settings that say how many experts a token takes. Among a model's settings `top_k` may be that of sampling, so only
#: modules are asked for it.
_TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "num_selected_experts",
    "moe_top_k",
    "moe_topk",
)
_HANDED, _INPUTS = "the choice that the experts' module is handed", "inputs of the experts' own modules"
_UNKNOWN = (
    "unknown: no choice is handed to the experts' module, and nothing says which layer routes and how many to take"
)


@dataclass(slots=True, eq=False)
class Experts:
    """The experts of one layer, `count` of them. `members` are layers that each stand for one of them, where experts
    are modules; `router` the layer whose outputs stand for one each of a stack; `top_k` how many a token takes, None
    where nothing says it. `calls` counts tokens by expert, None where the calls can not be known; `how` says from what.
    """

    layer: str
    count: int
    members: Mapping[str, int] = field(default_factory=dict)
    router: str = ""
    top_k: int | None = None
    handed: Codes | None = None
    ranked: Codes | None = None

    def count_handed(self, experts: Tensor) -> None:
        """Tokens go to these experts; a number beyond them stands for none."""
        flat = experts.reshape(-1).long()
        known = flat[(flat >= 0) & (flat < self.count)].numpy()
        self.handed = (0 if self.handed is None else self.handed) + np.bincount(known, minlength=self.count)

    def count_ranked(self, outputs: Tensor) -> None:
        """Each token goes to the experts with the largest outputs of the router, (..., experts)."""
        if self.top_k is None or outputs.shape[-1] != self.count:
            return
        best = outputs.reshape(-1, self.count).float().topk(self.top_k).indices.reshape(-1).numpy()
        self.ranked = (0 if self.ranked is None else self.ranked) + np.bincount(best, minlength=self.count)

    @property
    def calls(self) -> list[int] | None:
        """Tokens routed to each expert."""
        if self.members and self.handed is None:
            return [0] * self.count
        known = self.ranked if self.handed is None else self.handed
        return None if known is None else [int(calls) for calls in known]

    @property
    def how(self) -> str:
        """From what the calls are known."""
        if self.members:
            return _INPUTS
        if self.handed is not None:
            return _HANDED
        return _UNKNOWN if self.ranked is None else f"the {self.top_k} largest outputs of {self.router}"

    @property
    def never_seen(self) -> list[int]:
        """The experts that no token was routed to."""
        return [number for number, calls in enumerate(self.calls or ()) if not calls]

    def describe(self) -> dict[str, Any]:
        """As a document holds it; `coverage` is the share of the experts that were called at all."""
        calls = self.calls
        return {
            "layer": self.layer,
            "experts": self.count,
            "top_k": self.top_k,
            "router": self.router,
            "calls": calls,
            "coverage": None if calls is None else 1 - len(self.never_seen) / self.count,
            "never_seen": self.never_seen,
            "how": self.how,
        }


def count_expert_calls(model: Runnable, calibration: Calibration, *, batch: int = 64) -> list[Experts]:
    """The tokens routed to each expert over all samples, by layer; empty for a model without experts.

    Experts that are modules are counted by their inputs. Of stacks the choice that their module is handed is taken
    (whole numbers among its arguments), else the largest outputs of the router; where neither is known `how` says so.
    """
    modules, stacks = _find_modules(model), _find_stacks(model)
    for part in calibration.batches(batch) if modules or stacks else ():
        for found in modules:
            model.watch(part, list(found.members), _make_counter(found))
        if stacks:
            _count_stacks(model, part, stacks)
    return [*modules, *stacks]


def _count_stacks(model: Runnable, part: Batch, stacks: Sequence[Experts]) -> None:
    routers = {found.router: found for found in stacks if found.router}
    with ExitStack() as stack:
        for found in stacks:
            _listen(model, found, stack)
        model.watch(part, list(routers), lambda name, values: routers[name].count_ranked(values), side="output")


def _make_counter(found: Experts) -> Receive:
    def count(layer: str, values: Tensor) -> None:
        tokens = values.numel() // max(values.shape[-1], 1)
        found.count_handed(torch.full((tokens,), found.members[layer]))

    return count


def _listen(model: Runnable, found: Experts, stack: ExitStack) -> None:
    """Count the choice that a stack's module is handed, while the block lasts."""
    if not isinstance(model, TorchModel):
        return

    def count(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        whole = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.dtype in _WHOLE]
        for experts in whole[:1]:
            if experts.numel() and int(experts.max()) <= found.count:
                found.count_handed(experts)

    module = dict(model.module.named_modules()).get(found.layer)
    if module is None:  # a tensor of the whole model, which is handed samples and no choice
        return
    stack.callback(module.register_forward_pre_hook(count, with_kwargs=True).remove)


def _find_modules(model: Runnable) -> list[Experts]:
    """Experts that are modules of their own, each told of by its first layer."""
    groups = dict[str, dict[str, int]]()
    for layer in model.layers:
        match = _MODULE.match(layer.name)
        if match and layer.tensor.is_matrix and layer.has_real_input:
            members = groups.setdefault(match[1], {})
            if int(match[2]) not in members.values():
                members[layer.name] = int(match[2])
    return [Experts(path, max(members.values()) + 1, members) for path, members in groups.items() if len(members) > 1]


def _find_stacks(model: Runnable) -> list[Experts]:
    """Experts that are stacked in a tensor (experts, ..., ...), with the router that lies nearest."""
    found = dict[str, Experts]()
    for layer in model.layers:
        if layer.name in found or not _is_stack(model, layer):
            continue
        count = layer.tensor.shape[0]
        router = _find_router(model, layer, count)
        if router or "expert" in layer.tensor.name.lower():
            top_k = _find_top_k(model, layer.name, router, count)
            found[layer.name] = Experts(layer.name, count, router=router, top_k=top_k)
    return list(found.values())


def _is_stack(model: Runnable, layer: Layer) -> bool:
    is_stack = layer.tensor.role == "weight" and len(layer.tensor.shape) == 3 and layer.tensor.shape[0] > 1
    if not is_stack or layer.is_linear or not isinstance(model, TorchModel):
        return is_stack and not layer.is_linear
    return not isinstance(model.find(layer.tensor.name).module, Convolution | nn.RNNBase)


def _find_router(model: Runnable, stack: Layer, count: int) -> str:
    """The layer with one output for each expert whose path has most in common with the stack's; empty where there is
    none beside it.
    """
    best, most = "", 0
    for layer in model.layers:
        is_matrix = layer.tensor.role == "weight" and len(layer.tensor.shape) == 2
        if layer.name == stack.name or not is_matrix or layer.tensor.view.sizes(layer.tensor.shape)[0] != count:
            continue
        parts = zip(layer.name.split("."), stack.name.split("."), strict=False)
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], parts)))
        # A router is a sibling of its experts, or lies in a sibling.
        if shared > most or (shared == most and not best and "." not in stack.name):
            best, most = layer.name, shared
    return best


def _find_top_k(model: Runnable, stack: str, router: str, count: int) -> int | None:
    """How many experts a token takes, as the modules around the stack say, else the model's settings."""
    if not isinstance(model, TorchModel):
        return None
    paths = [router, stack, stack.rpartition(".")[0]]
    parts = dict(model.module.named_modules())  # a tensor of the whole model is a layer without one
    modules = [parts[path] for path in paths if path in parts and path]
    own = [getattr(module, name, None) for module in modules for name in ("top_k", *_TOP_K)]
    settings = [getattr(getattr(model.module, "config", None), name, None) for name in _TOP_K]
    return next((one for one in (*own, *settings) if type(one) is int and 0 < one <= count), None)
