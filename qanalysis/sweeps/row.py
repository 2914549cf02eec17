"""What is the error of one tensor under one scheme? The columns of a sweep, each declared once, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from qanalysis.results.columns import Column, Kind, RowType, column, columns_of, names_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame, Table
from qanalysis.sums import ErrorStats

Status = Literal["ok", "zero", "empty", "non-finite", "unsupported", "failed"]
STATUS_WORDS: dict[Status, str] = {
    "ok": "measured; where some values are NaN or infinite, the figures are those of the finite ones",
    "zero": "every value is zero: nothing to compare the error with",
    "empty": "no values",
    "non-finite": "no finite value",
    "unsupported": "integers, bool, complex numbers, a single number without dimensions, or a scheme that does not fit the tensor",
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
        *(
            "tensor",
            "scheme",
            "bits_per_weight",
            "sqnr_db",
            "max_abs_error",
            "clipped_fraction",
            "zeroed_fraction",
            "status",
        ),
    )

    tensor: str = column("Tensor", formula=f"its name in the file; {TOTAL_NAME} for the totals of a scheme")
    kind: str = column("Kind", formula="weight or activation", leave_out=25)
    shape: str = column("Shape", formula="lengths of the dimensions, row-major")
    dtype: str = column("Type", formula="number type in the file", leave_out=27)
    numel: int = column("Elements", formula="number of values")
    scheme: str = column(
        "Scheme", formula="format, symmetry, grouping, range and scale as one text; defaults are left out"
    )
    format: str = column("Format", formula="number format of the codes")
    bits: int = column("Bits", "bit", formula="bits per code")
    grouping: str = column("Grouping", formula="which values share one scale")
    symmetry: str = column("Symmetry", formula="sym: zero in the middle, no zero point; asym: with a zero point")
    range: str = column("Range", formula="rule that picks the largest value kept")
    scale: str = column("Scale type", formula="number type of the stored scales", leave_out=26)
    bits_per_weight: float | None = column(
        "Bits per weight",
        "bit",
        better="lower",
        formula="(codes + scales + zero points) / elements",
        default=None,
        of=ErrorStats.bits_per_weight,
    )
    size_bytes: int | None = column(
        "Size",
        "B",
        better="lower",
        formula="bits_per_weight · elements / 8",
        default=None,
        leave_out=8,
        additive=True,
        of=lambda sums: sums.size_bytes,
    )
    step_min: float | None = column(
        "Smallest step", formula="min of the groups' steps", default=None, leave_out=9, of=ErrorStats.step_min
    )
    step_mean: float | None = column(
        "Mean step", formula="mean of the groups' steps", default=None, leave_out=10, of=ErrorStats.step_mean
    )
    step_max: float | None = column(
        "Largest step", formula="max of the groups' steps", default=None, leave_out=19, of=ErrorStats.step_max
    )
    half_step_bound: float | None = column(
        "LSB/2 bound", better="lower", formula="step_max / 2", default=None, leave_out=2, of=ErrorStats.half_step_bound
    )
    max_abs_error: float | None = column(
        "Largest error", better="lower", formula="max |e|", default=None, leave_out=21, of=ErrorStats.max_abs_error
    )
    mean_abs_error: float | None = column(
        "Mean absolute error",
        better="lower",
        formula="mean |e|",
        default=None,
        leave_out=15,
        of=ErrorStats.mean_abs_error,
    )
    bias: float | None = column("Bias", formula="mean e, e = y − x", default=None, leave_out=14, of=ErrorStats.bias)
    mse: float | None = column(
        "Mean squared error", better="lower", formula="mean e²", default=None, leave_out=20, of=ErrorStats.mse
    )
    rmse_in_steps: float | None = column(
        "RMS error in steps",
        "LSB",
        better="lower",
        formula="√mean(e²/step²); 0.2887 for a fine grid without clipping",
        default=None,
        leave_out=17,
        of=ErrorStats.rmse_in_steps,
    )
    sqnr_db: float | None = column(
        "SQNR",
        "dB",
        better="higher",
        formula="10 log₁₀(Σx²/Σe²)",
        default=None,
        infinite=math.inf,
        exact=_has_no_error,
        of=ErrorStats.sqnr_db,
    )
    sqnr_ac_db: float | None = column(
        "SQNR, mean removed",
        "dB",
        better="higher",
        formula="10 log₁₀(N·var x/Σe²)",
        default=None,
        infinite=math.inf,
        exact=_has_no_error_but_variance,
        leave_out=16,
        of=ErrorStats.sqnr_ac_db,
    )
    enob: float | None = column(
        "ENOB",
        "bit",
        better="higher",
        formula="(sqnr_db − 1.7609)/6.0206",
        default=None,
        infinite=math.inf,
        exact=_has_no_error,
        leave_out=1,
        of=ErrorStats.enob,
    )
    relative_l2: float | None = column(
        "Relative L2 error", better="lower", formula="‖e‖/‖x‖", default=None, leave_out=7, of=ErrorStats.relative_l2
    )
    relative_error_energy: float | None = column(
        "Relative error energy",
        better="lower",
        formula="Σe²/Σx², relative_l2²",
        default=None,
        leave_out=30,
        additive=True,
        of=ErrorStats.relative_error_energy,
        late=True,
    )
    mean_relative_error: float | None = column(
        "Mean relative error",
        better="lower",
        formula="mean |e|/|x| over x ≠ 0",
        default=None,
        leave_out=12,
        of=ErrorStats.mean_relative_error,
    )
    relative_count: int | None = column(
        "Values with a relative error",
        formula="number of x ≠ 0",
        default=None,
        leave_out=11,
        additive=True,
        of=lambda sums: sums.relative_count,
    )
    cosine: float | None = column(
        "Cosine similarity", better="higher", formula="x·y/(‖x‖‖y‖)", default=None, leave_out=18, of=ErrorStats.cosine
    )
    error_signal_correlation: float | None = column(
        "Error-signal correlation",
        formula="corr(e, x)",
        default=None,
        leave_out=13,
        of=ErrorStats.error_signal_correlation,
    )
    clipped_fraction: float | None = column(
        "Clipped",
        better="lower",
        formula="share of x whose rounded code lies outside the codes",
        default=None,
        leave_out=24,
        of=ErrorStats.clipped_fraction,
    )
    zeroed_fraction: float | None = column(
        "Zeroed",
        better="lower",
        formula="share of x ≠ 0 that comes back as 0",
        default=None,
        leave_out=22,
        of=ErrorStats.zeroed_fraction,
    )
    rounding_share: float | None = column(
        "Rounding share",
        formula="share of Σe² between the end levels",
        default=None,
        leave_out=3,
        of=ErrorStats.rounding_share,
    )
    clipping_share: float | None = column(
        "Clipping share",
        better="lower",
        formula="share of Σe² beyond the end levels",
        default=None,
        leave_out=23,
        of=ErrorStats.clipping_share,
    )
    shannon_gap_db: float | None = column(
        "Gap to Shannon",
        "dB",
        better="lower",
        formula="6.0206·bits_per_weight − sqnr_ac_db",
        default=None,
        infinite=-math.inf,
        exact=_has_no_error_but_variance,
        leave_out=4,
        of=ErrorStats.shannon_gap_db,
    )
    wasted_bits: float | None = column(
        "Wasted bits",
        "bit",
        better="lower",
        formula="shannon_gap_db / 6.0206",
        default=None,
        infinite=-math.inf,
        exact=_has_no_error_but_variance,
        leave_out=5,
        of=ErrorStats.wasted_bits,
    )
    theory_sqnr_db: float | None = column(
        "Predicted SQNR", "dB", better="higher", formula=_GAUSSIAN, default=None, leave_out=6
    )
    non_finite: int | None = column(
        "Non-finite values",
        better="lower",
        formula="NaN and infinite elements, left out of every figure",
        default=None,
        leave_out=28,
        additive=True,
        of=lambda sums: sums.non_finite,
    )
    status: Status = column("Status", formula="ok, or why there are no figures", default="ok")
    reason: str = column("Reason", formula="in words", default="", leave_out=29)


COLUMNS: tuple[str, ...] = names_of(Row)
#: The figures: what has no value where nothing was measured. How many elements a mean is over is none.
METRICS: dict[str, Column] = {
    found.name: found for found in columns_of(Row) if found.nullable and found.name != "relative_count"
}


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
