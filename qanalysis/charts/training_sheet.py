"""How is a figure of a training drawn over its steps? One frame, one step axis and one look of each configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import DASHES, PALETTES, Theme, climb, fade
from qanalysis.charts.training_lines import MOST_POINTS, History, Line, thin
from qanalysis.charts.wording import escape
from qanalysis.notation import plain

_LINES_AT_ONCE = 24  # of a chart: what its points are shared among before they are thinned
HEIGHT, TALL = 330, 420
_UPPER, _LOWER = [0.58, 1], [0, 0.46]


@dataclass(frozen=True, slots=True)
class Look:
    """What the charts of a training look at.

    Parameters
    ----------
    layer, kind : the tensor whose figures are drawn.
    focus : the configuration of which bands and headlines speak.
    end : the last step that the axis shows, so that it stands still while a training runs.
    """

    layer: str
    kind: str
    focus: str
    end: int

    @property
    def of(self) -> str:
        """The tensor in words, escaped."""
        return escape(f"{self.kind} of {self.layer}")

    @property
    def line(self) -> Line:
        """The line of the configuration in focus."""
        return self.focus, self.layer, self.kind


@dataclass(slots=True)
class Sheet:
    """A figure in the making: lines of configurations over one step axis, on one or two vertical axes."""

    history: History
    look: Look
    theme: Theme = "light"
    traces: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    held: dict[str, list[Doubles]] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def colour_of(self, configuration: str) -> str:
        """The colour of a configuration in all charts."""
        colours = PALETTES[self.theme].categories
        return colours[self.history.rank(configuration) % len(colours)]

    def add_column(self, name: str, layer: str, kind: str, *, scale: float = 1.0, axis: str = "y", **look: Any) -> None:
        """A column of a layer and kind, one line for each configuration that has it; `look` as `add` takes it."""
        for configuration in self.history.configurations:
            at = (configuration, layer, kind)
            if at in self.history.places:
                values = scale * self.history.read(at, name).astype(np.float64)
                self.add(configuration, self.history.steps_of(at), values, axis=axis, **look)

    def add(
        self,
        configuration: str,
        steps: Codes,
        values: Doubles,
        *,
        axis: str = "y",
        mode: str = "lines",
        shape: str | None = None,
        dash: str = "",
        width: float = 2,
        alpha: float = 1.0,
        marker: dict[str, Any] | None = None,
        told: str = "",
        text: Sequence[str] | None = None,
        listed: bool = True,
    ) -> None:
        """One line or cloud of a configuration; nothing where no value is a number.

        `told` is what stands behind the configuration's name; the legend has each name once, and none that is not
        `listed`.
        """
        if not np.isfinite(values).any():
            return
        steps, values = thin(steps, np.where(np.isfinite(values), values, np.nan), MOST_POINTS // _LINES_AT_ONCE)
        colour, rank = self.colour_of(configuration), self.history.rank(configuration)
        name = escape(f"{configuration}{told and ', '}{told}")
        self.held.setdefault(axis, []).append(values)
        self.traces.append(
            line(
                x=steps.astype(np.int32),
                y=values.astype(np.float32),
                mode=mode,
                name=name,
                yaxis=None if axis == "y" else axis,
                showlegend=None if listed and name not in self.named else False,
                line={
                    "color": fade(colour, alpha) if alpha < 1 else colour,
                    "width": width,
                    "dash": dash or DASHES[rank % len(DASHES)],
                    **({"shape": shape} if shape else {}),
                },
                marker={"color": fade(colour, alpha) if alpha < 1 else colour, "size": 5, **(marker or {})},
                text=None if text is None else list(map(escape, text)),
                hovertemplate="step %{x}: %{y:.4~g}" + ("<br>%{text}" if text is not None else ""),
            )
        )
        self.named.add(name)

    def add_level(self, value: float, name: str, *, dash: str = "dash", colour: str = "", axis: str = "y") -> None:
        """A horizontal line over all steps, such as a limit."""
        if not math.isfinite(value):
            return
        self.held.setdefault(axis, []).append(np.array([value]))
        self.traces.append(
            line(
                x=np.array([0, self.look.end], np.int32),
                y=np.full(2, value, np.float32),
                mode="lines",
                name=name,
                yaxis=None if axis == "y" else axis,
                line={"color": colour or PALETTES[self.theme].reference, "width": 1.5, "dash": dash},
                hovertemplate=f"{name}: {plain(value, digits=4)}",
            )
        )

    def span(self, axis: str = "y", *, zero: bool = False, most: float = math.inf) -> list[float]:
        """Ends of an axis around all that it holds, on rungs that stand still while values move a little.

        With `zero` from 0; never above `most`.
        """
        known = np.concatenate([part[np.isfinite(part)] for part in self.held.get(axis, [])] or [np.empty(0)])
        if not known.size:
            return [0.0, 1.0]
        low, high = float(known.min()), float(known.max())
        top = climb(high) if high > 0 else 0.0
        bottom = 0.0 if zero or low >= 0 else -climb(-low)
        return [bottom, min(top, most)] if top > bottom else [bottom, bottom + 1]

    def span_log(self, axis: str = "y") -> list[float]:
        """Exponents of whole decades around all positive values."""
        known = np.concatenate([part[part > 0] for part in self.held.get(axis, [])] or [np.empty(0)])
        if not known.size:
            return [-1.0, 0.0]
        low, high = np.log10(known.min()), np.log10(known.max())
        return [math.floor(low - 0.05), math.ceil(high + 0.05)]

    def finish(self, title: str, subtitle: str, *, alt: str, yaxis: dict[str, Any], **layout: Any) -> Drawing:
        """The figure; `yaxis` and `yaxis2` are what plotly is told of the axes, which share the steps.

        An axis without a line leaves its room to the other.
        """
        lower = layout.pop("yaxis2", None)
        two = lower is not None and {"y", "y2"} <= set(self.held)
        axes = {"yaxis": {**yaxis, "domain": _UPPER if two else [0, 1]}}
        if lower is not None:
            axes["yaxis2"] = {**lower, "domain": _LOWER if two else [0, 1], "visible": "y2" in self.held}
            axes["yaxis"]["visible"] = "y" in self.held
        steps = {"title": {"text": "Step"}, "range": [0, max(self.look.end, 1)], "exponentformat": "none"}
        return draw(
            self.traces,
            title,
            self.theme,
            alt=alt,
            subtitle=subtitle,
            height=TALL if two else HEIGHT,
            xaxis={**steps, "anchor": "y2" if "y2" in self.held else "y"},
            shapes=self.shapes,
            **axes,
            **layout,
        )


def mark_step(step: int, theme: Theme = "light") -> dict[str, Any]:
    """What a chart over steps shows of the step in view: a line from its foot to its top."""
    pen = {"color": PALETTES[theme].text, "width": 1.5, "dash": "dot"}
    ends = {"x0": step, "x1": step, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
    return {"marks": {"shapes": [{"name": "mark-step", "type": "line", "line": pen, **ends}], "annotations": []}}
