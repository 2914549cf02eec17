"""How does torchao store weights in safetensors? Parts of a tensor class, which the file's metadata names.

The metadata has per logical tensor a JSON text: class, attributes, names of its parts; the part `qdata` of `l.weight`
is the tensor `l._weight_qdata`. Integers and float8: y = (q - z) * scale in blocks. NVFP4 and MX: y = number * scale
(* the scale of the tensor).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.small_floats import FP4
from qanalysis.checkpoints.packed.stretches import read_floats
from qanalysis.checkpoints.source import FLOAT_DTYPES, widen
from qanalysis.kernels.unpacking import look_up_codes, scale_codes, unpack_bits
from qanalysis.notation import quote, shorten

_LONGEST_TEXT = 1 << 16
_PARTS = ("qdata", "scale", "zero_point", "per_tensor_scale", "act_pre_scale", "act_per_tensor_scale")
_INTEGERS = {"Int8Tensor", "IntxUnpackedToInt8Tensor"}
_SMALL_FLOATS = {"NVFP4Tensor", "MXTensor"}


@dataclass(frozen=True, slots=True)
class BlockValues(RowValues):
    """Bytes with scales in blocks of (`height`, `width`), and zero points where there are some."""

    numbers: Part
    scale: Part
    zero: Part | None
    height: int
    width: int

    @property
    def columns(self) -> int:
        return self.numbers.shape[1]

    def decode(self, first: int, last: int) -> Floats:
        numbers = self.numbers.rows(first, last)
        scales = self._spread(self.scale, first, last)
        if numbers.dtype == np.int8:
            zeros = np.zeros_like(scales) if self.zero is None else self._spread(self.zero, first, last)
            return scale_codes(numbers, zeros, scales, self.width)
        return look_up_codes(numbers.view(np.uint8), _table_of(numbers.dtype), scales, self.width)

    def _spread(self, part: Part, first: int, last: int) -> Floats:
        """The scales of rows first..last, one row of them for each."""
        per_row = -(-self.columns // self.width)
        base, end = first // self.height, -(-last // self.height)
        found = read_floats(part, base * per_row, end * per_row).reshape(-1, per_row)
        spread: Floats = found[np.arange(first, last) // self.height - base]
        return spread


def _table_of(dtype: np.dtype[Any]) -> Floats:
    return widen(np.arange(256, dtype=np.uint8).view(dtype))


@dataclass(frozen=True, slots=True)
class SmallFloatValues(RowValues):
    """FP4 pairs or float8 bytes with a scale per group of columns, possibly in the order that matrix units want."""

    numbers: Part
    scale: Part
    tensor_scale: Part | None
    group: int
    swizzled: bool

    @property
    def columns(self) -> int:
        return self.numbers.shape[1] * (2 if self.numbers.dtype == "uint8" else 1)

    def decode(self, first: int, last: int) -> Floats:
        numbers = self.numbers.rows(first, last)
        scales = self._read_scales(first, last)
        if self.tensor_scale is not None:
            with np.errstate(all="ignore"):  # scales may be infinite: the values then say so
                scales = scales * read_floats(self.tensor_scale, 0, 1)
        if numbers.dtype == np.uint8:
            return look_up_codes(unpack_bits(numbers, 4, self.columns), FP4, scales, self.group)
        return look_up_codes(numbers.view(np.uint8), _table_of(numbers.dtype), scales, self.group)

    def _read_scales(self, first: int, last: int) -> Floats:
        groups = -(-self.columns // self.group)
        if not self.swizzled:
            return read_floats(self.scale, first * groups, last * groups).reshape(-1, groups)
        tiles = -(-groups // 4)
        base = first // 128
        stored = read_floats(self.scale, base * 128 * tiles * 4, -(-last // 128) * 128 * tiles * 4).ravel()
        row, group = np.arange(first, last)[:, np.newaxis] - base * 128, np.arange(groups)
        scales: Floats = stored[swizzle(row, group, tiles)]
        return scales


def swizzle(row: Any, group: Any, tiles: int) -> Any:
    """The flat place of the scale of (row, group) where scales lie in tiles of 128 rows by 4 groups, `tiles` of them
    beside one another: the order of cuBLAS's block scales.
    """
    return (row // 128 * tiles + group // 4) * 512 + row % 32 * 16 + row % 128 // 32 * 4 + group % 4


@dataclass(frozen=True, slots=True)
class Description:
    """What the metadata says of one tensor."""

    kind: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def find_block(self) -> tuple[int, ...]:
        """Sizes of a block of scales; LayoutError where there are none that could be."""
        found = self.attributes.get("block_size")
        sizes = found if isinstance(found, list) else [1, found]
        if len(sizes) != 2 or not all(type(size) is int and 0 < size < 2**48 for size in sizes):
            raise LayoutError(f"its block_size is {quote(found, 40)}, which must be one or two sizes")
        return tuple(sizes)


def _read(stem: Stem) -> Packed | None:
    layer, _, own = stem.stem.rpartition("._")
    if not layer:
        layer, own = "", stem.stem.removeprefix("_")
    name = f"{layer}.{own}" if layer else own
    text = stem.evidence.metadata.get(name)
    if text is None:
        return None
    described = _parse(text)
    if described is None or stem.find("_qdata") is None:
        return None
    parts = {word: stem.find(f"_{word}") for word in _PARTS}
    weights = tuple(parts[word] for word in ("qdata", "scale", "zero_point", "per_tensor_scale"))
    if described.kind in _INTEGERS | {"Float8Tensor"}:
        return _join_blocks(name, described, weights, stem)
    if described.kind in _SMALL_FLOATS:
        return _join_small_floats(name, described, weights, stem)
    word = shorten(described.kind) if described.kind.isidentifier() else quote(described.kind, 40)
    return keep_packed(name, weights, stored="torchao", reason=refuse_known("torchao", f"a tensor of class {word}"))


def _parse(text: str) -> Description | None:
    if len(text) > _LONGEST_TEXT:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind, attributes = (found.get("_type"), found.get("_data")) if isinstance(found, dict) else (None, None)
    return Description(kind, attributes) if isinstance(kind, str) and isinstance(attributes, dict) else None


def _join_blocks(name: str, described: Description, parts: tuple[Part | None, ...], stem: Stem) -> Packed:
    numbers, scale, zero = stem.need("_qdata"), stem.need("_scale"), parts[2]
    wanted = {"int8"} if described.kind in _INTEGERS else {"float8_e4m3fn", "float8_e5m2"}
    if len(numbers.shape) != 2 or numbers.dtype not in wanted or not numbers.info.numel:
        raise LayoutError(f"{described.kind} with qdata of {numbers.dtype} and shape {list(numbers.shape)}")
    rows, columns = numbers.shape
    height, width = (min(size, most) for size, most in zip(described.find_block(), (rows, columns), strict=True))
    count = -(-rows // height) * -(-columns // width)
    _check_scales(scale, count)
    if zero is not None:
        _check_scales(zero, count, integers=True)
    bits = _find_bits(described)
    word = f"int{bits}" if described.kind in _INTEGERS else "fp8"
    return join_parts(
        name,
        parts,
        BlockValues(numbers, scale, zero, height, width),
        shape=(rows, columns),
        stored=f"torchao {word} {_name_blocks((height, width), (rows, columns))}",
    )


def _find_bits(described: Description) -> int:
    """Bits of the numbers that the bytes hold: `target_dtype` says so."""
    target = described.attributes.get("target_dtype")
    word = target.get("_data") if isinstance(target, dict) else None
    return int(word[3:]) if isinstance(word, str) and word in {f"int{bits}" for bits in range(1, 8)} else 8


def _name_blocks(block: tuple[int, int], shape: tuple[int, int]) -> str:
    if block == shape:
        return "tensor"
    if block[0] > 1:
        return f"block={block[0]}x{block[1]}"
    return "channel" if block[1] == shape[1] else f"group={block[1]}"


def _check_scales(part: Part, count: int, *, integers: bool = False) -> None:
    if part.info.numel != count or not (part.dtype in FLOAT_DTYPES or (integers and part.dtype in {"int8", "int32"})):
        raise LayoutError(f"{part} must have {count} numbers")


def _join_small_floats(name: str, described: Description, parts: tuple[Part | None, ...], stem: Stem) -> Packed:
    numbers, scale, tensor_scale = stem.need("_qdata"), stem.need("_scale"), parts[3]
    if (
        len(numbers.shape) != 2
        or numbers.dtype not in {"uint8", "float8_e4m3fn", "float8_e5m2"}
        or not numbers.info.numel
    ):
        raise LayoutError(f"{described.kind} with qdata of {numbers.dtype} and shape {list(numbers.shape)}")
    if tensor_scale is not None and tensor_scale.info.numel != 1:
        raise LayoutError(f"a per_tensor_scale of shape {list(tensor_scale.shape)} must be one number")
    swizzled = described.attributes.get("is_swizzled_scales") is True
    values = SmallFloatValues(numbers, scale, tensor_scale, described.find_block()[1], swizzled)
    rows, groups = numbers.shape[0], -(-values.columns // values.group)
    _check_scales(scale, -(-rows // 128) * 128 * -(-groups // 4) * 4 if swizzled else rows * groups)
    kind = "nvfp4" if described.kind == "NVFP4Tensor" else "mxfp4" if numbers.dtype == "uint8" else "mxfp8"
    return join_parts(name, parts, values, shape=(rows, values.columns), stored=f"torchao {kind}")


LAYOUT = PackedLayout("torchao", ("_qdata",), _read)
