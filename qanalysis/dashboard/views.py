"""What does a page look at, and how is that written in an address? One frozen view of bound fields for each page.

A field's name is the key of its widget and its word in the address; its value is an id, never a heading. What a
widget or an address can not mean is bent to the nearest value that can be shown, or left out and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode

from qanalysis.notation import quote

Query = dict[str, list[str]]
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field may hold: one of `choices`, what `parse` takes (its canonical text), or a number from `low` to
    `high`.

    A tuple holds several of these. `kept` survives a reset; `passing` belongs to the address but not to the history.

    The kind of the default is the kind of the field: bool, int, float or str, or a tuple of these. `low` and `high` are
    ends of numbers and belong to the range. None as a default stands for a text that the page chooses, or with `number`
    (int or float) for an empty box: a number that is not given.
    """

    default: Any
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    parse: Callable[[str], Any] | None = None
    number: type[int | float] | None = None
    kept: bool = False
    passing: bool = False

    def bend(self, value: Any) -> Any:
        """A widget's value, or the nearest possible one; the default for None, a blank, and what means nothing.

        Never raises: widgets and tests may hold anything.
        """
        several = isinstance(self.default, tuple)
        found = self._bend_all(value or ()) if several else self._bend_one(value)
        return self.default if found in (None, "", ()) else found

    def _bend_all(self, values: Iterable[Any]) -> tuple[Any, ...]:
        """Each value bent by itself; those that mean nothing are left out."""
        return _unite(part for part in map(self._bend_one, values) if part is not None)

    def _bend_one(self, value: Any) -> Any:
        """One value moved into the field's range; None for one that means nothing."""
        try:
            found = self._take(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if self.kind in (int, float):
            return self.kind(min(max(found, self.low), self.high))
        return found

    def take_words(self, words: Sequence[str]) -> tuple[Any, list[str]]:
        """The value that an address spells, the default where it spells none, and the words that mean nothing here.

        >>> Rule((2, 8), low=2, high=16).take_words(["3", "99"]), Rule("a", choices=("a", "b")).take_words(["b"])
        (((2, 8), ['3', '99']), ('b', []))
        >>> Rule(None, number=int, low=1).take_words(["12"]), Rule(None, number=int, low=1).take_words(["0"])
        ((12, []), (None, ['0']))
        """
        found = [self._read_one(word) for word in words]
        if isinstance(self.default, tuple):
            wrong = [word for word, part in zip(words, found, strict=True) if part is None]
            if self.kind in (int, float) and (wrong or len(found) != len(self.default)):
                return self.default, list(words)
            kept = _unite(part for part in found if part is not None)
            return kept or self.default, wrong
        return (self.default, list(words)) if found[-1] is None else (found[-1], [])

    def _read_one(self, word: str) -> Any:
        """One word of an address, None where it means nothing: numbers beyond the ends do, they are not bent."""
        if self.kind is bool:
            return _FLAGS.get(word)
        try:
            found = self._take(word)
        except (ValueError, OverflowError):
            return None
        return found if self.kind not in (int, float) or self.low <= found <= self.high else None

    def _take(self, value: Any) -> Any:
        """One value of the field's kind; TypeError, ValueError or OverflowError for what is none."""
        if value is None or (self.choices and value not in self.choices):
            raise ValueError(f"{quote(value)} is none of {self.choices}")
        if self.parse is not None:
            return str(self.parse(str(value).strip()))
        found = str(value).strip() if self.kind is str else self.kind(value)
        if isinstance(found, float) and math.isnan(found):
            raise ValueError("not a number")
        return found

    @property
    def kind(self) -> type:
        """bool, int, float or str: what the field holds, or each part of a tuple, or a box that is not empty."""
        if self.number is not None:
            return self.number
        part = self.default[0] if isinstance(self.default, tuple) and self.default else self.default
        return type(part) if isinstance(part, (bool, int, float)) else str


def _unite(parts: Any) -> tuple[Any, ...]:
    """Words once each in their order; of numbers all."""
    found = tuple(parts)
    return tuple(dict.fromkeys(found)) if found and isinstance(found[0], str) else found


def bound(default: Any, **rule: Any) -> Any:
    """A field of a view: its default, and what else a `Rule` says of it.

    Keywords are the fields of `Rule`. For classes derived from `View` alone.
    """
    return field(default=default, metadata={"rule": Rule(default, **rule)})


@dataclass(frozen=True, slots=True)
class View:
    """The base of the views: fields made with `bound`, and what a page knows beyond single fields.

    Frozen and hashable, so that a view can be the key of what is kept.
    """

    def settle(self) -> Self:
        """The view with fields that depend on one another brought in line."""
        return self

    @classmethod
    def translate(cls, asked: Mapping[str, Sequence[str]]) -> tuple[Query, list[str], list[str]]:
        """An address in the view's own words, what that left out as "word=value", and sentences on what was refused."""
        return {key: list(words) for key, words in asked.items()}, [], []


V = TypeVar("V", bound=View)


@dataclass(frozen=True, slots=True)
class Address(Generic[V]):
    """What an address means: the view, what was left out as "zoom=3", and why something was refused."""

    view: V
    left_out: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


def list_rules(kind: type[View]) -> Mapping[str, Rule]:
    """The rule of every field of a view.

    In the order of the class, which is the order of the address.
    """
    return {entry.name: entry.metadata["rule"] for entry in fields(kind)}


def list_ends(kind: type[View], name: str) -> tuple[Any, Any]:
    """The lowest and the highest number that a field holds, as its widget takes them: None for an end that is open."""
    rule = list_rules(kind)[name]
    low, high = (rule.kind(end) if math.isfinite(end) else None for end in (rule.low, rule.high))
    return low, high


def read_view(kind: type[V], held: Mapping[str, Any]) -> V:
    """The view that widgets hold; missing and impossible values become the default or the nearest valid one.

    Keys that are no fields are passed over. Every view that this returns can be drawn.
    """
    return kind(**{name: rule.bend(held.get(name)) for name, rule in list_rules(kind).items()}).settle()


def write_view(view: View) -> dict[str, Any]:
    """Widget key to value, for presets, undo and reset: words of several as a list, None where a widget chooses for
    itself and for an empty box.

    A span of two numbers stays a tuple, as a slider with two ends wants it.
    """
    values = {name: getattr(view, name) for name in list_rules(type(view))}
    words = {name: list(value) for name, value in values.items() if isinstance(value, tuple) and not _is_span(value)}
    return values | words


def _is_span(value: tuple[Any, ...]) -> bool:
    """Whether a tuple is one of numbers, low and high, and no list of words."""
    return bool(value) and isinstance(value[0], (int, float))


def spell_view(view: View) -> Query:
    """The view as parameters of an address, defaults left out.

    One entry per field, each a list: several values repeat the parameter. An untouched view is empty.
    """
    values = {name: (getattr(view, name), rule.default) for name, rule in list_rules(type(view)).items()}
    return {name: _spell(value) for name, (value, default) in values.items() if value != default}


def _spell(value: Any) -> list[str]:
    """A value as words of an address: flags as true and false, whole numbers without a point, tuples word by word."""
    if isinstance(value, tuple):
        return [word for part in value for word in _spell(part)]
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return [str(int(value))]
    return [str(value)]


def read_address(kind: type[V], asked: Mapping[str, Sequence[str]]) -> Address[V]:
    """What the parameters of an address mean on a page; what means nothing is named and takes part in nothing.

    Never raises. Of a parameter given twice the last counts, where the field holds one value.
    """
    query, left_out, refusals = kind.translate(asked)
    rules, values = list_rules(kind), {}
    for name, words in query.items():
        if name not in rules:
            left_out.append(name_parameter(name, words))
            continue
        values[name], wrong = rules[name].take_words(words or [""])
        if wrong:
            left_out.append(name_parameter(name, wrong))
    view = kind(**values).settle()
    outdone = [name for name, value in values.items() if value not in (getattr(view, name), rules[name].default)]
    left_out += [name_parameter(name, query[name]) for name in outdone]
    return Address(view, tuple(left_out), tuple(refusals))


def name_parameter(name: str, words: Sequence[str]) -> str:
    """A parameter as a notice names it, at most 80 signs.

    >>> name_parameter("zoom", ["3", "4"])
    'zoom=3,4'
    """
    return f"{name}={','.join(words)}"[:80]


def reset_view(view: V) -> V:
    """The defaults, with what a reset keeps.

    Settled already: the defaults suit each other whatever is kept.
    """
    return type(view)(**{name: getattr(view, name) for name, rule in list_rules(type(view)).items() if rule.kept})


def drop_passing(view: V) -> V:
    """The view without what does not belong to its history.

    Two views that differ in passing fields alone are one step of the history.
    """
    return replace(view, **{name: rule.default for name, rule in list_rules(type(view)).items() if rule.passing})


def join_link(base: str, query: Mapping[str, Sequence[str]]) -> str:
    """An address with other parameters.

    Parameters of `base` are dropped; values are percent-encoded.

    >>> join_link("http://127.0.0.1:8501/?old=1", {"bits": ["6"]})
    'http://127.0.0.1:8501/?bits=6'
    """
    return f"{base.partition('?')[0]}?{urlencode(query, doseq=True)}" if query else base.partition("?")[0]
