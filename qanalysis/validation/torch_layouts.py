"""Are torch's own quantized tensors read as `Tensor.dequantize` decodes them?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qanalysis.arrays import Floats
from qanalysis.validation.check import Agreement, Comparison, count_differing
from qanalysis.validation.stored import draw_weights, read_file

TYPES = ("qint8", "quint8", "qint32")
SHAPE = (6, 67)


def compare_layouts() -> Iterator[Comparison]:
    """Each type with one scale and with scales along either axis, and two codes in a byte."""
    for word in TYPES:
        name = f"stored torch.ao {word} tensor, channel: dequantize"
        yield Comparison(name, "bit-exact", 0, partial(_compare_tensors, word))
    yield Comparison("stored torch.ao quint4x2 channel: dequantize", "bit-exact", 0, _compare_pairs)


def _compare_tensors(word: str) -> Agreement:
    import torch

    x, dtype = draw_weights(*SHAPE), getattr(torch, word)
    tensors = [torch.quantize_per_tensor(x, 0.03, 7, dtype)]
    for axis, size in enumerate(SHAPE):
        scales = torch.rand(size, generator=torch.Generator().manual_seed(axis), dtype=torch.float64) + 1e-3
        tensors.append(torch.quantize_per_channel(x, scales, torch.arange(size) % 20, axis, dtype))
    return count_differing((_read_saved(tensor), tensor.dequantize().numpy()) for tensor in tensors)


def _compare_pairs() -> Agreement:
    import torch

    scales, zeros = torch.linspace(0.01, 1, 6), torch.linspace(0, 8, 6)
    tensors = [
        torch.quantize_per_channel(draw_weights(6, columns), scales, zeros, 0, torch.quint4x2)
        for columns in (8, 10, 64)
    ]
    return count_differing((_read_saved(tensor), tensor.dequantize().numpy()) for tensor in tensors)


def _read_saved(tensor: Any) -> Floats:
    import torch

    with TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        torch.save({"l.weight": tensor}, path)
        return read_file(path)["l.weight"]
