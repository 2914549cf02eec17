"""How is a rule written? NAME [key=value]..., in any order of keys; printing leaves defaults out and parses back.

A rule is a frozen dataclass whose fields are declared with `key(...)`: parsing, printing, limits and refusals follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar, get_origin, get_type_hints

from qanalysis.notation import quote

_KEY = "key"
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Key:
    """What a key of a rule may be.

    Parameters
    ----------
    low, high : the least and the largest number, both allowed unless `open_ends`; None for no limit.
    choices : the words that a text key knows; empty for any.
    meaning : what it does, one line.
    """

    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    meaning: str = ""
    open_ends: bool = False

    def check(self, value: Any) -> str:
        """What is wrong with a value; empty where nothing is."""
        if self.choices:
            return "" if value in self.choices else f"must be one of {', '.join(self.choices)}"
        if isinstance(value, float | int) and not isinstance(value, bool):
            if not math.isfinite(value):
                return "must be a finite number"
            return self._check_ends(value)
        return ""

    def _check_ends(self, value: float) -> str:
        low_fails = self.low is not None and (value < self.low or (self.open_ends and value == self.low))
        high_fails = self.high is not None and (value > self.high or (self.open_ends and value == self.high))
        if not (low_fails or high_fails):
            return ""
        if self.high is None:
            return f"must be {'above' if self.open_ends else 'at least'} {self.low:g}"
        if self.low is None:
            return f"must be {'below' if self.open_ends else 'at most'} {self.high:g}"
        between = "between" if self.open_ends else "from"
        return f"must lie {between} {self.low:g} {'and' if self.open_ends else 'to'} {self.high:g}"


def key(default: Any, **facts: Any) -> Any:
    """A field of a rule with the facts of its `Key`."""
    return field(default=default, metadata={_KEY: Key(**facts)})


@dataclass(frozen=True, slots=True)
class Rule:
    """Base of all rules: `name` is the first word of the text form, the fields are its keys.

    Raises ValueError where a value does not keep the limits of its key; subclasses add what does not go together in
    `find_fault`.
    """

    name: ClassVar[str] = ""
    meaning: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for one, told in find_key_faults(self):
            raise ValueError(f"{self.name}: {spell_key(one)}={write_value(getattr(self, one))} {told}")
        fault = self.find_fault()
        if fault:
            raise ValueError(f"{self.name}: {fault}")

    def find_fault(self) -> str:
        """What does not go together though each key keeps its limits; empty where all does."""
        return ""

    def __str__(self) -> str:
        chosen = [
            f"{spell_key(one.name)}={write_value(getattr(self, one.name))}"
            for one in keys_of(type(self))
            if getattr(self, one.name) != one.default
        ]
        return " ".join([self.name, *chosen])


R = TypeVar("R", bound=Rule)


def keys_of(rule: type[Rule]) -> tuple[Any, ...]:
    """The dataclass fields of a rule that are keys, in their order."""
    return tuple(one for one in fields(rule) if _KEY in one.metadata)


def find_key_faults(value: Any) -> Iterator[tuple[str, str]]:
    """The fields of a dataclass declared by `key` whose values break its limits, each with what is wrong."""
    for one in fields(value):
        fault = one.metadata[_KEY].check(getattr(value, one.name)) if _KEY in one.metadata else ""
        if fault:
            yield one.name, fault


def spell_key(name: str) -> str:
    """A field's name as its key is written.

    >>> spell_key("most_bits")
    'most-bits'
    """
    return name.rstrip("_").replace("_", "-")


def write_value(value: Any) -> str:
    """A key's value as text: numbers with all digits and no trailing `.0`, pairs with a colon.

    >>> write_value(0.1), write_value(6.0), write_value((0.1, 0.8)), write_value(True)
    ('0.1', '6', '0.1:0.8', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ":".join(map(write_value, value))
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)


def read_value(kind: Any, text: str) -> Any:
    """A value of the type that a field is annotated with, from its text; ValueError says what was expected."""
    readers: Mapping[str, tuple[Any, str]] = {
        "int": (_read_whole, "a whole number"),
        "float": (float, "a number"),
        "bool": ({"yes": True, "no": False}.__getitem__, "yes or no"),
        "tuple": (_read_pair, "two numbers with a colon, such as 0.1:0.8"),
        "str": (str, "a word"),
    }
    name = getattr(kind, "__name__", str(kind))
    read, expected = readers[name.partition("[")[0]]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise ValueError(f"is {quote(text, 40)}, must be {expected}") from None


def _read_whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError
    return int(text)


def _read_pair(text: str) -> tuple[float, float]:
    first, colon, second = text.partition(":")
    if not colon:
        raise ValueError
    return float(first), float(second)


def parse_rule(text: str, catalogue: Mapping[str, type[R]], *, what: str = "rule") -> R:
    """The rule written as `text`; ValueError names the word, the rule and the choices."""
    words = text.split()
    if not words or words[0] not in catalogue:
        raise ValueError(f"{what} {quote(text, 60)} is unknown; there are {', '.join(catalogue)}")
    return make_rule(catalogue[words[0]], words[1:])


def make_rule(kind: type[R], words: Sequence[str]) -> R:
    """A rule of a kind from its `key=value` words; ValueError for a key that it does not have or that stands twice."""
    known = {spell_key(one.name): one.name for one in keys_of(kind)}
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for word in words:
        written, equals, value = word.partition("=")
        given = written.replace("_", "-")
        if not equals or given not in known:
            choices = ", ".join(f"{one}=" for one in known) or "none"
            raise ValueError(f"{kind.name}: the word {quote(word, 40)} is unknown; its keys are {choices}")
        if known[given] in values:
            raise ValueError(f"{kind.name}: {given}= stands twice; keep one")
        try:
            values[known[given]] = read_value(_plain(hints[known[given]]), value)
        except ValueError as error:
            raise ValueError(f"{kind.name}: {given} {error}") from None
    return kind(**values)


def _plain(hint: Any) -> Any:
    """The type itself of an annotation such as `int | None` or `tuple[float, float]`; str of a Literal's words."""
    if get_origin(hint) is Literal:
        return str
    inner = [one for one in getattr(hint, "__args__", ()) if one is not type(None)]
    is_union = type(hint).__name__ in ("UnionType", "_UnionGenericAlias", "Union")
    return inner[0] if is_union and inner else getattr(hint, "__origin__", hint)
