"""How do names read inside a chart? Escaped, and short enough to tell apart. Numbers are written by `notation`."""

from __future__ import annotations

import html
from collections.abc import Sequence

from qanalysis.notation import shorten, si


def escape(text: str) -> str:
    """Text that plotly shows as it is: it reads a small HTML subset in labels, and `%{...}` in hover templates.

    >>> escape("<b>evil</b>")
    '&lt;b&gt;evil&lt;/b&gt;'
    """
    return html.escape(text, quote=False).replace("%{", "%\u200b{")


def label_layers(names: Sequence[str], length: int = 32) -> dict[str, str]:
    """Labels that tell layers apart, by name: where one is too long, the dotted parts that all share at either end
    are left out first.

    Names that would still look the same keep all that sets them apart, however long. Not escaped.

    >>> list(label_layers([f"model.layers.{i}.self_attn.q_proj.weight" for i in (0, 31)], 24).values())
    ['layers.0', 'layers.31']
    """
    shown = list(names)
    if len(names) > 1 and max(map(len, names)) > length:
        parts = [name.split(".") for name in names]
        spare = min(map(len, parts)) - 1
        head = count_shared(parts, spare)
        tail = count_shared([part[::-1] for part in parts], spare - head)
        head = max(0, head - 1)  # one shared part stays in front: "layers.31" reads better than "31"
        shown = [".".join(part[head : len(part) - tail]) for part in parts]
    labels = [shorten(name, length) for name in shown]
    return dict(zip(names, labels if len(set(labels)) == len(set(names)) else shown, strict=True))


def count_shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """How many leading parts all names share, at most `most`.

    >>> count_shared([["model", "0", "k"], ["model", "1", "k"]], 2)
    1
    """
    return next((place for place in range(most) if len({part[place] for part in parts}) > 1), most)


def count_of(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count_of(1, "layer"), count_of(1200, "layer")
    ('1 layer', '1,200 layers')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def name_power(value: float, unit: str = "") -> str:
    """A power of ten on a logarithmic scale: without a unit a bare power where `notation` writes one.

    >>> name_power(1e-7), name_power(0.01), name_power(1e-6, "V")
    ('10⁻⁷', '0.01', '1 µV')
    """
    return si(value, unit).removeprefix("1·")
