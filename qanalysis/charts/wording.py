"""How do names and numbers read inside a chart? Escaping, shortening, SI prefixes. Everything that reaches a label comes through here."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from qanalysis.notation import si

__all__ = ["escape", "label_layers", "measure_text", "percent", "shorten", "si"]


def escape(text: str) -> str:
    """Text that plotly shows as it is: it reads a small HTML subset in labels, and `%{...}` in hover templates.

    >>> escape("<b>evil</b>")
    '&lt;b&gt;evil&lt;/b&gt;'
    """
    return html.escape(text, quote=False).replace("%{", "%\u200b{")


def shorten(name: str, length: int = 32) -> str:
    """A name of at most `length` characters, the middle left out: both ends of a layer's name tell layers apart. Not escaped.

    >>> shorten("model.layers.10.self_attn.q_proj.weight", 24)
    'model.layers…proj.weight'
    """
    if len(name) <= length:
        return name
    head = length // 2
    return f"{name[:head]}…{name[head + 1 - length :]}"


def label_layers(names: Sequence[str], length: int = 32) -> dict[str, str]:
    """Labels that tell layers apart, by name: where one is too long, the dotted parts that all share at either end are left out first.

    Names that would still look the same keep all that sets them apart, however long. Not escaped.

    >>> list(label_layers([f"model.layers.{i}.self_attn.q_proj.weight" for i in (0, 31)], 24).values())
    ['layers.0', 'layers.31']
    """
    shown = list(names)
    if len(names) > 1 and max(map(len, names)) > length:
        parts = [name.split(".") for name in names]
        spare = min(map(len, parts)) - 1
        head = _count_shared(parts, spare)
        tail = _count_shared([part[::-1] for part in parts], spare - head)
        head = max(0, head - 1)  # one shared part stays in front: "layers.31" reads better than "31"
        shown = [".".join(part[head : len(part) - tail]) for part in parts]
    labels = [shorten(name, length) for name in shown]
    return dict(zip(names, labels if len(set(labels)) == len(set(names)) else shown, strict=True))


def _count_shared(parts: Sequence[Sequence[str]], most: int) -> int:
    return next((place for place in range(most) if len({part[place] for part in parts}) > 1), most)


def measure_text(value: float | None, unit: str) -> str:
    """A metric's value as charts write it: dB, bit and LSB with two decimals, everything else with an SI prefix; "n/a" for None.

    >>> measure_text(18.3456, "dB"), measure_text(3.2e-7, ""), measure_text(None, "dB"), measure_text(float("inf"), "dB")
    ('18.35 dB', '320n', 'n/a', '∞ dB')
    """
    if value is None or math.isnan(value):
        return "n/a"
    if unit in ("dB", "bit", "LSB") and math.isfinite(value):
        return f"{value:.2f} {unit}".replace("-", "−")
    return si(value, unit)


def percent(share: float) -> str:
    """A share of one as percent; what is not nothing never reads as 0 %, what is not all never as 100 %.

    >>> percent(0), percent(0.00003), percent(0.1234), percent(0.99996), percent(1)
    ('0 %', 'under 0.01 %', '12.3 %', 'over 99.9 %', '100 %')
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 1e-4:
        return "under 0.01 %"
    if share > 0.999:
        return "over 99.9 %"
    return f"{100 * share:.3g} %" if share >= 0.01 else f"{100 * share:.2g} %"
