"""How are numbers, names and faults put into words that a page may show? Names from files are text, never markup."""

from __future__ import annotations

import re
from pathlib import Path

_SI = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")


def escape_markdown(text: str) -> str:
    r"""Text that markdown shows as it is: every ASCII mark escaped, line breaks and controls turned into spaces.

    >>> escape_markdown("a*b: $x$")
    'a\\*b\\: \\$x\\$'
    """
    flat = "".join(character if character.isprintable() else " " for character in text)
    return _MARKUP.sub(r"\\\1", flat)


def format_count(value: float, unit: str = "") -> str:
    """A count with an SI prefix and three digits.

    >>> format_count(1_234_567, "values"), format_count(28)
    ('1.23 Mvalues', '28')
    """
    for factor, prefix in _SI:
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def format_duration(seconds: float) -> str:
    """Seconds for people.

    >>> format_duration(0.04), format_duration(3.21), format_duration(75)
    ('< 0.1 s', '3.2 s', '1 min 15 s')
    """
    if seconds < 0.1:
        return "< 0.1 s"
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def hide_root(message: str, root: Path) -> str:
    """A message without the part of a path that lies above the allowed root."""
    return message.replace(f"{root.resolve()}/", "").replace(str(root.resolve()), root.resolve().name)


def shorten_middle(text: str, length: int = 48) -> str:
    """A long name with its middle left out; its two ends tell layers apart.

    >>> shorten_middle("model.layers.0.self_attn.q_proj.weight", 21)
    'model.laye…roj.weight'
    """
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
