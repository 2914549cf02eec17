"""How is a number or a name written for people? One spelling for charts, tables, pages, terminal and worked steps.

Minus is the true minus sign, infinity its sign, a dash stands for what does not exist. SI prefixes come with a unit
only: a number without one is plain, or a power of ten where its zeros would have to be counted.
"""

from __future__ import annotations

import math
import re

NOTHING = "–"
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_WITHOUT_PREFIX = {"%", "ppm"}
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
#: Powers of ten of the SI prefixes, in every spelling that people type; "" for none.
PREFIX_POWERS = {prefix: power for power, prefix in _PREFIXES.items()} | {"u": -6, "\u03bc": -6, "K": 3}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(\S*)")
_SPELLINGS = {"Hz": ("hz", "s/s", "sa/s", "sps")}
_DECIMALS = {"dB": 2, "bit": 2, "LSB": 2}


def true_minus(text: str) -> str:
    """A formatted number, or several, with true minus signs and with words of infinity and NaN as people write them.

    >>> true_minus("-2.5 to inf"), true_minus("nan")
    ('−2.5 to ∞', 'n/a')
    """
    return text.replace("-", "−").replace("inf", "∞").replace("nan", "n/a")


def plain(value: float, *, digits: int = 3) -> str:
    """A number without a unit, `digits` significant digits: plain from 0.001 to below a million, else with a power of
    ten.

    >>> plain(0.0572), plain(-1.5), plain(3.2e-7), plain(1_234_567), plain(0)
    ('0.0572', '−1.5', '3.2·10⁻⁷', '1.23·10⁶', '0')
    """
    if not math.isfinite(value):
        return true_minus(str(value))
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0 or 1e-3 <= abs(rounded) < 1e6:
        return true_minus(f"{rounded:.{max(digits, len(str(int(abs(rounded)))))}g}")
    mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{true_minus(mantissa)}·10{str(int(power)).translate(_SUPERSCRIPTS)}"


def si(value: float, unit: str = "", *, digits: int = 3) -> str:
    """A number with `digits` significant digits and its unit, an SI prefix between them.

    Without a unit, and with one that takes no prefix (%, ppm), the number is written as `plain` does.

    >>> si(0.00134, "V"), si(2_400_000, "B"), si(0), si(0.0572, "%"), si(float("inf"), "dB")
    ('1.34 mV', '2.4 MB', '0', '0.0572 %', '∞ dB')
    """
    if not unit or unit in _WITHOUT_PREFIX:
        return f"{plain(value, digits=digits)} {unit}".rstrip()
    if not math.isfinite(value):
        return f"{true_minus(str(value))} {unit}"
    rounded = float(f"{value:.{digits}g}")
    power = 3 * math.floor(math.log10(abs(rounded)) / 3) if rounded else 0
    if power not in _PREFIXES:
        return f"{plain(value, digits=digits)} {unit}"
    return f"{true_minus(f'{rounded / 10.0**power:.{digits}g}')} {_PREFIXES[power]}{unit}"


def parse_quantity(text: str, unit: str) -> float:
    """A number as people type it, with or without an SI prefix and its unit; rates may be in S/s, Sa/s or sps too.

    The case of a prefix tells milli from mega, that of a unit tells nothing. `nan` and `inf` are numbers here. Raises
    ValueError for another unit, an unknown prefix, a decimal comma and what is no number.

    >>> parse_quantity("1MHz", "Hz"), parse_quantity("48k", "Hz"), parse_quantity("1650 mV", "V")
    (1000000.0, 48000.0, 1.65)
    """
    word = text.strip()
    if word.lstrip("+-").lower() in {"nan", "inf", "infinity"}:
        return float(word)
    match = _QUANTITY.fullmatch(word)
    example = f"1.5, 1.5e3, 1.5 k{unit} or 1.5k"
    if match is None:
        raise ValueError(f"{quote(text)} is no number with a unit; write it as {example}")
    tail = next((tail for tail in _SPELLINGS.get(unit, (unit.lower(),)) if match[2].lower().endswith(tail)), "")
    prefix = match[2][: len(match[2]) - len(tail)]
    if prefix not in PREFIX_POWERS:
        raise ValueError(
            f"{quote(text)}: {quote(match[2])} is neither {unit} nor {unit} with a prefix; write it as {example}"
        )
    # The power goes into the text of the number, so that 1650 mV is the double nearest to 1.65.
    mantissa, _, power = match[1].lower().partition("e")
    return float(f"{mantissa}e{int(power or 0) + PREFIX_POWERS[prefix]}")


