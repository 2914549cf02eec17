"""What is in a record of I/Q samples? The two-sided spectrum of I + jQ, with the image and the offset of the rails.

Frequencies run from -fs/2 to fs/2; a tone that turns clockwise lies below 0. 0 dBFS is a tone whose rails are each at
full scale, |z|^2 = FSR^2/4 (for full_scale "dc" twice that), so that ENOB is that of a rail. Error is all but the tone
and DC: the image, at minus the tone's frequency, counts in SINAD and SFDR, and neither as noise nor as distortion.
Harmonics are counted at plus and at minus their multiple of the tone, both folded: the same bend in both rails puts
HD3 at minus three times the tone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.components import ON_DC, ON_TONE, Claim, Component, Shares, is_below_noise
from qanalysis.converters.spectrum.figures import Evidence, measure_figures
from qanalysis.converters.spectrum.full_scale import FullScale
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.quadrature_view import Turned, turn_record
from qanalysis.converters.spectrum.rotations import Rotation, tell_imbalance
from qanalysis.converters.spectrum.sinefit import SineFit, find_scale
from qanalysis.converters.spectrum.spectrum import Spectrum, count_noise_free, read_wishes
from qanalysis.converters.spectrum.verdicts import judge_constant, judge_view
from qanalysis.converters.spectrum.views import View, Wishes
from qanalysis.decibels import level_db
from qanalysis.notation import decibels, plain

_IMAGE_CHANCE = 1e-4  # that noise alone shows an image as high


def analyze_quadrature(
    rails: tuple[Doubles, Doubles], range_of: FullScale, options: SpectrumOptions, *, fs_hz: float | None, middle: float
) -> Spectrum:
    """The two-sided spectrum of finite rails I and Q, (samples,) each, of one unit and one range.

    `middle` is what both rails rest at without an offset. Raises ValueError for a band that holds too little.

    >>> turns = 2 * np.pi * 127 * np.arange(4096) / 4096
    >>> rails = np.rint(2047 * np.cos(turns)), np.rint(-2047 * np.sin(turns))
    >>> scale = FullScale(4096.0, -2048.0, 2048.0, 1.0, 12, "sine", "fs/2^n", ())
    >>> found = analyze_quadrature(rails, scale, SpectrumOptions(), fs_hz=None, middle=0.0)
    >>> found.cycles, round(found.enob_ieee, 1)
    (-127.0, 12.0)
    """
    wishes = read_wishes(rails[0].size, fs_hz, options, range_of.bits, two_sided=True)
    scale = max(find_scale(rail) for rail in rails)
    values = rails[0] / scale + 1j * (rails[1] / scale)
    mean = complex(values.mean())
    centred = values - mean
    turned = (
        turn_record(centred, wishes, fs_hz)
        if (centred != centred[0]).any()
        else Turned(np.zeros(values.size), "rectangular", 0, findings=judge_constant(float(rails[0][0])))
    )
    offset = mean + (turned.rotation.offset if turned.rotation else 0.0)
    return _assemble(turned, range_of, wishes, _Recording(fs_hz, scale, offset - middle / scale * (1 + 1j)))


@dataclass(frozen=True, slots=True)
class _Recording:
    """What the powers do not tell: rate, scale, and the offset of the rails from their middle over the scale."""

    fs_hz: float | None
    scale: float
    offset: complex


@dataclass(frozen=True, slots=True)
class _Lines:
    """A record's bins in a row that is cut where no line lies, so that no lobe wraps, and what lies in them.

    Place 0 is the bin `cut`. `shares` count the image among the products, `distortion` does not.
    """

    view: View
    cut: int
    shares: Shares
    distortion: Shares
    image: Claim | None

    def to_bin(self, place: int) -> int:
        """The signed number of the bin at a place."""
        samples = self.view.power.size
        return (place + self.cut + samples // 2) % samples - samples // 2


def _lay_out(turned: Turned, wishes: Wishes) -> _Lines:
    samples = turned.power.size
    multiples = list(_list_multiples(turned, wishes))
    cut = _choose_cut([0, turned.place, *(round(cycles) for _, _, cycles in multiples)], samples, wishes)
    if turned.rotation and 2 * ((turned.place - cut) % samples) == samples:
        cut += 1
    view = View(np.roll(turned.power, -cut), turned.window, turned.side_bins, turned.coherent, _fit_place(turned, cut))
    view = replace(view, findings=turned.findings)
    free = np.zeros(samples, dtype=bool)
    free[(np.arange(wishes.first, wishes.last + 1) - cut) % samples] = True
    free[-cut % samples] = False  # DC
    tone = [_claim(view, free, place) for place in view.carriers]
    claims: list[Claim] = []
    for name, order, cycles in multiples:
        place = (round(cycles) - cut) % samples
        shared = _name_owner(view, place, -cut % samples, claims)
        lobe = free[:0] if shared in {ON_DC, ON_TONE} else _claim(view, free, place)
        power = float(view.power[lobe].sum()) if len(lobe) else 0.0
        claims.append(Claim(name, order, cycles, place, power, len(lobe), shared))
    powers = [float(view.power[lobe].sum()) for lobe in tone]
    shares = Shares(
        fundamental=sum(powers),
        tones=sum(powers),
        tone_bins=sum(len(lobe) for lobe in tone),
        claims=tuple(claims),
        noise=float((view.power * free).sum()),
        noise_bins=int(np.count_nonzero(free)),
    )
    image = claims[0] if claims and not claims[0].shared else None
    return _Lines(view, cut, shares, replace(shares, claims=tuple(claims[1:])), image)


def _list_multiples(turned: Turned, wishes: Wishes) -> list[tuple[str, int, float]]:
    """Name, order and cycles (before folding) of the image, first, and of the harmonics on both sides."""
    if turned.rotation is None:
        return []
    cycles = float(turned.place) if turned.coherent else turned.rotation.cycles
    orders = range(2, wishes.options.harmonics + 1)
    sides = ((f"HD{order}{' of -f' if sign < 0 else ''}", order, sign) for order in orders for sign in (1, -1))
    return [("image", 0, -cycles), *((name, order, sign * order * cycles) for name, order, sign in sides)]


def _choose_cut(lines: list[int], samples: int, wishes: Wishes) -> int:
    """The bin at which the row begins: behind the band where it leaves some out, else in the widest gap of lines."""
    if wishes.last - wishes.first + 1 < samples:
        return wishes.last + 1
    places = np.unique(np.array(lines) % samples)
    gaps = np.diff(places, append=places[0] + samples)
    widest = int(np.argmax(gaps))
    return int(places[widest] + gaps[widest] // 2)


def _fit_place(turned: Turned, cut: int) -> tuple[SineFit, ...]:
    """The tone as a fit of its place in the row, whose power is that of both rails; the image is part of its error."""
    rotation, samples = turned.rotation, turned.power.size
    if rotation is None:
        return ()
    error = math.hypot(rotation.residual_rms, abs(rotation.image or 0.0))
    place = (turned.place - cut) % samples
    amplitude = math.sqrt(2 * rotation.power)
    return (SineFit(place / samples, amplitude, 0.0, 0.0, error, samples, 1.0, 3 if turned.coherent else 4),)


def _claim(view: View, free: NDArray[np.bool_], place: int) -> NDArray[np.intp]:
    """The free bins of a lobe, which are free no longer."""
    start = max(place - view.side_bins, 0)
    lobe = start + np.flatnonzero(free[start : place + view.side_bins + 1])
    free[lobe] = False
    return lobe


def _name_owner(view: View, place: int, rest: int, claims: list[Claim]) -> str:
    """What stands already where a line folds to: DC, the tone's lobe, the image or a harmonic."""
    if place == rest:
        return ON_DC
    if any(abs(place - carrier) <= view.side_bins for carrier in view.carriers):
        return ON_TONE
    return next((claim.name for claim in claims if claim.place == place and not claim.shared), "")


