"""Why did a layer's range, scale or gradient move while its network was trained quantized? Charts over one step axis.

Each takes the `History` of a run and a `Look`: layer, kind and the configuration in focus. Figures are those of the
rows; where a chart has two plots they share the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.charts.drawing import Drawing, line
from qanalysis.charts.palette import PALETTES, Theme, fade
from qanalysis.charts.training_lines import History, find_runs
from qanalysis.charts.training_sheet import Look, Sheet
from qanalysis.charts.wording import escape
from qanalysis.converters.posterior import GRADES
from qanalysis.notation import NOTHING, percent, plain
from qanalysis.training.row import MODEL

Measure = Literal["element", "scalar"]
Ratio = Literal["deviation", "variance"]
THRESHOLDS: Mapping[Measure, tuple[float, float]] = MappingProxyType({"element": (0.1, 0.8), "scalar": (0.05, 0.25)})
"""Where the fluctuation's bands meet (A1)."""
STRATEGY_PLACES: Mapping[str, int] = MappingProxyType(
    {"ewgs": 0, "dampening": 1, "curvature": 2, "averaged": 3, "freezing": 4, "dsq": 5, "ste": 6}
)
_LEVEL_DASHES = {"float": "dash", "post-training": "dot"}


def _last(values: Doubles) -> float:
    """The last number of a line; NaN without one."""
    known = values[np.isfinite(values)]
    return float(known[-1]) if known.size else math.nan


def _tell(value: float, *, share: bool = False) -> str:
    if not math.isfinite(value):
        return NOTHING
    return percent(value) if share else plain(value)


def _draw_task(history: History, look: Look, column: str, theme: Theme, *, share: bool) -> Drawing:
    """Loss or accuracy: the training's own batch as a faint line, held-out data as points, both levels as lines."""
    sheet, scale = Sheet(history, look, theme), 100.0 if share else 1.0
    sheet.add_column(
        column, MODEL, "training", scale=scale, width=1, alpha=0.3, dash="solid", told="batch", listed=False
    )
    sheet.add_column(column, MODEL, "held-out", scale=scale, mode="lines+markers")
    if share:
        sheet.add_column(column, MODEL, "distillation", scale=scale, dash="dashdot", told="agrees with its teacher")
    levels = {}
    for kind, dash in _LEVEL_DASHES.items():
        levels[kind] = _last(history.read((look.focus, MODEL, kind), column).astype(np.float64))
        colour = sheet.colour_of(look.focus) if kind == "post-training" and look.focus in history.configurations else ""
        sheet.add_level(scale * levels[kind], kind, dash=dash, colour=colour)
    now = _last(history.read((look.focus, MODEL, "held-out"), column).astype(np.float64))
    noun = "Accuracy" if share else "Loss"
    others = ", ".join(f"{kind} {_tell(value, share=share)}" for kind, value in levels.items())
    lowest = min((float(np.nanmin(part)) for part in sheet.held.get("y", []) if np.isfinite(part).any()), default=0.0)
    shares = {"title": {"text": "Accuracy (%)"}, "range": [max(0, 10 * math.floor((lowest - 5) / 10)), 101]}
    nats = {"title": {"text": "Loss (nat)"}, "type": "log", "range": sheet.span_log(), "dtick": 1}
    return sheet.finish(
        f"{noun} on held-out data: {_tell(now, share=share)}",
        f"{escape(look.focus)} · {others} · faint: batch",
        alt=f"{noun} over steps; {look.focus}: {_tell(now, share=share)} on held-out data, {others}.",
        yaxis=shares if share else nats,
    )


def loss_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Loss in nat per step of each configuration: the batch of the step, held-out data, float and post-training."""
    return _draw_task(history, look, "loss", theme, share=False)


def accuracy_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """The same of accuracy, in percent."""
    return _draw_task(history, look, "accuracy", theme, share=True)


def error_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Error E of the tensor in LSB: 0.289 where errors spread evenly over a step, at most 0.5."""
    sheet = Sheet(history, look, theme)
    sheet.add_column("error", look.layer, look.kind)
    sheet.add_level(1 / math.sqrt(12), "even spread, 1/√12")
    now = _last(history.read(look.line, "error").astype(np.float64))
    return sheet.finish(
        f"Error E: {_tell(now)} LSB",
        look.of,
        alt=f"Error E of {look.kind} of {look.layer} over steps; {look.focus}: {_tell(now)} LSB.",
        yaxis={"title": {"text": "E (LSB)"}, "range": sheet.span(zero=True)},
    )


