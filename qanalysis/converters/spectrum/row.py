"""What is told about a captured tone? The columns of `record`, each declared once, and how they read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qanalysis.converters.choices import Average, FullScaleWave
from qanalysis.converters.converter import LsbConvention
from qanalysis.converters.findings import CONTRADICTIONS, WITHHELD, Finding, tell_guess
from qanalysis.converters.lines import Line, LineTable, tell, write_cell
from qanalysis.converters.spectrum.components import Component
from qanalysis.converters.spectrum.spellings import tell_band, tell_component, tell_frequency, tell_interval
from qanalysis.notation import decibels, plain, si
from qanalysis.results.columns import Kind, RowType, column
from qanalysis.results.gates import LimitCheck

Interval = tuple[float, float]
HARMONIC_COLUMNS = ("line", "frequency", "seen at", "bin", "found", "noise taken off", "remark")
_FOLDED = "power at this multiple of the tone, folded, over the tone; null where it can not be told"
_INTERVAL = "lower and upper end of the interval; null ends are infinite"
_ENDS = (-math.inf, math.inf)


def _has_tone(table: Any) -> Any:
    return ~(np.isnan(table.fundamental_hz) & np.isnan(table.cycles))  # older files have no cycles


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
    fs_hz: float | None = column("Sample rate", "Hz", formula="null where nothing tells it: frequencies are too")
    samples: int = column("Samples", least=0, formula="number of samples used")
    coherent: bool | None = column("Coherent", formula="whether whole periods were recorded; null without a tone")
    window: str = column("Window", formula="through which the record was seen")
    side_bins: int = column("Side bins", least=0, formula="bins to each side that belong to a tone")
    fundamental_hz: float | None = column("Tone", "Hz", formula="the strongest tone; null without a rate")
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
        formula="tone over all but DC; by spectrum or by sine fit, the worse where they differ beyond chance",
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
    spectrum_sinad_db: float | None = column(
        "SINAD by spectrum",
        "dB",
        better="higher",
        formula="power of the tone's bins over that of all others but DC",
        default=None,
        infinite=math.inf,
        exact=_has_tone,
        late=True,
    )
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
    band_hz: Interval | None = column(
        "Band", "Hz", formula="band of noise, distortion and spurs; null without a rate", default=None
    )
    spur: Component | None = column("Largest spur", formula="the largest line beside the tones", default=None)
    harmonics: tuple[Component, ...] = column("Harmonics", formula="orders 2 to harmonics_counted", default=())
    intermodulation: tuple[Component, ...] = column(
        "Intermodulation",
        formula="of two tones: their products, and harmonics of the second",
        default=(),
    )
    cycles: float | None = column(
        "Periods", formula="periods of the tone in the record, below 0 for one of I/Q samples", default=None, late=True
    )
    band: Interval | None = column(
        "Band of the rate", formula="band as a share of the sample rate", default=None, late=True
    )
    osr: float | None = column(
        "Oversampling", formula="half the sample rate over the width of the band", default=None, late=True
    )
    records: int | None = column("Records", least=1, formula="how many records were averaged", default=None, late=True)
    average: Average | None = column(
        "Average", formula="of the records' powers, or of the records laid in phase", default=None, late=True
    )
    iq: bool | None = column(
        "I/Q",
        formula="whether the samples are I/Q pairs, whose frequencies go below 0; null for no",
        default=None,
        late=True,
    )
    image_dbc: float | None = column(
        "Image",
        "dBc",
        better="lower",
        formula="of I/Q samples: line at minus the tone's frequency over the tone",
        default=None,
        late=True,
    )
    dc_dbfs: float | None = column(
        "DC", "dBFS", better="lower", formula="power of the mean, of I/Q samples of both rails", default=None, late=True
    )
    noise_rms: float | None = column(
        "Noise, rms",
        formula="without tone and distortion, in the unit of the range; of I/Q samples that of a rail",
        default=None,
        late=True,
    )
    noise_free_bits: float | None = column(
        "Noise-free bits",
        "bit",
        better="higher",
        formula="of a record without a tone: bits − log2(6.6 rms in LSB)",
        default=None,
        late=True,
    )
    npr_db: float | None = column(
        "NPR",
        "dB",
        better="higher",
        formula="noise power ratio: density of the noise beside a notch over that inside it",
        default=None,
        late=True,
    )
    npr_ci95_db: Interval | None = column("NPR, 95 %", "dB", formula=_INTERVAL, default=None, infinite=_ENDS, late=True)
    notch: Interval | None = column(
        "Notch", formula="ends of the notch as a share of the rate", default=None, late=True
    )

    @property
    def subject(self) -> str:
        """What was looked at."""
        rate = "an unknown rate" if self.fs_hz is None else si(self.fs_hz, "Hz", digits=4)
        kind = "I/Q samples" if self.iq else "samples"
        return f"{f'{self.records:,} records of ' if self.records else ''}{self.samples:,} {kind} at {rate}"

    @property
    def headline(self) -> str:
        """The figures one asks for first, in a sentence; a width that was guessed stands beside the ENOB."""
        if self.withheld:
            return "No figures: they are withheld."
        if self._is_noise:
            return f"No tone: {self._tell_noise()}{self._averaged}."
        cells = ((self.sinad_db, "dB"), (self.enob_ieee, "bit"), (self.sfdr_dbc, "dBc"))
        sinad, bits, sfdr = (write_cell(*cell) for cell in cells)
        doubt = f", more than {self.bits} bits can give" if self.contradicted else ""
        guess = _at(tell_guess(self.bits, self.findings))
        return f"SINAD {sinad}, ENOB {bits}{guess}{doubt}, SFDR {sfdr}{self._averaged}."

    @property
    def _is_noise(self) -> bool:
        """Whether the record was measured and shows no tone; older files tell no noise."""
        return self.cycles is None and self.noise_rms is not None

    def _tell_noise(self) -> str:
        """The noise power ratio where there is a notch, the noise in steps or in the unit of the range, its density."""
        rms = self.noise_rms or 0.0
        size = f"{plain(rms)} rms" if self.lsb is None else f"{plain(rms / self.lsb)} LSB rms"
        ratio = "" if self.npr_db is None else f"noise power ratio {decibels(self.npr_db)}, "
        density = "" if self.nsd_dbfs_hz is None or not rms else f", {decibels(self.nsd_dbfs_hz, 'dBFS/Hz', digits=1)}"
        return f"{ratio}noise {size}{_at(tell_guess(self.bits, self.findings))}{density}"

    @property
    def _averaged(self) -> str:
        """That a mean was measured, for the headline; empty for one record."""
        return (
            ""
            if self.average is None
            else f", of {'the powers' if self.average == 'power' else 'the mean'} of {self.records} records"
        )

    @property
    def contradicted(self) -> bool:
        """Whether the figures contradict what is known of the converter: no limit is met then."""
        return any(finding.code in CONTRADICTIONS for finding in self.findings)

    @property
    def withheld(self) -> bool:
        """Whether no figure of the record can be defended, as a finding says."""
        return any(finding.code == WITHHELD for finding in self.findings)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The figures in the order in which one reads them, each with its convention; of noise, and of withheld ones,
        no dashes.
        """
        full = f"0 dBFS: rms of a full-range {'sine' if self.full_scale == 'sine' else 'square (dc)'}"
        scale = f"full scale{_at(tell_guess(self.bits, self.findings))}"
        order = f"HD2 to HD{self.harmonics_counted}, folded"
        seen = {None: "no tone", True: "coherent", False: "not coherent"}[self.coherent]
        tone = "none" if self.cycles is None else tell_frequency(self.cycles / self.samples, self.fs_hz)
        spur = f"height of the tone over the largest other line; {tell_interval(self.sfdr_ci95_db, 'dBc')}"
        band = f"{tell_band(self.band_hz)}; {full}"
        step = f"LSB = {self.lsb_convention.replace('fs', 'FS')}, in the unit of the range"
        lines = (
            tell(self, "fundamental_hz", seen, tone),
            tell(self, "level_dbfs", full),
            tell(self, "sinad_db", f"tone over all but DC; {tell_interval(self.sinad_ci95_db, 'dB')}"),
            tell(self, "spectrum_sinad_db", "power of the tone's bins over all others but DC"),
            tell(self, "sinefit_sinad_db", "least squares in time, beside the spectrum"),
            tell(self, "snr_db", f"without {order}; {tell_interval(self.snr_ci95_db, 'dB')}"),
            tell(
                self,
                "thd_dbc",
                f"{order}, noise taken off; {tell_interval(self.thd_ci95_db, 'dBc')}",
                "below noise" if self.thd_below_noise else None,
            ),
            tell(self, "thd_raw_dbc", f"{order}, with the noise of their bins"),
            tell(self, "sfdr_dbc", spur),
            tell(self, "sfdr_dbfs", full),
            tell(self, "enob_ieee", f"IEEE 1241, of {scale}; {tell_interval(self.enob_ci95, 'bit')}"),
            tell(self, "enob_at_level", "(SINAD − 1.7609) / 6.0206"),
            tell(self, "nsd_dbfs_hz", band),
            *self._late_lines,
            tell(self, "window", f"{self.side_bins} side bins, {self.samples:,} samples", self.window),
            tell(self, "lsb", step, None if self.lsb is None else plain(self.lsb, digits=4)),
        )
        every = () if self.withheld else tuple(line.column for line in lines)
        kept = ("fundamental_hz",) if self._is_noise else every
        return tuple(line for line in lines if line.column in kept or getattr(self, line.column) is not None)

    @property
    def _late_lines(self) -> tuple[Line, ...]:
        """Figures that some records have: of their noise, of I/Q samples, of a notch, of averages."""
        steps = "" if self.lsb is None or self.noise_rms is None else f"; {plain(self.noise_rms / self.lsb)} LSB"
        rms = None if self.noise_rms is None else plain(self.noise_rms, digits=4)
        free = "bits − log2(6.6 rms in LSB); the effective resolution, without the 6.6, is 2.72 bit more"
        ratio = tell_interval(self.npr_ci95_db, "dB")
        way = "records laid in phase by their tone" if self.average == "coherent" else "mean of the records' powers"
        notch = None if self.notch is None else " to ".join(tell_frequency(end, self.fs_hz) for end in self.notch)
        lines = {
            "noise_rms": tell(self, "noise_rms", f"without tone and distortion, in the unit of the range{steps}", rms),
            "noise_free_bits": tell(self, "noise_free_bits", free),
            "npr_db": tell(self, "npr_db", f"density beside the notch over that inside; {ratio}"),
            "notch": tell(self, "notch", "ends of the notch", notch),
            "image_dbc": tell(self, "image_dbc", "line at minus the tone's frequency over the tone"),
            "dc_dbfs": tell(self, "dc_dbfs", "offset of both rails from their middle"),
            "average": tell(self, "average", way, f"{self.average}, {self.records} records"),
        }
        return tuple(line for name, line in lines.items() if getattr(self, name) is not None)

    @property
    def tables(self) -> tuple[LineTable, ...]:
        """The harmonics, where there is a tone."""
        return (
            (LineTable("Harmonics", HARMONIC_COLUMNS, list_harmonic_lines(self), text_columns=7),)
            if self.harmonics
            else ()
        )


def list_harmonic_lines(row: RecordRow) -> list[tuple[str, ...]]:
    """Cells under `HARMONIC_COLUMNS`: harmonics, mixing products, the largest spur."""
    spurs = (row.spur,) if row.spur and row.spur.kind == "spur" else ()
    return [tell_component(line) for line in (*row.harmonics, *row.intermodulation, *spurs)]


def _at(guess: str) -> str:
    return f" at {guess}" if guess else ""