def _assemble(turned: Turned, range_of: FullScale, wishes: Wishes, recording: _Recording) -> Spectrum:
    lines, samples, fs_hz = _lay_out(turned, wishes), turned.power.size, recording.fs_hz
    rotation, full_scale = turned.rotation, range_of.power
    seen = Spectrum(
        fs_hz=fs_hz,
        samples=samples,
        coherent=turned.coherent,
        window=turned.window,
        side_bins=turned.side_bins,
        cycles=_tell_cycles(turned),
        fundamental_hz=None if fs_hz is None or rotation is None else (_tell_cycles(turned) or 0.0) * fs_hz / samples,
        iq=True,
        power=np.fft.fftshift(turned.power) * recording.scale**2,
        full_scale_power=None if full_scale is None else 2 * full_scale,
        sinefit=None if rotation is None else _describe_rail(rotation, recording, samples),
        **range_of.columns,
        **wishes.list_columns(fs_hz, widest=1.0),
    )
    reference = None if full_scale is None else 2 * full_scale / recording.scale**2
    found, evidence = _measure(seen, lines, reference, wishes)
    offset, noise = abs(recording.offset) ** 2, math.sqrt(evidence.noise / 2) * recording.scale * range_of.unit
    found = replace(
        found,
        noise_rms=noise,
        noise_free_bits=None if lines.view.fits else count_noise_free(noise, found),
        dc_dbfs=None if reference is None else level_db(offset, reference),
        harmonics=tuple(_describe(claim, lines, fs_hz) for claim in lines.distortion.claims),
    )
    found = replace(found, spur=_name_spur(found, evidence, lines), **_sum_sides(lines.distortion))
    findings = (*range_of.findings, *turned.findings, *judge_view(lines.view, found, evidence))
    return replace(found, findings=(*findings, *_judge_image(rotation, lines)))


