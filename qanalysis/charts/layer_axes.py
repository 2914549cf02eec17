"""How tall are the axes of a layer's charts? One answer for all bit widths, so that nothing jumps while they move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from qanalysis.diagnosis.profile import ERROR_BINS, ERROR_REACH, LayerProfile

DENSITY_LIMIT = 4.0  # coarse grids pile their error up at a few places; a taller axis would flatten all other widths
_BIN = 2 * ERROR_REACH / ERROR_BINS  # steps


@dataclass(frozen=True, slots=True)
class LayerAxes:
    """Ends of the vertical axes over some profiles of one layer.

    Parameters
    ----------
    count : the most weights of one bin, in range or not; at least 1.
    density : the top of the error's density, per step: at most DENSITY_LIMIT, which `cut` says was passed.
    share : the largest share of the layer's squared error that one channel carries, in percent; 100 where no channel
        has any.
    sqnr : the lowest and the highest finite SQNR of a channel, in dB; 0 to 1 without any.
    """

    count: int
    density: float
    cut: bool
    share: float
    sqnr: tuple[float, float]

    @classmethod
    def over(cls, profiles: Sequence[LayerProfile]) -> Self:
        """The axes that hold every one of the profiles, of which there is at least one."""
        peak = max(float(one.error_in_steps.counts.max()) / (one.count * _BIN) for one in profiles)
        finite = [one.channel_sqnr_db[np.isfinite(one.channel_sqnr_db)] for one in profiles]
        known = np.concatenate([part for part in finite if part.size] or [np.array([0.0, 1.0])])
        return cls(
            count=max(1, int(max(one.weights.counts.max() for one in profiles))),
            density=min(DENSITY_LIMIT, max(1.2, 1.08 * peak)),
            cut=peak > DENSITY_LIMIT,
            share=100 * max(float(one.channel_share.max()) for one in profiles) or 100.0,
            sqnr=(float(known.min()), float(known.max())),
        )

    def of_counts(self, *, log_counts: bool) -> dict[str, Any]:
        """The axis of weights per bin: from 0, or logarithmic, where a bin with a single weight still shows."""
        top = [-0.3, math.log10(self.count) + 0.2] if log_counts else [0, 1.05 * self.count]
        kind = {"type": "log", "dtick": 1} if log_counts else {}
        return {"title": {"text": "Weights per bin (count)"}, "range": top, **kind}

    def of_density(self, step: str) -> dict[str, Any]:
        """The axis of the error's density per `step`, whose name it is; its title says where it is cut."""
        cut = f", cut at {DENSITY_LIMIT:g}" if self.cut else ""
        return {"title": {"text": f"Density (1/{step}){cut}"}, "range": [0, self.density]}

    def of_share(self) -> dict[str, Any]:
        """The axis of a channel's share of the error, in percent."""
        return {"title": {"text": "Share (%)"}, "range": [0, 1.06 * self.share]}

    def of_sqnr(self) -> dict[str, Any]:
        """The axis of a channel's SQNR, in dB, with some room at both ends."""
        low, high = self.sqnr
        room = 0.06 * (high - low) or 1.0
        return {"title": {"text": "SQNR (dB)"}, "range": [low - room, high + room]}
