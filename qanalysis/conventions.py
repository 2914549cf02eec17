"""How many dB lie between two tools that both say "int4 group=128"? One tensor, one row per convention, and what each costs.

Beside the scheme asked for stand those that differ from it in one convention: the grid's ends, the scale's type, the range
rule, the rounding, or a packaged block format of the same bits and block length. Every figure is a sweep's row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.grids import SYMMETRIES
from qanalysis.quantizer import parse_rounding
from qanalysis.ranges import parse_range
from qanalysis.results import Row
from qanalysis.scheme import Scheme, parse_scale
from qanalysis.sweep import sweep

Aspect = Literal["grid", "scale", "range", "rounding", "block format"]


@dataclass(frozen=True, slots=True)
class Convention:
    """One reading of a scheme's words: what it does, who reads them so, and the row it gives.

    `cost_db` is what its SQNR lacks to the best of the comparison (0 for the best), `delta_db` what it gains over the scheme
    asked for; None where a row has no SQNR. `is_asked` marks that scheme.
    """

    aspect: Aspect
    name: str
    formula: str
    peers: str
    row: Row
    is_asked: bool = False
    cost_db: float | None = None
    delta_db: float | None = None

    @property
    def scheme(self) -> str:
        """Canonical text of the convention's scheme."""
        return self.row.scheme

    @property
    def sqnr_db(self) -> float | None:
        """The row's SQNR, infinite without any error; None where its status is not ok."""
        return self.row.sqnr_db

    @property
    def bits_per_weight(self) -> float | None:
        """The row's bits per weight, scales and zero points counted."""
        return self.row.bits_per_weight


def compare_conventions(x: ArrayLike, scheme: Scheme | str, *, axis: int = 0, name: str = "tensor") -> tuple[Convention, ...]:
    """The conventions beside `scheme` on the tensor `x`: best SQNR first, those without a figure last.

    `x` is a real array of any shape, measured as float32; `axis` is its channel axis, `name` the rows' tensor. A tensor or a
    scheme that can not be measured gives rows whose status says why. Raises ValueError for a scheme that does not parse.

    >>> best, *others = compare_conventions(np.float32([[0.9, 0.5, 0.1, -0.1]]), "int4")
    >>> best.scheme, best.cost_db, len(others)
    ('int4 range=mse', 0.0, 13)
    """
    asked = scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme)
    readings: dict[str, _Reading] = {}
    for reading in _list_readings(asked):
        readings.setdefault(str(reading.scheme), reading)
    rows = sweep(_OneTensor(name, np.asarray(x), axis), list(readings))
    best = max((row.sqnr_db for row in rows if row.sqnr_db is not None), default=None)
    base = next(row.sqnr_db for row in rows if row.scheme == str(asked))
    compared = [
        Convention(*reading[:4], row, row.scheme == str(asked), _subtract(best, row.sqnr_db), _subtract(row.sqnr_db, base))
        for row, reading in zip(rows, readings.values(), strict=True)
    ]
    return tuple(sorted(compared, key=lambda convention: math.inf if convention.cost_db is None else convention.cost_db))


def describe_spread(conventions: Sequence[Convention]) -> str:
    """One sentence: how far the readings of the same words lie apart, and what the scheme asked for costs against the best of all.

    >>> describe_spread(compare_conventions(np.float32([[0.9, 0.5, 0.1, -0.1]]), "int4"))
    'int4 spans 18.4 to 27.7 dB over 5 grids; as written it costs 0.5 dB against the best, int4 range=mse'
    """
    asked = next(convention for convention in conventions if convention.is_asked)
    known = [convention for convention in conventions if convention.cost_db is not None]
    if asked.cost_db is None or not known:
        return f"{asked.scheme}: nothing to compare, the tensor is {asked.row.status}"
    first = [convention for convention in known if convention.aspect == asked.aspect]
    ends = f"{first[-1].sqnr_db:.1f} to {first[0].sqnr_db:.1f} dB over {len(first)} {_PLURALS[asked.aspect]}"
    verdict = f"costs {asked.cost_db:.1f} dB against the best, {known[0].scheme}" if asked.cost_db else "is the best"
    return f"{asked.scheme} spans {ends}; as written it {verdict}"


