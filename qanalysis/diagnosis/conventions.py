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
from qanalysis.quantizers.formats import IntegerFormat
from qanalysis.quantizers.grids import SYMMETRIES
from qanalysis.quantizers.quantizer import parse_rounding
from qanalysis.quantizers.ranges import parse_range
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep

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
    alike = [convention for convention in known if convention.aspect == asked.aspect]
    low, high, kinds = f"{alike[-1].sqnr_db:.1f}", f"{alike[0].sqnr_db:.1f}", f"{len(alike)} {_PLURALS[asked.aspect]}"
    spread = f"spans {low} to {high} dB over {kinds}" if low != high else f"gives {low} dB in {kinds}"
    cost = f"costs {asked.cost_db:.1f} dB against" if asked.cost_db >= 0.05 else "is within 0.05 dB of"
    verdict = f"{cost} the best, {known[0].scheme}" if asked.cost_db else "is the best"
    return f"{asked.scheme} {spread}; as written it {verdict}"


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
    """Every reading beside the scheme, in the order of the catalogue, those of its own aspect first."""
    packed = next((text for text, blocks in _PACKED.items() if str(scheme) in blocks), None)
    free = Scheme.parse(packed) if packed else scheme
    if packed:
        yield from _list_blocks(packed)
    if isinstance(free.format, IntegerFormat):
        yield from _list_grids(free, free.format)
    fixed = free.format.fixed
    if "scale" not in fixed:
        for scale in free.format.scales:
            yield _Reading("scale", f"scale {scale.name}", *_SCALES[scale.name], replace(free, scale=scale))
    if "range" not in fixed:
        clips = 100 if isinstance(free.format, IntegerFormat) else 20  # each costs more where levels are unequal
        search = (f"mse:{clips}", f"the clip of least squared error among {clips}", "torch HistogramObserver, PPQ, Model-Optimizer")
        for word, formula, peers in (*_RANGES, search):
            yield _Reading("range", f"range {word}", formula, peers, replace(free, range=parse_range(word)))
    if "rounding" not in fixed:
        for word, formula, peers in _ROUNDINGS:
            yield _Reading("rounding", f"round {word}", formula, peers, replace(free, rounding=parse_rounding(word)))
    yield from _list_blocks(f"{free.format} {free.grouping}")


def _list_blocks(text: str) -> Iterator[_Reading]:
    for name in _PACKED.get(text, ()):
        scheme = Scheme.parse(name)
        yield _Reading("block format", name, _BLOCKS[name], _OTHER_PEERS.get(name, scheme.format.peer), scheme)


def _list_grids(scheme: Scheme, fmt: IntegerFormat) -> Iterator[_Reading]:
    q, full = fmt.max_code, fmt.max_code + 1
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


_SCALES = {
    "float32": ("the scale as computed", "torch, ONNX Runtime"),
    "float16": ("the scale rounded to float16", "GGUF, GPTQ and AWQ checkpoints"),
    "bfloat16": ("the scale rounded to bfloat16", "torchao int4, bfloat16 checkpoints"),
    "pow2": ("the smallest power of two that covers the largest |x|", "fixed-point back ends"),
    "pow2:source": ("2^ceil(log2 absmax) over the power of two above the largest number", "Sony MCT power-of-two thresholds"),
    "pow2:library": ("2^floor(log2 absmax) over the power of two in the largest number", "block scales of the OCP MX formats"),
    "double": ("scales less their mean, in 8 bits, 256 to a second scale", "bitsandbytes compress_statistics"),
}
_RANGES = (
    ("minmax", "the group's own ends", "the default of most tools"),
    ("percentile:99.9", "99.9 % of the values, the rest clips", "ONNX Runtime, AIMET, PPQ calibration"),
)
_ROUNDINGS = (
    ("nearest-even", "to the nearest code, ties to the even one", "torch, numpy, IEEE 754"),
    ("nearest-away", "to the nearest code, ties away from zero", "round() of C, GGUF"),
    ("floor", "down to the next code: truncation", "shifts in fixed-point hardware"),
)
#: Schemes of free grouping, and the block formats that pack the same numbers in groups of the same length.
_PACKED = {
    "int4 group=32": ("gguf:q4_0", "gguf:q4_1"),
    "int5 group=32": ("gguf:q5_0", "gguf:q5_1"),
    "int8 group=32": ("gguf:q8_0", "mxint8"),
    "ternary group=256": ("gguf:tq1_0", "gguf:tq2_0"),
    "fp4_e2m1 group=32": ("mxfp4", "gguf:mxfp4"),
    "fp4_e2m1 group=16": ("nvfp4", "nvfp4:one-level", "nvfp4:one-level scale=fp8_e4m3:normal"),
    "fp6_e2m3 group=32": ("mxfp6_e2m3",),
    "fp6_e3m2 group=32": ("mxfp6_e3m2",),
    "fp8_e4m3 group=32": ("mxfp8_e4m3",),
    "fp8_e5m2 group=32": ("mxfp8_e5m2",),
}
_SIGNED_MAX, _OFFSET = (
    "float16 step = the value of largest |x| / −{0}, codes −{0} to {1}",
    "float16 step = (max − min) / {0} and a float16 minimum, codes 0 to {0}",
)
_POWER = "scale = 2^(floor(log2 absmax) − {0}), stored in 8 bits"
_BLOCKS = {
    "gguf:q4_0": _SIGNED_MAX.format(8, 7),
    "gguf:q4_1": _OFFSET.format(15),
    "gguf:q5_0": _SIGNED_MAX.format(16, 15),
    "gguf:q5_1": _OFFSET.format(31),
    "gguf:q8_0": "float16 step = largest |x| / 127, ties away from zero",
    "mxint8": f"{_POWER.format(0)}; numbers k / 64, k = −128 to 127",
    "gguf:tq1_0": "float16 scale = largest |x|, five ternary digits to a byte",
    "gguf:tq2_0": "float16 scale = largest |x|, two bits to a value",
    "mxfp4": _POWER.format(2),
    "gguf:mxfp4": f"{_POWER.format(2)}; the logarithm in float32, ties toward zero",
    "nvfp4": "E4M3 scale of a block, times one float32 scale of the tensor",
    "nvfp4:one-level": "E4M3 scale = absmax / 6, its subnormals used",
    "nvfp4:one-level scale=fp8_e4m3:normal": "E4M3 scale = absmax / 6, not below its smallest normal number",
    "mxfp6_e2m3": _POWER.format(2),
    "mxfp6_e3m2": _POWER.format(4),
    "mxfp8_e4m3": _POWER.format(8),
    "mxfp8_e5m2": _POWER.format(15),
}
_OTHER_PEERS = {"nvfp4:one-level": "the formula alone", "nvfp4:one-level scale=fp8_e4m3:normal": "torchao NVFP4Tensor, one-level"}
