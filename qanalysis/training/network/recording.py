"""How does a step become rows? The cells of each site and of the whole network, gathered column by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.results.columns import names_of
from qanalysis.results.table import Frame
from qanalysis.training.configuration import Configuration
from qanalysis.training.network.carrier import WeightCarrier
from qanalysis.training.network.site import Site, find_mean_magnitude
from qanalysis.training.range_rules import PrecisionRule
from qanalysis.training.row import MODEL, HistoryRow
from qanalysis.training.width_rules import DISTORTION

_NAMES = names_of(HistoryRow)

#: Of the history of a configuration: about 2 GB in memory.
MOST_ROWS = 3_000_000


@dataclass(slots=True)
class Recorder:
    """Rows of one configuration as they come, each with the cells that have something to tell."""

    configuration: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    taken: int = 0

    def add_model(self, step: int, kind: str, **cells: Any) -> None:
        """A row of the whole network."""
        self.lines.append({"step": step, "layer": MODEL, "kind": kind, "event": "", **_plain(cells)})

    def add_site(self, step: int, site: Site, **cells: Any) -> None:
        """A row of one site; `cells` are those of its weight."""
        told = _plain(describe_site(site, step) | cells)
        self.lines.append({"step": step, "layer": site.layer, "kind": site.kind, **told})

    def take(self) -> Frame[HistoryRow]:
        """The rows since the last call."""
        fresh, self.taken = self.lines[self.taken :], len(self.lines)
        return self.to_frame(fresh)

    def to_frame(self, lines: list[dict[str, Any]] | None = None) -> Frame[HistoryRow]:
        """All rows, or some, as a frame."""
        chosen = self.lines if lines is None else lines
        told, nothing = set[str]().union(*chosen), [None] * len(chosen)
        columns: dict[str, list[Any]] = {
            name: [line.get(name) for line in chosen] if name in told else nothing for name in _NAMES
        }
        columns["configuration"] = [self.configuration] * len(chosen)
        return Frame(HistoryRow, columns)


def check_size(configuration: Configuration, sites: int) -> None:
    """Raises ValueError for a history that would not fit into memory."""
    rows = sites * configuration.steps // max(configuration.record_every, 1) * (configuration.record_every > 0)
    if rows > MOST_ROWS:
        enough = -(-configuration.steps * sites // MOST_ROWS)
        raise ValueError(
            f"configuration {quote(configuration.name)}: {configuration.steps:,} steps of {sites} tensors are {rows:,} "
            f"rows, and a history holds {MOST_ROWS:,}; record fewer, such as record_every = {enough}"
        )


def describe_site(site: Site, step: int) -> dict[str, Any]:
    """The cells that every site has: its range and steps, what it saw, how far it missed; events with the step that
    they belong to, where that has no row of its own.
    """
    told = [text if at == step else f"step {at}: {text}" for at, text in site.events]
    cells: dict[str, Any] = {"event": "; ".join(told)}
    seen = site.seen
    if seen is not None:
        total = max(float(seen.count.sum()), 1.0)
        # A group without finite elements has no mean and counts nothing.
        mean = float(np.nansum(seen.count * seen.mean)) / total
        square = float(np.nansum(seen.count * (seen.mean**2 + seen.std**2))) / total
        cells |= {
            "absmax": _widest(seen.absmax, np.fmax),
            "absmin": _widest(seen.absmin, np.fmin),
            "mean": mean,
            "std": math.sqrt(max(square - mean * mean, 0.0)),
            "numel": int(np.nansum(seen.count)),
            "non_finite": int(np.nansum(seen.non_finite)),
            "data_low": _widest(seen.low, np.fmin),
            "data_high": _widest(seen.high, np.fmax),
        }
        if site.kind.endswith("gradient"):
            cells["grad_rms"] = math.sqrt(square) if square >= 0 else None
    if site.recipe is not None and site.state is not None:
        cells |= _describe_quantizer(site)
    return cells


def _describe_quantizer(site: Site) -> dict[str, Any]:
    state, recipe, steps = site.state, site.recipe, site.steps
    if state is None or recipe is None:
        return {}
    discrete = isinstance(recipe.range, PrecisionRule) and recipe.range.precision == "s"
    step = _widest(steps, np.fmax)
    usable = step is not None and step > 0
    cells: dict[str, Any] = {
        "bits": site.bits,
        "s": round(math.log2(step)) if discrete and usable and step is not None else None,
        "f": None if discrete else step,
        "step_size": step,
        "low": _widest(state.low, np.fmin),
        "high": _widest(state.high, np.fmax),
        "checked": site.adapted is not None and bool(site.adapted.checked.any()),
        "diff_bit": _widest(state.recall(DISTORTION, math.nan), np.fmax),
    }
    if site.passed is not None and site.passed.clipped.size:
        cells["clipped_fraction"] = float(site.passed.clipped.mean())
        cells["mean_quantized"] = find_mean_magnitude(site.passed.y)
    return cells | site.measured | _describe_blocks(site)


def _describe_blocks(site: Site) -> dict[str, Any]:
    """How many blocks have which power of two as their scale, where there are several groups."""
    if site.grid is None or site.grid.scale.size < 2:
        return {}
    scale = np.abs(site.grid.scale[~site.grid.idle])
    if not scale.size:
        return {}
    exponents = np.frexp(scale)[1] - 1
    first = int(exponents.min())
    return {"first_exponent": first, "exponent_counts": tuple(np.bincount(exponents - first).tolist())}


def describe_weight(carrier: WeightCarrier, cosine: float | None) -> dict[str, Any]:
    """The cells that only weights have: error, fluctuation, strategy, gradient, flips since the last row."""
    followed, corrected = carrier.followed, carrier.corrected
    return {
        "error": None if followed is None else followed.error,
        "v_elem": None if followed is None else followed.v_elem,
        "v_scalar": carrier.v_scalar,
        "strategy": carrier.strategy if carrier.site.recipe is not None else None,
        "grad_rms": None if corrected is None else math.sqrt(float(corrected.double().square().mean())),
        "grad_cosine": cosine,
        "correction_rms": carrier.correction if carrier.site.recipe is not None else None,
        "flips": carrier.flips if followed is not None else None,
    }


def _widest(values: Doubles, join: Any) -> float | None:
    widest = float(join.reduce(values, initial=math.nan))  # of NaN and a number these joins take the number
    if math.isinf(widest):
        widest = float(join.reduce(values[np.isfinite(values)], initial=math.nan))
    return widest if math.isfinite(widest) else None


def _plain(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Cells with None for what is no finite number."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in cells.items()
    }