def fluctuation_lines(
    history: History,
    look: Look,
    *,
    measure: Measure = "element",
    thresholds: tuple[float, float] | None = None,
    theme: Theme = "light",
) -> Drawing:
    """Both measures of the error's fluctuation with the two thresholds, over bands of the strategy in use (A1).

    Solid the measure that is chosen, dotted the other. Bands are those of the configuration in focus.
    """
    sheet = Sheet(history, look, theme)
    own, other = ("v_elem", "v_scalar") if measure == "element" else ("v_scalar", "v_elem")
    sheet.add_column(own, look.layer, look.kind, dash="solid")
    sheet.add_column(other, look.layer, look.kind, dash="dot", width=1.5, alpha=0.75, told=other, listed=False)
    for value, name in zip(thresholds or THRESHOLDS[measure], ("lower threshold", "upper threshold"), strict=True):
        sheet.add_level(value, name, dash="dashdot")
    used = _add_bands(sheet)
    now = {name: _last(history.read(look.line, name).astype(np.float64)) for name in ("v_elem", "v_scalar")}
    told = ", ".join(f"{name} {_tell(value)}" for name, value in now.items())
    return sheet.finish(
        f"Fluctuation: {told}",
        f"{look.of} · solid {own}, dotted {other}" + (f" · bands: strategy of {escape(look.focus)}" if used else ""),
        alt=f"Fluctuation of the error of {look.kind} of {look.layer}; {look.focus}: {told}"
        f"{'; strategies ' + ', '.join(used) if used else ''}.",
        yaxis={"title": {"text": "Fluctuation (1 = whole cell)"}, "range": sheet.span(zero=True)},
    )


def _add_bands(sheet: Sheet) -> list[str]:
    """Bands behind the plot, one for each run of a strategy, and an entry of the legend for each strategy."""
    history, look = sheet.history, sheet.look
    steps, words = history.steps_of(look.line), history.read(look.line, "strategy")
    runs = find_runs(words.tolist())
    colours = PALETTES[sheet.theme].categories
    for word, first, behind in runs:
        end = int(steps[behind]) if behind < len(steps) else int(steps[behind - 1]) + 1
        sheet.shapes.append(
            {
                "type": "rect",
                "layer": "below",
                "xref": "x",
                "yref": "paper",
                "x0": int(steps[first]),
                "x1": end,
                "y0": 0,
                "y1": 1,
                "fillcolor": fade(colours[STRATEGY_PLACES.get(word, 6)], 0.13),
                "line": {"width": 0},
            }
        )
    used = list(dict.fromkeys(word for word, _first, _behind in runs))
    for word in used:
        fill = fade(colours[STRATEGY_PLACES.get(word, 6)], 0.3)
        sheet.traces.append(
            line(x=[], y=[], mode="lines", name=escape(word), fill="toself", fillcolor=fill, line={"width": 0})
        )
    return used


