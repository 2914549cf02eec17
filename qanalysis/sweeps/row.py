"""What is the error of one tensor under one scheme? The columns of a sweep, each declared once, and the table of them.

A word is read from the tensor's header (`part` info) or from the scheme, a figure from the sums of its errors; status,
reason and prediction are given with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Literal

from qanalysis.results.columns import Column, Kind, RowType, column, columns_of, figure, names_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame, Table

Status = Literal["ok", "zero", "empty", "non-finite", "unsupported", "failed"]
STATUS_WORDS: dict[Status, str] = {
    "ok": "measured; where some values are NaN or infinite, the figures are those of the finite ones",
    "zero": "every value is zero: nothing to compare the error with",
    "empty": "no values",
    "non-finite": "no finite value",
    "unsupported": "integers, bool, complex numbers, a single number without dimensions, "
    "or a scheme that does not fit the tensor",
    "failed": "could not be read or measured; the reason says why",
}
TOTAL_NAME = "(all)"
_GAUSSIAN = "of Gaussian values of the same power; sym: −10 log₁₀(E[max²]/(12q²)·(g−1)/g), groups of g"


def _has_no_error(table: Any) -> Any:
    return (table.status == "ok") & (table.mse == 0) & ~(table.max_abs_error > 0)


def _has_no_error_but_variance(table: Any) -> Any:
    # One element has no variance, hence no figure with the mean removed.
    return _has_no_error(table) & (table.numel != 1)


@dataclass(frozen=True, slots=True)
class Row(RowType):
    """The error of one tensor under one scheme; figures are None where `status` is not ok. Units are in the names."""

    KIND: ClassVar[Kind] = Kind(
        "sweep",
        "rows",
        "Rows of a sweep: one per tensor and scheme, one total per scheme",
        "qanalysis sweep SOURCE --out rows.json",
    )

    shown_first: ClassVar[tuple[str, ...]] = (
        "tensor",
        "role",
        "stored",
        "scheme",
        "bits_per_weight",
        "sqnr_db",
        "max_abs_error",
        "clipped_fraction",
        "zeroed_fraction",
        "status",
    )

    tensor: str = column(
        "Tensor",
        formula=f"its name in the file; {TOTAL_NAME} for the totals of a scheme",
        part="info",
        of=attrgetter("name"),
    )
    kind: str = column("Kind", formula="weight or activation", leave_out=25, part="info")
    role: str = column(
        "Role", formula="what the tensor is for, as its reader knows", default="", leave_out=32, part="info", late=True
    )
    stored: str = column(
        "Stored as",
        formula="layout of packed values; empty for plain ones",
        default="",
        leave_out=31,
        part="info",
        late=True,
    )
    shape: str = column(
        "Shape", formula="lengths of the dimensions, row-major", part="info", of=attrgetter("shape_text")
    )
    dtype: str = column("Type", formula="number type in the file", leave_out=27, part="info")
    numel: int = column("Elements", least=0, formula="number of values", part="info")
    scheme: str = column(
        "Scheme",
        formula="format, symmetry, grouping, range and scale as one text; defaults are left out",
        part="scheme",
        of=str,
    )
    format: str = column(
        "Format", formula="number format of the codes", part="scheme", of=lambda scheme: str(scheme.format)
    )
    bits: int = column("Bits", "bit", least=0, formula="bits per code", part="scheme", of=attrgetter("format.bits"))
    grouping: str = column(
        "Grouping", formula="which values share one scale", part="scheme", of=lambda scheme: str(scheme.grouping)
    )
    symmetry: str = column(
        "Symmetry",
        formula="sym: zero in the middle, no zero point; asym: with a zero point",
        part="scheme",
        of=attrgetter("symmetry.name"),
    )
    range: str = column(
        "Range", formula="rule that picks the largest value kept", part="scheme", of=lambda scheme: str(scheme.range)
    )
    scale: str = column(
        "Scale type",
        formula="number type of the stored scales",
        leave_out=26,
        part="scheme",
        of=attrgetter("scale.name"),
    )
    bits_per_weight: float | None = figure(
        "Bits per weight",
        "bit",
        better="lower",
        formula="(codes + scales + zero points) / elements",
        short="Bits/weight",
        known_of=("zero",),
    )
    size_bytes: int | None = figure(
        "Size",
        "B",
        least=0,
        better="lower",
        formula="bits_per_weight · elements / 8",
        leave_out=8,
        additive=True,
        known_of=("zero",),
    )
    step_min: float | None = figure("Smallest step", formula="min of the groups' steps", leave_out=9)
    step_mean: float | None = figure("Mean step", formula="mean of the groups' steps", leave_out=10)
    step_max: float | None = figure("Largest step", formula="max of the groups' steps", leave_out=19)
    half_step_bound: float | None = figure("LSB/2 bound", better="lower", formula="step_max / 2", leave_out=2)
    max_abs_error: float | None = figure("Largest error", better="lower", formula="max |e|", leave_out=21)
    mean_abs_error: float | None = figure(
        "Mean absolute error",
        better="lower",
        formula="mean |e|",
        leave_out=15,
    )
    bias: float | None = figure("Bias", formula="mean e, e = y − x", leave_out=14)
    mse: float | None = figure("Mean squared error", better="lower", formula="mean e²", leave_out=20)
    rmse_in_steps: float | None = figure(
        "RMS error in steps",
        "LSB",
        better="lower",
        formula="√mean(e²/step²); 0.2887 for a fine grid without clipping",
        leave_out=17,
    )
    sqnr_db: float | None = figure(
        "SQNR",
        "dB",
        better="higher",
        formula="10 log₁₀(Σx²/Σe²)",
        infinite=math.inf,
        exact=_has_no_error,
    )
    sqnr_ac_db: float | None = figure(
        "SQNR, mean removed",
        "dB",
        better="higher",
        formula="10 log₁₀(N·var x/Σe²)",
        infinite=math.inf,
        exact=_has_no_error_but_variance,
        leave_out=16,
    )
    enob: float | None = figure(
        "ENOB",
        "bit",
        better="higher",
        formula="(sqnr_db − 1.7609)/6.0206",
        infinite=math.inf,
        exact=_has_no_error,
        leave_out=1,
    )
    relative_l2: float | None = figure("Relative L2 error", better="lower", formula="‖e‖/‖x‖", leave_out=7)
    relative_error_energy: float | None = figure(
        "Relative error energy",
        better="lower",
        formula="Σe²/Σx², relative_l2²",
        leave_out=30,
        additive=True,
        late=True,
    )
    mean_relative_error: float | None = figure(
        "Mean relative error",
        better="lower",
        formula="mean |e|/|x| over x ≠ 0",
        leave_out=12,
    )
    relative_count: int | None = figure(
        "Values with a relative error", least=0, formula="number of x ≠ 0", leave_out=11, additive=True, counts=True
    )
    cosine: float | None = figure("Cosine similarity", better="higher", formula="x·y/(‖x‖‖y‖)", leave_out=18)
    error_signal_correlation: float | None = figure(
        "Error-signal correlation",
        formula="corr(e, x)",
        leave_out=13,
    )
    clipped_fraction: float | None = figure(
        "Clipped",
        better="lower",
        formula="share of x whose rounded code lies outside the codes",
        leave_out=24,
        share=True,
    )
    zeroed_fraction: float | None = figure(
        "Zeroed", better="lower", formula="share of x ≠ 0 that comes back as 0", leave_out=22, share=True
    )
    rounding_share: float | None = figure(
        "Rounding share", formula="share of Σe² between the end levels", leave_out=3, share=True
    )
    clipping_share: float | None = figure(
        "Clipping share", better="lower", formula="share of Σe² beyond the end levels", leave_out=23, share=True
    )
    shannon_gap_db: float | None = figure(
        "Gap to Shannon",
        "dB",
        better="lower",
        formula="6.0206·bits_per_weight − sqnr_ac_db",
        infinite=-math.inf,
        exact=_has_no_error_but_variance,
        leave_out=4,
    )
    wasted_bits: float | None = figure(
        "Wasted bits",
        "bit",
        better="lower",
        formula="shannon_gap_db / 6.0206",
        infinite=-math.inf,
        exact=_has_no_error_but_variance,
        leave_out=5,
    )
    theory_sqnr_db: float | None = figure("Predicted SQNR", "dB", better="higher", formula=_GAUSSIAN, leave_out=6)
    non_finite: int | None = figure(
        "Non-finite values",
        least=0,
        better="lower",
        formula="NaN and infinite elements, left out of every figure",
        leave_out=28,
        additive=True,
        known_of=("zero", "non-finite"),
    )
    status: Status = column("Status", formula="ok, or why there are no figures", default="ok")
    reason: str = column("Reason", formula="in words", default="", leave_out=29)


COLUMNS: tuple[str, ...] = names_of(Row)
#: The figures: what has no value where nothing was measured. How many elements a mean is over is none.
METRICS: dict[str, Column] = {found.name: found for found in columns_of(Row) if found.nullable and not found.counts}


@dataclass(frozen=True)
class Rows(Table[Row]):
    """A finished (or cancelled: `complete` is false) sweep: rows, one total per scheme, and what they were made from.

    `rows` and `totals` may be given as any sequence of rows.
    """

    totals: Frame[Row]
    source: SourceIdentity

    def __post_init__(self) -> None:
        for name in ("rows", "totals"):
            rows: Iterable[Row] = getattr(self, name)
            object.__setattr__(self, name, Frame.from_rows(Row, rows))
