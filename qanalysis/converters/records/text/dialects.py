"""In which words do instruments say what their columns and rates are? One table of patterns for all of them.

A new dialect is a word or two here, and an example in `tests/converters/records/text/test_dialects.py`. Patterns see
lower case with single blanks; keys end where the value begins, at a separator, a colon or an equals sign.
"""

from __future__ import annotations

import re

from qanalysis.converters.choices import Radix

#: Lines that are no samples wherever they stand.
COMMENT_MARKS = ("#", "%", "!", "//", ";")

#: Keys of the time from one sample to the next, in seconds unless key or value names a unit.
INCREMENT_KEYS = (
    "increment",  # Rigol
    r"x[ _-]?inc(?:r(?:ement)?)?",  # Infiniium, Keysight, Tektronix
    r"t[ _-]?inc",  # Rigol MSO5000, DHO
    r"(?:horizontal )?(?:samp(?:le|ling)|time) (?:interval|period|time|step|increment)",  # Tektronix, Siglent, Texio
    "interval",
    "horizontal interval",  # LeCroy
    r"h[ _]?resolution",  # Yokogawa
    r"delta[ _]?[xt](?:ime)?",  # LabVIEW
    r"[dδ][ _]?[xt]",
    r"time (?:per|between) samples?",
    r"abtast(?:intervall|periode|zeit|schritt)|messintervall|zeitschritt|schrittweite",
    r"(?:intervalle|période|pas) d['’ ]échantillonnage|pas de temps",
    r"(?:intervalo|periodo|período) de muestreo",
)
#: Keys of the samples per second.
RATE_KEYS = (
    r"(?:adc )?samp(?:le|ling)[ _]?(?:rate|frequency|freq|clock)",  # Scopy, sigrok
    r"samples?[ _]?(?:/|per)[ _]?s(?:ec(?:ond)?)?",
    r"fs|f_s|sps",
    "abtast(?:rate|frequenz)|samplerate|sampling-?rate",
    r"(?:fréquence|taux) d['’ ]échantillonnage",
    r"(?:frecuencia|tasa|velocidad) de muestreo",
    "rate",
)
#: Keys of the unit of the samples.
VERTICAL_UNIT_KEYS = (r"vertical units?", r"y[ _]?units?(?:_label)?", r"v[ _]?unit", "einheit", "y-einheit")

#: Words for times in the names of columns; a whole name of `WEAK_TIME_NAMES` is one where its column rises evenly.
TIME_WORDS = frozenset(
    {
        "time",
        "times",
        "timestamp",
        "timestamps",
        "date",
        "datetime",
        "elapsed",
        "seconds",
        "second",
        "secs",
        "sec",  # English
        "zeit",
        "zeitstempel",
        "uhrzeit",
        "datum",
        "zeitpunkt",
        "laufzeit",
        "sekunden",
        "sekunde",  # German
        "temps",
        "heure",
        "horodatage",
        "secondes",
        "seconde",  # French
        "tiempo",
        "hora",
        "fecha",
        "segundos",
        "segundo",
        "tempo",
        "tijd",  # Spanish, Italian, Dutch
    }
)
STRONG_TIME_NAMES = frozenset({"t", "in s", "x axis", "x value", "time axis", "zeitachse"})
WEAK_TIME_NAMES = frozenset({"x", "s", "source", "abscissa", "axis", "horizontal", "x data", "xdata", "waveform x"})
#: Words for numbers of samples, where the column counts.
INDEX_WORDS = frozenset(
    (
        "index",
        "idx",
        "sample",
        "samples",
        "point",
        "points",
        "no",
        "nr",
        "number",
        "#",
        "i",
        "n",
        "k",
        "count",
        "counter",
        "sequence",
        "row",
        "line",
        "frame",
        "nummer",
        "zeile",
        "numéro",
        "échantillon",
        "muestra",
        "número",
    )
)

