"""Which SNR can no converter pass, for reasons that are not its bits? Jitter and thermal noise, alone and together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qanalysis.notation import plain, si

BOLTZMANN = 1.380649e-23
ROOM_KELVIN = 300.0


def jitter_snr_db(frequency_hz: float, jitter_s: float) -> float:
    """-20 log10(2 pi f t): SNR of a sine sampled with rms aperture jitter t,
    whatever its level; infinite without jitter.

    >>> round(jitter_snr_db(70e6, 1e-12), 2)
    67.13
    """
    if frequency_hz < 0 or jitter_s < 0:
        raise ValueError(f"jitter {si(jitter_s, 's')} at {si(frequency_hz, 'Hz')}: both are 0 or more")
    return -20 * math.log10(2 * math.pi * frequency_hz * jitter_s) if frequency_hz * jitter_s else math.inf


def thermal_noise_rms(capacitance_f: float, *, kelvin: float = ROOM_KELVIN) -> float:
    """sqrt(kT/C), in volts: noise that a sampling capacitor keeps.

    >>> round(thermal_noise_rms(1e-12) * 1e6, 1)
    64.4
    """
    if not (capacitance_f > 0 and kelvin > 0):
        raise ValueError(f"capacitance {capacitance_f} F at {kelvin} K: both are above 0")
    return math.sqrt(BOLTZMANN * kelvin / capacitance_f)


def thermal_snr_db(full_scale_v: float, capacitance_f: float, *, kelvin: float = ROOM_KELVIN) -> float:
    """FSR^2 C / (8 kT) in dB: a full-scale sine of `full_scale_v` peak to peak over the kT/C noise.

    >>> round(thermal_snr_db(1.0, 1e-12), 2)
    74.8
    """
    if not full_scale_v > 0:
        raise ValueError(f"full scale {full_scale_v} V is not above 0")
    return 20 * math.log10(full_scale_v / math.sqrt(8) / thermal_noise_rms(capacitance_f, kelvin=kelvin))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSources:
    """What disturbs a converter beside its steps; None where it is not stated.

    Parameters
    ----------
    jitter_s, frequency_hz : rms aperture jitter and the frequency of the sine that it acts on; they go together.
    capacitance_f : of the sampling capacitor, at 300 K.

    Raises
    ------
    ValueError : one of jitter and frequency without the other, a value that is not finite or not above 0, jitter that
        shifts the phase of the sine by a radian or more.
    """

    jitter_s: float | None = None
    frequency_hz: float | None = None
    capacitance_f: float | None = None

    def __post_init__(self) -> None:
        if (self.jitter_s is None) != (self.frequency_hz is None):
            given = "a jitter without a frequency" if self.frequency_hz is None else "a frequency without a jitter"
            raise ValueError(
                f"{given}: what jitter costs depends on the frequency of the sine, "
                "-20 log10(2 pi f t); give both or neither"
            )
        for name, value, unit, example in (
            ("jitter", self.jitter_s, "s", "1e-12"),
            ("frequency", self.frequency_hz, "Hz", "1e6"),
            ("capacitance", self.capacitance_f, "F", "1e-12"),
        ):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(
                    f"{name} {si(value, unit)}: needs a finite value above 0, such as {example}; or leave it out"
                )
        if self.jitter_s is not None and self.frequency_hz is not None:
            phase = 2 * math.pi * self.frequency_hz * self.jitter_s
            if not 0 < phase < 1:
                raise ValueError(
                    f"jitter {si(self.jitter_s, 's')} at frequency {si(self.frequency_hz, 'Hz')}: shifts the "
                    f"phase by {plain(phase)} "
                    "radians, and the formula holds for much less than one; give a jitter far below 1 / (2 pi f), "
                    "such as 1e-12"
                )

    @property
    def jitter_snr_db(self) -> float | None:
        """The SNR that jitter allows, None without jitter."""
        if self.jitter_s is None or self.frequency_hz is None:
            return None
        return jitter_snr_db(self.frequency_hz, self.jitter_s)

    @property
    def thermal_noise_rms(self) -> float | None:
        """The kT/C noise in volts, None without a capacitor."""
        return None if self.capacitance_f is None else thermal_noise_rms(self.capacitance_f)

    def thermal_snr_db(self, full_scale_v: float) -> float | None:
        """A sine over the range over the kT/C noise, None without a capacitor."""
        return None if self.capacitance_f is None else thermal_snr_db(full_scale_v, self.capacitance_f)


NO_NOISE = NoiseSources()


def combine_snr_db(*parts_db: float) -> float:
    """The SNR of several independent noises together: their powers add.

    >>> round(combine_snr_db(60, 60), 2), combine_snr_db(60, math.inf)
    (56.99, 60.0)
    """
    # Counted from the worst, so that no power overflows.
    worst = min(parts_db)
    return worst - 10 * math.log10(math.fsum(10 ** ((worst - part) / 10) for part in parts_db))
