"""How does a training go on after it was killed? Its whole state in one file, written whole or not at all.

Only tensors, numbers, texts and containers of them are stored, so that reading runs no code of the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qanalysis.quantizers.grids import Grid
from qanalysis.results.files import write_whole
from qanalysis.training.configuration import Experiment
from qanalysis.training.gradient_rules import FreezingMemory
from qanalysis.training.policies import PolicyState
from qanalysis.training.rungs import RungState
from qanalysis.training.state import QuantizerState

if TYPE_CHECKING:
    from qanalysis.training.carrier import WeightCarrier
    from qanalysis.training.site import Site

_FORMAT = "qanalysis training state 1"


def write_state(path: Path, experiment: Experiment, runs: Sequence[Mapping[str, Any]]) -> None:
    """The state of all runs so far, beside the text of the experiment."""
    content = io.BytesIO()
    torch.save({"format": _FORMAT, "experiment": experiment.to_toml(), "runs": list(runs)}, content)
    with write_whole(path) as file:
        file.write(content.getvalue())


def read_state(path: Path, experiment: Experiment) -> list[dict[str, Any]]:
    """The states that a file holds. Raises ValueError for a file that is none, or one of another experiment."""
    again = "start without it, or give the file that this experiment was saved to"
    if path.exists() and not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: holds no state of a training (no archive of torch); {again}")
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; {again}") from None
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, KeyError) as error:
        raise ValueError(f"{path}: holds no state of a training ({type(error).__name__}); {again}") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError(f"{path}: holds no state of a training that this program knows; {again}")
    if found.get("experiment") != experiment.to_toml():
        raise ValueError(f"{path}: was saved by another experiment than the one given; {again}")
    states: list[dict[str, Any]] = found.get("runs", [])
    return states


def save_site(site: Site) -> dict[str, Any]:
    """What a site must remember."""
    state = site.state
    kept: dict[str, Any] = {
        "checks": site.checks,
        "adjustments": site.adjustments,
        "events": [list(event) for event in site.events],
        "bits": site.recipe.bits if site.recipe is not None else 0,
        "shape": list(site.layout.shape) if site.layout is not None else None,
    }
    if state is not None:
        kept["state"] = _to_tensors({"bits": state.bits, "low": state.low, "high": state.high})
        kept["memory"] = _to_tensors(state.memory)
    if site.grid is not None:
        kept["grid"] = _to_tensors({part: getattr(site.grid, part) for part in _GRID})
    if site.pool is not None:
        kept["pool"] = site.pool.to_plain()
    return kept


#: The parts of a grid beside its coder, which is the scheme's.
_GRID = tuple(one.name for one in fields(Grid) if one.name != "coder")


def _to_tensors(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as tensors; None, numbers, and pairs of arrays stay what they are."""
    return {name: _map(np.ndarray, lambda x: torch.from_numpy(np.array(x)), part) for name, part in parts.items()}


def _to_arrays(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _map(torch.Tensor, torch.Tensor.numpy, part) for name, part in parts.items()}


def _map(kind: type, change: Callable[[Any], Any], part: Any) -> Any:
    if isinstance(part, tuple):
        return tuple(_map(kind, change, one) for one in part)
    return change(part) if isinstance(part, kind) else part


def restore_site(site: Site, kept: Mapping[str, Any]) -> None:
    """The reverse."""
    if kept["bits"] and site.recipe is not None:
        site.set_bits(kept["bits"], "")
    site.checks, site.adjustments = kept["checks"], kept["adjustments"]
    site.events = [(step, text) for step, text in kept["events"]]
    if "state" in kept:
        site.state = QuantizerState(**_to_arrays(kept["state"])).remember(**_to_arrays(kept["memory"]))
    if site.pool is not None and "pool" in kept:
        site.pool.restore(kept["pool"])
    if "grid" in kept:
        site.grid = Grid(coder=site.scheme.coder, **_to_arrays(kept["grid"]))
        site.layout = site.scheme.lay_out(tuple(kept["shape"]), axis=site.axis)


def save_carrier(carrier: WeightCarrier) -> dict[str, Any]:
    """What the carrier of a weight must remember beside its site."""
    kept: dict[str, Any] = {
        "errors": list(carrier.errors),
        "policy": asdict(carrier.policy),
        "flips": carrier.flips,
        "switches": carrier.switches,
        "measured_step": carrier.measured_step,
    }
    if carrier.follower is not None:
        kept["follower"] = {name: torch.from_numpy(np.array(part)) for name, part in carrier.follower.state().items()}
    if carrier.freezing is not None:
        kept["freezing"] = {"frozen": carrier.freezing.frozen, "code": carrier.freezing.code}
    return kept


def restore_carrier(carrier: WeightCarrier, kept: Mapping[str, Any]) -> None:
    """The reverse."""
    carrier.errors.extend(kept["errors"])
    carrier.policy = PolicyState(**kept["policy"])
    carrier.flips, carrier.switches, carrier.measured_step = kept["flips"], kept["switches"], kept["measured_step"]
    if "follower" in kept:
        carrier.make_follower().restore({name: tensor.numpy() for name, tensor in kept["follower"].items()})
    if "freezing" in kept:
        carrier.freezing = FreezingMemory(**kept["freezing"])


def save_rung(rung: RungState | None) -> dict[str, Any] | None:
    """A rung as plain values."""
    return None if rung is None else {**asdict(rung), "widths": list(rung.widths)}


def restore_rung(kept: Mapping[str, Any] | None) -> RungState | None:
    """The reverse."""
    return None if kept is None else RungState(**{**kept, "widths": tuple(kept["widths"])})