def range_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Ends of the range over the largest magnitudes that were seen, with a mark at each event that moved it.

    Points above the line are clipped. A lower end is drawn where it is not the upper one's mirror image.
    """
    sheet = Sheet(history, look, theme)
    cloud: dict[str, Any] = {"mode": "markers", "marker": {"size": 4}, "alpha": 0.45, "listed": False}
    sheet.add_column("absmax", look.layer, look.kind, told="largest |x|", **cloud)
    sheet.add_column("high", look.layer, look.kind, shape="hv")
    has_lower = False
    for configuration in history.configurations:
        at = (configuration, look.layer, look.kind)
        low, high = (history.read(at, name).astype(np.float64) for name in ("low", "high"))
        if low.size and np.isfinite(low).any() and np.nanmax(np.abs(low + high)) > 1e-6 * np.nanmax(np.abs(high)):
            steps, has_lower = history.steps_of(at), True
            sheet.add(configuration, steps, low, shape="hv", dash="dot", told="lower end", listed=False)
        events = history.read(at, "event")
        moved = np.array([bool(event) for event in events.tolist()], bool)
        marks = {"symbol": "diamond", "size": 8}
        if moved.any():
            steps, told = history.steps_of(at)[moved], events[moved].tolist()
            if len(steps) <= _MOST_MARKS:
                sheet.add(configuration, steps, high[moved], mode="markers", marker=marks, told="event", text=told)
    seen, end = (_last(history.read(look.line, name).astype(np.float64)) for name in ("absmax", "high"))
    return sheet.finish(
        f"Range: upper end {_tell(end)}, largest |x| {_tell(seen)}",
        f"{look.of} · points: largest |x| seen" + (", dotted: lower end" if has_lower else ""),
        alt=f"Range of {look.kind} of {look.layer} over the largest magnitudes; {look.focus}: upper end {_tell(end)}, "
        f"largest |x| {_tell(seen)}.",
        yaxis={"title": {"text": "Value"}, "range": sheet.span()},
    )


_MOST_MARKS = 200


def step_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """The step as a power of two above, bits below: whole exponents s on the rungs, real steps f between them."""
    sheet = Sheet(history, look, theme)
    for configuration in history.configurations:
        at = (configuration, look.layer, look.kind)
        sizes = history.read(at, "step_size").astype(np.float64)
        exponents = np.log2(np.where(sizes > 0, sizes, np.nan)) if sizes.size else sizes
        sheet.add(configuration, history.steps_of(at), exponents, shape="hv")
    sheet.add_column("bits", look.layer, look.kind, axis="y2", shape="hv")
    now = {name: _last(history.read(look.line, name).astype(np.float64)) for name in ("s", "f", "bits")}
    known = np.concatenate([part[np.isfinite(part)] for part in sheet.held.get("y", [])] or [np.zeros(1)])
    told = f"s = {now['s']:.0f}".replace("-", "−") if math.isfinite(now["s"]) else f"f = {_tell(now['f'])}"
    bits = f"{now['bits']:.0f} bit" if math.isfinite(now["bits"]) else NOTHING
    return sheet.finish(
        f"Step: {told}, {bits}",
        look.of,
        alt=f"Step and bits of {look.kind} of {look.layer}; {look.focus}: {told}, {bits}.",
        yaxis={
            "title": {"text": "log₂ step"},
            "range": [math.floor(known.min() - 0.5), math.ceil(known.max() + 0.5)],
        },
        yaxis2={"title": {"text": "Bits"}, "range": sheet.span("y2", zero=True)},
    )


def gradient_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Rms of the corrected gradient, dotted that of the correction, and its cosine to the float network's gradient; of
    the layer's weights where the tensor has no cosine of its own.
    """
    sheet, kind = Sheet(history, look, theme), _find_gradient(history, look)
    sheet.add_column("grad_rms", look.layer, kind)
    sheet.add_column("correction_rms", look.layer, kind, dash="dot", alpha=0.6, told=", correction", listed=False)
    sheet.add_column("grad_cosine", look.layer, kind, axis="y2")
    line = (look.focus, look.layer, kind)
    rms, cosine = (_last(history.read(line, name).astype(np.float64)) for name in ("grad_rms", "grad_cosine"))
    told = f"rms {_tell(rms)}" + (f", cosine {_tell(cosine)} to the float one" if math.isfinite(cosine) else "")
    corrects = bool((history.read(line, "correction_rms").astype(np.float64) > 0).any())
    return sheet.finish(
        f"Gradient: {told}",
        escape(f"{kind} of {look.layer}{'; dotted the correction' if corrects else ''}"),
        alt=f"Gradient of {kind} of {look.layer}; {look.focus}: {told}.",
        yaxis={"title": {"text": "Gradient rms"}, "type": "log", "range": sheet.span_log(), "dtick": 1},
        yaxis2={"title": {"text": "Cosine"}, "range": [min(sheet.span("y2")[0], 0.0), 1.05]},
    )


