"""What stands out in a record, a spectrum or a converter? One finding: a code for programs, a sentence for people, the number behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands out. `code` is a word such as "clipping"; `text` says it with its numbers and what to do about it.

    `value` is the number behind it, in the unit that the text names; None where there is none.

    >>> Finding("dc-offset", "The mean is 3.2 LSB off the middle.", 3.2).title
    'Dc offset'
    """

    code: str
    text: str
    value: float | None = None

    @property
    def title(self) -> str:
        """The code as a heading."""
        return self.code.replace("-", " ").capitalize()

    def to_dict(self) -> dict[str, str | float | None]:
        """`code`, `text`, `value`: an entry of the column `findings`."""
        return {"code": self.code, "text": self.text, "value": self.value}
