"""How far is B from A in all? Over the weights that differ: what is the same, and norms that are large beside their
error, would only raise the figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from qanalysis.comparisons.errors import Tally
from qanalysis.sums import ErrorStats


@dataclass(slots=True)
class Pool:
    """Sums over tensors that were compared: the weights that differ, and what else differs."""

    WEIGHTS: ClassVar[tuple[str, ...]] = ("weight", "embedding")

    tensors: int = 0
    same: int = 0
    non_finite: int = 0
    weights: int = 0
    others: int = 0
    _of_weights: ErrorStats = field(default_factory=ErrorStats)
    _of_others: ErrorStats = field(default_factory=ErrorStats)

    def add(self, role: str, tally: Tally) -> None:
        """Count in one tensor; one without a finite element is counted and adds nothing."""
        stats = tally.stats
        self.tensors += 1
        self.non_finite += tally.non_finite_apart > 0
        if not stats.count:
            return
        if not stats.sum_e2:
            self.same += not tally.non_finite_apart
        elif role in self.WEIGHTS:
            self.weights += 1
            self._of_weights += stats
        else:
            self.others += 1
            self._of_others += stats

    def describe(self) -> dict[str, Any]:
        """`tensors` were compared, `same` of them are equal value by value, `non_finite` have values that are not
        finite in one of the two alone, or not alike. The other figures are over the `pooled` tensors of so many
        `values`: the weights and embeddings that differ, or all that differs where none of these does; `sqnr_db` and
        `relative_l2` are of summed powers, null where nothing differs.

        >>> from qanalysis.sums import measure
        >>> pool = Pool()
        >>> pool.add("weight", Tally(1, 2, measure([1.0, 2.0], [1.0, 2.5])))
        >>> pool.add("norm", Tally(1, 1, measure([9.0], [9.0])))
        >>> {key: pool.describe()[key] for key in ("tensors", "same", "pooled", "over", "values")}
        {'tensors': 2, 'same': 1, 'pooled': 1, 'over': 'weights', 'values': 2}
        """
        stats = self._of_weights if self.weights else self._of_others
        differs = bool(stats.sum_e2)
        return {
            "tensors": self.tensors,
            "same": self.same,
            "non_finite": self.non_finite,
            "pooled": self.weights or self.others,
            "over": "weights" if self.weights else "tensors",
            "values": int(stats.count),
            "sqnr_db": stats.sqnr_db if differs else None,
            "relative_l2": stats.relative_l2 if differs else None,
            "max_abs_error": stats.max_abs_error,
        }
