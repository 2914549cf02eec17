"""Which lines of a spectrum are harmonics or mixing products, where do they fold to, and do they rise above the noise?

Orders 2..n of each tone, and for two tones the products of orders 2 and 3 (IMD2, IMD3). Each bin is counted once, for
the first that claims it; a line on DC or on a tone can not be told from it and is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.spectrum.coherence import fold_cycles
from qanalysis.converters.spectrum.views import View
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.decibels import level_db

ComponentKind = Literal["harmonic", "product", "spur"]
#: What may own the bin of a line besides another line.
ON_DC, ON_TONE = "DC", "the tone"
_SPUR, _MOST_SPURS = 25.0, 4  # times the mean noise of a bin: noise stands as high once in 10^11 bins
_DISTURBED = 3  # lobes to each side of a line that is none of one bin


@dataclass(frozen=True, slots=True)
class Component:
    """One harmonic, mixing product or spur.

    Parameters
    ----------
    name : "HD3", "HD3 of f2", "IMD3 2f1-f2"; of what is no distortion "spur", "drift", "hum", "slow line", "settling",
        "AM sideband", "PM sideband".
    order : of the distortion; 0 for a spur.
    frequency_hz : where it lies before sampling; alias_hz : where it shows; bin : the nearest bin. Both frequencies are
        None without a sample rate.
    dbc : power found in its bins over the tone's, in dB; None where it can not be told apart.
    corrected_dbc : the same without the noise that these bins hold; None where it does not rise above the noise (95 %).
    below_noise : whether it does not.
    shared : "", "DC", "the tone" or the name of the component that owns its bin.
    """

    name: str
    order: int
    frequency_hz: float | None
    alias_hz: float | None
    bin: int
    dbc: float | None
    corrected_dbc: float | None
    below_noise: bool
    shared: str = ""

    @property
    def kind(self) -> ComponentKind:
        """Harmonic of a tone, product of two, or spur: by the order and the name, which are all that a file keeps."""
        if self.order == 0:
            return "spur"
        return "product" if self.name.startswith("IMD") else "harmonic"

    @property
    def owner(self) -> str | None:
        """Name of the line that owns the bin of this one; None where it is its own, or DC's or a tone's."""
        return None if self.shared in {"", ON_DC, ON_TONE} else self.shared


@dataclass(frozen=True, slots=True)
class Claim:
    """A component with the bins that are its own: power found, number of bins."""

    name: str
    order: int
    cycles: float
    place: int
    power: float
    bins: int
    shared: str


@dataclass(frozen=True, slots=True)
class Shares:
    """How a band's power divides: tones, claimed components, and the rest, which is noise.

    `fundamental` is the power of the strongest tone, `tones` of all; `tone_bins` and `noise_bins` count the band's
    bins. `disturbed` and `disturbed_bins` are the part of the noise in bins that hold lines as well.
    """

    fundamental: float
    tones: float
    tone_bins: int
    claims: tuple[Claim, ...]
    noise: float
    noise_bins: int
    disturbed: float = 0.0
    disturbed_bins: int = 0

    @property
    def owned(self) -> tuple[Claim, ...]:
        """The components that have bins of their own."""
        return tuple(claim for claim in self.claims if claim.bins)

    @property
    def products(self) -> float:
        """Power found in the bins of all components."""
        return float(sum(claim.power for claim in self.owned))

    @property
    def product_bins(self) -> int:
        """How many bins these are."""
        return sum(claim.bins for claim in self.owned)

    @property
    def lines(self) -> float:
        """Power of the lines among the noise."""
        return max(self.disturbed - self.disturbed_bins * self.noise_per_bin, 0.0)

    @property
    def noise_per_bin(self) -> float:
        """Mean noise of one bin, those left out that hold lines as well; 0 where every bin is taken."""
        bins = self.noise_bins - self.disturbed_bins
        if bins <= 0:
            return self.noise / self.noise_bins if self.noise_bins else 0.0
        return max(self.noise - self.disturbed, 0.0) / bins


def share_power(view: View, first: int, last: int, harmonics: int, *, disturbed: Sequence[int] = ()) -> Shares:
    """Divide the bins first..last between tones, harmonics up to order `harmonics`, mixing products, and noise;
    without a tone all is noise. Around the bins `disturbed` the noise of one bin can not be read.
    """
    free = np.zeros(view.power.size, dtype=bool)
    free[first : last + 1] = True
    tones = [_claim_lobe(view, free, place) for place in view.carriers]
    claims: list[Claim] = []
    for name, order, cycles in _list_products(view, harmonics) if view.fits else ():
        place = round(fold_cycles(cycles, view.samples))
        shared = _name_owner(view, place, claims)
        lobe = free[:0] if shared in {ON_DC, ON_TONE} else _claim_lobe(view, free, place)
        claims.append(
            Claim(name, order, cycles, place, float(view.power[lobe].sum()) if len(lobe) else 0.0, len(lobe), shared)
        )
    powers = [float(view.power[lobe].sum()) for lobe in tones]
    noise, noise_bins = view.power * free, int(np.count_nonzero(free))
    total = float(noise.sum())
    taken = [_claim_lobe(view, free, place, width=_DISTURBED) for place in disturbed]
    taken += _find_spurs(view, free, noise, taken)
    return Shares(
        fundamental=powers[0] if powers else 0.0,
        tones=sum(powers),
        tone_bins=sum(len(lobe) for lobe in tones),
        claims=tuple(claims),
        noise=total,
        noise_bins=noise_bins,
        disturbed=float(sum(view.power[lobe].sum() for lobe in taken)),
        disturbed_bins=sum(len(lobe) for lobe in taken),
    )


def _find_spurs(
    view: View, free: NDArray[np.bool_], noise: Doubles, taken: list[NDArray[np.intp]]
) -> list[NDArray[np.intp]]:
    """The lobes of the largest lines among the noise (bins,), which it can not be; `taken` are known already."""
    noise[np.concatenate([*taken, np.empty(0, np.intp)])] = 0.0
    found: list[NDArray[np.intp]] = []
    total, bins = float(noise.sum()), int(np.count_nonzero(free))
    for _ in range(_MOST_SPURS):
        place = int(np.argmax(noise))
        if noise[place] * bins <= _SPUR * total:
            break
        lobe = _claim_lobe(view, free, place)
        total, bins = max(total - float(noise[lobe].sum()), 0.0), bins - len(lobe)
        noise[lobe] = 0.0
        found.append(lobe)
    return found


def _list_products(view: View, harmonics: int) -> Iterator[tuple[str, int, float]]:
    """Name, order and cycles (before folding) of every product counted."""
    first, *others = view.cycles
    for order in range(2, harmonics + 1):
        yield f"HD{order}", order, order * first
    for second in others:
        for name, order, cycles in (
            ("IMD2 f2-f1", 2, second - first),
            ("IMD2 f1+f2", 2, first + second),
            ("IMD3 2f1-f2", 3, 2 * first - second),
            ("IMD3 2f2-f1", 3, 2 * second - first),
            ("IMD3 2f1+f2", 3, 2 * first + second),
            ("IMD3 2f2+f1", 3, 2 * second + first),
        ):
            yield name, order, abs(cycles)
        for order in range(2, harmonics + 1):
            yield f"HD{order} of f2", order, order * second


def _claim_lobe(view: View, free: NDArray[np.bool_], place: int, *, width: int = 1) -> NDArray[np.intp]:
    """The free bins of a lobe, or of so many beside each other, which are free no longer."""
    reach = width * (view.side_bins + 1) - 1
    start = max(place - reach, 0)
    lobe = start + np.flatnonzero(free[start : place + reach + 1])
    free[lobe] = False
    return lobe


def _name_owner(view: View, place: int, claims: list[Claim]) -> str:
    """What already stands where a line folds to: DC (bin 0), a tone's lobe, or a component's bin."""
    if place == 0:
        return ON_DC
    if any(abs(place - carrier) <= view.side_bins for carrier in view.carriers):
        return ON_TONE
    return next((claim.name for claim in claims if claim.place == place and not claim.shared), "")


def describe_claim(claim: Claim, shares: Shares, view: View, fs_hz: float | None) -> Component:
    """A claim as a row of the harmonic table; a line that shares its bin shows the power of that bin."""
    owner = next((other for other in shares.claims if other.name == claim.shared), claim)
    below = is_below_noise(owner.power, owner.bins, shares, view)
    clean = owner.power - owner.bins * shares.noise_per_bin
    readable = owner.bins > 0
    return Component(
        name=claim.name,
        order=claim.order,
        frequency_hz=None if fs_hz is None else claim.cycles * fs_hz / view.samples,
        alias_hz=None if fs_hz is None else fold_cycles(claim.cycles, view.samples) * fs_hz / view.samples,
        bin=claim.place,
        dbc=level_db(owner.power, shares.fundamental) if readable else None,
        corrected_dbc=level_db(clean, shares.fundamental) if readable and not below else None,
        below_noise=below,
        shared=claim.shared,
    )


def find_harmonic(lines: Sequence[Component], order: int) -> float | None:
    """The power found of the harmonic HD`order` over the tone's, dBc;
    None where it was not counted or can not be told apart.
    """
    return next((line.dbc for line in lines if line.order == order), None)


def is_below_noise(power: float, bins: int, shares: Shares, view: View) -> bool:
    """Whether noise alone shows so much power in so many bins once in twenty times.

    Mean powers of bins have an F distribution, with two degrees of freedom for each independent one on either side; of
    a window's lobe about bins/ENBW are independent. Where no bin is left to tell the noise, nothing is above it.
    """
    from scipy.special import fdtri

    if bins == 0 or shares.noise_bins == 0:
        return True
    own = 2 * max(bins / describe_window(view.window).enbw_bins, 1.0) * view.records
    others = max(2 * shares.noise_bins * view.evidence, 1.0)
    return bool(power <= bins * shares.noise_per_bin * fdtri(own, others, 0.95))