_PLURALS: dict[Aspect, str] = {"grid": "grids", "scale": "scale types", "range": "range rules", "rounding": "roundings", "block format": "block formats"}


class _OneTensor(ArraySource):
    """An array under a name with the channel axis that its owner knows."""

    def __init__(self, name: str, values: np.ndarray, axis: int) -> None:
        super().__init__({name: values})
        self._axis = axis

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(replace(info, channel_axis=self._axis) for info in super().tensors)


def _subtract(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    return 0.0 if left == right else left - right  # two rows without any error are equals, where inf - inf is NaN


class _Reading(NamedTuple):
    aspect: Aspect
    name: str
    formula: str
    peers: str
    scheme: Scheme


def _list_readings(scheme: Scheme) -> Iterator[_Reading]:
    """Every reading beside the scheme, in the order of the catalogue; the scheme itself is the first of its own aspect."""
    yield from _list_grids(scheme)
    for word, formula, peers in _SCALES:
        yield _Reading("scale", f"scale {word}", formula, peers, replace(scheme, scale=parse_scale(word)))
    for word, formula, peers in _RANGES:
        yield _Reading("range", f"range {word}", formula, peers, replace(scheme, range=parse_range(word)))
    for word, formula, peers in _ROUNDINGS:
        yield _Reading("rounding", f"round {word}", formula, peers, replace(scheme, rounding=parse_rounding(word)))


def _list_grids(scheme: Scheme) -> Iterator[_Reading]:
    q, full = scheme.format.max_code, scheme.format.max_code + 1
    codes = f"codes −{full} to {q}"
    texts = {
        "sym": (f"absmax / {q}", f"step = largest |x| / {q}, codes −{q} to {q}; nothing clips", f"torch fake_quantize ±{q}, optimum-quanto"),
        "sym-full": (
            f"absmax / {q + 0.5:g}",
            f"step = largest |x| / {q + 0.5:g}, {codes}; the ends lie half a step off",
            "torchao SYMMETRIC, compressed-tensors",
        ),
        "sym-noclip": (
            f"max / {q}, −min / {full}",
            f"step = the larger of max / {q} and −min / {full}, {codes}; nothing clips",
            "torchao SYMMETRIC_NO_CLIPPING_ERR",
        ),
        "sym-clip": (f"absmax / {full}", f"step = largest |x| / {full}, {codes}; a positive one clips by a step", "fixed-point (Q format) code"),
        "asym": (
            f"(max − min) / {2 * q + 1}",
            f"step = (max − min) / {2 * q + 1}, 0 inside the range; each group stores the code of 0",
            "torchao ASYMMETRIC, compressed-tensors",
        ),
    }
    for word in dict.fromkeys((scheme.symmetry.name, *texts)):
        name, formula, peers = texts[word]
        yield _Reading("grid", f"{word}: {name}", formula, peers, replace(scheme, symmetry=SYMMETRIES[word]))


_SCALES = (
    ("float32", "the step as computed", "torch, ONNX Runtime"),
    ("float16", "the step rounded to float16", "GGUF, GPTQ and AWQ checkpoints"),
    ("bfloat16", "the step rounded to bfloat16", "torchao int4, bfloat16 checkpoints"),
    ("pow2", "the smallest power of two that covers the largest |x|", "fixed-point back ends"),
    ("pow2:source", "2^ceil(log2 absmax), divided by 2^(bits − 1)", "Sony MCT power-of-two thresholds"),
    ("pow2:library", "2^floor(log2 absmax), divided by 2^(bits − 2)", "block scales of the OCP MX formats"),
)
_RANGES = (
    ("minmax", "the group's own ends", "the default of most tools"),
    ("percentile:99.9", "99.9 % of the values, the rest clips", "ONNX Runtime, AIMET, PPQ calibration"),
    ("mse:100", "the clip of least squared error among 100", "torch HistogramObserver, PPQ, Model-Optimizer"),
)
_ROUNDINGS = (
    ("nearest-even", "to the nearest code, ties to the even one", "torch, numpy, IEEE 754"),
    ("nearest-away", "to the nearest code, ties away from zero", "round() of C, GGUF"),
    ("floor", "down to the next code: truncation", "shifts in fixed-point hardware"),
)