#: Seconds in a unit of time, in any case.
TIME_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek", "sekunde", "sekunden"), 1.0),
    **dict.fromkeys(("seconde", "secondes", "segundo", "segundos"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds", "millisekunden", "millis"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "µsec", "μsec", "usecs", "microsecond", "microseconds", "micros"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("ps", "psec", "picosecond", "picoseconds"), 1e-12),
    **dict.fromkeys(("min", "mins", "minute", "minutes", "minuten"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours", "std", "stunden"), 3600.0),
}
#: Units of samples, as they are written and as they are told.
SAMPLE_UNITS = {
    **dict.fromkeys(("V", "v", "Volt", "Volts", "volt", "volts", "VOLT", "VOLTS"), "V"),
    **dict.fromkeys(("mV", "mv", "MV", "millivolt", "millivolts", "mVolt", "mVolts"), "mV"),
    **dict.fromkeys(("uV", "µV", "μV", "microvolt", "microvolts"), "µV"),
    **dict.fromkeys(("kV",), "kV"),
    **dict.fromkeys(("A", "Amp", "Amps", "ampere", "Ampere"), "A"),
    **dict.fromkeys(("mA", "uA", "µA", "W", "Pa", "dB", "%", "Ohm", "Ω", "°C"), ""),
    **dict.fromkeys(("LSB", "lsb", "code", "codes", "Code", "counts", "raw"), "code"),
}
#: What stands in a row of units for a column that counts.
COUNT_UNITS = frozenset({"sequence", "samples", "sample", "index", "points", "#", "-", ""})

#: The row of a logic analyser that names the digits of its columns.
RADIX_WORDS: dict[str, Radix] = {
    "hex": "hex",
    "hexadecimal": "hex",
    "binary": "binary",
    "bin": "binary",
    "unsigned": "decimal",
    "signed": "decimal",
    "decimal": "decimal",
    "dec": "decimal",
    "integer": "decimal",
    "float": "decimal",
    "real": "decimal",
}

#: Lines with which a second record begins within a file.
SEGMENT_LINE = re.compile(r"step information\b.*|segment\b.*|block\b.*|frame\b.*|#\d+,.*", re.IGNORECASE)
#: Marks that stand for a sample that is not there, which is told where its column is read.
MARKS = frozenset({"-", "--", "---", "----", "*", "**", "***", "?", "n/a", "na", "#n/a", "null", "none", "nan", "err"})

#: Timestamps, with the form in which pandas reads them; None for ISO 8601.
STAMPS: tuple[tuple[re.Pattern[str], str | None], ...] = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?"), None),
    (re.compile(r"\d{4}/\d\d?/\d\d? \d\d?:\d\d:\d\d\.\d+"), "%Y/%m/%d %H:%M:%S.%f"),
    (re.compile(r"\d{4}/\d\d?/\d\d? \d\d?:\d\d:\d\d"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(r"\d\d?\.\d\d?\.\d{4} \d\d?:\d\d:\d\d[.,]\d+"), "%d.%m.%Y %H:%M:%S.%f"),
    (re.compile(r"\d\d?\.\d\d?\.\d{4} \d\d?:\d\d:\d\d"), "%d.%m.%Y %H:%M:%S"),
    (re.compile(r"\d\d?/\d\d?/\d{4} \d\d?:\d\d:\d\d\.\d+ [AP]M"), "%m/%d/%Y %I:%M:%S.%f %p"),
    (re.compile(r"\d\d?/\d\d?/\d{4} \d\d?:\d\d:\d\d [AP]M"), "%m/%d/%Y %I:%M:%S %p"),
    (re.compile(r"\d\d?/\d\d?/\d{4} \d\d?:\d\d:\d\d\.\d+"), "%m/%d/%Y %H:%M:%S.%f"),
    (re.compile(r"\d\d?/\d\d?/\d{4} \d\d?:\d\d:\d\d"), "%m/%d/%Y %H:%M:%S"),
)
#: The time of a day alone; it may pass midnight.
CLOCK = re.compile(r"\d\d?:\d\d:\d\d([.,]\d+)?")
