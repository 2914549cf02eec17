"""How does this program store weights? Codes of a few bits along the rows of the matrix, scales, and the scheme itself.

Beside NAME.q_layout, JSON of scheme, shape and view, lie NAME.q_codes (rows, bytes), one stream of bits along each row,
and NAME.q_scales (blocks down, blocks along). A code is a place among the format's levels, ascending: y = level · s; of
asymmetric integers, with NAME.q_zeros - 2^(b-1) stored, y = (c - z) · s. All in float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.packed.coded_rows import CodedRows, RowGrid, StreamCodes
from qanalysis.checkpoints.packed.logical import join_parts
from qanalysis.checkpoints.packed.parts import LayoutError, Packed, PackedLayout, Part, Stem
from qanalysis.notation import quote
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import MatrixView

if TYPE_CHECKING:  # the compiled loops behind schemes are loaded by a file that is packed so
    from qanalysis.quantizers.scheme import Scheme

_MOST_BITS, _MOST_AXES, _LARGEST_TEXT = 8, 16, 4096
_LARGEST_SHAPE = 1 << 48
_SCALES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class TurnedRows:
    """The values of a matrix whose rows do not lie as the tensor does: a part costs the whole."""

    rows: CodedRows
    layout: Layout
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Elements start..stop of the tensor in C order, 1-D."""
        matrix = self.rows.decode(0, self.layout.rows)
        return np.ascontiguousarray(self.layout.from_matrix(matrix)).reshape(-1)[start:stop]


def _read(stem: Stem) -> Packed:
    text, codes, scales = (stem.need(ending) for ending in (".q_layout", ".q_codes", ".q_scales"))
    zeros = stem.find(".q_zeros")
    scheme, layout = _read_layout(text)
    table, bits = _find_levels(scheme)
    _check(codes, "uint8", (layout.rows, -(-layout.columns * bits // 8)))
    grid = (layout.group_rows, layout.group_columns)
    if scales.dtype not in _SCALES or scales.shape != grid:
        raise LayoutError(f"{scales} must be {', '.join(_SCALES)} of shape {list(grid)}")
    has_zeros = table is None
    if has_zeros != (zeros is not None):
        raise LayoutError(f"{scheme} {'needs zero points, and there are none' if has_zeros else 'has no zero points'}")
    if zeros is not None:
        _check(zeros, "int8", grid)
    sizes = (layout.rows, layout.group_rows, layout.block_rows, layout.group_columns)
    values = CodedRows(
        StreamCodes(codes, bits, layout.columns),
        RowGrid(scales, *sizes),
        layout.block_columns,
        zeros=RowGrid(zeros, *sizes, added=float(1 << (bits - 1))) if zeros is not None else 0.0,
        table=table,
    )
    found = join_parts(
        stem.stem,
        (codes, scales, zeros, text),
        values if layout.view.is_in_order else TurnedRows(values, layout),
        shape=layout.shape,
        stored=f"qanalysis {scheme}",
    )
    return replace(found, info=replace(found.info, view=layout.view))


def _check(part: Part, dtype: str, shape: tuple[int, ...]) -> None:
    if part.dtype != dtype or part.shape != shape:
        raise LayoutError(f"{part} must be {dtype} of shape {list(shape)}")


def _find_levels(scheme: Scheme) -> tuple[Floats | None, int]:
    """The numbers of the codes at scale 1, as many as so many bits can tell, and the bits; None where a zero point says
    which number a code is.
    """
    if scheme.format.laying is not None and scheme.format.laying.offset is not None:
        raise LayoutError(f"{scheme} adds the low end of each group, for which there is no part")
    levels = scheme.coder.levels.astype(np.float32)
    bits = (levels.size - 1).bit_length()
    if bits > _MOST_BITS:
        raise LayoutError(f"{scheme} has codes of {bits} bits, at most {_MOST_BITS} are stored so")
    if not scheme.symmetry.signed and scheme.format.is_integer:
        return None, bits
    return np.append(levels, np.zeros((1 << bits) - levels.size, np.float32)), bits


def _read_layout(part: Part) -> tuple[Scheme, Layout]:
    """The scheme, and how its groups lie on the tensor; LayoutError where the text says no such thing."""
    if part.dtype != "uint8" or len(part.shape) != 1 or not 2 <= part.info.numel <= _LARGEST_TEXT:
        raise LayoutError(f"{part} must be JSON of 2 to {_LARGEST_TEXT} bytes")
    try:
        told: Any = json.loads(part.whole().tobytes())
        scheme, shape, view = told["scheme"], told["shape"], told["view"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LayoutError(f"{part} is no JSON with scheme, shape and view") from None
    if not isinstance(shape, list) or not 1 <= len(shape) <= _MOST_AXES or not all(map(_is_size, shape)):
        raise LayoutError(f"{part} states the shape {quote(shape, 40)}, which must be a list of sizes")
    if np.prod(np.array(shape, np.float64)) > _LARGEST_SHAPE:
        raise LayoutError(f"{part} states the shape {quote(shape, 40)}, which has more values than a file")
    if not isinstance(scheme, str) or not isinstance(view, str):
        raise LayoutError(f"{part} states scheme {quote(scheme, 40)} and view {quote(view, 40)}, which must be texts")
    try:
        from qanalysis.quantizers.scheme import Scheme

        parsed = Scheme.parse(scheme)
        return parsed, parsed.lay_out(tuple(shape), axis=MatrixView.parse(view))
    except ValueError as error:
        raise LayoutError(f"{part}: {error}") from None


def _is_size(size: Any) -> bool:
    return type(size) is int and 0 < size < _LARGEST_SHAPE


LAYOUT = PackedLayout("qanalysis", (".q_layout",), _read)
