"""How is the tensor of an operator's codes described? It has their name and the bytes of all parts."""

from __future__ import annotations

from collections.abc import Sequence

from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.graphs.constants import Constant
from qanalysis.checkpoints.graphs.operands import Operand
from qanalysis.checkpoints.graphs.operators import PackedWeight
from qanalysis.checkpoints.packed.parts import LayoutError, NoValues
from qanalysis.checkpoints.source import Role, TensorInfo
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView


def take_codes(constant: Constant) -> Operand:
    """A constant that holds codes. LayoutError where they can not be read."""
    if isinstance(constant.values, NoValues):
        raise LayoutError(f"its codes can not be read: {constant.info.reason or constant.dtype}")
    return Operand(constant.shape, constant.dtype, constant.values, (constant,))


def gather_parts(*operands: Operand | None) -> tuple[Constant, ...]:
    """The constants of some operands, each once."""
    return tuple(dict.fromkeys(part for operand in operands if operand for part in operand.parts))


def pack(
    values: Values,
    parts: Sequence[Constant],
    stored: str,
    *,
    shape: tuple[int, ...] | None = None,
    role: Role = "weight",
    view: MatrixView = ALONG_FIRST,
    output: str = "",
    note: str = "",
) -> PackedWeight:
    """The logical tensor of some parts, the codes first; `shape` is that of the codes unless it is given."""
    codes = parts[0]
    size = sum(part.info.size_bytes for part in parts)
    shape = codes.shape if shape is None else shape
    info = TensorInfo(codes.name, shape, codes.dtype, size, view=view, role=role, stored=stored, note=note)
    return PackedWeight(info, values, tuple(parts), output)


def refuse(codes: Constant, stored: str, reason: str, *, role: Role = "weight") -> PackedWeight:
    """The row of codes that are known and not decoded."""
    info = TensorInfo(
        codes.name,
        codes.shape,
        codes.dtype,
        codes.info.size_bytes,
        decodes=False,
        role=role,
        stored=stored,
        reason=reason,
    )
    return PackedWeight(info, NoValues(), (codes,))