def choose_unit(largest: float, unit: str) -> tuple[str, float]:
    """The unit with the prefix that suits the largest of several numbers, and how many bare units it is: an axis names
    it once, so that its ticks need no prefixes.

    >>> choose_unit(500_000, "Hz"), choose_unit(0, "s"), choose_unit(2e-5, "s")
    (('kHz', 1000.0), ('s', 1.0), ('µs', 1e-06))
    """
    power = 3 * math.floor(math.log10(abs(largest)) / 3) if largest and math.isfinite(largest) else 0
    return (f"{_PREFIXES[power]}{unit}", float(f"1e{power}")) if power in _PREFIXES else (unit, 1.0)


def volts(value: float, *, digits: int = 7) -> str:
    """A voltage with the digits of a worked problem.

    >>> volts(10 / 4096)
    '2.441406 mV'
    """
    return si(value, "V", digits=digits)


def signed(value: float, form: str) -> str:
    """A number in a format, true minus, ∞ where it is infinite; what rounds to zero has no sign.

    >>> signed(-72.25, ".2f"), signed(float("-inf"), ".1f"), signed(float("inf"), "+.1f"), signed(-1e-9, "+.3f")
    ('−72.25', '−∞', '+∞', '0.000')
    """
    if math.isinf(value):
        return "−∞" if value < 0 else f"{'+' if form.startswith('+') else ''}∞"
    text = format(value, form)
    return true_minus(text) if math.isnan(value) or float(text) else text.lstrip("+-")


def decibels(value: float | None, unit: str = "dB", *, digits: int = 2) -> str:
    """A ratio in decibels, or a dash.

    >>> decibels(19.8412), decibels(-0.5, "dBFS"), decibels(float("inf")), decibels(None)
    ('19.84 dB', '−0.50 dBFS', '∞ dB', '–')
    """
    return NOTHING if value is None else f"{signed(value, f'.{digits}f')} {unit}"


def measure(value: float | None, unit: str) -> str:
    """A figure as charts write it: dB, bit and LSB with two decimals, everything else as `si`; "n/a" for None.

    >>> measure(18.3456, "dB"), measure(3.2e-7, ""), measure(None, "dB"), measure(float("inf"), "dB")
    ('18.35 dB', '3.2·10⁻⁷', 'n/a', '∞ dB')
    """
    if value is None or math.isnan(value):
        return "n/a"
    return f"{signed(value, f'.{_DECIMALS[unit]}f')} {unit}" if unit in _DECIMALS else si(value, unit)


def as_told(value: float, unit: str, *, digits: int = 4) -> float:
    """The number that is told of a figure: two decimals for dB, bit and LSB, else `digits` significant digits.

    >>> as_told(18.3456, "dB"), as_told(3.21987e-7, ""), as_told(float("inf"), "dB")
    (18.35, 3.22e-07, inf)
    """
    if not math.isfinite(value):
        return value
    return round(value, _DECIMALS[unit]) if unit in _DECIMALS else float(f"{value:.{digits}g}")


def percent(share: float, *, digits: int = 3) -> str:
    """A share of one as percent; what is not nothing never reads as 0 %, what is not all never as 100 %.

    >>> percent(0), percent(0.00003), percent(0.1234), percent(0.99996), percent(1)
    ('0 %', 'under 0.01 %', '12.3 %', 'over 99.9 %', '100 %')
    >>> percent(0.1234, digits=2), percent(0.9971, digits=2)
    ('12 %', '99.7 %')
    """
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if share < 1e-4:
        return "under 0.01 %"
    if share > 0.999:
        return "over 99.9 %"
    shown = 2 if share < 0.01 else digits if share < 0.995 else max(digits, 3)
    return f"{100 * share:.{shown}g} %"


