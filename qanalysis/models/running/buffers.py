"""What does a run leave behind in a model? Buffers that it wrote into or replaced become what they were.

A model that counts its calls, or keeps the state of the last one, would otherwise give other outputs each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qanalysis.models.running.call_tree import read_versions


@dataclass(slots=True, eq=False)
class _Kept:
    """A buffer with a copy of its values, and how often it had been written into when they were copied."""

    module: nn.Module
    name: str
    buffer: Tensor
    values: Tensor
    version: int


class KeptBuffers:
    """The buffers of a module as they were; copies of all are held."""

    def __init__(self, module: nn.Module) -> None:
        found = [
            (part, name, buffer)
            for part in module.modules()
            for name, buffer in part.named_buffers(recurse=False, remove_duplicate=False)
        ]
        versions = read_versions([buffer for _part, _name, buffer in found])
        self._kept = [
            _Kept(part, name, buffer, buffer.detach().clone(), version)
            for (part, name, buffer), version in zip(found, versions, strict=True)
        ]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """After the block, however it ends, all are as before."""
        try:
            yield
        finally:
            versions = read_versions([kept.buffer for kept in self._kept])
            with torch.no_grad():
                for kept, version in zip(self._kept, versions, strict=True):
                    if getattr(kept.module, kept.name, None) is not kept.buffer:
                        setattr(kept.module, kept.name, kept.buffer)
                    if version != kept.version:
                        kept.buffer.data.copy_(kept.values)
                        kept.version = version
