"""What is in a Tektronix .isf file? The words of one waveform, with the byte order and rate that its preamble states.

The preamble is the text of `WFMOutpre?`, keys and values between semicolons, then `:CURVE` and a block of words or a
list of numbers. Values are the digitizer's codes; a note tells the volts of a step.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.raw_file import look_for_block
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import MAX_SAMPLES, RecordError, Samples, keep_whole, refuse_choice
from qanalysis.converters.records.source_file import HEAD_BYTES
from qanalysis.converters.records.word_types import WordType, read_words
from qanalysis.notation import quote, si

_START = re.compile(rb"\s*:?WFM[A-Z]*[:;][!-~ ]*CURV", re.IGNORECASE)
_PAIR = re.compile(r"""\s*:?(?:[A-Z]+:)*([A-Z_]+)\s+("[^"]*"|[^;]*)(?:;|$)""", re.IGNORECASE)
_KEYS = {"BYT_NR": "BYT_N", "BYT_OR": "BYT_O", "XINCR": "XIN", "YMULT": "YMU", "YUNIT": "YUN", "ENCDG": "ENC"}
_EXPORT = "save the waveform as CSV on the instrument"
_KINDS = {"RI": "i", "RP": "u", "FP": "f"}
_MOST_CELL_BYTES = 24


def is_isf(head: bytes) -> bool:
    """Whether a file begins as such a preamble does."""
    return _START.match(head) is not None


def read_isf(path: Path, reading: Reading) -> Samples:
    """The codes of the waveform, with its rate. Raises RecordError for a waveform that is cut short, an envelope (pairs
    of least and largest), and words that are not read.
    """
    place = path.name
    refuse_choice("column", reading.column, place, instead="it holds one waveform")
    refuse_choice("channel", reading.channel, place, instead="it holds one waveform")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("ascii", "replace")
    at = head.upper().index("CURV")
    keys = {
        _KEYS.get(key.upper(), key.upper()): value.strip() for key, value in _PAIR.findall(head[:at].rstrip(" :\r\n"))
    }
    if keys.get("PT_F", keys.get("PT_FMT", "Y")).upper().startswith("ENV"):
        raise RecordError(f"{place} is an envelope, pairs of the least and the largest; acquire in sample mode")
    block = look_for_block(path, before=HEAD_BYTES)
    if block is None:
        samples = _read_list(path, at, place)
    else:
        words = _read_type(keys, place)
        samples = read_words(path, words, channel=None, offset=block.offset, length=block.length)
        samples = replace(samples, notes=(block.note, *samples.notes))
    step = _read_number(keys.get("XIN"))
    return replace(samples, fs_hz=1 / step if step else None, notes=(*samples.notes, *_tell_scale(keys)))


def _read_type(keys: dict[str, str], place: str) -> WordType:
    """The type of the words, two's complement and most significant byte first where the preamble is silent."""
    count, form, order = keys.get("BYT_N", "1"), keys.get("BN_F", keys.get("BN_FMT", "RI")), keys.get("BYT_O", "MSB")
    kind = _KINDS.get(form.upper()[:2])
    if kind is None or count not in ({"4", "8"} if kind == "f" else {"1", "2", "4"}):
        raise RecordError(
            f"{place} has words of {quote(count)} bytes and form {quote(form)}, which are not read; {_EXPORT}"
        )
    return WordType(kind, 8 * int(count), big_endian=not order.upper().startswith("LSB"))


def _read_list(path: Path, at: int, place: str) -> Samples:
    """The numbers of a waveform in text. RecordError for anything else behind the preamble."""
    if path.stat().st_size > MAX_SAMPLES * _MOST_CELL_BYTES:
        raise RecordError(f"{place} is too long for a waveform in text; {_EXPORT}")
    text = path.read_bytes()[at:].decode("latin-1")
    cells = re.sub(r"^CURVE?\s*", "", text, flags=re.IGNORECASE).strip().split(",")
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        raise RecordError(f"{place} has neither a block of words nor numbers after :CURVE; {_EXPORT}") from None
    return Samples(keep_whole(values))


def _tell_scale(keys: dict[str, str]) -> tuple[Finding, ...]:
    step = _read_number(keys.get("YMU"))
    if not step:
        return ()
    unit = keys.get("YUN", "V").strip('" ') or "V"
    text = f"The samples are the digitizer's codes; one step is {si(step, unit)}, as the preamble states."
    return (Finding("vertical-scale", text, step),)


def _read_number(text: str | None) -> float | None:
    """The number above 0 that a text is; None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and 1e-300 < value < 1e300 else None
