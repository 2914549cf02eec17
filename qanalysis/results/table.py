"""What comes out: one row per tensor and scheme, and a total row per scheme. The field order of `Row` is the column contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["ok", "zero", "empty", "non-finite", "unsupported", "failed"]
TOTAL_NAME = "(all)"


@dataclass(frozen=True, slots=True)
class Row:
    """The error of one tensor under one scheme; figures are None where `status` is not ok. Units are in the names."""

    tensor: str
    kind: str
    shape: str
    dtype: str
    numel: int
    scheme: str
    format: str
    bits: int
    grouping: str
    symmetry: str
    range: str
    scale: str
    bits_per_weight: float | None = None
    size_bytes: int | None = None
    step_min: float | None = None
    step_mean: float | None = None
    step_max: float | None = None
    half_step_bound: float | None = None
    max_abs_error: float | None = None
    mean_abs_error: float | None = None
    bias: float | None = None
    mse: float | None = None
    rmse_in_steps: float | None = None
    sqnr_db: float | None = None
    sqnr_ac_db: float | None = None
    enob: float | None = None
    relative_l2: float | None = None
    mean_relative_error: float | None = None
    relative_count: int | None = None
    cosine: float | None = None
    error_signal_correlation: float | None = None
    clipped_fraction: float | None = None
    zeroed_fraction: float | None = None
    rounding_share: float | None = None
    clipping_share: float | None = None
    shannon_gap_db: float | None = None
    wasted_bits: float | None = None
    theory_sqnr_db: float | None = None
    non_finite: int | None = None
    status: Status = "ok"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Column name to value, in the order of the contract; None for null."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS: tuple[str, ...] = tuple(column.name for column in fields(Row))
INTEGER_COLUMNS = ("numel", "bits", "size_bytes", "relative_count", "non_finite")
TEXT_COLUMNS = ("tensor", "kind", "shape", "dtype", "scheme", "format", "grouping", "symmetry", "range", "scale", "status", "reason")


class SourceIdentity:
    """Which input the rows came from: its label (never an absolute path), its size in bytes, its content's digest.

    `digest` may be given as a function, called when someone first asks: only what leaves the program needs it, and it reads
    the whole input. It is None where the sweep was cancelled or the input can no longer be read as it was.
    """

    __slots__ = ("_digest", "path", "size")

    def __init__(self, path: str, size: int, digest: str | Callable[[], str | None] | None) -> None:
        self.path = path
        self.size = size
        self._digest = digest

    @property
    def digest(self) -> str | None:
        """The hash of the input's content, "sha256:...", or None."""
        if callable(self._digest):
            self._digest = self._digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceIdentity) and (self.path, self.size, self.digest) == (other.path, other.size, other.digest)

    def __hash__(self) -> int:
        return hash((self.path, self.size))

    def __repr__(self) -> str:
        return f"SourceIdentity(path={self.path!r}, size={self.size}, digest={self._digest!r})"


@dataclass(frozen=True)
class Rows(Sequence[Row]):
    """A finished (or cancelled: `complete` is false) sweep: rows, one total per scheme, and what they were made from."""

    rows: tuple[Row, ...]
    totals: tuple[Row, ...]
    source: SourceIdentity
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    complete: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, in column order."""
        return [row.to_dict() for row in self.rows]

    def totals_to_dicts(self) -> list[dict[str, Any]]:
        """The total rows as plain dictionaries."""
        return [row.to_dict() for row in self.totals]

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a table: nullable integers for counts, float64 (NaN for null, inf for no error), text."""
        return _to_frame(self.to_dicts())

    def totals_to_pandas(self) -> pd.DataFrame:
        """The total rows as a table."""
        return _to_frame(self.totals_to_dicts())


def _to_frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd  # slow to import, and not every caller wants a table

    frame = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    kinds: dict[str, Any] = {name: "float64" for name in COLUMNS if name not in TEXT_COLUMNS}
    kinds |= dict.fromkeys(INTEGER_COLUMNS, "Int64")
    return frame.astype(kinds)
