"""Is a tensor of the file what the plan says? The columns of a verification, each declared once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from qanalysis.results.columns import Kind, RowType, column, figure

Status = Literal[
    "ok", "missing", "extra", "ignored", "quantized", "shape", "bits", "format", "grouping", "symmetry", "bytes",
    "zeros", "error", "unread", "beside",
]  # fmt: skip
STATUS_WORDS: dict[Status, str] = {
    "ok": "as planned, as far as it was checked",
    "missing": "the plan has it, the file does not",
    "extra": "the file has it, the plan does not know it",
    "ignored": "the plan quantizes it, the file holds it in a plain type that is not the planned one",
    "quantized": "the plan keeps it as it is, the file holds it quantized",
    "shape": "another shape than planned",
    "bits": "codes of another width than planned",
    "format": "another number format than planned",
    "grouping": "other groups than planned",
    "symmetry": "zero points where the plan has none, or none where it has them",
    "bytes": "more or fewer bytes than the planned format can take",
    "zeros": "every value is 0 in the file",
    "error": "the values are further from the float source than planned",
    "unread": "nothing proves it: the file's layout can not be decoded, or the float source lacks it",
    "beside": "the file has it beside the model, such as scales, constants and buffers; no deviation",
}
STATUSES: tuple[Status, ...] = get_args(Status)
_STATUS_FORMULA = "; ".join(f"{word}: {rule}" for word, rule in STATUS_WORDS.items())
#: How much worse than planned values may be: scales rounded to the 8 significant bits of bfloat16 are off by up to 2⁻⁹,
#: noise of −54 dB, which beside that of 8-bit integers at 45 dB makes 0.5 dB.
ALLOWED_DB = 0.5
#: What values kept in 16 bits must reach at least: bfloat16 rounds by at most 2⁻⁹ of each value, −54.2 dB.
KEPT_DB = 54.0


def _has_no_error(table: Any) -> Any:
    return table.relative_l2 == 0


def _is_exactly_planned(table: Any) -> Any:
    return table.planned_relative_l2 == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTotal(RowType):
    """All tensors of a plan against the file."""

    tensors: int = column("Tensors", counts=True, least=0, formula="that the plan knows, parts counted one by one")
    as_planned: int = column("As planned", counts=True, least=0, formula="of these, without a deviation")
    deviations: int = column("Deviating", counts=True, least=0, formula="tensors of plan or file with a deviation")
    measured: int = column("Measured", counts=True, least=0, formula="tensors held against the float source")
    bytes_planned: int = column("Bytes planned", "B", least=0, formula="of the tensors that the file has")
    bytes_file: int = column("Bytes in the file", "B", least=0, formula="of the same tensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRow(RowType):
    """One tensor of a plan beside the tensor of the file, or one that only one of them has."""

    KIND: ClassVar[Kind] = Kind(
        "verify",
        "verify",
        "Verifications: one row per tensor of a plan and of the file that came out",
        "qanalysis verify plan.json FILE --out verified.json",
        totals=VerifyTotal,
        sourceless=True,
    )
    named_by: ClassVar[tuple[str, ...]] = ("tensor", "tensor_file")
    shown_first: ClassVar[tuple[str, ...]] = (
        "tensor",
        "planned",
        "stored",
        "size_bytes_planned",
        "size_bytes_file",
        "sqnr_db_least",
        "sqnr_db",
        "status",
        "reason",
    )

    tensor: str = column("Tensor", formula="its name in the plan; empty where the plan does not know it", default="")
    tensor_file: str = column("Tensor in the file", formula="empty where the file does not have it", default="")
    matched_by: str = column("Matched by", formula="how the two names were found to be of one tensor", default="")
    role: str = column("Role", formula="what the tensor is for", default="")
    planned: str = column("Planned", formula="scheme; float for what is kept as it is", default="")
    stored: str = column("Stored as", formula="layout of packed values in the file, else the number type", default="")
    shape_planned: str = column("Shape planned", formula="lengths of the dimensions, row-major", default="")
    shape_file: str = column("Shape in the file", default="")
    size_bytes_planned: int | None = figure("Size planned", "B", least=0, formula="scales counted")
    size_bytes_file: int | None = figure("Size in the file", "B", least=0, formula="all parts counted")
    planned_relative_l2: float | None = figure(
        "Planned relative L2", better="lower", formula="10^(−sqnr_db_planned/20)"
    )
    sqnr_db_planned: float | None = figure(
        "SQNR planned",
        "dB",
        better="higher",
        formula="as the plan's rows have it, or of the scheme on the float source; null without a float source",
        infinite=math.inf,
        exact=_is_exactly_planned,
    )
    sqnr_db_least: float | None = figure(
        "SQNR asked for",
        "dB",
        formula=f"sqnr_db_planned less what is allowed, {ALLOWED_DB:g} unless told; "
        f"{KEPT_DB:g} where that is infinite, and for what is kept as it is",
    )
    relative_l2: float | None = figure("Relative L2", better="lower", formula="‖y−x‖/‖x‖, y of the file")
    sqnr_db: float | None = figure(
        "SQNR",
        "dB",
        better="higher",
        formula="10 log₁₀(Σx²/Σ(y−x)²) against the float source; null without one",
        infinite=math.inf,
        exact=_has_no_error,
    )
    status: Status = column("Status", formula=_STATUS_FORMULA, default="ok")
    deviations: tuple[str, ...] = column("Deviations", formula="every word of status that holds", default=())
    reason: str = column("Reason", formula="what deviates, and what there is to know, in words", default="")

    @property
    def deviates(self) -> bool:
        """Whether the file is not as planned here."""
        return bool(self.deviations)