def _tell_cycles(turned: Turned) -> float | None:
    if turned.rotation is None:
        return None
    return float(turned.place) if turned.coherent else turned.rotation.cycles


def _describe_rail(rotation: Rotation, recording: _Recording, samples: int) -> SineFit:
    """The tone of the I rail, in the record's unit and in hertz; the residual is that of both rails."""
    rate = recording.fs_hz or 1.0
    return SineFit(
        frequency_hz=rotation.cycles / samples * rate,
        amplitude=abs(rotation.tone) * recording.scale,
        phase=math.remainder(float(np.angle(rotation.tone)) + math.pi / 2, 2 * math.pi),
        offset=recording.offset.real * recording.scale,
        residual_rms=rotation.residual_rms * recording.scale,
        samples=samples,
        fs_hz=rate,
        parameters=4,
    )


def _measure(seen: Spectrum, lines: _Lines, full_scale: float | None, wishes: Wishes) -> tuple[Spectrum, Evidence]:
    """The figures with the image as an error, and the distortion without it."""
    samples = lines.view.power.size
    band = ((wishes.first - lines.cut) % samples, (wishes.last - lines.cut) % samples)
    if wishes.last - wishes.first + 1 == samples:
        band = (0, samples - 1)
    found, evidence = measure_figures(seen, lines.view, lines.shares, full_scale=full_scale, band=band)
    if found.sinad_db is None:
        return found, evidence
    bare, _ = measure_figures(seen, lines.view, lines.distortion, full_scale=full_scale, band=band)
    rotation_image = None if lines.image is None else level_db(lines.image.power, lines.shares.fundamental)
    return replace(
        found,
        thd_dbc=bare.thd_dbc,
        thd_raw_dbc=bare.thd_raw_dbc,
        thd_below_noise=bare.thd_below_noise,
        thd_ci95_db=bare.thd_ci95_db,
        image_dbc=rotation_image,
    ), evidence


