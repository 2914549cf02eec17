"""Is a record better than its converter can be? An ENOB beyond the width is the sign of a wrong width or column."""

from __future__ import annotations

import math

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.notation import decibels, plain

_FEW_STEPS = 8  # peak of a sine in LSB, below which its rounding follows its shape
# Bits by which the rounding of a sine without noise, which is no noise, may lie below q^2/12.
_ROOM, _ROOM_OF_FEW = 0.1, 0.5
_RAILS = 0.5  # bit: two rails hold the power of two converters


def find_flattery(record: Record, spectrum: Spectrum) -> list[Finding]:
    """An ENOB whose 95 % interval lies above the width by more than what is known to raise it.

    The mean of R records laid in phase has log2(R)/2 bits more, a band of 1/osr of the spectrum log2(osr)/2, I/Q
    samples up to half a bit. In a band the whole spectrum must have more bits than the width too: a converter that
    shapes its noise, and the lines of a rounded sine, have more than log2(osr)/2, and the rest beside the band.
    """
    bits, enob, ci95 = record.bits, spectrum.enob_ieee, spectrum.enob_ci95
    if bits is None or enob is None or ci95 is None:
        return []
    osr = spectrum.osr or 1.0
    averaged = math.log2(spectrum.records or 1) / 2 if spectrum.average == "coherent" else 0.0
    gained = averaged + math.log2(osr) / 2 + (_RAILS if record.quadrature is not None else 0.0)
    steps = 2.0 ** (bits - 1) * 10 ** ((spectrum.level_dbfs or 0.0) / 20)
    room = _ROOM if steps >= _FEW_STEPS else _ROOM_OF_FEW
    if not ci95[0] > bits + gained + room:
        return []
    if osr > 1 and not _measure_whole(spectrum, bits) > bits + averaged + room:
        return []
    reasons = [
        *([f"{spectrum.records} records laid in phase"] if averaged else []),
        *([f"a band of 1/{plain(osr)} of the spectrum"] if osr > 1 else []),
    ]
    more = f" with the {plain(gained, digits=2)} bit that {' and '.join(reasons)} explain" if reasons else ""
    text = (
        f"ENOB is {decibels(enob, 'bit')} (95 %: from {decibels(ci95[0], 'bit')}), more than the {bits} bits of the "
        f"converter can give{more}. State the width or the range; were the samples averaged or filtered?"
    )
    return [Finding("enob-above-width", text, enob)]


def _measure_whole(spectrum: Spectrum, bits: int) -> float:
    """ENOB of the whole spectrum by sine fit, IEEE 1241; inf without a residual or a step."""
    if spectrum.sinefit is None or not spectrum.sinefit.residual_rms or spectrum.lsb is None:
        return math.inf
    return bits + math.log2(spectrum.lsb / math.sqrt(12) / spectrum.sinefit.residual_rms)
