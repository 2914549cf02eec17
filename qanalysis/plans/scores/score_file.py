"""What is a score file, and what does it say? Its content, read once, and the costs that follow from it.

Nothing is guessed from a file's name: kinds are told by content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qanalysis.arrays import Doubles
from qanalysis.notation import quote, shorten

#: Larger texts are no score files: a thousand layers by a hundred types make a few megabytes.
LARGEST = 1 << 28
_NAMES_SHOWN = 5
_FARTHEST = 1e30  # no score is larger; sums of a thousand of them stay numbers


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFile:
    """A file's content: `text` where it is text, else None, and `document` where that text is JSON, else None."""

    path: Path
    is_gguf: bool
    text: str | None
    document: Any

    @property
    def name(self) -> str:
        """What messages call it."""
        return shorten(self.path.name, 80)

    def refuse(self, why: str) -> ValueError:
        """The error of a damaged or foreign file, one line."""
        return ValueError(f"{self.name}: {why}")


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a file says of the tensors: the cost of each candidate, (candidates,), by the tensor's name.

    `text` is what the costs are, for people. `notes` are sentences about the file as a whole, `silent` the reasons of
    tensors whose entry holds nothing. `by_error` tells how tensors without a score are weighed: by their summed squared
    error, else by that as a share of their energy.
    """

    text: str
    costs: Mapping[str, Doubles]
    notes: Sequence[str] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    by_error: bool = False


def open_scores(path: Path) -> ScoreFile:
    """The content of a file; ValueError, one line, where there is none or it can not be read."""
    shown = shorten(str(path), 80)
    try:
        if not path.is_file():
            raise ValueError(f"{shown}: no such file" if not path.exists() else f"{shown}: is no regular file")
        size = path.stat().st_size
        if not size:
            raise ValueError(f"{shown}: is empty; give a file with scores")
        with path.open("rb") as file:
            head = file.read(1 << 12)
            is_text = b"\0" not in head and size <= LARGEST
            raw = head + file.read() if is_text else head
    except OSError as error:
        raise ValueError(f"{shown}: can not be read: {error.strerror or type(error).__name__}") from None
    text = _decode(raw) if is_text else None
    return ScoreFile(path, head.startswith(b"GGUF"), text, _parse(text, shown))


def _decode(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _parse(text: str | None, shown: str) -> Any:
    """The document in a text that begins as one; ValueError where it is broken."""
    if text is None or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"{shown}: is no whole JSON document, it breaks off or is damaged{place}") from None


def read_number(value: Any, place: str, *, least: float = -_FARTHEST, most: float = _FARTHEST) -> float:
    """A finite number of a document between two ends; ValueError with the place where it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        span = "" if (least, most) == (-_FARTHEST, _FARTHEST) else f" from {least:g} to {most:g}"
        raise ValueError(f"{place} is {quote(value)}, must be a finite number{span}")
    return float(value)


def list_names(names: Sequence[str], most: int = _NAMES_SHOWN) -> str:
    """Some names for a message: quoted, at most so many, the others counted.

    >>> list_names(["a", "b", "c"], 2)
    "'a', 'b' and 1 more"
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(quote(name) for name in names[:most])}{more}"
