"""Which weights are computed from others in every run (weight norm, spectral norm)? They are computed once and kept,
since what is deployed, and quantized, is their result.
"""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm


def fold_parametrizations(module: nn.Module) -> tuple[str, ...]:
    """Put plain weights in the place of those that are computed from others; a note where there were any.

    The outputs in evaluation mode stay what they were. A computation that can not be taken out stays.

    >>> norm = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> fold_parametrizations(norm)
    ('1 weights that are computed from others (weight norm) are folded into plain ones',)
    >>> sorted(dict(norm.named_parameters()))
    ['bias', 'weight']
    """
    count, kinds = 0, set[str]()
    for part in list(module.modules()):
        for name, kind in _list_computed(part):
            # without gradients torch would make buffers of them
            with torch.enable_grad(), suppress(RuntimeError, ValueError, NotImplementedError):
                _fold(part, name)
                count += 1
                kinds.add(kind)
    if not count:
        return ()
    return (f"{count} weights that are computed from others ({', '.join(sorted(kinds))}) are folded into plain ones",)


def _list_computed(part: nn.Module) -> list[tuple[str, str]]:
    """Names of the part's computed tensors, and what computes each."""
    hooks = getattr(part, "_forward_pre_hooks", {}).values()
    found = [(hook.name, "weight norm") for hook in hooks if isinstance(hook, WeightNorm)]
    if parametrize.is_parametrized(part):
        chains = part.parametrizations
        if isinstance(chains, nn.ModuleDict):
            found += [(name, _name_kind(chain)) for name, chain in chains.items()]
    return found


def _name_kind(chain: nn.Module) -> str:
    first = type(next(iter(chain.children()), chain)).__name__.strip("_")
    return {"WeightNorm": "weight norm", "SpectralNorm": "spectral norm"}.get(first, first)


def _fold(part: nn.Module, name: str) -> None:
    if parametrize.is_parametrized(part, name):
        parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    else:
        remove_weight_norm(part, name)
