"""What has a comparison of two tables of one kind as columns? Each number of that kind thrice: in A, in B, b − a.

No column is written here: those of a kind are taken from its own row type, with its labels, units and directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass, replace
from typing import Any, ClassVar, Literal, get_args, get_type_hints

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.models.forms.row import FormRow
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.plans.row import PlanRow
from qanalysis.results.columns import Column, Kind, RowType, column, columns_of, declare
from qanalysis.results.conditions import ConditionCheck
from qanalysis.sweeps.row import Row

Status = Literal["ok", "only-a", "only-b"]
STATUS_WORDS: dict[Status, str] = {
    "ok": "both have such a row; where one of them has no figures the reason says why",
    "only-a": "B has no such row",
    "only-b": "A has no such row",
}
_STATUS_FORMULA = "; ".join(f"{word}: {rule}" for word, rule in STATUS_WORDS.items())
STATUSES: tuple[Status, ...] = get_args(Status)
_SIDES: dict[str, str] = {"_a": "A", "_b": "B"}
_HINTS: dict[str, Any] = {"integer": int | None, "number": float | None}


class TableComparisonRow(RowType):
    """One row of A beside the row of B with the same keys; figures are null on a side that has none.

    `OF` is the row type of both tables, `KEYS` the columns that tell which rows belong together, `WORDS` those that
    stand beside each other though they are no numbers.
    """

    __slots__ = ()
    OF: ClassVar[type[RowType]]
    KEYS: ClassVar[tuple[str, ...]]
    WORDS: ClassVar[tuple[str, ...]]

    @classmethod
    def is_excused(cls, table: Any) -> Any:
        """Rows that have no figures in A and none in B, for one and the same reason: nothing was lost between them."""
        if "status" not in cls.WORDS:
            return False
        return (table.status_a == table.status_b) & (table.status_a != "ok") & (table.status == "ok")

    @classmethod
    def list_numbers(cls) -> tuple[Column, ...]:
        """The columns of the kind that are compared."""
        return tuple(one for one in columns_of(cls.OF) if one.is_numeric and one.name not in cls.KEYS)


def subtract(a: Doubles, b: Doubles) -> Doubles:
    """What B has more than A, element by element; infinities of one sign are equal: 0. NaN where either is NaN.

    >>> subtract(np.array([1.0, np.inf, 3.0]), np.array([2.5, np.inf, np.inf])).tolist()
    [1.5, 0.0, inf]
    """
    with np.errstate(invalid="ignore"):
        difference: Doubles = np.where((a == b) & np.isinf(a), 0.0, b - a)
    return difference


class _Side:
    """The columns of a comparison as those of one of its tables."""

    def __init__(self, table: Any, end: str) -> None:
        self._table, self._end = table, end

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._table, f"{name}{self._end}", None)
        return getattr(self._table, name) if own is None else own


def _take_side(one: Column, end: str) -> Column:
    """A number of the kind as it is in one of the tables."""
    exact = one.exact

    def is_exact(table: Any) -> Any:
        there = table.status != ("only-b" if end == "_a" else "only-a")
        return there if exact is None else there & exact(_Side(table, end))

    return replace(
        one,
        label=f"{one.label} in {_SIDES[end]}",
        exact=is_exact if one.infinite is not None else None,
        short="",
        late=False,
        additive=False,
    )


def _take_difference(one: Column) -> Column:
    """How much greater a number of the kind is in B."""

    def follow(table: Any) -> Any:
        return subtract(getattr(table, f"{one.name}_a"), getattr(table, f"{one.name}_b"))

    def is_infinite(table: Any) -> Any:
        return np.isinf(follow(table))

    return Column(
        f"Change of {one.label[0].lower() + one.label[1:] if one.label[1:2].islower() else one.label}",
        one.unit,
        better=one.better,
        formula="b − a; 0 where both are infinite, infinite where one is",
        infinite=None if one.infinite is None else follow,
        exact=None if one.infinite is None else is_infinite,
        leave_out=one.leave_out,
        share=one.share,
    )


_Field = tuple[str, Any, Any]


def _list_fields(of: Any, keys: Sequence[str], facts: Sequence[str], words: Sequence[str]) -> list[_Field]:
    hints, by_name = get_type_hints(of), {one.name: one for one in columns_of(of)}
    fields: list[_Field] = [
        (name, hints[name], declare(replace(by_name[name], late=False, leave_out=None))) for name in (*keys, *facts)
    ]
    for name in words:
        told = by_name[name]
        fields += [
            (f"{name}{end}", str, column(f"{told.label} in {side}", formula=told.formula, default=""))
            for end, side in _SIDES.items()
        ]
    for one in by_name.values():
        if one.is_numeric and one.name not in keys:
            hint = _HINTS[one.kind]
            fields += [(f"{one.name}{end}", hint, declare(_take_side(one, end), default=None)) for end in _SIDES]
            fields.append((f"delta_{one.name}", hint, declare(_take_difference(one), default=None)))
    fields.append(("status", Status, column("Status", formula=_STATUS_FORMULA, default="ok")))
    fields.append(("reason", str, column("Reason", formula="in words", default="")))
    return fields


def _declare_kind(
    name: str,
    of: Any,
    *,
    keys: tuple[str, ...],
    facts: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    shown: tuple[str, ...] = (),
) -> type[TableComparisonRow]:
    """The row type of two tables of rows `of`; `facts` are columns that hold of the row whichever side it is from."""
    kind: Kind = of.KIND
    numbers = [one.name for one in columns_of(of) if one.is_numeric and one.name not in keys]
    first = list(dict.fromkeys(one for one in (*shown, *(of.shown_first or numbers)) if one in numbers))[:4]
    namespace: Mapping[str, Any] = {
        "__doc__": f"One row of each of two tables of `qanalysis {kind.command}`, with the same keys.",
        "__module__": __name__,
        "OF": of,
        "KEYS": keys,
        "WORDS": words,
        "KIND": Kind(
            f"compare-{kind.command}",
            f"comparison-{kind.schema}",
            f"Comparisons of two tables of `qanalysis {kind.command}`: one row per row of either",
            "qanalysis compare A.json B.json --out rows.json",
            totals=ConditionCheck,
            sourceless=True,
        ),
        "named_by": tuple(key for key in keys if key != "kind"),
        "shown_first": (
            *keys,
            *(f"{word}{end}" for word in words if word != "status" for end in _SIDES),
            *(f"{one}{end}" for one in first[:1] for end in _SIDES),
            *(f"delta_{one}" for one in first),
            "status",
            "reason",
        ),
    }
    return make_dataclass(
        name,
        _list_fields(of, keys, facts, words),
        bases=(TableComparisonRow,),
        namespace=dict(namespace),
        frozen=True,
        slots=True,
        kw_only=True,
    )


SweepComparison = _declare_kind(
    "SweepComparison", Row, keys=("tensor", "kind", "scheme"), facts=("role",), words=("stored", "status"),
    shown=("sqnr_db", "bits_per_weight", "size_bytes"),
)  # fmt: skip
SensitivityComparison = _declare_kind(
    "SensitivityComparison", SensitivityRow, keys=("layer", "tensor", "target", "mode", "scheme"), words=("status",)
)
FormsComparison = _declare_kind(
    "FormsComparison", FormRow, keys=("form", "repair", "weight_scheme", "activation_scheme"), words=("status",)
)
PlanComparison = _declare_kind("PlanComparison", PlanRow, keys=("tensor",), facts=("role",), words=("scheme",))
RecordComparison = _declare_kind("RecordComparison", RecordRow, keys=(), shown=("sinad_db", "enob_ieee", "sfdr_dbc"))
LinearityComparison = _declare_kind(
    "LinearityComparison", LinearityRow, keys=("test",), shown=("dnl_max_lsb", "inl_max_lsb")
)

#: By the row type of both tables.
COMPARISONS: dict[Any, type[TableComparisonRow]] = {
    one.OF: one
    for one in (
        SweepComparison,
        SensitivityComparison,
        FormsComparison,
        PlanComparison,
        RecordComparison,
        LinearityComparison,
    )
}
