r"""Which names does an expression of a user find? Read, bounded, and matched without holding the interpreter.

An expression means what it means to Python's `re`. It is matched by the library `regex`, which can be stopped and lets
other threads run: `([a-z.]+)+\?` against one name of fifty letters would keep `re`, and with it a whole server, for
longer than anyone lives. What `regex` understands beyond `re` is refused or taken as plain letters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import regex

from qanalysis.notation import quote

#: The longest expression, in characters.
LONGEST = 1000
#: All names of one filter together have the first, and the second for each name, in seconds.
DEADLINE_S, NAME_S = 1.0, 20e-6
# How large an expression may be with its repeats written out: `regex` lays (?:abc){1000} out a thousand times, (?:abc)+
# twice, at about 250 bytes a letter.
_LARGEST = 50_000
# A search that takes no longer keeps the interpreter: to release and regain it costs 5 ms beside a busy thread.
_HELD_S = 2e-3
_COUNT = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
_OPENING = re.compile(
    r"\((?:(?!\?)|\?(?::|=|!|<=|<!|>|P<\w+>|P=\w+(?=\))|\(\w+\)|(?P<flags>[aimsu]*(?:-[ims]+)?)(?P<end>[:)])))"
)
_COMMENT = re.compile(r"\(\?#[^)]*\)")
_ESCAPE = re.compile(r"\\(?:N\{[^}]*\}|[AbBdDfnrsStUuvwWxZa0-9]|[^a-zA-Z0-9])", re.DOTALL)
_INNER = re.compile(r"\\.|\[", re.DOTALL)
_SET = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression, searched anywhere in a name; `what` is what messages call it. The empty one finds every
    name.
    """

    text: str
    what: str
    _compiled: Any = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, what: str = "include", *, ignore_case: bool = False) -> Self:
        r"""The expression written as `text`; upper and lower case differ unless `ignore_case`.

        Raises ValueError where it is none, is longer than `LONGEST`, or grows too large by its counted repeats.

        >>> sorted(Pattern.parse(r"\.(q|k)$").select(["enc.0.q", "enc.0.k", "head"]))
        ['enc.0.k', 'enc.0.q']
        """
        if len(text) > LONGEST:
            raise ValueError(
                f"{what} {quote(text)} has {len(text):,} characters, an expression has at most {LONGEST:,}; write what "
                "the names have in common"
            )
        flags = regex.VERSION0 | (regex.IGNORECASE if ignore_case else 0)
        try:
            # Not kept by `regex`, which would hold on to hundreds of strangers' expressions.
            compiled = regex.compile(_Reading(text).translate(), flags, cache_pattern=False)
        except (ValueError, OverflowError, RecursionError, regex.error) as error:
            told = quote(str(error) or "nested too deeply", 120)[1:-1]
            raise ValueError(
                f"{what} {quote(text)} is not a regular expression: {told}; mend it, or write a backslash before "
                "marks that stand for themselves"
            ) from None
        return cls(text, what, compiled)

    def select(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names in which the expression is found.

        All names together have `DEADLINE_S`, and `NAME_S` for each; ValueError where that is not enough.
        """
        return frozenset(self._search(names))

    def capture(self, names: Iterable[str]) -> dict[str, tuple[str | None, ...]]:
        r"""What the groups of the expression hold in each name in which it is found, None for a group that takes no
        part; the empty tuple where it has no groups. ValueError as `select`.

        >>> Pattern.parse(r"h\.(\d+)\.").capture(["h.3.q", "h.3.k", "head"])
        {'h.3.q': ('3',), 'h.3.k': ('3',)}
        """
        found = self._search(names)
        return {name: tuple(match.groups()) for name, match in found.items()}

    def _search(self, names: Iterable[str]) -> dict[str, Any]:
        """The first match in each name that has one."""
        every = names if isinstance(names, Sequence) else list(names)
        deadline = time.monotonic() + DEADLINE_S + len(every) * NAME_S
        try:
            found = {name: self._find(name, deadline) for name in every}
        except (TimeoutError, MemoryError):
            raise ValueError(
                f"{self.what} {quote(self.text)} takes too long to match {len(every):,} names; write it with fewer "
                "repeats inside repeats, such as a part of the name alone"
            ) from None
        return {name: match for name, match in found.items() if match is not None}

    def replace(self, names: Sequence[str], replacement: str) -> dict[str, str]:
        r"""Those of the names in which the expression is found, and what each becomes where all matches are replaced as
        `re.sub` does: \1 and \g<name> stand for groups.

        Raises ValueError for what is no replacement, and as `select`.

        >>> Pattern.parse(r"^model\.(.*)$", "map").replace(["model.w", "head"], r"\1")
        {'model.w': 'w'}
        """
        found = self.select(names)
        deadline = time.monotonic() + DEADLINE_S + len(found) * NAME_S
        try:
            return {
                name: self._compiled.sub(replacement, name, timeout=max(deadline - time.monotonic(), 1e-6))
                for name in names
                if name in found
            }
        except (TimeoutError, MemoryError):
            raise ValueError(
                f"{self.what} {quote(self.text)} takes too long to match {len(found):,} names; write it with fewer "
                "repeats inside repeats, such as a part of the name alone"
            ) from None
        except (regex.error, IndexError, ValueError, OverflowError) as error:
            told = quote(str(error) or "wrong", 120)[1:-1]
            raise ValueError(
                f"{self.what} {quote(self.text)} can not put {quote(replacement)} in place of what it finds: {told}; "
                "write \\1 or \\g<name> for its groups"
            ) from None

    def _find(self, name: str, deadline: float) -> Any:
        left = deadline - time.monotonic()
        try:
            return self._compiled.search(name, timeout=max(min(_HELD_S, left), 1e-6))
        except TimeoutError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            return self._compiled.search(name, concurrent=True, timeout=left)


class _Reading:
    """One way through an expression: what `re` understands, spelled so that `regex` understands the same, and no more
    than `_LARGEST` with all counted repeats written out. ValueError tells what is wrong.
    """

    def __init__(self, text: str) -> None:
        self._text, self._at, self._written = text, 0, ""
        # Of each group that is open, the size of all its parts but the last, and of the last one.
        self._sizes = [[0, 0]]

    def translate(self) -> str:
        """The expression as `regex` is to read it."""
        parts = []
        while self._at < len(self._text):
            begin, letter = self._at, self._text[self._at]
            self._at += 1
            read = {"\\": self._escape, "[": self._set, "(": self._open, ")": self._close, "{": self._count}.get(letter)
            if read is not None:
                parts.append(read(begin))
                continue
            if letter == "+":
                self._repeat(2)
            elif letter not in "*?|":
                self._add(1)
            parts.append(letter)
        return "".join(parts)

    def _take(self, form: re.Pattern[str], begin: int, fault: str) -> re.Match[str]:
        """What of a form begins at a place, and on to behind it."""
        found = form.match(self._text, begin)
        if found is None:
            raise ValueError(f"{fault} at position {begin}")
        self._at = found.end()
        return found

    def _add(self, size: int) -> None:
        group = self._sizes[-1]
        group[0], group[1] = sum(group), size

    def _escape(self, begin: int) -> str:
        self._add(1)
        shown = quote(self._text[begin : begin + 2])[1:-1].replace("\\\\", "\\")
        return self._take(_ESCAPE, begin, f"unknown escape {shown}")[0]

    def _set(self, begin: int) -> str:
        found = self._take(_SET, begin, "unterminated set")[0]
        self._add(len(found))
        # `regex` would take [[:alpha:]] for a class of letters.
        return f"[{_INNER.sub(_escape_bracket, found[1:])}"

    def _open(self, begin: int) -> str:
        comment = _COMMENT.match(self._text, begin)
        if comment:
            self._at = comment.end()
            return ""
        found = self._take(_OPENING, begin, "unknown extension")
        if found["end"] != ")":
            self._sizes.append([0, 0])
        return found[0]

    def _close(self, _begin: int) -> str:
        if len(self._sizes) > 1:
            self._add(1 + sum(self._sizes.pop()))
        return ")"

    def _count(self, begin: int) -> str:
        found = _COUNT.match(self._text, begin)
        if found is None or found[0] == "{}":
            self._add(1)
            return r"\{"  # a plain letter to `re`; to `regex` perhaps the begin of a fuzzy match
        self._at = found.end()
        low, comma, high = found.groups()
        longest = max(low, high, key=len).lstrip("0")
        self._repeat(_LARGEST + 1 if len(longest) > 6 else max(int(low or 0), int(high or 0)) + 1)
        return f"{{{low or 0}{comma}{high}}}"

    def _repeat(self, times: int) -> None:
        """The last part is laid out so often."""
        self._sizes[-1][1] *= times
        if sum(map(sum, self._sizes)) > _LARGEST:
            raise ValueError(f"its repeats make it too large at position {self._at}")


def _escape_bracket(found: re.Match[str]) -> str:
    return r"\[" if found[0] == "[" else found[0]
