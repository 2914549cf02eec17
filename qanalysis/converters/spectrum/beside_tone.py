"""What stands beside the tone of a view, and by which names and findings is it told?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.components import Component
from qanalysis.converters.spectrum.disturbances import Disturbance, Scene
from qanalysis.converters.spectrum.modulation import find_modulation
from qanalysis.converters.spectrum.slow_lines import find_slow_content
from qanalysis.converters.spectrum.thinning import FEWEST_BLOCKS, choose_blocks, thin_residual
from qanalysis.converters.spectrum.views import View
from qanalysis.converters.spectrum.windows import describe_window, make_window
from qanalysis.notation import count, decibels, in_percent, plain, si

MAINS_HZ = (50.0, 60.0, 100.0, 120.0, 400.0)
_NEAR_MAINS, _DOUBT = 0.02, 0.032
_LOOPS = "It counts as error; look for loops of ground and supply."
_MANY_LINES = 16  # the tone, its harmonics, spurs
_GRID = 4096
_NEAREST_END = 24  # periods: sidebands of 12 are then no images of each other
_SLOWER_THAN_RECORD = 0.9
_CODES = {
    "drift": "drift",
    "line": "hum",
    "settling": "settling",
    "amplitude": "amplitude-modulation",
    "phase": "phase-modulation",
}
_NAMES = {
    "drift": "drift",
    "settling": "settling",
    "amplitude": "AM sideband",
    "phase": "PM sideband",
    "beside": "spur",
}


@dataclass(frozen=True, slots=True)
class Scales:
    """In which units disturbances are told: the record's scale, "LSB" or nothing, and the sample rate."""

    scale: float
    unit: str
    fs_hz: float | None
    samples: int

    def tell_size(self, size: float) -> str:
        """A size of the residual in the record's unit."""
        return f"{plain(abs(size) * self.scale)} {self.unit or 'units of the record'}"

    def tell_rate(self, cycles: float) -> str:
        """Periods per record, in hertz too where the rate is known."""
        periods = f"{plain(cycles)} periods in the record"
        return periods if self.fs_hz is None else f"{si(cycles * self.fs_hz / self.samples, 'Hz')} ({periods})"

    def tell_time(self, samples: float) -> str:
        """A number of samples, as a time too where the rate is known."""
        told = count(round(samples), "samples") if samples >= 2 else f"{plain(samples)} samples"
        return told if self.fs_hz is None else f"{told} ({si(samples / self.fs_hz, 's')})"


def find_disturbances(view: View) -> tuple[Disturbance, ...]:
    """Slow content and modulation beside the tones of a view, the slow ones first; nothing of short records.

    Modulation is looked for beside one tone of one record that is far enough from both ends of the spectrum; of
    several records the first is looked into.
    """
    residual, blocks = view.residual, choose_blocks(view.power.size * 2 - 2)
    if residual is None or blocks is None or not view.fits:
        return ()
    fit = view.fits[0]
    edge = int(min(fit.cycles, view.samples / 2 - fit.cycles))
    thinned, turned = thin_residual(residual, fit, blocks)
    window = None
    if view.window != "rectangular":
        window = make_window(view.window, _GRID)[(thinned.times * _GRID).astype(np.intp)]
    scene = Scene(residual, [fit.cycles for fit in view.fits], window, view.side_bins)
    slow = find_slow_content(scene, thinned)
    near = edge < _NEAREST_END or (slow and edge < FEWEST_BLOCKS)  # slow content reaches that far
    alone = len(view.fits) == 1 and view.records == 1 and not near
    found = (*slow, *(find_modulation(scene, fit, turned) if alone else ()))
    return tuple(one for one in found if one.kind == "settling" or _stands_out(view, one))


def _stands_out(view: View, one: Disturbance) -> bool:
    """Whether few other lines are as high: the rounding of a sine without noise makes many, everywhere."""
    inner = view.power[1:-1]
    higher = inner > one.height / describe_window(view.window).enbw_bins
    higher &= (inner >= view.power[:-2]) & (inner > view.power[2:])
    return int(np.count_nonzero(higher)) <= _MANY_LINES


def name_line(found: Disturbance, fs_hz: float | None, samples: int) -> str:
    """What the largest line of a disturbance is called; a slow line at a frequency of the mains is hum."""
    if found.kind != "line":
        return _NAMES[found.kind]
    frequency = None if fs_hz is None else found.cycles * fs_hz / samples
    return "hum" if frequency is not None and is_mains(frequency) else "slow line"


def is_mains(frequency_hz: float, doubt_hz: float = 0.0) -> bool:
    """Whether a line lies within 2 %, or its doubt, of 50, 60, 100, 120 or 400 Hz, and is known to 3.2 %: the bins of
    a record of 16 periods or more.

    >>> is_mains(49.9), is_mains(55.0), is_mains(50.0, doubt_hz=3.0)
    (True, False, False)
    """
    return any(
        abs(frequency_hz - mains) <= max(_NEAR_MAINS * mains, doubt_hz) and doubt_hz <= _DOUBT * mains
        for mains in MAINS_HZ
    )


def judge_disturbances(found: tuple[Disturbance, ...], scales: Scales) -> tuple[Finding, ...]:
    """A finding for each disturbance that has a name, the first of each kind alone."""
    findings = {_CODES[one.kind]: _judge(one, scales) for one in reversed(found) if one.kind in _CODES}
    return tuple(reversed(findings.values()))


def judge_spur(spur: Component | None, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Hum that is the largest line of all and not among the slow ones, which tell it themselves."""
    if spur is None or spur.name != "hum" or spur.alias_hz is None or any(one.code == "hum" for one in findings):
        return ()
    text = f"The largest line beside the tone is hum, at {si(spur.alias_hz, 'Hz')}. {_LOOPS}"
    return (Finding("hum", text, float(spur.bin)),)


def _judge(one: Disturbance, scales: Scales) -> Finding:
    code = _CODES[one.kind]
    if one.kind == "drift":
        text = (
            f"The record drifts by {scales.tell_size(one.size)} peak to peak beside the tone. It counts as error; "
            "let the source warm up, or couple it by AC."
        )
        return Finding(code, text, one.size * scales.scale)
    if one.kind == "line":
        name = name_line(one, scales.fs_hz, scales.samples)
        what = "Hum" if name == "hum" else "A slow line"
        text = (
            f"{what} of amplitude {scales.tell_size(one.size)} at {scales.tell_rate(one.cycles)} lies beside the tone."
        )
        return Finding(code, f"{text} It counts as error; look for loops of ground and supply.", one.cycles)
    if one.kind == "settling":
        text = (
            f"The record starts {scales.tell_size(one.size)} off and settles with a time constant of "
            f"{scales.tell_time(one.time_constant)}; from sample {one.until:,} on that is below the noise. "
            f"It counts as error: cut the first {one.until:,} samples."
        )
        return Finding(code, text, one.until)
    rate = scales.tell_rate(one.cycles) if one.cycles >= _SLOWER_THAN_RECORD else "less than one period in the record"
    side = float(20 * np.log10(one.size / 2))
    depth = in_percent(one.size, ".3g") if one.kind == "amplitude" else f"{plain(one.size)} rad"
    text = (
        f"The tone's {one.kind} is modulated by {depth} at {rate}: sidebands of {decibels(side, 'dBc', digits=1)} "
        "each. They count as error."
    )
    return Finding(code, text, one.size)
