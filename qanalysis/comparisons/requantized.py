"""What would a source hold if its weights were quantized under a scheme? The same tensors after a round trip."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo, TensorSource

if TYPE_CHECKING:  # the compiled loops behind schemes are loaded where a scheme is made
    from qanalysis.quantizers.scheme import Scheme


class RequantizedSource(TensorSource):
    """Another source with the weights that a sweep measures by default rounded to the grid of `scheme`, the rest as it
    is; read from the other source, which the caller closes.

    A weight on which the scheme can not be laid stays as it is. A tensor's size is that of its codes and scales.

    >>> import numpy as np
    >>> from qanalysis.checkpoints.source import ArraySource
    >>> from qanalysis.quantizers.scheme import Scheme
    >>> made = RequantizedSource(ArraySource({"w": np.float32([[0.7, -0.28]])}), Scheme.parse("int4"))
    >>> made.tensors[0].stored, made.tensors[0].size_bytes, made.read(made.tensors[0])
    ('qanalysis int4', 5, array([[ 0.7, -0.3]], dtype=float32))
    """

    def __init__(self, source: TensorSource, scheme: Scheme) -> None:
        self.name = f"{source.name} at {scheme}"
        self.memory_note = source.memory_note
        self.facts, self.measures_vectors = source.facts, source.measures_vectors
        self._source, self._scheme = source, scheme
        self._plain = {info.name: info for info in source.tensors}
        self.size_bytes = source.size_bytes + sum(
            info.size_bytes - self._plain[info.name].size_bytes for info in self.tensors
        )
        self.notes = (*source.notes, *self._tell_left())

    def _tell_left(self) -> list[str]:
        """That some weights stay as they are, where the scheme can not be laid on them."""
        wanted = self._choose()
        left = sum(not self._is_quantized(info) for info in self.tensors if info.name in wanted)
        if not left:
            return []
        return [f"{left:,} of {len(wanted):,} weights stay as they are: {self._scheme} can not be laid on their shape"]

    @cached_property
    def tensors(self) -> tuple[TensorInfo, ...]:
        wanted = self._choose()
        return tuple(self._quantize(info) if info.name in wanted else info for info in self._source.tensors)

    def _choose(self) -> set[str]:
        """The names of what a sweep measures by default."""
        from qanalysis.sweeps.selection import select_tensors

        try:
            chosen = select_tensors(self._source.tensors, vectors=self.measures_vectors).tensors
        except ValueError:  # nothing that a sweep would measure
            chosen = ()
        return {info.name for info in chosen}

    def _quantize(self, info: TensorInfo) -> TensorInfo:
        """What the header of the quantized tensor would say."""
        if not info.numel or not info.decodes or not info.shape:
            return info
        try:
            layout = self._scheme.lay_out(info.shape, axis=info.view)
        except ValueError:
            return info
        code_bits, group_bits = self._scheme.storage_bits
        bits = code_bits * info.numel + group_bits * layout.groups + self._scheme.tensor_bits(layout.groups)
        return replace(info, stored=f"qanalysis {self._scheme}", size_bytes=-(-bits // 8))

    def read(self, info: TensorInfo) -> Floats:
        values = self._source.read(self._plain[info.name])
        if not self._is_quantized(info):
            return values
        return self._scheme.fit(values, axis=self._plain[info.name].view).round_trip(values)

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> Floats:
        if self._is_quantized(info):
            return super().read_slice(info, start, stop)
        return self._source.read_slice(self._plain[info.name], start, stop)

    def is_sliceable(self, info: TensorInfo) -> bool:
        return not self._is_quantized(info) and self._source.is_sliceable(self._plain[info.name])

    def _is_quantized(self, info: TensorInfo) -> bool:
        return info.stored != self._plain[info.name].stored

    def _hash_content(self) -> hashlib._Hash:
        return hashlib.sha256(f"{self._source.digest}\0{self._scheme}".encode())
