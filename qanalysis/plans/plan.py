"""Which scheme does each tensor get under a budget? From rows to a plan that a file holds whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanalysis.plans.row import PlanRow
from qanalysis.plans.soundness import find_damage
from qanalysis.results.table import Table

#: The parts of the document beside what every document has.
PARTS = (
    "assignments",
    "objective",
    "objective_column",
    "bits_per_weight",
    "bytes",
    "front",
    "kept_float",
    "constraints",
    "candidates",
    "proof",
    "certainty",
    "tensors",
)


@dataclass(frozen=True)
class Plan(Table[PlanRow]):
    """A plan: one row for each tensor that was given a scheme, points beside it, and in `more` the parts of its
    document.

    What is made from rows alone, as a CSV holds them, has no other parts; its figures are those of the rows.
    """

    def find_fault(self) -> str:
        """Parts of the document that do not go together with the rows."""
        return find_damage(self.more, self.rows.column("tensor").tolist(), self.rows.column("scheme").tolist())

    @property
    def assignments(self) -> Mapping[str, str]:
        """The scheme of each tensor, canonical text."""
        return dict(zip(self.rows.column("tensor").tolist(), self.rows.column("scheme").tolist(), strict=True))

    @property
    def objective(self) -> float:
        """The sum of the objective's column over the assigned tensors."""
        return float(self.more["objective"]) if "objective" in self.more else float(self.column("cost").sum())

    @property
    def objective_column(self) -> str:
        """Which column that is; empty where only rows are known."""
        return str(self.more.get("objective_column", ""))

    @property
    def bits_per_weight(self) -> float:
        """Σ bits_per_weight · numel / Σ numel over the assigned tensors."""
        if "bits_per_weight" in self.more:
            return float(self.more["bits_per_weight"])
        numel = self.column("numel")
        return float((self.column("bits_per_weight") * numel).sum() / max(int(numel.sum()), 1))

    @property
    def bytes(self) -> int:
        """Bytes of the assigned tensors under their schemes, and of those kept as they are."""
        return int(self.more["bytes"]) if "bytes" in self.more else int(self.column("size_bytes").sum())

    @property
    def kept_float(self) -> Mapping[str, int]:
        """Bytes of each tensor that has no scheme, as the source stores it."""
        return dict(self.more.get("kept_float", {}))

    @property
    def front(self) -> Sequence[Mapping[str, Any]]:
        """Points from the smallest plan to the best one: objective, objective_column, bits_per_weight, bytes, kind and
        `choice`, the place of each tensor's scheme in its list of candidates.
        """
        return list(self.more.get("front", ()))

    @property
    def constraints(self) -> Mapping[str, Any]:
        """What the plan keeps: budget, pins, exclusions, groups, pools and the rest, as they were asked for."""
        return dict(self.more.get("constraints", {}))

    @property
    def candidates(self) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """What each tensor could have had: by tensor the lists scheme, bits_per_weight, size_bytes and cost."""
        return dict(self.more.get("candidates", {}))
