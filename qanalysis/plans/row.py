"""What does each tensor become? The columns of a plan, each declared once, and of the points beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

from qanalysis.notation import quote
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.columns import Kind, RowType, column, figure

PointWord = Literal["plan", "uniform", "smallest", "best"]


def _has_no_error(table: Any) -> Any:
    return table.relative_l2 == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRow(RowType):
    """One point that the plan may be held against: itself, every tensor under one scheme, the ends of what can be."""

    point: PointWord = column(
        "Point",
        formula="plan; uniform: one scheme for all tensors; smallest, best: the ends of what can be reached",
    )
    scheme: str = column("Scheme", formula="of a uniform point; empty for others", default="")
    tensors: int = column("Tensors", counts=True, least=0, formula="that the point has a scheme for")
    bits_per_weight: float = column("Bits per weight", "bit", formula="over the assigned tensors")
    bytes: int = column("Bytes", "B", least=0, formula="of the assigned tensors and of those kept as they are")
    objective: float = column("Objective", better="lower", formula="sum of the objective's column over the tensors")
    pooled_sqnr_db: float | None = figure(
        "Pooled SQNR",
        "dB",
        better="higher",
        formula="10 log₁₀(ΣΣx²/ΣΣe²) over the assigned tensors' weights; null for rows of a sensitivity",
    )
    within: bool = column("Within", formula="whether it keeps the budget and all constraints")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow(RowType):
    """One tensor and the scheme that it was given."""

    KIND: ClassVar[Kind] = Kind(
        "plan",
        "plan",
        "Plans: one row per tensor with a scheme; points beside the plan",
        "qanalysis plan ROWS --budget-bpw 4.5 --out plan.json",
        totals=PointRow,
        sourceless=True,
        least=1,
    )

    shown_first: ClassVar[tuple[str, ...]] = (
        "tensor",
        "scheme",
        "bits_per_weight",
        "size_bytes",
        "cost",
        "sqnr_db",
        "stability",
        "decided_by",
    )

    tensor: str = column("Tensor", formula="its name in the source")
    layer: str = column("Layer", formula="module or node that it works in; empty where rows do not say", default="")
    role: str = column("Role", formula="what the tensor is for", default="weight")
    shape: str = column("Shape", formula="lengths of the dimensions, row-major", default="")
    dtype: str = column("Type", formula="number type in the source", default="")
    numel: int = column("Elements", least=0, formula="number of values")
    scheme: str = column("Scheme", formula="what the plan assigns, as one text")
    bits_per_weight: float = column("Bits per weight", "bit", better="lower", formula="codes, scales, zero points")
    size_bytes: int = column(
        "Size", "B", least=0, better="lower", formula="of the tensor under its scheme", additive=True
    )
    cost: float = column("Cost", better="lower", formula="its part of the objective")
    sqnr_db: float | None = figure(
        "SQNR",
        "dB",
        better="higher",
        formula="of the weights under the scheme; where rows are of a sensitivity, of the model's outputs",
        infinite=math.inf,
        exact=_has_no_error,
    )
    relative_l2: float | None = figure("Relative L2", better="lower", formula="10^(−sqnr_db/20)")
    cost_low: float | None = figure("Cost, low", formula="lower end of its 95 % interval, where samples were measured")
    cost_high: float | None = figure("Cost, high", formula="upper end of its 95 % interval")
    stability: float | None = figure(
        "Stability", share=True, better="higher", formula="share of plans from resampled scores that keep this scheme"
    )
    options: int = column("Options", counts=True, least=1, formula="schemes under which it has an ok row")
    group: str = column(
        "Group", formula="tensors of one group have one scheme; empty for those on their own", default=""
    )
    pool: str = column("Pool", formula="the pool whose budget it counts in; empty without pools", default="")
    decided_by: str = column(
        "Decided by",
        formula="budget; pin: the user; group: together with others; only candidate: nothing else was left",
        default="budget",
    )

    def find_fault(self) -> str:
        """A plan speaks of schemes that can be read."""
        return _find_fault(self.scheme)


@lru_cache(maxsize=1 << 12)
def _find_fault(scheme: str) -> str:
    try:
        is_canonical = str(Scheme.parse(scheme)) == scheme
    except ValueError as error:
        return str(error)
    return "" if is_canonical else f"scheme {quote(scheme)} is not written as this program writes it"
