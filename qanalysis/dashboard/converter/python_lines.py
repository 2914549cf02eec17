"""Which lines of Python make the numbers of a chart of page Converter? Short scripts with the package's own names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.waveforms import OwnRecord
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.textbook.textbook import Textbook
from qanalysis.dashboard.converter.recordings import PAIRS, Recording, find_recording
from qanalysis.dashboard.converter.second_record import Behind
from qanalysis.dashboard.converter.view import ConverterView
from qanalysis.dashboard.sources import name_source
from qanalysis.dashboard.views import list_ends

_LINEARITY_OPTIONS = "from qanalysis.converters.linearity.options import LinearityOptions"
_SIMULATION = "qanalysis.converters.simulation"


def write_converter(converter: Converter) -> str:
    """The line that makes a converter, for use behind its import."""
    words = [f"{converter.bits}, {converter.low!r}, {converter.high!r}"]
    words += [f"{name}={getattr(converter, name)!r}" for name in ("fs_over", "transfer") if _differs(converter, name)]
    return f"Converter({', '.join(words)})"


def write_simulation(simulation: Simulation, view: ConverterView) -> str:
    """The lines that make `simulation` and its `record`; what is at its default is left out."""
    wave = simulation.waveform
    own = isinstance(wave, OwnRecord)
    names = [
        field.name
        for field in fields(Simulation)
        if field.name not in ("converter", "waveform", "inl", "_") and _differs(simulation, field.name)
    ]
    options = [f"    {name}={getattr(simulation, name)!r}," for name in names]
    bent = bool(simulation.inl)
    options += [f"    inl=Inl({simulation.inl.shape!r}, {simulation.inl.peak_lsb!r}),"] if bent else []
    return "\n".join(
        [
            "from qanalysis import Converter",
            *(["from qanalysis.converters.linearity.inl import Inl"] if bent else []),
            f"from {_SIMULATION}.simulate import Simulation",
            f"from {_SIMULATION}.waveforms import {type(wave).__name__}",
            *(_write_record(view) if own else []),
            "",
            "simulation = Simulation(",
            f"    {write_converter(simulation.converter)},",
            f"    {'OwnRecord(values)' if own else repr(wave)},",
            *options,
            ")",
            "record = simulation.run()",
        ]
    )


def write_textbook(problem: Textbook) -> str:
    """The lines that make a transfer curve, and the first input's code, level and error."""
    lines = [
        "import numpy as np",
        "",
        "from qanalysis import Converter",
        "",
        f"converter = {write_converter(problem.converter)}",
        "inputs = np.linspace(converter.low, converter.high, 1001)",
        "errors_lsb = (converter.round_trip(inputs) - inputs) / converter.lsb",
        "print(converter.lsb, converter.error_bound)",
    ]
    if problem.inputs:
        lines += [f"code = converter.encode({problem.inputs[0]!r})", "print(code, converter.decode(code))"]
    return "\n".join(lines)


def write_resolution(view: ConverterView) -> str:
    """The lines that make the step of each width."""
    call = f"Converter(bits, {view.low!r}, {view.high!r}, fs_over={view.fs_over!r})"
    ends = list_ends(ConverterView, "bits")
    return f"from qanalysis import Converter\n\nsteps = [{call}.lsb for bits in range({ends[0]}, {ends[1] + 1})]"


def _write_record(view: ConverterView) -> list[str]:
    """The lines that make the `values` of a waveform from a record, centred and scaled as the page does."""
    return [
        *_open_record(find_recording(view)),
        "values = record.values - (record.values.max() + record.values.min()) / 2",
        f"values = values * ({view.amplitude / 100!r} / max(abs(values)))  # of a range of -1 to 1 V",
    ]


def _open_record(recording: Recording, *names: str, reads: bool = False) -> list[str]:
    """The lines that open a `record` as it was read, and take `names` from the same module; of an upload the file's
    name alone. `reads` says that later lines state a reading too.
    """
    opener = "open_tested" if recording.pairs else "open_capture"
    return [*_import_opening(recording, *names, opener, reads=reads), f"record = {_write_opening(recording)}"]


