"""Which window shows a record that is not coherent, and how many bins to each side of a tone belong to it?

Windows are periodic (one period of N + 1 points without the last). A lobe of s side bins is the 2 s + 1 bins around the
tone's; what it leaves outside leaks into the noise. Cosine sums are sum_k (-1)^k a_k cos(2 pi k t / N).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.choices import choose
from qanalysis.notation import quote

Window = Literal[
    "rectangular", "hann", "hamming", "blackman", "nuttall", "blackman-harris", "flat-top", "kaiser-38", "chebyshev-100"
]
WINDOWS: tuple[Window, ...] = get_args(Window)
COSINE_SUMS: dict[str, tuple[float, ...]] = {
    "rectangular": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackman-harris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flat-top": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
AUTOMATIC = ("blackman-harris", "kaiser-38")  # the narrower first: it weights more of the record
WIDEST_SIDE = 12  # bins; a wider lobe hides more of the spectrum than it saves
UNKNOWN_BITS = 24
_GRID = 4096  # a lobe measured in bins hardly depends on the length
LEAK_OF_NOISE = 0.01  # 0.04 dB
_LINE_OVER_NOISE = 5  # of one bin: the highest of a thousand bins of noise stands seven times above their mean
_NOTHING = 1e-12


@lru_cache(maxsize=8)
def make_window(name: str, samples: int) -> NDArray[np.float64]:
    """The window of `samples` points, read-only; ValueError for a name not in WINDOWS.

    >>> make_window("hann", 4).round(3)
    array([0. , 0.5, 1. , 0.5])
    """
    if name in COSINE_SUMS:
        turns = np.arange(samples) * (2 * np.pi / samples)
        window = np.add.reduce(
            [(-1) ** order * weight * np.cos(order * turns) for order, weight in enumerate(COSINE_SUMS[name])]
        )
    elif name == "kaiser-38":
        window = np.kaiser(samples + 1, 38.0)[:-1]
    elif name == "chebyshev-100":
        from scipy.signal.windows import chebwin

        window = chebwin(samples, 100, sym=False)
    else:
        raise ValueError(_name_windows(name))
    window.flags.writeable = False
    return np.asarray(window)


@lru_cache(maxsize=8)
def sum_window(name: str, samples: int) -> tuple[float, float]:
    """Sum and energy, the sum of squares, of a window.

    >>> sum_window("hann", 4)
    (2.0, 1.5)
    """
    window = make_window(name, samples)
    return float(window.sum()), float(np.einsum("i,i", window, window))


def check_window(name: str) -> Window | Literal["auto"]:
    """The name as a window, or "auto"; ValueError names them all."""
    return "auto" if name == "auto" else choose(name, WINDOWS, _name_windows(name))


def _name_windows(name: str) -> str:
    return f"window {quote(name)} is unknown; windows are auto, {', '.join(WINDOWS)}"


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What a window does to a tone and to noise.

    Parameters
    ----------
    coherent_gain : mean of the window: a coherent tone's height on the amplitude spectrum.
    enbw_bins : bins of noise seen by one bin, N sum w^2 / (sum w)^2.
    scallop_db : how much lower a tone half-way between two bins peaks.
    effective_share : (sum w^2)^2 / (N sum w^4): share of the samples that a noise power rests on.
    """

    coherent_gain: float
    enbw_bins: float
    scallop_db: float
    effective_share: float


@lru_cache(maxsize=32)
def describe_window(name: str) -> WindowFacts:
    """The facts of a window, taken at 4096 points.

    >>> describe_window("hann").enbw_bins.round(6)
    np.float64(1.5)
    """
    window = make_window(name, _GRID)
    squares = window**2
    half_bin = abs(window @ np.exp(1j * np.pi * np.arange(_GRID) / _GRID)) / window.sum()
    return WindowFacts(
        coherent_gain=window.mean(),
        enbw_bins=squares.mean() / window.mean() ** 2,
        scallop_db=20 * np.log10(half_bin),
        effective_share=squares.mean() ** 2 / (squares**2).mean(),
    )


@lru_cache(maxsize=64)
def measure_lobe(name: str, offset_bins: float) -> NDArray[np.float64]:
    """Share of a tone's energy by bin, (4096,); its nearest bin is 2048, and it lies `offset_bins` beside that."""
    turns = np.arange(_GRID) * (2 * np.pi * (_GRID // 2 + offset_bins) / _GRID)
    energy = np.abs(np.fft.fft(make_window(name, _GRID) * np.exp(1j * turns))) ** 2
    shares: NDArray[np.float64] = energy / energy.sum()
    return shares


@lru_cache(maxsize=64)
def measure_leakage(name: str, offset_bins: float) -> NDArray[np.float64]:
    """Share of a tone's energy outside its lobe, by side bins 0..2047, for a tone `offset_bins` beside a bin."""
    lobe, centre = measure_lobe(name, offset_bins), _GRID // 2
    # From the far bins inwards, so that small shares are sums of small numbers.
    above, below = np.cumsum(lobe[:centre:-1])[::-1], np.cumsum(lobe[:centre])[::-1]
    leakage: NDArray[np.float64] = np.append(above, 0.0) + below
    return leakage


def find_side_bins(name: str, share: float, *, offset_bins: float = 0.5) -> int | None:
    """The fewest side bins that hold all but `share` of a tone; None if only the whole spectrum does.

    >>> find_side_bins("blackman-harris", 1e-9), find_side_bins("kaiser-38", 1e-12), find_side_bins("rectangular", 1e-9)
    (8, 9, None)
    """
    enough = np.flatnonzero(measure_leakage(name, offset_bins)[:-1] <= share)
    return int(enough[0]) if enough.size else None


def choose_window(bits: int | None, samples: int = _GRID) -> tuple[str, int]:
    """Window and side bins for a tone between bins,
    so that it stays below an ideal converter's noise at full scale outside its lobe.

    All that leaks is below 1 % of the noise, and no bin of it above five times the noise of one bin, where it would
    pass for a spur. Without `bits` the resolution could be anything: 24 bits are served.

    >>> choose_window(10), choose_window(12), choose_window(16), choose_window(12, 1 << 20)
    (('blackman-harris', 4), ('blackman-harris', 10), ('kaiser-38', 9), ('kaiser-38', 9))
    """
    share = bound_leakage(bits)
    line = share / LEAK_OF_NOISE * _LINE_OVER_NOISE * 2 / samples
    for name in AUTOMATIC:
        lobe = measure_lobe(name, 0.5)
        loud = np.flatnonzero(lobe > line) - _GRID // 2
        side_bins = max(find_side_bins(name, share) or WIDEST_SIDE, int(np.abs(loud).max(initial=0)))
        if side_bins <= WIDEST_SIDE:
            break
    return name, min(side_bins, WIDEST_SIDE)


def choose_side_bins(name: str, bits: int | None, *, coherent: bool) -> int:
    """Side bins of a window that the user named; at most 12 where no lobe would do."""
    side_bins = (
        find_side_bins(name, _NOTHING, offset_bins=0.0) if coherent else find_side_bins(name, bound_leakage(bits))
    )
    return WIDEST_SIDE if side_bins is None else min(side_bins, WIDEST_SIDE)


def bound_leakage(bits: int | None) -> float:
    """1 % of the noise of an ideal converter over the power of its full-scale sine: 2^(2 bits) 3/2."""
    return float(LEAK_OF_NOISE / (1.5 * 4.0 ** (UNKNOWN_BITS if bits is None else bits)))