def in_percent(ratio: float, form: str) -> str:
    """A ratio in percent as a format has it, with a true minus: for changes and levels, which may lie outside 0 to 1.

    >>> in_percent(-0.1, ".1f"), in_percent(0.9973, "g"), in_percent(1.25, ".3g")
    ('−10.0 %', '99.73 %', '125 %')
    """
    return f"{signed(100 * ratio, form)} %"


def size(count: int | None) -> str:
    """Bytes with binary prefixes.

    >>> size(512), size(4096), size(3 * 2**20 + 2**19), size(None)
    ('512 B', '4.00 KiB', '3.50 MiB', '–')
    """
    if count is None:
        return NOTHING
    unit, factor = byte_unit(count)
    return f"{count} B" if factor == 1 else f"{count / factor:.2f} {unit}"


def byte_unit(count: int) -> tuple[str, int]:
    """The largest binary unit that is no more than so many bytes, at most TiB, and how many bytes it is; B for none.

    >>> byte_unit(3 * 2**20), byte_unit(0)
    (('MiB', 1048576), ('B', 1))
    """
    power = min(max(count.bit_length() - 1, 0) // 10, len(_BYTES) - 1)
    return _BYTES[power], 1024**power


def count(value: float, noun: str = "") -> str:
    """How many, three digits, in words from a million on: a prefix belongs to a unit, not to a noun.

    >>> count(1_234_567, "values"), count(41_300, "values"), count(28)
    ('1.23 M values', '41,300 values', '28')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix} {noun}".rstrip()
    return f"{value:,.0f} {noun}".rstrip()


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.04), duration(3.21), duration(75)
    ('< 0.1 s', '3.2 s', '1 min 15 s')
    """
    if seconds < 0.1:
        return "< 0.1 s"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def about(seconds: float) -> str:
    """An estimated time, one digit.

    >>> about(0.3), about(3.4), about(37), about(75), about(2500), about(9000)
    ('under a second', 'about 3 s', 'about 40 s', 'about 1 min', 'about 40 min', 'about 2 h')
    """
    if seconds < 1:
        return "under a second"
    factor, unit = (3600, "h") if seconds >= 3600 else (60, "min") if seconds >= 60 else (1, "s")
    return f"about {float(f'{seconds / factor:.1g}'):g} {unit}"


def about_size(count: int) -> str:
    """Estimated bytes, one digit, from MiB on.

    >>> about_size(113_600), about_size(216_032_768), about_size(1_600_000_000)
    ('under 1 MiB', 'about 200 MiB', 'about 1 GiB')
    """
    unit, factor = byte_unit(count)
    return "under 1 MiB" if factor < 1024**2 else f"about {float(f'{count / factor:.1g}'):g} {unit}"


def shorten(text: str, length: int = 48) -> str:
    """A long name with its middle left out: both ends of a layer's name tell layers apart. Not escaped.

    >>> shorten("model.layers.0.self_attn.q_proj.weight", 21)
    'model.laye…roj.weight'
    """
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[head + 1 - length :]}"


def quote(value: object, length: int = 80) -> str:
    r"""A value as a message repeats it: quoted, its middle left out, on one line, with escapes for control characters
    and for those that turn the reading direction. At most `length` characters without the quotes.

    >>> quote("layer\x1b[2J\u202e"), quote("w" * 100, 9), quote(0.5)
    ("'layer\\x1b[2J\\u202e'", "'wwww…wwww'", '0.5')
    """
    if isinstance(value, int) and value.bit_length() > 4 * length:  # Python refuses to print thousands of digits
        return f"a number of about {plain(value.bit_length() * math.log10(2))} digits"
    return shorten(repr(shorten(value, length) if isinstance(value, str) else value), length + 2)


def escape(text: str) -> str:
    r"""Text as one harmless line: control characters, such as those that move a cursor or turn the reading direction,
    are shown as escapes.

    >>> escape("layer\x1b[2J\u202e")
    'layer\\x1b[2J\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
