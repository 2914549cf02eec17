"""What stands out in a record, a spectrum or a converter?

One finding: a code for programs, a sentence for people, the number behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

_CAPITALS = {"dc", "sinad", "thd"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands out.

    `code` is a word such as "clipping"; `text` says it with its numbers and what to do about it.

    `value` is the number behind it, in the unit that the text names, a count as an integer; None where there is none.

    >>> Finding("dc-offset", "The mean is 3.2 LSB off the middle.", 3.2).title
    'DC offset'
    """

    code: str
    text: str
    value: int | float | None = None

    @property
    def title(self) -> str:
        """The code as a heading."""
        words = self.code.split("-")
        return " ".join(
            word.upper() if word in _CAPITALS else word.capitalize() if place == 0 else word
            for place, word in enumerate(words)
        )

    def to_dict(self) -> dict[str, str | int | float | None]:
        """`code`, `text`, `value`: an entry of the column `findings`."""
        return {"code": self.code, "text": self.text, "value": self.value}
