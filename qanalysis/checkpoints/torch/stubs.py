"""What stands in a pickle for things that are not data? Names, calls and references, kept and never followed.

Containers, numbers and text are Python's own; everything else that a pickle would import, call or fetch is one of these
inert values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qanalysis.notation import shorten

_SCALARS = (str, int, float, bytes, type(None))
_SHOWN = 4  # parts of a key that is a tuple


@dataclass(eq=False, slots=True)
class Name:
    """A global that a pickle names: `text` is "torch.nn.modules.linear.Linear"."""

    module: str
    name: str
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = f"{self.module}.{self.name}"

    def __str__(self) -> str:
        return self.text


@dataclass(eq=False, slots=True)
class Call:
    """A call that a pickle asks for, or an object of a class: never made.

    `callee` is what would be called, `args` its arguments, `state` what the object would be given afterwards, `items`
    and `members` what would be put into it as into a dict and a list.
    """

    callee: Any
    args: Any
    state: Any = None
    items: dict[Any, Any] | None = None
    members: list[Any] | None = None

    def calls(self, *names: str) -> bool:
        """Whether the callee is a global of one of these names, module and all."""
        return isinstance(self.callee, Name) and self.callee.text in names

    @property
    def class_name(self) -> str:
        """The callee as people write it, at most 80 characters."""
        return shorten(str(self.callee), 80) if isinstance(self.callee, Name) else "an object"


@dataclass(eq=False, slots=True)
class Reference:
    """A persistent id: what torch writes for a storage."""

    value: Any


@dataclass(eq=False, slots=True)
class OddKey:
    """A dict key that is neither text nor a number; it is never hashed by its content, which may be nested for ever."""

    text: str

    def __str__(self) -> str:
        return self.text


def hold_key(key: Any) -> Any:
    """A key that costs nothing to hash: the key itself if it is text or a number, else an `OddKey`.

    >>> str(hold_key((0, "a"))), hold_key("w")
    ("(0, 'a')", 'w')
    """
    if isinstance(key, _SCALARS):
        return key
    if isinstance(key, Name):
        return OddKey(shorten(str(key), 80))
    if isinstance(key, tuple) and len(key) <= _SHOWN and all(isinstance(part, str | int) for part in key):
        return OddKey(f"({', '.join(shorten(repr(part), 20) for part in key)})")
    return OddKey(type(key).__name__)
