"""What is in a checkpoint, by its header alone? One row per tensor, and what reading them costs in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

from qanalysis.checkpoints.source import TensorInfo, TensorSource, describe_stored
from qanalysis.notation import shorten
from qanalysis.results.columns import Kind, RowType, column, describe_row
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table

_NAMED = 4


def _find_bits(info: TensorInfo) -> float | None:
    return None if math.isnan(info.stored_bits) else info.stored_bits


def _tell_notes(info: TensorInfo) -> str:
    tied = f"tied: also {', '.join(shorten(alias, 80) for alias in info.aliases[:_NAMED])}" if info.aliases else ""
    more = f" and {len(info.aliases) - _NAMED} more" if len(info.aliases) > _NAMED else ""
    return "; ".join(part for part in (info.reason, info.note, tied + more) if part)


@dataclass(frozen=True, slots=True)
class TensorTotal(RowType):
    """All tensors of a checkpoint together."""

    tensors: int = column("Tensors", least=0, formula="how many there are")
    numel: int = column("Elements", least=0, formula="number of values")
    size_bytes: int = column("Size", "B", least=0, formula="bytes in the file", additive=True)


@dataclass(frozen=True, slots=True)
class TensorRow(RowType):
    """One tensor, as its header describes it."""

    KIND: ClassVar[Kind] = Kind(
        "show", "tensors", "Tensors of a checkpoint", "qanalysis show SOURCE --json > tensors.json", totals=TensorTotal
    )

    tensor: str = column("Tensor", formula="its name in the file", of=attrgetter("name"))
    kind: str = column("Kind", formula="weight or activation", leave_out=8)
    role: str = column("Role", formula="what the tensor is for, as its reader knows")
    stored: str = column(
        "Stored as", formula="layout of values that a quantizer packed; empty for plain ones", leave_out=1
    )
    shape: str = column("Shape", formula="such as 384x1024; empty for a single number", of=attrgetter("shape_text"))
    dtype: str = column("Type", formula="number type in the file", leave_out=5)
    numel: int = column("Elements", least=0, formula="number of values", additive=True, leave_out=4)
    size_bytes: int = column("Size", "B", least=0, formula="bytes in the file, all parts counted", additive=True)
    stored_bits: float | None = column(
        "Bits per value",
        "bit",
        least=0,
        formula="8 · size / elements",
        of=_find_bits,
        leave_out=3,
    )
    channel_axes: str = column("Channel axes", formula="axes of the output channels", of=lambda info: str(info.view))
    measurable: bool = column(
        "Measurable", formula="whether its values can be had as real numbers", of=attrgetter("decodes"), leave_out=6
    )
    note: str = column(
        "Note",
        formula="why it can not be measured, what was assumed, other names of the same values",
        of=_tell_notes,
        leave_out=2,
    )


def list_tensors(source: TensorSource) -> Table[TensorRow]:
    """The tensors in the order of the file and one total; the digest is None: it would read the values."""
    tensors = source.tensors
    rows = [describe_row(TensorRow, info) for info in tensors]
    total = TensorTotal(len(rows), sum(info.numel for info in tensors), sum(info.size_bytes for info in tensors))
    identity = SourceIdentity(source.name, source.size_bytes, None, stored=describe_stored(tensors))
    return Table.from_rows(
        TensorRow,
        rows,
        totals=[total],
        source=identity,
        settings={"memory_note": source.memory_note},
        coverage=[{"part": "note", "reason": note} for note in source.notes],
    )
