"""What stands out in a record, a spectrum or a converter?

One finding: a code for programs, a sentence for people, the number behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Codes of the findings that a headline must not pass over: the width is a guess, and there is another.
BITS_GUESSED, BITS_AMBIGUOUS = "bits-guessed", "bits-ambiguous"
#: Code of the finding that whole numbers are values in the unit of the range, not codes.
WHOLE_VALUES = "whole-values"
# What belongs to a sound record too: how the test was made, and what it can not see.
_NOTES = {
    "assumed-drive",
    "coherent-average",
    "npr",
    "range-assumed",
    "thd-below-noise",
    "two-tone",
    "unknown-drive",
}
#: Codes of the findings by which a row contradicts itself: no limit is met by such a row.
CONTRADICTIONS = frozenset({"enob-above-width"})
#: Code of the finding that says why a row has no figures.
WITHHELD = "figures-withheld"
_CAPITALS = {"dc", "dnl", "enob", "inl", "iq", "npr", "sinad", "snr", "thd"}


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

    @property
    def is_note(self) -> bool:
        """Whether it only tells of the test, and neither of a fault of the record nor of a figure to doubt."""
        return self.code in _NOTES

    def to_dict(self) -> dict[str, str | int | float | None]:
        """`code`, `text`, `value`: an entry of the column `findings`."""
        return {"code": self.code, "text": self.text, "value": self.value}


def tell_guess(bits: int | None, findings: Iterable[Finding]) -> str:
    """The width that figures rest on where it is a guess, for a headline; empty where it was stated.

    >>> tell_guess(12, [Finding("bits-guessed", "12 bits guessed.", 12)]), tell_guess(12, [])
    ('12 bit (guessed)', '')
    """
    values = {finding.code: finding.value for finding in findings}
    if BITS_GUESSED not in values:
        return ""
    return f"{bits} bit (guessed{f', or {values[BITS_AMBIGUOUS]}' if BITS_AMBIGUOUS in values else ''})"