def _sum_sides(distortion: Shares) -> dict[str, Any]:
    """The columns of the harmonics 2 to 6: the power at both sides over the tone's; None where one can not be told."""
    columns: dict[str, Any] = {}
    for order in range(2, 7):
        sides = [claim for claim in distortion.claims if claim.order == order]
        apart = bool(sides) and all(claim.bins for claim in sides)
        power = sum(claim.power for claim in sides)
        columns[f"hd{order}_dbc"] = level_db(power, distortion.fundamental) if apart else None
    return columns


def _describe(claim: Claim, lines: _Lines, fs_hz: float | None) -> Component:
    """A claim as a row of the harmonic table, its bin signed; one that shares its bin shows that bin's power."""
    shares, samples = lines.shares, lines.view.power.size
    owner = next((other for other in shares.claims if other.name == claim.shared), claim)
    below = is_below_noise(owner.power, owner.bins, shares, lines.view)
    readable = owner.bins > 0
    clean = owner.power - owner.bins * shares.noise_per_bin
    rate = None if fs_hz is None else fs_hz / samples
    folded = (claim.cycles + samples / 2) % samples - samples / 2
    return Component(
        name=claim.name,
        order=claim.order,
        frequency_hz=None if rate is None else claim.cycles * rate,
        alias_hz=None if rate is None else folded * rate,
        bin=lines.to_bin(claim.place),
        dbc=level_db(owner.power, shares.fundamental) if readable else None,
        corrected_dbc=level_db(clean, shares.fundamental) if readable and not below else None,
        below_noise=below,
        shared=claim.shared,
    )


def _name_spur(found: Spectrum, evidence: Evidence, lines: _Lines) -> Component | None:
    """The largest line beside the tone: the image, a harmonic, or a spur; None without a tone."""
    if evidence.spur_bin is None or found.sfdr_dbc is None:
        return None
    reach = 1 if found.side_bins else 0
    owner = next(
        (claim for claim in lines.shares.claims if claim.bins and abs(claim.place - evidence.spur_bin) <= reach),
        Claim("spur", 0, float(lines.to_bin(evidence.spur_bin)), evidence.spur_bin, 0.0, 0, ""),
    )
    level = -found.sfdr_dbc
    return replace(
        _describe(owner, lines, found.fs_hz),
        bin=lines.to_bin(evidence.spur_bin),
        dbc=level,
        corrected_dbc=None if evidence.spur_below_noise else level,
        below_noise=evidence.spur_below_noise,
    )


def _judge_image(rotation: Rotation | None, lines: _Lines) -> tuple[Finding, ...]:
    """What the rails are out of balance by, where the image stands above chance."""
    if rotation is None or lines.image is None or rotation.image is None:
        return ()
    if abs(rotation.image) ** 2 <= -math.log(_IMAGE_CHANCE) * lines.shares.noise_per_bin:
        return ()
    level = level_db(abs(rotation.image) ** 2, rotation.power)
    text = f"The image lies {decibels(-level)} below the tone: "
    if rotation.imbalance is None or not abs(rotation.imbalance):
        dead = "I" if rotation.imbalance is None else "Q"
        return (Finding("iq-imbalance", f"{text}{dead} shows nothing of the tone.", level),)
    gain, phase = tell_imbalance(rotation.imbalance)
    percent = plain(abs(abs(rotation.imbalance) - 1) * 100)
    text += (
        f"Q has {decibels(abs(gain), digits=3)} ({percent} %) {'more' if gain >= 0 else 'less'} gain than I and is "
        f"{plain(abs(phase))}° {'ahead of' if phase >= 0 else 'behind'} quadrature "
        "(I = cos θ, Q = g sin(θ + φ))."
    )
    return (Finding("iq-imbalance", text, level),)
