"""Which names does a user's expression match?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from qanalysis.notation import quote


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression that is searched in names."""

    text: str
    what: str

    @classmethod
    def parse(cls, text: str, what: str) -> Self:
        """The expression; ValueError where it is none."""
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"{what} {quote(text)} is not a regular expression: {error}") from None
        return cls(text, what)

    def select(self, names: Iterable[str]) -> set[str]:
        """The names that it matches."""
        return {name for name in names if re.search(self.text, name)}
