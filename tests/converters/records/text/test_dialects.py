"""Each dialect of instruments, loggers and simulators gives its samples, its rate and its unit, from an example made here.

An example is a header, a line for each sample and a footer; a new dialect is one more entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.records.records import Record, read_record

COUNT = 240
FS_HZ = 5000.0
STEP = 1 / FS_HZ
CODES = np.rint(100 * np.sin(2 * np.pi * 17 * np.arange(COUNT) / COUNT + 0.3)).astype(int)
VOLTS = CODES * 0.04
OTHER = np.cos(2 * np.pi * 5 * np.arange(COUNT) / COUNT)


@dataclass(frozen=True)
class Example:
    """A text: `line` writes sample n from its time t, its volts v, its code c and another signal u."""

    header: str
    line: Callable[[int, float, float, int, float], str]
    footer: str = ""
    unit: str = ""
    fs_hz: float | None = FS_HZ
    codes: bool = False
    start: float = -0.024
    comma: bool = False
    encoding: str = "utf-8"
    options: tuple[tuple[str, object], ...] = ()

    def write(self) -> bytes:
        rows = [
            self.line(n, self.start + n * STEP, v, c, u)
            for n, (v, c, u) in enumerate(zip(VOLTS.tolist(), CODES.tolist(), OTHER.tolist(), strict=True))
        ]
        body = "".join(row.replace(".", ",") if self.comma else row for row in rows)
        return (self.header + body + self.footer).encode(self.encoding)


TEK_META = [
    *(
        "Record Length,2.400000e+02",
        "Sample Interval,2.000000e-04",
        "Trigger Point,1.2e+02",
        ",",
        ",",
        ",",
        "Source,CH1",
    ),
    *("Vertical Units,V", "Vertical Scale,2.0e+00", "Horizontal Units,s", "Pt Fmt,Y", "Probe Atten,1.0e+01"),
]
SIGLENT = (
    "Record Length,Analog:240\nSample Interval,Analog:2.000000e-04\nVertical Units,CH1:V,CH2:V\nVertical Scale,CH1:1.00,CH2:1.00\n"
    "Horizontal Units,s\nModel Number,SDS1204X-E\nSource,CH1,CH2\nSecond,Volt,Volt\n"
)
INFINIIUM = (
    "Revision:,0\nType:,raw\nStart:,0\nPoints:,240\nCount:,1\nXDispRange:,5e-1\nXDispOrg:,-2.5e-1\nXInc:,2.000000E-04\n"
    "XOrg:,-2.5e-1\nYInc:,4e-2\nDate:,1 NOV 2026\nTime:,10:11:12\nMax Bandwidth:,6e9\nXUnits:,second\nYUnits:,Volt\nData:\n"
)
LVM = (
    "LabVIEW Measurement\t\nWriter_Version\t2\nReader_Version\t2\nSeparator\tTab\nDecimal_Separator\t.\nX_Columns\t{columns}\n"
    "Time_Pref\tAbsolute\nDate\t2026/11/01\nTime\t10:11:12.5\n***End_of_Header***\t\n\t\nChannels\t1\t\t\nSamples\t240\t\t\n"
    "Date\t2026/11/01\t\t\nY_Unit_Label\tVolts\t\t\nX_Dimension\tTime\t\t\nX0\t0.0000000000000000E+0\t\t\nDelta_X\t2.000000E-4\t\t\n"
    "***End_of_Header***\t\t\t\nX_Value\tVoltage\tComment\n"
)
SCOPY = (
    ";Scopy version,48f3dc5\n;Exported on,Mon Apr 12 2021\n;Device,M2K\n;Nr of samples,240\n;Sample rate,5000\n"
    ";Tool,Oscilloscope\n;Additional Information,\nSample,Time(S),CH1(V),CH2(V)\n"
)

EXAMPLES = {
    "tektronix-beside": Example(
        "",
        lambda n, t, v, c, u: f"{TEK_META[n] if n < len(TEK_META) else ','}, ,{t:.12f},{v:9.5f},\n",
        unit="V",
    ),
    "tektronix-above": Example(
        "Model,MSO54\nFirmware Version,1.44\n\nPoint Format,Y,\nHorizontal Units,s,\nSample Interval,2e-04,\nVertical Units,V,\n\n\nTIME,CH1\n",
        lambda n, t, v, c, u: f"{t:.6e},{v:.5e}\n",
        unit="V",
    ),
    "rigol-1000z": Example(
        "X,CH1,Start,Increment,\nSequence,Volt,-2.5e-01,2.000000e-04\n",
        lambda n, t, v, c, u: f"{n},{v:.2e},,\n",
        unit="V",
    ),
    "rigol-two-channels": Example(
        "X,CH1,CH2,Start,Increment,\nSequence,Volt,Volt,-2.5e-01,2.000000e-04\n",
        lambda n, t, v, c, u: f"{n},{v:.2e},{u:.2e},,\n",
        unit="V",
    ),
    "rigol-mso5000": Example(
        "CH1V,CH2V,t0 =-2.5e-01, tInc = 2.000000e-04,\n", lambda n, t, v, c, u: f"{v:.4e},{u:.4e},,\n", unit="V"
    ),
    "rigol-dho": Example(
        "Time(s),CH1V,CH2V,t0 = -2.5e-01, tInc = 2.000000e-04\n",
        lambda n, t, v, c, u: f"{-0.25 if n == 0 else ''},{v:.4e},{u:.4e},,\n",
        unit="V",
    ),
    "rigol-dho-times": Example("Time(s),CH1(V)\n", lambda n, t, v, c, u: f"{t:.7e},{v:.4e},\n", unit="V"),
    "keysight": Example("x-axis,1\nsecond,Volt\n", lambda n, t, v, c, u: f"{t * 1e3:+.6f}E-03,{v:+.9E}\n", unit="V"),
    "infiniium": Example(INFINIIUM, lambda n, t, v, c, u: f"{v:.5E}\n", unit="V"),
    "lecroy": Example(
        "LECROYHDO4104,LCRY3004N10501,Waveform\nSegments,1,SegmentSize,240\nSegment,TrigTime,TimeSinceSegment1\n"
        "#1,21-Mar-2019 09:37:08,0\nTime,Ampl\n",
        lambda n, t, v, c, u: f"{t:.9g},{v:.5g}\n",
    ),
    "siglent": Example(SIGLENT, lambda n, t, v, c, u: f"{t:.8f},{v:.5f},{u:.5f}\n", unit="V"),
    "siglent-one": Example(
        "Record Length,Analog:240\nSample Interval,Analog:2.000000e-04\nVertical Units,CH1:mV\nSource,CH1\nSecond,Volt\n",
        lambda n, t, v, c, u: f"{t:.8f},{v:.5f}\n",
        unit="V",
    ),
    "gw-instek-detail": Example(
        "Format,1.0B\nMemory Length,240\nTrigger Level,0.0E+00\nSource,CH1\nVertical Units,V\nVertical Scale,1.0E+00\n"
        "Sampling Period,2.000E-04\nTime,CH1\n",
        lambda n, t, v, c, u: f"{t:.6E},{v:.4E},\n",
        unit="V",
    ),
    "gw-instek-fast": Example(
        "Format,1.0B\nMemory Length,240\nVertical Units,V\nVertical Scale,1.0E+00\nSampling Period,2.000E-04\nMode,Fast\nWaveform Data,\n",
        lambda n, t, v, c, u: f"{c},\n",
        codes=True,
        unit="code",
    ),
    "picoscope": Example(
        "Time,Channel A,Channel B\n(ms),(V),(V)\n\n", lambda n, t, v, c, u: f"{t * 1e3:.8f},{v:.8f},{u:.8f}\n", unit="V"
    ),
    "picoscope-german": Example(
        "Zeit;Kanal A;Kanal B\n(us);(mV);(V)\n\n",
        lambda n, t, v, c, u: f"{t * 1e6:.3f};{v:.8f};{u:.8f}\n",
        unit="mV",
        comma=True,
    ),
    "rohde-schwarz": Example("in s,C1 in V\n", lambda n, t, v, c, u: f"{t:.9E},{v:.5E}\n", unit="V"),
    "digilent": Example(
        "#Digilent WaveForms Oscilloscope Acquisition\n#Device Name: ADP3450\n#Date Time: 2021-04-14 13:10:34.255\n"
        "#Sample rate: 5000Hz\n\nTime (s),Channel 1 (V)\n",
        lambda n, t, v, c, u: f"{t:.12f},{v:.17f}\n",
        unit="V",
    ),
    "scopy": Example(SCOPY, lambda n, t, v, c, u: f"{n},{t:.6f},{v:.6f},{u:.6f}\n", unit="V"),
    "saleae-analog": Example(
        "Time [s],Channel 0,Channel 1\n", lambda n, t, v, c, u: f"{n * STEP:.9f},{v:.9f},{u:.9f}\n"
    ),
    "sigrok": Example(
        "; CSV generated by libsigrok 0.5.2 on Sun Nov 1 2026\n; Channels (1/1): CH1\n; Samplerate: 5 kHz\nCH1\n",
        lambda n, t, v, c, u: f"{v:.4f}\n",
    ),
    "sigrok-two": Example(
        "; CSV generated by libsigrok 0.5.2\n; Samplerate: 5 kHz\nCH1,CH2\n", lambda n, t, v, c, u: f"{v:.4f},{u:.4f}\n"
    ),
    "ltspice": Example("time\tV(out)\tI(R1)\n", lambda n, t, v, c, u: f"{n * STEP:.15e}\t{v:.9e}\t{u:.9e}\n"),
    "ltspice-step": Example(
        "time\tV(out)\nStep Information: R=1K  (Run: 1/1)\n", lambda n, t, v, c, u: f"{n * STEP:.15e}\t{v:.9e}\n"
    ),
    "vivado-ila": Example(
        "Sample in Buffer,Sample in Window,TRIGGER,adc[11:0]\nRadix - UNSIGNED,UNSIGNED,UNSIGNED,SIGNED\n",
        lambda n, t, v, c, u: f"{n},{n},{int(n == 120)},{c}\n",
        codes=True,
        fs_hz=None,
        unit="code",
    ),
    "labview": Example(LVM.format(columns="One"), lambda n, t, v, c, u: f"{n * STEP:.6f}\t{v:.6f}\t\n", unit="V"),
    "labview-without-times": Example(
        LVM.format(columns="No").replace("X_Value\t", "X_Value\t"), lambda n, t, v, c, u: f"\t{v:.6f}\t\n", unit="V"
    ),
    "german-excel": Example(
        "Zeit [ms];Spannung [V]\r\n",
        lambda n, t, v, c, u: f"{t * 1e3:.4f};{v:.5f}\r\n",
        "\r\n\r\n",
        unit="V",
        comma=True,
        encoding="latin-1",
    ),
    "german-header": Example(
        "Messung;1\nAbtastrate;5 kHz\nSpannung [mV]\n", lambda n, t, v, c, u: f"{v:.5f}\n", unit="mV", comma=True
    ),
    "german-interval": Example(
        "Abtastintervall (ms);0,2\nNr;Spannung\n", lambda n, t, v, c, u: f"{n + 1};{v:.5f}\n", comma=True
    ),
    "french": Example(
        "Temps (ms);Tension (V)\n", lambda n, t, v, c, u: f"{t * 1e3:.4f};{v:.5f}\n", unit="V", comma=True
    ),
    "spanish": Example("Tiempo [µs]\tVoltaje [V]\n", lambda n, t, v, c, u: f"{t * 1e6:.1f}\t{v:.5f}\n", unit="V"),
    "excel-unicode": Example(
        "time_s\tch1\r\n", lambda n, t, v, c, u: f"{t:.6f}\t{v:.4f}\r\n", "\r\n \r\n", encoding="utf-16"
    ),
    "powershell": Example("time_s,ch1\r\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f}\r\n", encoding="utf-16-le"),
    "old-macintosh": Example("time_s,ch1\r", lambda n, t, v, c, u: f"{t:.6f},{v:.4f}\r"),
    "dos": Example("time_s,ch1\r\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f}\r\n", "\x1a"),
    "footer": Example("time_s,ch1\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f}\n", "END OF DATA\nChecksum: none\n\n"),
    "quoted": Example('"Time (s)","CH1 (V)"\n', lambda n, t, v, c, u: f'"{t:.6f}","{v:.4f}"\n', unit="V"),
    "status": Example("status,time_s,ch1\n", lambda n, t, v, c, u: f"OK,{t:.6f},{v:.4f}\n"),
    "event": Example("time_s,ch1,event\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f},{'TRIG' if n < 9 else ''}\n"),
    "first-cells-missing": Example(
        "time_s,ch1,ch2\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f},{'---' if n < 40 else u}\n"
    ),
    "dut-first": Example(
        "DUT,Time (ms),Reading (V)\n", lambda n, t, v, c, u: f"board 7,{t * 1e3:.4f},{v:.5f}\n", unit="V"
    ),
    "stamps": Example("stamp;value\n", lambda n, t, v, c, u: f"2026-11-01 10:00:{n * STEP:09.6f};{v:.5f}\n"),
    "stamps-german": Example(
        "Datum;Wert\n", lambda n, t, v, c, u: f"01.11.2026 10:00:{f'{n * STEP:07.4f}'.replace('.', ',')};{v:.5f}\n"
    ),
    "date-and-clock": Example(
        "Date,Time,Value\n",
        lambda n, t, v, c, u: (
            f"2026-11-01,23:59:{59.98 + n * STEP:07.4f},{v:.5f}\n"
            if n * STEP < 0.0199
            else f"2026-11-02,00:00:{n * STEP - 0.02:07.4f},{v:.5f}\n"
        ),
    ),
    "arduino": Example("ADC value\r\n", lambda n, t, v, c, u: f"{c}\r\n", codes=True, fs_hz=None, unit="code"),
    "numpy-savetxt": Example("# time voltage\n", lambda n, t, v, c, u: f"{t:.18e} {v:.18e}\n"),
    "matlab": Example("% fs = 5 kHz\n", lambda n, t, v, c, u: f"   {v:.7e}\n"),
    "yokogawa": Example(
        '"Header Size",16\n"Model Name","DL9040"\n"BlockNumber",1\n"TraceName","CH1"\n"BlockSize",240\n"VUnit","V"\n'
        '"SampleRate",5000\n"HResolution",2.000E-04\n"HUnit","s"\n\n',
        lambda n, t, v, c, u: f",{v:.4E},\n",
        unit="V",
    ),
    "hantek": Example("#time,CH1\n#sample rate = 5 kSa/s\n", lambda n, t, v, c, u: f"{v:.4f}\n"),
    "sampling-frequency": Example("Sampling Frequency [kHz]: 5\nChannel A\n", lambda n, t, v, c, u: f"{v:.4f}\n"),
    "megasamples": Example("# Rate: 5 MS/s\nvolts\n", lambda n, t, v, c, u: f"{v:.4f}\n", fs_hz=5e6),
    "interval-us": Example("Interval,200 us\nUnit,mV\nIndex,Value\n", lambda n, t, v, c, u: f"{n},{v:.4f}\n"),
    "yokogawa-two": Example(
        "Header Size,16\nModel Name,DLM4000\nTraceName,CH1,CH2\nSampleRate,5.0E+03,5.0E+03\nHResolution,2E-04,2E-04\n\n",
        lambda n, t, v, c, u: f",{v:.5E},{u:.5E},\n",
    ),
    "yokogawa-no-blank-line": Example(
        "Header Size,16\nModel Name,DL850\nHResolution,2.0E-04\n", lambda n, t, v, c, u: f",{v:.5E}\n"
    ),
    "labview-no-times": Example(
        "X_Columns\tNo\n***End_of_Header***\t\nDelta_X\t2.0E-4\t\n***End_of_Header***\t\t\nX_Value\tVoltage\tComment\n",
        lambda n, t, v, c, u: f"\t{v:.6f}\n",
    ),
    "ngspice": Example(
        f" Index   time            v(out)          \n{'-' * 50}\n", lambda n, t, v, c, u: f"{n}\t{t:.6e}\t{v:.6e}\t\n"
    ),
    "counter-and-times-unnamed": Example("", lambda n, t, v, c, u: f"{n},{t:.6f},{v:.4f}\n"),
    "counter-and-padded-codes": Example("n,adc\n", lambda n, t, v, c, u: f"{n},{c:04d}\n", codes=True, fs_hz=None),
    "counter-and-padded-codes-unnamed": Example("", lambda n, t, v, c, u: f"{n},{c:05d}\n", codes=True, fs_hz=None),
    "event-beside-a-channel-named-v": Example(
        "t_s,v,event\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f},{'TRIG' if n < 9 else ''}\n"
    ),
    "rule-before-footer": Example(
        "time,ch\n", lambda n, t, v, c, u: f"{t:.6f},{v:.4f}\n", "---\nSamples: 240\nMean;0.01\n\nEND OF FILE\n"
    ),
    "thousands-in-the-rate": Example("Samples per second: 5,000\nU\n", lambda n, t, v, c, u: f"{v:.4f}\n"),
    "bars": Example("| time | v |\n", lambda n, t, v, c, u: f"| {t:.6f} | {v:.4f} |\n"),
}


def read(folder: Path, example: Example) -> Record:
    path = folder / "capture.csv"
    path.write_bytes(example.write())
    return read_record(path, **dict(example.options))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_sample_of_a_dialect_is_read_at_its_rate(tmp_path: Path, name: str) -> None:
    example = EXAMPLES[name]
    record = read(tmp_path, example)
    # Digits written: 1e-3 of 0.04 V at least, and a mean step of 239 steps to half a digit at both ends.
    np.testing.assert_allclose(record.values, CODES if example.codes else VOLTS, atol=2e-3)
    assert record.fs_hz == (None if example.fs_hz is None else pytest.approx(example.fs_hz, rel=1e-3))
    assert not record.uneven
    assert (record.codes is not None) is example.codes


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name].unit])
def test_the_unit_of_a_dialect_is_that_of_its_samples(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, EXAMPLES[name]).unit == EXAMPLES[name].unit


@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name].unit == "V"])
def test_a_dialect_has_no_finding_but_of_what_was_passed_over(tmp_path: Path, name: str) -> None:
    known = {"header-lines", "footer-lines", "column", "sample-rate", "decimal-comma"}
    assert {finding.code for finding in read(tmp_path, EXAMPLES[name]).guesses} <= known


@pytest.mark.parametrize("head", ["n,adc\n", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("spelling", ["010b", "012b", "04x", "04d"])
def test_words_of_one_width_beside_a_counter_are_no_fractions(tmp_path: Path, spelling: str, head: str) -> None:
    words = CODES + 300  # of zeros in front, as fractions of a decimal comma have them
    path = tmp_path / "words.csv"
    path.write_text(head + "".join(f"{n},{word:{spelling}}\n" for n, word in enumerate(words.tolist())))
    np.testing.assert_array_equal(read_record(path).values, words)


def test_a_rate_of_unnamed_times_says_that_seconds_are_taken(tmp_path: Path) -> None:
    record = read(tmp_path, EXAMPLES["counter-and-times-unnamed"])
    assert "taken as seconds" in next(note.text for note in record.guesses if note.code == "sample-rate")


@pytest.mark.parametrize("start", [-0.024, -3.0], ids=["with-minus-zero", "without"])
def test_a_lone_column_of_decimal_commas_is_one_column(tmp_path: Path, start: float) -> None:
    volts = VOLTS + start
    path = tmp_path / "commas.csv"
    path.write_text("".join(f"{v:.4f}\n".replace(".", ",") for v in volts.tolist()))
    np.testing.assert_allclose(read_record(path).values, volts, atol=5.1e-5)  # half of the last digit
