"""How are names and faults put into words that a page may show?

Names from files are text, never markup; numbers are `notation`'s.
"""

from __future__ import annotations

import re
from pathlib import Path

_CONTROLS = {
    "--axis": "the box Output axes",
    "with --partial": "with the button below",
    "--all (roles='all')": "the choice Every tensor in the box Tensors",
    "--all": "the choice Every tensor in the box Tensors",
}
_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")


def escape_markdown(text: str) -> str:
    r"""Text that markdown shows as it is: every ASCII mark escaped, line breaks and controls turned into spaces.

    >>> escape_markdown("a*b: $x$")
    'a\\*b\\: \\$x\\$'
    """
    flat = "".join(character if character.isprintable() else " " for character in text)
    return _MARKUP.sub(r"\\\1", flat)


def name_controls(text: str) -> str:
    """A message with the page's controls in place of the command line's options.

    >>> name_controls("rows taken along axis 0; override with --axis")
    'rows taken along axis 0; override with the box Output axes'
    """
    for option, control in _CONTROLS.items():
        text = text.replace(option, control)
    return text


def hide_root(message: str, root: Path) -> str:
    """A message without the part of a path that lies above the allowed root.

    The root itself becomes its name; a message without it comes back as it is.
    """
    return message.replace(f"{root.resolve()}/", "").replace(str(root.resolve()), root.resolve().name)
