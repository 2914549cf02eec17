"""How does MLX store weights? Codes in uint32 words along each row, with scales and offsets per group of columns.

affine: y = c * scale + bias, codes of 2, 3, 4, 5, 6, 8 bits in one stream of bits per row, lowest first. The modes
without biases keep uint8 scales: mxfp4 and mxfp8 powers of two in groups of 32, nvfp4 an E4M3 number in groups of 16.
Only bits * columns is in the shapes: columns come from config.json, from a neighbour, or from usual groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.small_floats import FP4, FP8, POWERS
from qanalysis.checkpoints.packed.stretches import read_bytes
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen
from qanalysis.kernels.unpacking import look_up_codes, shift_codes, unpack_bits

_BITS = (2, 3, 4, 5, 6, 8)
_GROUPS = (64, 32, 128)
#: Bits, group and the numbers of the scales of the modes without offsets.
_MODES = {"mxfp4": (4, 32, POWERS), "mxfp8": (8, 32, POWERS), "nvfp4": (4, 16, FP8)}


@dataclass(frozen=True, slots=True)
class Packing:
    """How one layer is packed; `note` says what was assumed."""

    mode: str
    bits: int
    group: int
    note: str = ""

    @property
    def stored(self) -> str:
        """The layout in words."""
        return f"mlx int{self.bits} group={self.group}" if self.mode == "affine" else f"mlx {self.mode}"


@dataclass(frozen=True, slots=True)
class MlxValues(RowValues):
    """Rows of codes with the scales of their groups; leading axes of a stack are rows too."""

    codes: Part
    scales: Part
    biases: Part | None
    packing: Packing

    @property
    def columns(self) -> int:
        return self.scales.shape[-1] * self.packing.group

    def decode(self, first: int, last: int) -> Floats:
        width = 4 * self.codes.shape[-1]
        packed = read_bytes(self.codes, first * width, last * width).reshape(-1, width)
        codes = unpack_bits(packed, self.packing.bits, self.columns)
        scales = _read_rows(self.scales, first, last)
        if self.biases is not None:
            return shift_codes(codes, widen(scales), widen(_read_rows(self.biases, first, last)), self.packing.group)
        table = FP8 if self.packing.bits == 8 else FP4
        return look_up_codes(codes, table, _MODES[self.packing.mode][2][scales], self.packing.group)


def _read_rows(part: Part, first: int, last: int) -> NDArray[Any]:
    width = part.shape[-1]
    return part.raw.read_raw(first * width, last * width).reshape(-1, width)


def _read(stem: Stem) -> Packed | None:
    codes, scales, biases = stem.find(".weight"), stem.find(".scales"), stem.find(".biases")
    if codes is None or scales is None or codes.dtype != "uint32":
        return None
    if not 2 <= len(codes.shape) <= 3 or scales.shape[:-1] != codes.shape[:-1] or not scales.info.numel:
        raise LayoutError(f"scales of shape {list(scales.shape)} do not fit codes of shape {list(codes.shape)}")
    if biases is not None and biases.shape != scales.shape:
        raise LayoutError(f"biases of shape {list(biases.shape)} do not fit scales of shape {list(scales.shape)}")
    wanted = {"uint8"} if biases is None else set(FLOAT_DTYPES)
    if scales.dtype not in wanted or (biases is not None and biases.dtype not in wanted):
        beside = "without biases must be uint8" if biases is None else "beside biases must be floats"
        raise LayoutError(f"scales of {scales.dtype} {beside}")
    packing = _settle(stem, codes, scales, affine=biases is not None)
    shape = (*codes.shape[:-1], scales.shape[-1] * packing.group)
    return join_parts(
        f"{stem.stem}.weight",
        (codes, scales, biases),
        MlxValues(codes, scales, biases, packing),
        shape=shape,
        stored=packing.stored,
        note=packing.note,
        stacked=len(shape) == 3,
    )


def _settle(stem: Stem, codes: Part, scales: Part, *, affine: bool) -> Packing:
    """The packing that fits the shapes: by the configuration, else by a neighbour of that width, else usual."""
    words, groups = codes.shape[-1], scales.shape[-1]
    fitting = [packing for packing in _candidates(affine=affine) if 32 * words == packing.bits * packing.group * groups]
    if not fitting:
        raise LayoutError(
            f"codes of shape {list(codes.shape)} and scales of shape {list(scales.shape)} fit no group of 16, 32, 64 "
            "or 128 with codes of 2 to 8 bits"
        )
    told = _find_config(stem)
    for packing in fitting:
        if told and (packing.bits, packing.group) == (told.get("bits"), told.get("group_size")):
            return packing
    if len(fitting) == 1:
        return fitting[0]
    lengths = set(_list_lengths(stem))
    for packing in fitting:
        if packing.group * groups in lengths:
            return packing
    others = " or ".join(f"int{packing.bits} group={packing.group}" for packing in fitting[1:])
    first = fitting[0]
    return Packing(
        first.mode,
        first.bits,
        first.group,
        f"taken as int{first.bits} group={first.group}, not {others}: config.json does not say",
    )


def _candidates(*, affine: bool) -> list[Packing]:
    if affine:
        return [Packing("affine", bits, group) for group in _GROUPS for bits in _BITS]
    return [Packing(mode, bits, group) for mode, (bits, group, _scales) in _MODES.items()]


def _find_config(stem: Stem) -> Mapping[str, Any]:
    """What config.json says of this layer: an override by its path, else what holds for all."""
    found = stem.evidence.quantization
    own = found.get(stem.stem)
    return own if isinstance(own, dict) else found


def _list_lengths(stem: Stem) -> Iterator[int]:
    """Lengths that columns of this model have: the widths of its configuration and of its last norm."""
    config = stem.evidence.config
    for key in ("hidden_size", "intermediate_size", "moe_intermediate_size"):
        if type(config.get(key)) is int:
            yield config[key]
    for name in ("model.norm.weight", "language_model.model.norm.weight"):
        if name in stem.tensors:
            yield stem.tensors[name].info.numel


LAYOUT = PackedLayout("mlx", (".scales",), _read)
