"""Under which settings of torch is every product seen, and has every operation a second derivative? Without the ones
that compute several at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def without_fused_layers(module: nn.Module) -> Iterator[None]:
    """Recurrent layers, where the module has some, step by step."""
    with ExitStack() as stack:
        if any(isinstance(part, nn.RNNBase) for part in module.modules()):
            stack.enter_context(_without_mkldnn())
        yield


@contextmanager
def with_second_derivatives(module: nn.Module) -> Iterator[None]:
    """The same, and attention as plain products, whose derivatives can be derived again."""
    with without_fused_layers(module), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that TF32 is there on other machines
        with torch.backends.mkldnn.flags(enabled=False):
            yield