def _import_opening(recording: Recording, *names: str, reads: bool) -> list[str]:
    """The imports of what opens and measures a record, and a free line."""
    return [
        f"from qanalysis.converters.captures import {', '.join(sorted(names))}",
        *([_LINEARITY_OPTIONS] if recording.pairs else []),
        *(["from qanalysis.converters.records.reading import Reading"] if reads or _states(recording) else []),
        "",
    ]


def _write_opening(recording: Recording) -> str:
    """The call that opens a record as it was read, for pairs with its inputs."""
    words = [repr(name_source(recording.text)), *_state(recording.reading, "Reading")]
    if not recording.pairs:
        return f"open_capture({', '.join(words)})"
    return f"open_tested({', '.join(words)}, options={_state(PAIRS, 'LinearityOptions')[0]})"


def _states(recording: Recording) -> bool:
    """Whether anything was stated of how the record is read."""
    return bool(_state(recording.reading, "Reading"))


def _state(value: Any, kind: str) -> list[str]:
    """The call that makes a dataclass anew, with what is not at its default; nothing where all of it is."""
    words = [f"{field.name}={getattr(value, field.name)!r}" for field in fields(value) if _differs(value, field.name)]
    return [f"{kind}({', '.join(words)})"] if words else []


def write_captured_spectrum(recording: Recording, options: SpectrumOptions, behind: Behind | None = None) -> str:
    """The spectrum of a record or of its file's channels, and that of the record behind it where there is one."""
    reads = behind is not None and _states(behind.recording)
    stated, measure = _state(options, "SpectrumOptions"), "analyze_capture"
    if options.average is None:
        lines = [*_open_record(recording, measure, reads=reads), f"spectrum = {measure}({_list('record', stated)})"]
    else:
        several = [f"[{name_source(recording.text)!r}]", *_state(recording.reading, "Reading"), "every=True"]
        names = ("analyze_captures", "open_captures", *([measure, "open_capture"] if behind else []))
        lines = [
            *_import_opening(recording, *names, reads=reads),
            f"records = open_captures({', '.join(several)})",
            f"spectrum = analyze_captures({_list('records', stated)})",
        ]
    lines.append("print(spectrum.sinad_db, spectrum.enob_ieee, spectrum.sfdr_dbc)")
    if behind is not None:
        words = _state(behind.options, "SpectrumOptions")
        lines += [f"second = {_write_opening(behind.recording)}", f"behind = {measure}({_list('second', words)})"]
    imported = any("SpectrumOptions(" in line for line in lines)
    options_from = "from qanalysis.converters.spectrum.options import SpectrumOptions"
    return "\n".join([*([options_from] if imported else []), *lines])


def _list(first: str, rest: Iterable[str]) -> str:
    """The arguments of a call."""
    return ", ".join([first, *rest])


def write_captured_linearity(recording: Recording, options: LinearityOptions) -> str:
    """DNL and INL of a record by code."""
    stated = _state(options, "LinearityOptions")
    return "\n".join(
        [
            *([_LINEARITY_OPTIONS] if stated and not recording.pairs else []),
            *_open_record(recording, "measure_capture"),
            f"found = measure_capture({', '.join(['record', *stated])})",
            "dnl_lsb, inl_lsb = found.dnl_lsb, found.inl_lsb",
        ]
    )


def write_captured_codes(recording: Recording) -> str:
    """How often each code of a record came."""
    counted = "codes, counts = np.unique(record.codes, return_counts=True)"
    return "\n".join(["import numpy as np", "", *_open_record(recording), counted])


def _differs(value: Any, name: str) -> bool:
    """Whether a field of a dataclass is not at its default."""
    default = next(field.default for field in fields(value) if field.name == name)
    return bool(getattr(value, name) != default)


def write_transfer(lines: str) -> str:
    """`lines` are those of `write_simulation`, here and below; the transfer curve in volts."""
    traced = f"from {_SIMULATION}.transfer import trace_transfer\n"
    return f"{traced}{lines}\ncurve = trace_transfer(simulation)\ninputs, outputs = curve.x, curve.values"


