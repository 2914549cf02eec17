"""How does one tensor of B differ from the same tensor of A? The columns of a comparison, each declared once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from qanalysis.results.columns import Kind, RowType, column, figure
from qanalysis.results.conditions import ConditionCheck

Status = Literal["ok", "only-a", "only-b", "shape", "dtype", "tied"]
STATUS_WORDS: dict[Status, str] = {
    "ok": "both have it and it was compared",
    "only-a": "B has no such tensor",
    "only-b": "A has no such tensor",
    "shape": "both have it, in shapes that can not be brought together",
    "dtype": "the values of one can not be had as real numbers; the reason says which",
    "tied": "another name of a tensor that was compared already",
}
STATUSES: tuple[Status, ...] = get_args(Status)


def _has_no_error(table: Any) -> Any:
    return (table.status == "ok") & (table.max_abs_error == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow(RowType):
    """One tensor of two sources; figures are those of B's values against A's: e = b − a."""

    KIND: ClassVar[Kind] = Kind(
        "compare",
        "comparison",
        "Comparisons: one row per tensor of two sources",
        "qanalysis compare A B --out rows.json",
        totals=ConditionCheck,
    )
    named_by: ClassVar[tuple[str, ...]] = ("tensor_a", "tensor_b")

    shown_first: ClassVar[tuple[str, ...]] = (
        "tensor_a",
        "tensor_b",
        "matched_by",
        "stored_b",
        "size_bytes_a",
        "size_bytes_b",
        "sqnr_db",
        "theory_sqnr_db",
        "status",
        "reason",
    )

    tensor_a: str = column("Tensor in A", formula="its name in the first source; empty where it has none", default="")
    tensor_b: str = column("Tensor in B", formula="its name in the second source", default="")
    role: str = column("Role", formula="what the tensor is for", default="")
    shape_a: str = column("Shape in A", formula="lengths of the dimensions, row-major", default="", leave_out=9)
    shape_b: str = column("Shape in B", default="", leave_out=9)
    dtype_a: str = column("Type in A", formula="number type in the file", default="", leave_out=8)
    dtype_b: str = column("Type in B", default="", leave_out=8)
    stored_a: str = column("Stored in A", formula="layout of packed values; empty for plain ones", default="")
    stored_b: str = column("Stored in B", default="")
    size_bytes_a: int | None = figure("Size in A", "B", least=0, formula="bytes in the file, scales counted")
    size_bytes_b: int | None = figure("Size in B", "B", least=0)
    matched_by: str = column("Matched by", formula="how the two names were found to be of one tensor", default="")
    sqnr_db: float | None = figure(
        "SQNR of B", "dB", better="higher", formula="10 log₁₀(Σa²/Σ(b−a)²)", infinite=math.inf, exact=_has_no_error
    )
    relative_l2: float | None = figure("Relative L2", better="lower", formula="‖b−a‖/‖a‖")
    cosine: float | None = figure("Cosine", better="higher", formula="a·b/(‖a‖‖b‖)")
    max_abs_error: float | None = figure("Largest error", better="lower", formula="max |b−a|")
    theory_sqnr_db: float | None = figure(
        "Predicted SQNR",
        "dB",
        better="higher",
        formula="of Gaussian values in B's stored format; null where B is not packed or its format has no prediction",
    )
    status: Status = column("Status", formula="; ".join(f"{k}: {v}" for k, v in STATUS_WORDS.items()), default="ok")
    reason: str = column("Reason", formula="in words", default="")

    @classmethod
    def is_excused(cls, table: Any) -> Any:
        """Other names of a tensor whose figures stand in a row of their own, integers that neither source has as real
        numbers, scales of a quantizer that only one of them needs, and constants of a graph.
        """
        is_plain = (table.stored_a == "") & (table.stored_b == "") & (table.dtype_a == table.dtype_b)
        is_beside = ((table.role == "scale") | (table.role == "constant")) & (table.status != "ok")
        return (table.status == "tied") | ((table.status == "dtype") & is_plain) | is_beside
