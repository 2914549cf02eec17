"""How do the parts of a packed weight become one line of the listing?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qanalysis.checkpoints.entries import Values
from qanalysis.checkpoints.packed.parts import NoValues, Packed, Part, count_bytes
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

STACKED = MatrixView((0, 1))


def join_parts(
    name: str,
    parts: Sequence[Part | None],
    values: Values,
    *,
    shape: tuple[int, ...],
    stored: str,
    note: str = "",
    stacked: bool = False,
) -> Packed:
    """One decoded tensor of parts, that of the codes first; None stands for a part that the layout may lack.

    Its rows are those of the first axis, of the first two where it is known to be a stack of matrices.
    """
    found = [part for part in parts if part]
    info = TensorInfo(
        name,
        shape,
        found[0].dtype,
        count_bytes(*found),
        view=STACKED if stacked else ALONG_FIRST,
        stored=stored,
        note=note,
    )
    return Packed(info, values, tuple(part.info.name for part in found))


def keep_packed(name: str, parts: Sequence[Part | None], *, stored: str, reason: str) -> Packed:
    """One tensor of parts that are known for what they are and not decoded; it has the shape of the first."""
    found = [part for part in parts if part]
    info = replace(
        found[0].info, name=name, size_bytes=count_bytes(*found), decodes=False, stored=stored, reason=reason
    )
    return Packed(info, NoValues(), tuple(part.info.name for part in found))


def refuse_known(word: str, detail: str) -> str:
    """The reason of a layout that is recognised and not decoded.

    >>> refuse_known("EXL2", "mixed 2 to 8 bit codes")
    'already quantized (EXL2: mixed 2 to 8 bit codes); recognised, not decoded'
    """
    return f"already quantized ({word}: {detail}); recognised, not decoded"
