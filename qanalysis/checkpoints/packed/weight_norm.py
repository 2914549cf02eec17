"""What is the weight of a layer with weight normalisation? W = g * v / ||v||, the norm taken over each row.

Kept as `weight_g` and `weight_v`, or `parametrizations.weight.original0` and `original1`. Rows are those of the axis on
which g is longer than 1; only the first axis is decoded (the usual one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.stretches import read_floats
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen

#: What stands for g and for v in either way of writing.
_ENDINGS = {".weight_g": ".weight_v", ".parametrizations.weight.original0": ".parametrizations.weight.original1"}


@dataclass(frozen=True, slots=True)
class NormedRows(RowValues):
    """Rows of directions `v`, each brought to the length `g`."""

    gain: Part
    direction: Part

    @property
    def columns(self) -> int:
        return math.prod(self.direction.shape[1:])

    def decode(self, first: int, last: int) -> Floats:
        rows = widen(self.direction.rows(first, last)).reshape(last - first, -1)
        with np.errstate(all="ignore"):  # a row of zeros has no direction: NaN, as in the layer itself
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)).astype(np.float32)
            values: Floats = rows * (read_floats(self.gain, first, last) / lengths[:, np.newaxis])
        return values


def _read(stem: Stem) -> Packed | None:
    gain, direction = stem.find(stem.anchor), stem.find(_ENDINGS[stem.anchor])
    if gain is None or direction is None or not {gain.dtype, direction.dtype} <= set(FLOAT_DTYPES):
        return None
    if len(direction.shape) < 2 or len(gain.shape) not in {0, len(direction.shape)} or not direction.info.numel:
        return None
    name, parts = f"{stem.stem}.weight", (direction, gain)
    if gain.shape == (direction.shape[0], *[1] * (len(direction.shape) - 1)):
        return join_parts(name, parts, NormedRows(gain, direction), shape=direction.shape, stored="weight norm")
    long_axes = [axis for axis, size in enumerate(gain.shape) if size > 1]
    if all(gain.shape[axis] == direction.shape[axis] for axis in long_axes) and len(long_axes) <= 1:
        where = f"axis {long_axes[0]}" if long_axes else "the whole tensor"
        reason = f"weight norm over {where}, which is not read: remove the parametrization before saving"
        return keep_packed(name, parts, stored="weight norm", reason=reason)
    raise LayoutError(f"a gain of shape {list(gain.shape)} does not fit directions of shape {list(direction.shape)}")


LAYOUT = PackedLayout("weight norm", tuple(_ENDINGS), _read)
