"""What is told about a captured tone? The columns of `record`, each declared once, and how they read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qanalysis.converters.choices import FullScaleWave
from qanalysis.converters.converter import LsbConvention
from qanalysis.converters.findings import Finding, tell_guess
from qanalysis.converters.lines import Line, LineTable, tell, write_cell
from qanalysis.converters.spectrum.components import Component
from qanalysis.notation import plain, si, signed, true_minus
from qanalysis.results.columns import Kind, RowType, column
from qanalysis.results.gates import LimitCheck

Interval = tuple[float, float]
HARMONIC_COLUMNS = ("line", "frequency", "seen at", "bin", "found", "noise taken off", "remark")
_FOLDED = "power at this multiple of the tone, folded, over the tone; null where it can not be told"
_INTERVAL = "lower and upper end of the interval; null ends are infinite"
_ENDS = (-math.inf, math.inf)


def _has_tone(table: Any) -> Any:
    return ~np.isnan(table.fundamental_hz)


def _has_level(table: Any) -> Any:
    return ~np.isnan(table.level_dbfs)


def _has_range(table: Any) -> Any:
    return ~np.isnan(table.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow(RowType):
    """The dynamic figures of a captured tone; `hdN_dbc` are powers as found, with the noise of their bins.

    Intervals are (lower, upper) of 95 %. `thd_dbc` is corrected for noise and None below it, `thd_raw_dbc` is not
    corrected. None stands for what has no meaning: without a tone, without a full scale.
    """

    KIND: ClassVar[Kind] = Kind(
        "record",
        "record",
        "Dynamic figures of a captured record",
        "qanalysis record FILE --out rows.json",
        totals=LimitCheck,
        least=1,
    )

    bits: int | None = column("Bits", "bit", formula="width of the converter")
    low: float | None = column("Low end", formula="lower end of the range, V, or a code where none was stated")
    high: float | None = column("High end", formula="upper end of the range, V, or a code where none was stated")
    lsb: float | None = column("Step", formula="LSB by the stated convention, in the unit of the range")
    lsb_convention: LsbConvention = column("LSB convention", formula="how full scale is divided")
    fs_hz: float = column("Sample rate", "Hz")
    samples: int = column("Samples", least=0, formula="number of samples used")
    coherent: bool | None = column("Coherent", formula="whether whole periods were recorded; null without a tone")
    window: str = column("Window", formula="through which the record was seen")
    side_bins: int = column("Side bins", least=0, formula="bins to each side that belong to a tone")
    fundamental_hz: float | None = column("Tone", "Hz", formula="the strongest tone")
    level_dbfs: float | None = column(
        "Level",
        "dBFS",
        formula="power of the tone, or of both, over full scale",
        default=None,
    )
    full_scale: FullScaleWave = column(
        "Full scale",
        formula="0 dBFS is the rms of a sine over the range, or of a square (dc)",
    )
    sinad_db: float | None = column(
        "SINAD",
        "dB",
        better="higher",
        formula="tone over all but DC",
        default=None,
        infinite=math.inf,
        exact=_has_tone,
    )
    snr_db: float | None = column(
        "SNR",
        "dB",
        better="higher",
        formula="tone over all but DC and harmonics",
        default=None,
        infinite=math.inf,
        exact=_has_tone,
    )
    thd_dbc: float | None = column(
        "THD",
        "dBc",
        better="lower",
        formula="harmonics over the tone, corrected for noise; null below the noise",
        default=None,
    )
    thd_below_noise: bool | None = column(
        "THD below noise",
        formula="whether the harmonics do not rise above the noise",
        default=None,
    )
    sfdr_dbc: float | None = column(
        "SFDR",
        "dBc",
        better="higher",
        formula="tone over the largest other line",
        default=None,
        infinite=math.inf,
        exact=_has_tone,
    )
    sfdr_dbfs: float | None = column(
        "SFDR of full scale",
        "dBFS",
        better="higher",
        formula="full scale over the largest other line",
        default=None,
        infinite=math.inf,
        exact=_has_level,
    )
    enob_ieee: float | None = column(
        "ENOB",
        "bit",
        better="higher",
        formula="effective bits of full scale, IEEE 1241",
        default=None,
        infinite=math.inf,
        exact=_has_level,
    )
    enob_at_level: float | None = column(
        "ENOB at this level",
        "bit",
        better="higher",
        formula="(SINAD − 1.7609) / 6.0206",
        default=None,
        infinite=math.inf,
        exact=_has_tone,
    )
    nsd_dbfs_hz: float | None = column(
        "Noise density",
        "dBFS/Hz",
        better="lower",
        formula="noise over full scale, per hertz of the band",
        default=None,
        infinite=-math.inf,
        exact=_has_range,
    )
    harmonics_counted: int = column("Harmonics counted", formula="highest order counted as distortion")
    hd2_dbc: float | None = column("HD2", "dBc", better="lower", formula=_FOLDED, default=None)
    hd3_dbc: float | None = column("HD3", "dBc", better="lower", formula=_FOLDED, default=None)
    hd4_dbc: float | None = column("HD4", "dBc", better="lower", formula=_FOLDED, default=None)
    hd5_dbc: float | None = column("HD5", "dBc", better="lower", formula=_FOLDED, default=None)
    hd6_dbc: float | None = column("HD6", "dBc", better="lower", formula=_FOLDED, default=None)
    sinefit_sinad_db: float | None = column(
        "SINAD by sine fit",
        "dB",
        better="higher",
        formula="by least squares in time",
        default=None,
        infinite=math.inf,
        exact=_has_tone,
    )
    sinad_ci95_db: Interval | None = column("SINAD, 95 %", "dB", formula=_INTERVAL, default=None, infinite=_ENDS)
    snr_ci95_db: Interval | None = column("SNR, 95 %", "dB", formula=_INTERVAL, default=None, infinite=_ENDS)
    thd_ci95_db: Interval | None = column("THD, 95 %", "dBc", formula=_INTERVAL, default=None, infinite=_ENDS)
    sfdr_ci95_db: Interval | None = column("SFDR, 95 %", "dBc", formula=_INTERVAL, default=None, infinite=_ENDS)
    findings: tuple[Finding, ...] = column("Findings", formula="what stands out", default=())
    thd_raw_dbc: float | None = column(
        "THD, raw",
        "dBc",
        better="lower",
        formula="harmonics over the tone with the noise of their bins",
        default=None,
    )
    noise_dbfs: float | None = column(
        "Noise",
        "dBFS",
        better="lower",
        formula="noise without distortion over full scale",
        default=None,
        infinite=-math.inf,
        exact=_has_range,
    )
    enob_ci95: Interval | None = column("ENOB, 95 %", "bit", formula=_INTERVAL, default=None, infinite=_ENDS)
    band_hz: Interval = column("Band", "Hz", formula="band of noise, distortion and spurs")
    spur: Component | None = column("Largest spur", formula="the largest line beside the tones", default=None)
    harmonics: tuple[Component, ...] = column("Harmonics", formula="orders 2 to harmonics_counted", default=())
    intermodulation: tuple[Component, ...] = column(
        "Intermodulation",
        formula="of two tones: their products, and harmonics of the second",
        default=(),
    )

    @property
    def subject(self) -> str:
        """What was looked at."""
        return f"{self.samples:,} samples at {si(self.fs_hz, 'Hz', digits=4)}"

    @property
    def headline(self) -> str:
        """The figures one asks for first, in a sentence; a width that was guessed stands beside the ENOB."""
        cells = ((self.sinad_db, "dB"), (self.enob_ieee, "bit"), (self.sfdr_dbc, "dBc"))
        sinad, bits, sfdr = (write_cell(*cell) for cell in cells)
        return f"SINAD {sinad}, ENOB {bits}{_at(self._guess)}, SFDR {sfdr}."

    @property
    def _guess(self) -> str:
        return tell_guess(self.bits, self.findings)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The figures in the order in which one reads them, each with its convention."""
        full = f"0 dBFS: rms of a full-range {'sine' if self.full_scale == 'sine' else 'square (dc)'}"
        scale = f"full scale{_at(self._guess)}"
        order = f"HD2 to HD{self.harmonics_counted}, folded"
        seen = {None: "no tone", True: "coherent", False: "not coherent"}[self.coherent]
        tone = "none" if self.fundamental_hz is None else si(self.fundamental_hz, "Hz", digits=4)
        spur = f"height of the tone over the largest other line; {_tell_interval(self.sfdr_ci95_db, 'dBc')}"
        band = f"{si(self.band_hz[0], 'Hz')} to {si(self.band_hz[1], 'Hz', digits=4)}; {full}"
        step = f"LSB = {self.lsb_convention.replace('fs', 'FS')}, in the unit of the range"
        return (
            tell(self, "fundamental_hz", seen, tone),
            tell(self, "level_dbfs", full),
            tell(self, "sinad_db", f"tone over all but DC; {_tell_interval(self.sinad_ci95_db, 'dB')}"),
            tell(self, "sinefit_sinad_db", "least squares in time, beside the spectrum"),
            tell(self, "snr_db", f"without {order}; {_tell_interval(self.snr_ci95_db, 'dB')}"),
            tell(
                self,
                "thd_dbc",
                f"{order}, noise taken off; {_tell_interval(self.thd_ci95_db, 'dBc')}",
                "below noise" if self.thd_below_noise else None,
            ),
            tell(self, "thd_raw_dbc", f"{order}, with the noise of their bins"),
            tell(self, "sfdr_dbc", spur),
            tell(self, "sfdr_dbfs", full),
            tell(self, "enob_ieee", f"IEEE 1241, of {scale}; {_tell_interval(self.enob_ci95, 'bit')}"),
            tell(self, "enob_at_level", "(SINAD − 1.7609) / 6.0206"),
            tell(self, "nsd_dbfs_hz", band),
            tell(self, "window", f"{self.side_bins} side bins, {self.samples:,} samples", self.window),
            tell(self, "lsb", step, None if self.lsb is None else plain(self.lsb, digits=4)),
        )

    @property
    def tables(self) -> tuple[LineTable, ...]:
        """The harmonics, where there is a tone."""
        return (
            (LineTable("Harmonics", HARMONIC_COLUMNS, list_harmonic_lines(self), text_columns=7),)
            if self.harmonics
            else ()
        )


