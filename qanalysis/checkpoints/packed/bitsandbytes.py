"""How does bitsandbytes store weights? 4-bit codes of a table in blocks of the flattened tensor, or int8 rows.

4 bits: y = map[code] * absmax[i // blocksize] over the flattened tensor, the first of two values in the high nibble.
With nested scales absmax = nested_map[a] * nested_absmax[i // nested_blocksize] + offset. 8 bits: y = q * SCB / 127,
where SCB is the largest magnitude of the row.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.logical import join_parts, keep_packed, refuse_known
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, RowValues, Stem
from qanalysis.checkpoints.packed.stretches import read_bytes, read_floats
from qanalysis.checkpoints.source import widen
from qanalysis.kernels.unpacking import look_up_codes, scale_codes, unpack_bits
from qanalysis.notation import quote

_STATE = ".quant_state.bitsandbytes__"
_LARGEST_STATE = 1 << 16
_LARGEST_BLOCK = 1 << 16
_TILED = {1: "col32", 2: "col_turing", 3: "col_ampere"}


@dataclass(frozen=True, slots=True)
class State:
    """What the JSON beside 4-bit codes says: the shape, and the blocks. `nested_block` is 0 where scales are plain."""

    shape: tuple[int, ...]
    block: int
    nested_block: int
    offset: float

    @property
    def blocks(self) -> int:
        """Blocks of the flattened tensor, a last short one counted."""
        return -(-math.prod(self.shape) // self.block)


@dataclass(frozen=True, slots=True)
class BlockScales:
    """The scale of each block: `absmax`, or codes in it where `nested` holds (map, absmax) of the second level."""

    absmax: Part
    nested: tuple[Part, Part] | None
    state: State

    def read(self, first: int, last: int) -> Floats:
        """Scales of blocks first..last, (last - first, 1) float32."""
        if self.nested is None:
            return read_floats(self.absmax, first, last)
        table, scales = self.nested
        per_scale = self.state.nested_block
        base = first // per_scale
        outer = read_floats(scales, base, -(-last // per_scale)).ravel()
        codes = self.absmax.raw.read_raw(first, last)
        with np.errstate(all="ignore"):  # scales may be infinite: the values then say so
            inner: Floats = widen(table.whole()).ravel()[codes] * outer[np.arange(first, last) // per_scale - base]
            return (inner + np.float32(self.state.offset)).reshape(-1, 1)


@dataclass(frozen=True, slots=True)
class FourBitValues(RowValues):
    """4-bit codes; its rows are the blocks."""

    codes: Part
    table: Part
    scales: BlockScales
    state: State

    @property
    def columns(self) -> int:
        return self.state.block

    def decode(self, first: int, last: int) -> Floats:
        half, wanted = self.state.block // 2, -(-math.prod(self.state.shape) // 2)
        found = read_bytes(self.codes, first * half, min(last * half, wanted))
        missing = (last - first) * half - found.size
        packed = np.pad(found, (0, missing)) if missing else found
        codes = unpack_bits(packed.reshape(-1, half), 4, self.state.block, high_first=True)
        return look_up_codes(codes, widen(self.table.whole()).ravel(), self.scales.read(first, last), self.state.block)


@dataclass(frozen=True, slots=True)
class RowInt8Values(RowValues):
    """int8 rows and the largest magnitude of each."""

    codes: Part
    largest: Part

    @property
    def columns(self) -> int:
        return self.codes.shape[1]

    def decode(self, first: int, last: int) -> Floats:
        products = scale_codes(
            self.codes.rows(first, last),
            np.zeros((last - first, 1), np.float32),
            read_floats(self.largest, first, last),
            max(1, self.columns),
        )
        with np.errstate(all="ignore"):  # of infinite and subnormal scales
            return np.divide(products, np.float32(127), out=products)


def _read_four_bit(stem: Stem) -> Packed | None:
    state_part = stem.find(stem.anchor)
    if state_part is None:
        return None
    kind = stem.anchor.removeprefix(_STATE)
    state = _parse_state(state_part)
    codes, absmax, table = stem.need(""), stem.need(".absmax"), stem.need(".quant_map")
    nested = (stem.need(".nested_quant_map"), stem.need(".nested_absmax")) if state.nested_block else None
    _check_four_bit(state, codes, absmax, table)
    if nested:
        nested[0].check_floats(256)
        nested[1].check_floats(-(-state.blocks // state.nested_block))
    scales = BlockScales(absmax, nested, state)
    return join_parts(
        stem.stem,
        (codes, absmax, table, *(nested or ()), state_part),
        FourBitValues(codes, table, scales, state),
        shape=state.shape,
        stored=f"bnb {kind} group={state.block}{' nested' if nested else ''}",
    )


def _parse_state(part: Part) -> State:
    if part.info.size_bytes > _LARGEST_STATE:
        raise LayoutError(f"its quant_state has {part.info.size_bytes} bytes, at most {_LARGEST_STATE} are read")
    try:
        found = json.loads(read_bytes(part, 0, part.info.size_bytes).tobytes())
    except (ValueError, RecursionError):
        raise LayoutError("its quant_state is not JSON") from None
    if not isinstance(found, dict):
        raise LayoutError("its quant_state is not a JSON object")
    shape = found.get("shape")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not all(_is_size(size) for size in shape):
        raise LayoutError(f"its quant_state gives the shape {quote(shape, 40)}, which must be 1 to 8 sizes")
    nested = "nested_blocksize" in found
    offset = found.get("nested_offset", 0.0)
    if type(offset) not in {int, float} or not abs(offset) < float(np.finfo(np.float32).max):
        raise LayoutError(f"its quant_state gives the offset {quote(offset, 40)}, which must be a finite number")
    block = _parse_block(found, "blocksize")
    return State(tuple(shape), block, _parse_block(found, "nested_blocksize") if nested else 0, float(offset))


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 < size < 2**48


def _parse_block(state: dict[str, Any], key: str) -> int:
    block = state.get(key)
    if type(block) is not int or not 2 <= block <= _LARGEST_BLOCK or block % 2:
        raise LayoutError(f"its quant_state gives the {key} {quote(block, 40)}, an even number to {_LARGEST_BLOCK}")
    return block


def _check_four_bit(state: State, codes: Part, absmax: Part, table: Part) -> None:
    numel = math.prod(state.shape)
    if -(-numel // 2) > codes.info.size_bytes or codes.info.size_bytes > numel // 2 + 16:
        raise LayoutError(
            f"the shape {list(state.shape)} needs {-(-numel // 2)} bytes of codes, and the codes {list(codes.shape)} "
            f"of {codes.dtype} have {codes.info.size_bytes}"
        )
    table.check_floats(16)
    if not state.nested_block:
        absmax.check_floats(state.blocks)
    elif absmax.dtype != "uint8" or absmax.info.numel != state.blocks:
        raise LayoutError(f"{absmax} must have {state.blocks} codes of uint8, as its quant_state is nested")


def _read_int8(stem: Stem) -> Packed | None:
    codes, largest, order = stem.find(".weight"), stem.find(".SCB"), stem.find(".weight_format")
    if largest is None or (codes is not None and codes.dtype != "int8"):
        return None
    codes = stem.need(".weight")
    name, parts = f"{stem.stem}.weight", (codes, largest, order)
    if order is not None and order.info.numel == 1 and (kind := int(order.whole().ravel()[0])):
        detail = f"the tiled order {_TILED.get(kind, kind)}"
        return keep_packed(name, parts, stored="llm.int8", reason=refuse_known("LLM.int8", detail))
    if len(codes.shape) != 2:
        raise LayoutError(f"{codes} must have two axes")
    largest.check_floats(codes.shape[0])
    return join_parts(name, parts, RowInt8Values(codes, largest), shape=codes.shape, stored="llm.int8 channel")


def _read_without_state(stem: Stem) -> Packed | None:
    """Codes whose shape is lost with the JSON that held it."""
    codes, table = stem.find(""), stem.find(".quant_map")
    if codes is None or table is None or any(stem.find(f"{_STATE}{kind}") for kind in ("nf4", "fp4")):
        return None
    parts = (codes, stem.find(".absmax"), table, stem.find(".nested_absmax"), stem.find(".nested_quant_map"))
    reason = refuse_known("bitsandbytes", "4-bit codes whose quant_state, which holds the shape, is missing")
    return keep_packed(stem.stem, parts, stored="bnb", reason=reason)


FOUR_BIT = PackedLayout("bnb", (f"{_STATE}nf4", f"{_STATE}fp4"), _read_four_bit)
STATELESS = PackedLayout("bnb", (".quant_map",), _read_without_state)
INT8 = PackedLayout("llm.int8", (".SCB",), _read_int8)
