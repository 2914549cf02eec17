"""Which statistics has a torch tensor, on whichever device it lies?

Tensors in main memory go through the compiled loop of the quantizers. Of others a small vector of statistics is made
where they lie; it is brought over later, together with those of all tensors of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from qanalysis.arrays import Codes, Doubles
from qanalysis.notation import quote
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.observing import observe_groups
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.training.state import Observation

#: What is known of a part of a tensor, in the order of its vector.
PLACES = ("absmax", "absmin", "mean", "std", "low", "high", "count", "non_finite")
#: Groups that one tensor may be split in: each is a row per recorded step.
MOST_GROUPS = 256
#: float32 magnitudes are m 2^e with m in [0.5, 1) and e from here to 128.
_LOWEST_EXPONENT = -148
_EXPONENTS = 128 - _LOWEST_EXPONENT + 1


@dataclass(frozen=True)
class Layouts:
    """How tensors are looked at: `width` features to a group, None for whole tensors; `blocks`, the scheme whose block
    scales are counted, None for none.
    """

    width: int | None = None
    blocks: Scheme | None = None

    def name_groups(self, x: Tensor) -> list[str]:
        """The label of each group: empty for a whole tensor, else the features in it, such as "0:32"."""
        if self.width is None:
            return [""]
        features = _features_last(x).shape[-1]
        return [f"{start}:{min(start + self.width, features)}" for start in range(0, features, self.width)]

    def observe(self, x: Tensor) -> Tensor:
        """Statistics of each group on the tensor's device, (groups, places): float64 where the device has it."""
        x = widen(x)
        if self.width is None:
            return _observe(x)[None]
        return torch.stack([_observe(part) for part in torch.split(_features_last(x), self.width, dim=-1)])

    def count_scales(self, x: Tensor) -> Tensor | None:
        """How many blocks have their largest magnitude in each power of two, on the tensor's device; None where blocks
        do not divide its rows.

        Elements that are not finite are left out, blocks of zeros stand in the first place, which no scale has.
        """
        if self.blocks is None or not x.numel():
            return None
        rows = _features_last(x.float())
        if rows.shape[-1] % self.block:
            return None
        largest = torch.nan_to_num(rows, 0.0, 0.0, 0.0).reshape(-1, self.block).abs().amax(1)
        places = torch.where(largest > 0, torch.frexp(largest).exponent.long() - _LOWEST_EXPONENT + 1, 0)
        # A histogram that does not wait for the device, as bincount would to learn how long it must be.
        return torch.zeros(_EXPONENTS + 1, dtype=torch.int64, device=x.device).scatter_add_(
            0, places, torch.ones_like(places)
        )

    @property
    def block(self) -> int:
        """Elements that share a scale; 0 where none are counted."""
        return (self.blocks.format.block or 0) if self.blocks is not None else 0

    @cached_property
    def scale_exponents(self) -> Codes:
        """The exponent of the scale that the format gives a block, for each power of two of `count_scales`."""
        if self.blocks is None:
            return np.zeros(0, np.int64)
        powers = np.arange(_LOWEST_EXPONENT, 129) - 1
        largest = np.ldexp(np.float32(1), powers).astype(np.float32)
        scale = self.blocks.lay_grid(self.blocks.settle(Range(-largest, largest))).scale
        return np.rint(np.log2(scale.astype(np.float64))).astype(np.int64)

    def sum_scales(self, counts: Doubles) -> dict[int, int]:
        """Blocks by the exponent of their scale, from counts by power of two (places,)."""
        found: dict[int, int] = {}
        for exponent, count in zip(self.scale_exponents.tolist(), counts[1:].tolist(), strict=True):
            if count:
                found[exponent] = found.get(exponent, 0) + int(count)
        return found


def parse_layouts(groups: str, blocks: str) -> Layouts:
    """Layouts from words: groups "layer" or "group=N"; blocks empty or a format with power-of-two block scales.

    Raises ValueError for other words.

    >>> parse_layouts("layer", "mxfp4").block
    32
    """
    word, _, number = groups.partition("=")
    if groups != "layer" and not (word == "group" and number.isdecimal() and int(number)):
        raise ValueError(f"groups {quote(groups)}: is 'layer', or 'group=N' for rows of N neighbouring features")
    scheme = Scheme.parse(blocks) if blocks else None
    if scheme is not None and not (scheme.format.block and scheme.scale.is_power_of_two):
        raise ValueError(
            f"blocks {quote(blocks)}: has no blocks with power-of-two scales; count those of mxfp4, mxfp8_e4m3, ..."
        )
    if scheme is not None and number:
        raise ValueError(
            f"groups {quote(groups)}, blocks {quote(blocks)}: scales are counted of whole tensors; choose one of them"
        )
    return Layouts(int(number) if number else None, scheme)


def widen(x: Tensor) -> Tensor:
    """A floating tensor as float32, float64 as it is."""
    return x if x.dtype in {torch.float32, torch.float64} else x.float()


def merge_calls(calls: Sequence[Doubles]) -> Observation:
    """Statistics (groups, places) of several calls as those of all their elements together."""
    parts = [Observation.of(**dict(zip(PLACES, call.T, strict=True))) for call in calls]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    return merged


def _features_last(x: Tensor) -> Tensor:
    """The tensor with its features on the last axis: those of images, (batch, channels, height, width), are axis 1."""
    return x.reshape(1, 1) if not x.ndim else x.movedim(1, -1) if x.ndim >= 4 else x


def _observe(x: Tensor) -> Tensor:
    """The vector of one part (places,); of float32 in main memory by the compiled loop."""
    if x.device.type == "cpu" and x.dtype == torch.float32 and x.numel():
        return _observe_in_memory(x)
    return observe_on_device(x)


def _observe_in_memory(x: Tensor) -> Tensor:
    values = x.reshape(-1).numpy()
    found = observe_groups(values, Grouping().lay_out(values.shape))
    return torch.from_numpy(np.concatenate([getattr(found, name) for name in PLACES]))


def observe_on_device(x: Tensor) -> Tensor:
    """The vector of one part (places,) by operations of torch, without waiting for them; sums in float64 where the
    device has it.

    Statistics are over finite elements; without one they are NaN.
    """
    exact = torch.float32 if x.device.type == "mps" else torch.float64
    if not x.numel():
        return torch.tensor([torch.nan] * 6 + [0, 0], dtype=exact, device=x.device)
    finite = torch.isfinite(x)
    magnitude = torch.where(finite, x, 0).abs()
    count = finite.sum()
    mean = magnitude.sum(dtype=exact) / count
    squares = torch.where(finite, (magnitude.to(exact) - mean) ** 2, 0).sum()
    least = torch.where(magnitude > 0, magnitude, torch.inf).amin()
    low, high = torch.where(finite, x, torch.inf).amin(), torch.where(finite, x, -torch.inf).amax()
    extremes = torch.stack([torch.maximum(-low, high), least, low, high]).to(exact)
    absmax, absmin, low, high = torch.where(torch.isfinite(extremes), extremes, torch.nan)
    figures = [absmax, absmin, mean, torch.sqrt(squares / count), low, high, count, x.numel() - count]
    return torch.stack([figure.to(exact) for figure in figures])