def read_thd(row: RecordRow) -> float | None:
    """THD as a limit is held against it: below the noise the upper end of its interval,
    what the noise leaves room for.
    """
    return row.thd_ci95_db[1] if row.thd_below_noise and row.thd_ci95_db else row.thd_dbc


def list_harmonic_lines(row: RecordRow) -> list[tuple[str, ...]]:
    """Cells under `HARMONIC_COLUMNS`: harmonics, mixing products, the largest spur."""
    spurs = (row.spur,) if row.spur and row.spur.kind == "spur" else ()
    return [_tell_component(line) for line in (*row.harmonics, *row.intermodulation, *spurs)]


def _at(guess: str) -> str:
    return f" at {guess}" if guess else ""


def _tell_component(line: Component) -> tuple[str, ...]:
    places = (si(line.frequency_hz, "Hz", digits=4), si(line.alias_hz, "Hz", digits=4), str(line.bin))
    clean = "below noise" if line.below_noise else write_cell(line.corrected_dbc, "dBc")
    return (
        true_minus(line.name),
        *places,
        write_cell(line.dbc, "dBc"),
        clean,
        f"on {true_minus(line.shared)}" if line.shared else "",
    )


def _tell_interval(ends: Interval | None, unit: str) -> str:
    return "no interval" if ends is None else f"95 %: {signed(ends[0], '.2f')} to {signed(ends[1], '.2f')} {unit}"
