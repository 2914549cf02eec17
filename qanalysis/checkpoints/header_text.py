"""How is the JSON of a large header read at a cost in proportion to it?

An ordinary parser makes a gigabyte of empty lists out of fifty megabytes of brackets. Here an object is gone through
member by member: each is looked at before the next is made, and its value must be as short as its kind allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from qanalysis.checkpoints.mapped_file import SAVE_AGAIN
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

#: More tensors than any model has; a file that names more is refused.
MOST_TENSORS = 300_000
_MOST_VALUE = 4096  # characters of one entry: 64 sizes of 19 digits fit
_MOST_NESTED = 1 << 20  # characters of a value of any form
_SPACES = frozenset(" \t\r\n")
# a name without escapes, as nearly all are, and what follows it
_PLAIN_NAME = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\r\n]*:[ \t\r\n]*')
_DECODE = json.JSONDecoder().raw_decode


class HeaderText:
    """A JSON object that is read from its first member to its last.

    `members` gives the names; each of its steps must be followed by one of `take_text`, `take_record`, `take_any`.
    Raises CheckpointError, which says `what` it is, for anything that is not JSON, for names that occur twice, and for
    more than `MOST_TENSORS` members.
    """

    def __init__(self, text: str, what: str) -> None:
        self._text, self._what = text, what
        self._at = self._skip(0)

    def members(self) -> Iterator[str]:
        """Names of an object that begins here, whose values are taken in between."""
        self._expect("{")
        seen: set[str] = set()
        more = not self.begins("}")
        while more:
            name = self._take_name()
            if name in seen:
                raise self._refuse(f"the name {shorten(name, 80)!a} occurs twice")
            seen.add(name)
            if len(seen) > MOST_TENSORS:
                raise CheckpointError(f"{self._what} has more than {MOST_TENSORS} members, the most that are read")
            yield name
            more = self.begins(",")
            if more:
                self._expect(",")
        self._expect("}")

    def _take_name(self) -> str:
        plain = _PLAIN_NAME.match(self._text, self._at)
        if plain:
            self._at = plain.end()
            return plain[1]
        name = self.take_text("a name")
        self._expect(":")
        return name

    def begins(self, mark: str) -> bool:
        """Whether the value that comes next begins so."""
        return self._text[self._at : self._at + 1] == mark

    def take_text(self, what: str) -> str:
        """A string; `what` names it where it is none."""
        if not self.begins('"'):
            raise self._refuse(f"{what} is no text")
        return str(self._decode())

    def take_record(self, name: str) -> Any:
        """The value of that name, without objects inside and of at most 4096 characters."""
        begin = self._at
        end = self._text.find("}", begin, begin + _MOST_VALUE)
        if end < 0 or not self.begins("{"):
            return self.take_any(f"the entry of {shorten(name, 80)!r}", most=_MOST_VALUE)
        try:
            value, used = _DECODE(self._text[begin : end + 1])
        except ValueError as error:
            raise self._refuse(str(error)) from None
        self._at = self._skip(begin + used)
        return value

    def take_any(self, what: str, *, most: int = _MOST_NESTED) -> Any:
        """A value of any form, of at most `most` characters."""
        part = self._text[self._at : self._at + most]
        try:
            value, used = _DECODE(part)
        except RecursionError:
            raise self._refuse(f"{what} is nested too deeply") from None
        except ValueError as error:
            if len(part) == most:
                raise self._refuse(f"{what} has more than {most} characters or no end") from None
            raise self._refuse(str(error)) from None
        self._at = self._skip(self._at + used)
        return value

    def finish(self) -> None:
        """Raise CheckpointError where something follows the object."""
        if self._at != len(self._text):
            raise self._refuse("something follows its end")

    def _decode(self) -> Any:
        try:
            value, end = _DECODE(self._text, self._at)
        except ValueError as error:
            raise self._refuse(str(error)) from None
        self._at = self._skip(end)
        return value

    def _expect(self, mark: str) -> None:
        if not self.begins(mark):
            raise self._refuse(f"{mark!r} is missing at character {self._at}")
        self._at = self._skip(self._at + 1)

    def _skip(self, at: int) -> int:
        while self._text[at : at + 1] in _SPACES:
            at += 1
        return at

    def _refuse(self, fault: str) -> CheckpointError:
        return CheckpointError(f"{self._what} is not valid JSON: {fault[:160]}; {SAVE_AGAIN}")
