"""How does one get there by hand?

Each figure of the textbook as a line of working: formula, the numbers put in, the result.
"""

from __future__ import annotations

from dataclasses import dataclass

from qanalysis.converters.noise_limits import BOLTZMANN, ROOM_KELVIN
from qanalysis.converters.textbook.textbook import Conversion, Textbook, lsb_text
from qanalysis.notation import decibels, plain, si, signed, volts


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the working, all text: what is asked, its formula, the formula with numbers, the answer.

    As text: one line with "=".
    """

    title: str
    formula: str
    substitution: str
    result: str

    def __str__(self) -> str:
        return f"{self.title}: {self.formula} = {self.substitution} = {self.result}"


def work_out(problem: Textbook) -> tuple[Step, ...]:
    """The working of a problem: the converter's figures, the rate where a time is given, then each input.

    >>> from qanalysis.converters.textbook.textbook import solve_textbook
    >>> print(work_out(solve_textbook(8, 0, 12))[2])
    Step: LSB = FS / 2^n = 12 V / 256 = 46.875 mV
    """
    time = problem.conversion_time_s
    rate = (
        ()
        if time is None
        else (Step("Conversion rate", "f = 1 / T", f"1 / {si(time, 's', digits=7)}", si(1 / time, "S/s", digits=7)),)
    )
    inputs = (step for conversion in problem.conversions for step in _convert(conversion))
    return (*_size(problem), *_relate(problem), *_noise(problem), *_limit(problem), *rate, *inputs)


def _size(problem: Textbook) -> tuple[Step, ...]:
    """Codes, full scale, step, bound of the error, top level."""
    converter = problem.converter
    lsb, top = volts(problem.step), converter.codes - 1
    divisor, count = ("2^n", converter.codes) if converter.fs_over == "2^n" else ("(2^n − 1)", top)
    plus = (" + LSB / 2", f" + {volts(problem.half_step_bound)}") if converter.transfer == "mid-rise" else ("", "")
    floor = converter.transfer == "floor"
    whole = (Step("Bound of the error (floor)", "|e| < LSB", lsb, f"{lsb}, with e from −LSB to 0"),) if floor else ()
    return (
        Step("Number of codes", "N = 2^n", f"2^{converter.bits}", f"{converter.codes} codes, 0 to {top}"),
        Step(
            "Full scale",
            "FS = high − low",
            f"{volts(converter.high)} − {_enclose(volts(converter.low))}",
            f"{volts(problem.full_scale)}, {problem.polarity}",
        ),
        Step("Step", f"LSB = FS / {divisor}", f"{volts(problem.full_scale)} / {count}", lsb),
        Step(
            "Half a step" if floor else "Bound of the error, half a step",
            "LSB / 2",
            f"{lsb} / 2",
            f"±{volts(problem.half_step_bound)}",
        ),
        *whole,
        Step(
            "Level of the top code",
            f"low + (N − 1) · LSB{plus[0]}",
            f"{volts(converter.low)} + {top} · {lsb}{plus[1]}",
            volts(problem.top_level),
        ),
    )


def _relate(problem: Textbook) -> tuple[Step, ...]:
    """The step and half of it over full scale, in ppm, percent and decibels."""
    full, share = volts(problem.full_scale), f"{volts(problem.step)} / {volts(problem.full_scale)}"
    resolution = (
        f"{si(problem.resolution_ppm, 'ppm', digits=7)} = {si(problem.relative_percent, '%', digits=7)} = "
        f"{decibels(problem.resolution_db)} of full scale"
    )
    return (
        Step("Resolution", "LSB / FS", share, resolution),
        Step(
            "Relative error, one step of full scale",
            "100 · LSB / FS",
            f"100 · {share}",
            si(problem.relative_percent, "%", digits=7),
        ),
        Step(
            "Relative error, half a step of full scale",
            "100 · (LSB / 2) / FS",
            f"100 · {volts(problem.half_step_bound)} / {full}",
            si(problem.half_relative_percent, "%", digits=7),
        ),
    )


def _noise(problem: Textbook) -> tuple[Step, ...]:
    """Rms of the error and the SNR of a full-scale sine; with 2^n - 1 steps beside what the rule would give."""
    converter = problem.converter
    rule = f"6.0206 · {converter.bits} + 1.7609"
    rms = _size_error(problem)
    if converter.fs_over == "2^n":
        return *rms, Step("Ideal SNR of a full-scale sine", "6.02 · n + 1.76 dB", rule, decibels(problem.ideal_snr_db))
    ratio, snr = (
        f"20 · log10(1.224745 · {converter.codes - 1})",
        f"{decibels(problem.ideal_snr_db)}, where {rule} = {decibels(problem.other_convention.ideal_snr_db)}",
    )
    return *rms, Step("Ideal SNR of a full-scale sine", "20 · log10(√1.5 · FS / LSB)", ratio, snr)


def _size_error(problem: Textbook) -> tuple[Step, ...]:
    """Rms of the error; for floor also its mean, and the deviation about it, which alone is noise."""
    lsb, rms = volts(problem.step), volts(problem.rms_error)
    if problem.converter.transfer != "floor":
        return (Step("RMS of the quantization error", "LSB / √12", f"{lsb} / 3.464102", rms),)
    return (
        Step("Mean of the quantization error", "−LSB / 2", f"−{lsb} / 2", volts(problem.mean_error)),
        Step("Deviation about the mean", "LSB / √12", f"{lsb} / 3.464102", volts(problem.error_deviation)),
        Step("RMS of the quantization error", "LSB / √3", f"{lsb} / 1.732051", rms),
    )


def _limit(problem: Textbook) -> tuple[Step, ...]:
    """What jitter and the sampling capacitor allow, as far as they are stated, and all limits together."""
    noise, steps = problem.noise, []
    if noise.jitter_s is not None and noise.frequency_hz is not None:
        numbers = (
            f"−20 · log10(6.283185 · {si(noise.frequency_hz, 'Hz', digits=7)} · {si(noise.jitter_s, 's', digits=7)})"
        )
        steps.append(
            Step("SNR that jitter allows", "−20 · log10(2 π · f · t)", numbers, decibels(problem.jitter_snr_db))
        )
    if noise.capacitance_f is not None and problem.thermal_noise_rms is not None:
        numbers = f"√({plain(BOLTZMANN, digits=7)} J/K · {ROOM_KELVIN:g} K / {si(noise.capacitance_f, 'F', digits=7)})"
        rms, full = volts(problem.thermal_noise_rms), volts(problem.full_scale)
        steps.append(Step("Noise of the sampling capacitor", "√(k · T / C)", numbers, rms))
        steps.append(
            Step(
                "SNR that the capacitor allows",
                "20 · log10(FS / √8 / noise)",
                f"20 · log10({full} / 2.828427 / {rms})",
                decibels(problem.thermal_snr_db),
            )
        )
    if steps:
        parts = [
            part for part in (problem.ideal_snr_db, problem.jitter_snr_db, problem.thermal_snr_db) if part is not None
        ]
        numbers = " + ".join(f"10^({signed(-part / 10, '.4f')})" for part in parts)
        result = f"{decibels(problem.limited_snr_db)}, {decibels(problem.limited_enob, 'bit')}"
        steps.append(
            Step("SNR with these limits", "−10 · log10(sum of 10^(−SNR / 10))", f"−10 · log10({numbers})", result)
        )
    return tuple(steps)


def _convert(conversion: Conversion) -> tuple[Step, ...]:
    """One input: position, code, level, error, and the relative error of the reading, which 0 V does not have."""
    converter, code = conversion.converter, conversion.code
    floor, half = converter.transfer != "mid-tread", converter.transfer == "mid-rise"
    # Two digits behind the step, so that a level can be told from its input.
    digits = max(7, len(str(converter.codes)) + 3)
    x, y, low, lsb = (
        volts(value, digits=digits)
        for value in (conversion.input, conversion.reconstructed, converter.low, converter.lsb)
    )
    spelled, position = conversion.words[0], lsb_text(conversion.position_lsb, digits=digits)
    clipped = ", clipped: the input lies outside the range" if conversion.clipped else ""
    holds = "within" if conversion.within_bound else "beyond"
    percent = conversion.relative_error_percent
    return (
        Step(f"Position of {x}", "(x − low) / LSB", f"({x} − {_enclose(low)}) / {lsb}", position),
        Step(
            f"Code of {x}",
            f"{'whole part' if floor else 'nearest whole number, halves up'}, from 0 to {converter.codes - 1}",
            f"{'floor' if floor else 'round'}({position.removesuffix(' LSB')})",
            f"{code} = {spelled.hexadecimal} = {spelled.binary}{clipped}",
        ),
        Step(
            f"Level of code {code}",
            f"y = low + {'(code + 0.5)' if half else 'code'} · LSB",
            f"{low} + {f'({code} + 0.5)' if half else code} · {lsb}",
            y,
        ),
        Step(
            "Actual error",
            "e = y − x",
            f"{y} − {_enclose(x)}",
            f"{volts(conversion.actual_error)}, {holds} the bound of {volts(converter.error_bound)}",
        ),
        Step(
            "Relative error of the reading",
            "100 · |e| / |x|",
            f"100 · {volts(abs(conversion.actual_error))} / {volts(abs(conversion.input))}",
            "not defined at 0 V" if percent is None else si(percent, "%", digits=7),
        ),
    )


def _enclose(text: str) -> str:
    """A voltage to be subtracted: negative ones in brackets."""
    return f"({text})" if text.startswith("−") else text