def _find_gradient(history: History, look: Look) -> str:
    """The kind whose gradient is shown: the one in view, or weights where that one has no cosine."""
    lines = [line for line in history.places if line[1:] == (look.layer, look.kind)]
    has_own = any(np.isfinite(history.read(line, "grad_cosine").astype(np.float64)).any() for line in lines)
    return look.kind if has_own else "weight"


def flip_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Codes that changed since the row before, above; the share of clipped elements in percent, below."""
    sheet = Sheet(history, look, theme)
    sheet.add_column("flips", look.layer, look.kind, width=1.5)
    sheet.add_column("clipped_fraction", look.layer, look.kind, axis="y2", scale=100)
    flips = history.read(look.line, "flips").astype(np.float64)
    total = f"{np.nansum(flips):,.0f} flips in all, " if np.isfinite(flips).any() else ""
    clipped = _tell(_last(history.read(look.line, "clipped_fraction").astype(np.float64)), share=True)
    told = f"{total}{clipped} clipped"
    return sheet.finish(
        told,
        look.of,
        alt=f"Flips of codes and clipped share of {look.kind} of {look.layer}; {look.focus}: {told}.",
        yaxis={"title": {"text": "Flips a row"}, "range": sheet.span(zero=True)},
        yaxis2={"title": {"text": "Clipped (%)"}, "range": sheet.span("y2", zero=True, most=102)},
    )


def check_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """How often the rule has looked at the range, above; how far quantizing moves the mean magnitude, below (A13)."""
    sheet = Sheet(history, look, theme)
    for configuration in history.configurations:
        at = (configuration, look.layer, look.kind)
        checked = np.array([bool(word) for word in history.read(at, "checked").tolist()], np.float64)
        sheet.add(configuration, history.steps_of(at), np.cumsum(checked), shape="hv")
    sheet.add_column("diff_bit", look.layer, look.kind, axis="y2")
    rows = history.read(look.line, "checked").tolist()
    told = f"{sum(map(bool, rows)):,} in {len(rows):,} rows" if rows else NOTHING
    moved = _tell(_last(history.read(look.line, "diff_bit").astype(np.float64)))
    return sheet.finish(
        f"Checks: {told}; mean distortion {moved}",
        look.of,
        alt=f"Checks and mean distortion of {look.kind} of {look.layer}; {look.focus}: {told}, distortion {moved}.",
        yaxis={"title": {"text": "Checks so far"}, "range": sheet.span(zero=True)},
        yaxis2={"title": {"text": "Distortion"}, "range": sheet.span("y2", zero=True)},
    )


def ratio_lines(history: History, look: Look, *, ratio: Ratio = "deviation", theme: Theme = "light") -> Drawing:
    """Posterior-error ratio of the tensor with the limits of its grades (C3): C = S2/S1, or its square c.

    S2 is the error's deviation, E times the step; S1 the tensor's, its rms: both take the mean as 0.
    """
    sheet, power = Sheet(history, look, theme), 1 if ratio == "deviation" else 2
    name = "C" if ratio == "deviation" else "c = C²"
    for configuration in history.configurations:
        at = (configuration, look.layer, look.kind)
        sheet.add(configuration, history.steps_of(at), find_ratio(history, at) ** power)
    for grade in GRADES[:-1]:
        limit = grade.c_below**power
        sheet.add_level(limit, f"{grade.word} below {plain(limit, digits=4)}", dash="dot")
    now = _last(find_ratio(history, look.line) ** power)
    graded = next((grade for grade in GRADES if now < grade.c_below**power), GRADES[-1])
    verdict = f"{_tell(now)}, {graded.word}" if math.isfinite(now) else NOTHING
    return sheet.finish(
        f"Posterior error: {name} = {verdict}",
        look.of + " · a ratio of " + ("deviations" if power == 1 else "variances"),
        alt=f"Posterior-error ratio of {look.kind} of {look.layer}; {look.focus}: {name} = {verdict}.",
        yaxis={"title": {"text": name}, "range": sheet.span(zero=True)},
    )


def find_ratio(history: History, at: tuple[str, str, str]) -> Doubles:
    """C of a tensor at each of its steps, error rms over signal rms, both about 0; (steps,), NaN where unknown."""
    error, size, mean, std = (
        history.read(at, name).astype(np.float64) for name in ("error", "step_size", "mean", "std")
    )
    signal = np.sqrt(mean**2 + std**2)
    ratio: Doubles = np.divide(error * size, signal, out=np.full(signal.shape, np.nan), where=signal > 0)
    return ratio


def stream_lines(history: History, look: Look, *, theme: Theme = "light") -> Drawing:
    """Accuracy on data as before a drift (dotted) and after it (solid), while the network goes on learning (B6)."""
    sheet = Sheet(history, look, theme)
    sheet.add_column("accuracy", MODEL, "new-data", scale=100, dash="solid", told="new data")
    sheet.add_column("accuracy", MODEL, "old-data", scale=100, dash="dot", told="old data")
    now = {
        kind: _tell(_last(history.read((look.focus, MODEL, f"{kind}-data"), "accuracy").astype(np.float64)), share=True)
        for kind in ("new", "old")
    }
    told = f"new data {now['new']}, old data {now['old']}"
    return sheet.finish(
        f"Learning on: {told}",
        escape(look.focus),
        alt=f"Accuracy on old and on new data over steps; {look.focus}: {told}.",
        yaxis={"title": {"text": "Accuracy (%)"}, "range": [0, 102]},
    )


@dataclass(frozen=True, slots=True)
class ChartKind:
    """A chart of a training: what draws it, and the columns whose figures it shows.

    `of_model` names the kinds of the whole network's rows that it takes; empty for one of a tensor's rows.
    """

    draw: Callable[..., Drawing]
    columns: tuple[str, ...]
    of_model: tuple[str, ...] = ()

    def has_figures(self, history: History, look: Look) -> bool:
        """Whether any configuration has a figure to show."""
        kinds = [(MODEL, kind) for kind in self.of_model] or [(look.layer, look.kind)]
        if self.draw is gradient_lines:
            kinds.append((look.layer, _find_gradient(history, look)))
        return any(
            np.isfinite(history.read(line, name).astype(np.float64)).any()
            for line in history.places
            if line[1:] in kinds
            for name in self.columns
            if name not in _WORDS
        )


_WORDS = ("event", "strategy")  # columns of texts
CHARTS: Mapping[str, ChartKind] = MappingProxyType(
    {
        "loss": ChartKind(loss_lines, ("loss",), ("training", "held-out")),
        "accuracy": ChartKind(accuracy_lines, ("accuracy",), ("training", "held-out")),
        "range": ChartKind(range_lines, ("absmax", "low", "high", "event")),
        "fluctuation": ChartKind(fluctuation_lines, ("v_scalar", "v_elem", "strategy")),
        "error": ChartKind(error_lines, ("error",)),
        "ratio": ChartKind(ratio_lines, ("error", "step_size", "mean", "std")),
        "step": ChartKind(step_lines, ("step_size", "s", "f", "bits")),
        "gradient": ChartKind(gradient_lines, ("grad_rms", "grad_cosine")),
        "flips": ChartKind(flip_lines, ("flips", "clipped_fraction")),
        "checks": ChartKind(check_lines, ("checked", "diff_bit")),
        "streams": ChartKind(stream_lines, ("accuracy",), ("new-data", "old-data")),
    }
)
"""The charts of a training in their order; each draws a history and a look."""


def draw_all(
    history: History,
    look: Look,
    *,
    measure: Measure,
    ratio: Ratio,
    thresholds: tuple[float, float] | None = None,
) -> dict[str, Drawing]:
    """Every chart that has figures to show, by name, in the light theme."""
    more: dict[str, dict[str, Any]] = {
        "fluctuation": {"measure": measure, "thresholds": thresholds},
        "ratio": {"ratio": ratio},
    }
    shown = {name: chart for name, chart in CHARTS.items() if chart.has_figures(history, look)}
    return {name: chart.draw(history, look, **more.get(name, {})) for name, chart in shown.items()}
