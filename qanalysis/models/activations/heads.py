"""Along which axis should keys and values be quantized? Each head's error with a range for each channel and for each
token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.decibels import ratios_db
from qanalysis.models.activations.places import Place
from qanalysis.models.activations.source import ActivationSource
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.observing import lay_at_once
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme

#: Of values (tokens, heads, channels): one range for each channel of a head over all tokens, or for each token of a
#: head over its channels.
PER_CHANNEL, PER_TOKEN = MatrixView((1, 2)), MatrixView((0, 1))


def measure_heads(source: ActivationSource, schemes: Sequence[Scheme]) -> list[dict[str, Any]]:
    """SQNR in dB of keys and values, by layer, head and number format: per channel and per token, on the values kept.

    In a `balanced` figure, minus 10 log10 of the mean of the channels' relative error energies, a loud channel counts
    no more than any other: attention reads them all. Groupings of the schemes are left aside, and so are formats with
    groups of their own.
    """
    free = [replace(scheme, grouping=Grouping(1)) for scheme in schemes if "grouping" not in scheme.format.fixed]
    formats = {str(scheme): scheme for scheme in free if not scheme.scale.is_double}
    sides = {seen.place.name: seen.place for seen in source.seen if seen.place.side in ("keys", "values")}
    found = list[dict[str, Any]]()
    for info in source.tensors:
        if info.name in sides and info.numel:
            values = source.read(info)
            finite = np.where(np.isfinite(values), values, np.float32(0))
            for scheme in formats.values():
                found += _list_heads(sides[info.name], finite, scheme)
    return found


def _list_heads(place: Place, values: Floats, scheme: Scheme) -> list[dict[str, Any]]:
    figures = {
        f"{name}_{what}_db": figure
        for name, view in (("per_channel", PER_CHANNEL), ("per_token", PER_TOKEN))
        for what, figure in _measure(values, scheme, view).items()
    }
    words = " ".join(word for word in str(scheme).split() if word != "channel")
    return [
        {
            "layer": place.layer,
            "side": place.side,
            "head": head,
            "scheme": words,
            **{name: float(figure[head]) for name, figure in figures.items()},
            "better": _choose(float(figures["per_channel_sqnr_db"][head]), float(figures["per_token_sqnr_db"][head])),
        }
        for head in range(place.heads)
    ]


def _measure(values: Floats, scheme: Scheme, view: MatrixView) -> dict[str, Doubles]:
    """Figures of each head, (heads,); NaN where it holds nothing."""
    layout = scheme.lay_out(values.shape, axis=view)
    error = pass_through(values, lay_at_once(values, scheme, layout), layout, scheme.rounding).y - values
    signal = np.square(values, dtype=np.float64).sum(axis=0)
    noise = np.square(error, dtype=np.float64).sum(axis=0)
    alive = signal > 0
    relative = np.divide(noise, signal, out=np.zeros_like(noise), where=alive)
    channels = alive.sum(axis=1)
    return {
        "sqnr": ratios_db(signal.sum(axis=1), noise.sum(axis=1)),
        "balanced": ratios_db(channels, relative.sum(axis=1)),
    }


def _choose(per_channel: float, per_token: float) -> str:
    if np.isnan([per_channel, per_token]).any() or per_channel == per_token:
        return ""
    return "channel" if per_channel > per_token else "token"
