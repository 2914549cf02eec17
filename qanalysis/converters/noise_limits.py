"""Which SNR can no converter pass, for reasons that are not its bits? Jitter, thermal noise; and what oversampling gains."""

from __future__ import annotations

import math

BOLTZMANN = 1.380649e-23
ROOM_KELVIN = 300.0


def jitter_snr_db(frequency_hz: float, jitter_s: float) -> float:
    """-20 log10(2 pi f t): SNR of a sine sampled with rms aperture jitter t, whatever its level; infinite without jitter.

    >>> round(jitter_snr_db(70e6, 1e-12), 2)
    67.13
    """
    if frequency_hz < 0 or jitter_s < 0:
        raise ValueError(f"jitter {jitter_s} s at {frequency_hz} Hz: both are 0 or more")
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


def shaping_gain_db(osr: float, order: int) -> float:
    """What oversampling by `osr` and order-L noise shaping add to the SNR: (20 L + 10) log10 OSR - 10 log10(pi^2L / (2L + 1)).

    The formula takes (pi f / fs)^2L for |2 sin(pi f / fs)|^2L, so it is the limit of large `osr`. ValueError for OSR below 1, L below 0.

    >>> round(shaping_gain_db(64, 2), 2)
    77.41
    """
    if osr < 1 or order < 0:
        raise ValueError(f"oversampling {osr} with shaping of order {order}: needs a ratio of 1 or more and an order of 0 or more")
    return (20 * order + 10) * math.log10(osr) - 10 * math.log10(math.pi ** (2 * order) / (2 * order + 1))