def write_errors(lines: str) -> str:
    """The density of the errors, of which those beyond the axis are a part."""
    errors = "errors = record.errors / simulation.converter.lsb"
    counts = "counts, edges = np.histogram(errors, 120, (-1.5, 1.5))"
    density = "density = counts / (errors.size * (edges[1] - edges[0]))"
    return f"import numpy as np\n\n{lines}\n{errors}\n{counts}\n{density}"


def write_codes(lines: str) -> str:
    """How often each code came."""
    counted = "counts = np.bincount(record.codes, minlength=simulation.converter.codes)"
    return f"import numpy as np\n\n{lines}\n{counted}"


def write_ledger(lines: str) -> str:
    """Error power by source, in LSB²."""
    powers = "powers = {row.source: row.power / simulation.converter.lsb**2 for row in open_ledger(record).rows}"
    return f"from {_SIMULATION}.ledger import open_ledger\n{lines}\n{powers}"


def write_spectrum(lines: str, simulation: Simulation, view: ConverterView) -> str:
    """The spectrum of the output."""
    converter = simulation.converter
    words = [f"low={converter.low!r}", f"high={converter.high!r}", f"harmonics={view.harmonics}"]
    words += [f"fs_over={view.fs_over!r}"] if view.fs_over != "2^n" else []
    words += [f"full_scale={view.full_scale!r}"] if view.full_scale != "sine" else []
    words += ["band_hz=(0.0, simulation.band_hz)"] if simulation.osr != 1 else []
    return "\n".join(
        [
            "from qanalysis import analyze_spectrum",
            "from qanalysis.converters.spectrum.options import SpectrumOptions",
            lines,
            f"options = SpectrumOptions({', '.join(words)})",
            f"spectrum = analyze_spectrum(record.values, options, fs_hz=simulation.fs_hz, bits={converter.bits})",
            "print(spectrum.sinad_db, spectrum.enob_ieee, spectrum.sfdr_dbc)",
        ]
    )


def write_bits(lines: str) -> str:
    """SQNR against bits."""
    return f"from {_SIMULATION}.sweeps import sweep_bits\n{lines}\nsqnr_db = sweep_bits(simulation).sqnr_db"


def write_tone(lines: str, kind: str) -> str:
    """SINAD and SFDR against the start phase, or the frequency: `kind` is "phase" or "frequency"."""
    swept = f"from {_SIMULATION}.tone_sweeps import sweep_{kind}\n"
    return f"{swept}{lines}\nsweep = sweep_{kind}(simulation)\nplaces, sfdr_db = sweep.places, sweep.sfdr_db"


def write_loading(bits: int) -> str:
    """SQNR of a Gaussian against loading."""
    return f"from {_SIMULATION}.sweeps import sweep_loading\n\nsweep = sweep_loading({bits})\nprint(sweep.best_sqnr_db)"


def write_sizes(signal: str, dither: str) -> str:
    """Error against the size of a signal."""
    sizes = "np.geomspace(0.2, 128, 60).round(4)"
    call = f"sweep_amplitude({sizes}, signal={signal!r}, dither={dither!r})"
    return f"import numpy as np\n\nfrom {_SIMULATION}.sweeps import sweep_amplitude\n\nsweep = {call}"


def write_dithers() -> str:
    """The dithers across one step."""
    return f"from {_SIMULATION}.sweeps import sweep_dither\n\npanel = sweep_dither()\nprint(panel.mean_error_lsb)"


def write_output(lines: str) -> str:
    """The spectrum behind the hold."""
    traced = "output = trace_output(record.values, simulation.fs_hz)"
    return f"from {_SIMULATION}.dac import trace_output\n{lines}\n{traced}"


def write_hold(lines: str) -> str:
    """The output in time."""
    held = "times, held = hold_samples(record.values[:96], simulation.fs_hz)"
    return f"from {_SIMULATION}.dac import hold_samples\n{lines}\n{held}"
