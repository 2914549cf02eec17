"""What is in a checkpoint, by its header alone? One row per tensor, and what reading them costs in memory."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

from qanalysis.checkpoints.source import TensorSource
from qanalysis.results.columns import Kind, RowType, column, describe_row
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table


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
    kind: str = column("Kind", formula="weight or activation")
    shape: str = column("Shape", formula="such as 384x1024; empty for a single number", of=attrgetter("shape_text"))
    dtype: str = column("Type", formula="number type in the file")
    numel: int = column("Elements", least=0, formula="number of values", additive=True)
    size_bytes: int = column("Size", "B", least=0, formula="bytes in the file", additive=True)
    channel_axes: str = column("Channel axes", formula="axes of the output channels", of=lambda info: str(info.view))
    measurable: bool = column(
        "Measurable", formula="false for integers, bool, complex and unknown types", of=attrgetter("decodes")
    )


def list_tensors(source: TensorSource) -> Table[TensorRow]:
    """The tensors in the order of the file and one total; the digest is None: it would read the values."""
    tensors = source.tensors
    rows = [describe_row(TensorRow, info) for info in tensors]
    total = TensorTotal(len(rows), sum(info.numel for info in tensors), sum(info.size_bytes for info in tensors))
    identity = SourceIdentity(source.name, source.size_bytes, None)
    return Table.from_rows(
        TensorRow, rows, totals=[total], source=identity, settings={"memory_note": source.memory_note}
    )
