"""What does each column of a report mean, in one line? Figures come from the metric catalogue, the rest is here."""

from __future__ import annotations

from qanalysis.results.table import COLUMNS, TOTAL_NAME
from qanalysis.sums import METRICS, Metric

STATUS_WORDS: dict[str, str] = {
    "ok": "measured; where some values are NaN or infinite, the figures are those of the finite ones",
    "zero": "every value is zero: nothing to compare the error with",
    "empty": "no values",
    "non-finite": "no finite value",
    "unsupported": "integers, bool, complex numbers, a single number without dimensions, or a scheme that does not fit the tensor",
    "failed": "could not be read or measured; the reason says why",
}

_IDENTITY = (
    Metric("tensor", "Tensor", "", None, f"its name in the file; {TOTAL_NAME} for the totals of a scheme"),
    Metric("kind", "Kind", "", None, "weight or activation"),
    Metric("shape", "Shape", "", None, "lengths of the dimensions, row-major"),
    Metric("dtype", "Type", "", None, "number type in the file"),
    Metric("numel", "Elements", "", None, "number of values"),
    Metric("scheme", "Scheme", "", None, "format, symmetry, grouping, range and scale as one text; defaults are left out"),
    Metric("format", "Format", "", None, "number format of the codes"),
    Metric("bits", "Bits", "bit", None, "bits per code"),
    Metric("grouping", "Grouping", "", None, "which values share one scale"),
    Metric("symmetry", "Symmetry", "", None, "sym: zero in the middle, no zero point; asym: with a zero point"),
    Metric("range", "Range", "", None, "rule that picks the largest value kept"),
    Metric("scale", "Scale type", "", None, "number type of the stored scales"),
    Metric("relative_count", "Values with a relative error", "", None, "number of x ≠ 0"),
    Metric("status", "Status", "", None, "ok, or why there are no figures"),
    Metric("reason", "Reason", "", None, "in words"),
)

DEFINITIONS: dict[str, Metric] = {name: {**{metric.name: metric for metric in _IDENTITY}, **METRICS}[name] for name in COLUMNS}
