"""What does a person write down to have a network trained? A model, data, and configurations to hold side by side.

In TOML: `model` and `data` at the top, `[defaults]` for what all share, one `[[configuration]]` each. A kind of data is
quantized where its key holds a recipe; an empty text takes back what the defaults say.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal, Self

from qanalysis.notation import quote, shorten
from qanalysis.patterns import Pattern
from qanalysis.training.compression import PRUNING_RULES, PruningRule
from qanalysis.training.distillation import DISTILLATION_RULES, Distillation
from qanalysis.training.recipe import Recipe
from qanalysis.training.rungs import Rungs
from qanalysis.training.state import KINDS, KindOfData
from qanalysis.training.words import find_key_faults, key, parse_rule

Learning = Literal["", "online", "batch", "incremental"]
_MOST = 1_000_000  # steps; and of whatever is counted in steps or items
_LARGEST = 1e30  # what optimizers divide by small numbers and still hold in float32
_EXAMPLE = "`qanalysis train --example` prints a file to begin with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One way to train: which kinds of data are quantized by which recipe, and how the steps are made.

    Parameters
    ----------
    name : one line, its name in the history.
    recipes : by kind; none for a float run. Kept in the order of KINDS.
    steps, batch, seed : optimizer steps, items in each, and what all random draws follow from.
    optimizer, rate, momentum, weight_decay : momentum is that of sgd.
    layers : a regular expression searched for in the names of layers; empty for all that a sweep would measure.
    record_every, evaluate_every : steps between rows of layers (0 for none: flips are not counted then, and no path
        is kept), and between rows of held-out data.
    pruning, distillation : rules beside the quantizers (B4, B5).
    rungs : train weights, and activations of the same width, at twice their bits first (A3).
    start : from the trained float network, or from random weights.
    calibration : batches that set the first ranges.
    learning : how new data of a drifted stream is taken in (B6): one item a step, all so far, or by chunks.

    Raises
    ------
    ValueError
        Names the configuration, the key, its value and its rule.
    """

    name: str
    recipes: Mapping[KindOfData, Recipe] = field(default_factory=dict, hash=False)
    steps: int = key(300, low=1, high=_MOST)
    batch: int = key(64, low=1, high=_MOST)
    seed: int = key(0, low=0, high=2**31 - 1)
    optimizer: Literal["sgd", "adam"] = key("sgd", choices=("sgd", "adam"))
    rate: float = key(0.01, low=0, high=_LARGEST, open_ends=True)
    momentum: float = key(0.0, low=0, high=0.9999)
    weight_decay: float = key(0.0, low=0, high=_LARGEST)
    layers: str = ""
    record_every: int = key(1, low=0, high=_MOST)
    evaluate_every: int = key(20, low=1, high=_MOST)
    pruning: PruningRule | None = None
    distillation: Distillation | None = None
    rungs: Rungs | None = None
    start: Literal["trained", "random"] = key("trained", choices=("trained", "random"))
    calibration: int = key(4, low=1, high=_MOST)
    learning: Learning = key("", choices=("", "online", "batch", "incremental"))

    def __post_init__(self) -> None:
        ordered = {kind: self.recipes[kind] for kind in KINDS if kind in self.recipes}
        with _told_of(self.name):
            _check_words(self.recipes, KINDS, "kind")
            for kind, recipe in ordered.items():
                recipe.check_kind(kind)
            for name, fault in find_key_faults(self):
                raise ValueError(f"{name} = {_show(getattr(self, name))} {fault}; by default {_default_of(name)}")
            fault = self._find_fault()
            if fault:
                raise ValueError(fault)
        object.__setattr__(self, "recipes", MappingProxyType(ordered))

    @classmethod
    def from_words(cls, words: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Self:
        """A configuration from plain numbers and texts by key, the table of a TOML file; `defaults` fill in.

        >>> Configuration.from_words({"name": "4 bits", "weight": "int4 channel"}).recipes["weight"].bits
        4
        """
        shared = defaults or {}
        with _told_at("[defaults]"):
            _check_words(shared, WORDS[1:], "key")
            values = {one: _read(one, value) for one, value in shared.items() if one not in words}
        if "name" not in words:
            raise ValueError('a configuration has no name; give each one, such as name = "4 bits"')
        with _told_of(words["name"]):
            _check_words(words, WORDS, "key")
            values |= {one: _read(one, value) for one, value in words.items()}
        recipes = {kind: recipe for kind in KINDS if (recipe := values.pop(kind, None)) is not None}
        return cls(recipes=recipes, **values)

    def to_words(self) -> dict[str, str | int | float]:
        """The keys that differ from their defaults, the name first; `from_words` gives an equal configuration back."""
        chosen = {one: getattr(self, one) for one in _FIELDS if getattr(self, one) != _default_of(one)}
        words = {one: value if isinstance(value, str | int | float) else str(value) for one, value in chosen.items()}
        recipes: dict[str, str] = {kind: str(recipe) for kind, recipe in self.recipes.items()}
        return {"name": self.name, **recipes, **words}

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized."""
        return not self.recipes

    @property
    def target_bits(self) -> int | None:
        """The width that the rungs lead to; None without rungs."""
        return self.recipes["weight"].bits if self.rungs else None

    def _find_fault(self) -> str:
        """What does not go together though each key keeps its limits; empty where all does."""
        return next((told for fails, told in self._list_rules() if fails), "")

    def _list_rules(self) -> list[tuple[bool, str]]:
        """What must not be, and what is told of it."""
        weight, pattern = self.recipes.get("weight"), _find_pattern_fault(self.layers)
        beside = [one for one in ("pruning", "distillation", "rungs") if getattr(self, one) is not None]
        climbs, learns = self.rungs is not None, f"learning = {quote(self.learning)} goes on with"
        return [
            (not self.name.isprintable() or not self.name.strip(), "its name must be one line that is not blank"),
            (bool(pattern), pattern),
            (
                self.optimizer == "adam" and self.momentum > 0,
                f"momentum = {self.momentum:g} belongs to sgd, and adam has its own; leave it out",
            ),
            (
                climbs and weight is None,
                "rungs lead to the weights' bits, and weights are not quantized; give weight a recipe",
            ),
            (
                climbs and weight is not None and not weight.scheme.format.is_integer,
                f"rungs narrow integers, and weight = {quote(str(weight))} has none; leave rungs out",
            ),
            (
                climbs and weight is not None and weight.width is not None,
                "rungs narrow the weights and width-growth widens them; leave one out",
            ),
            (
                bool(self.learning and beside),
                f"{learns} a network that is deployed; leave {', '.join(beside)} out",
            ),
            (
                bool(self.learning) and self.start == "random",
                f"{learns} a trained network; leave start = 'random' out",
            ),
        ]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A model, what it is trained on, and the configurations that are held side by side.

    `model` is `sample:NAME` or `package.module:factory`; `data` an .npz with x and y, a factory, "sample", or None for
    the data of the sample. ValueError where there is no configuration, or two have one name.
    """

    model: str
    data: str | None
    configurations: tuple[Configuration, ...]

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError('model is empty; name one, such as "sample:digits-mlp" or "package.module:factory"')
        if not self.configurations:
            raise ValueError(f"there is no configuration; write at least one [[configuration]] ({_EXAMPLE})")
        names = [one.name for one in self.configurations]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise ValueError(f"configuration {_show(twice)} stands twice; give each a name of its own")

    @classmethod
    def from_toml(cls, text: str, *, place: str = "the experiment") -> Self:
        r"""The experiment written in TOML; ValueError begins with `place` and names configuration, key, value and rule.

        >>> Experiment.from_toml('model = "sample:digits-mlp"\n[[configuration]]\nname = "a"').configurations[0].steps
        300
        """
        with _told_at(place):
            words = _parse_toml(text)
            _check_words(words, ("model", "data", "defaults", "configuration"), "key")
            if "model" not in words:
                raise ValueError('model is missing; name one, such as model = "sample:digits-mlp"')
            tables = words.get("configuration", [])
            if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
                raise ValueError("configuration is no list of tables; write [[configuration]], in two brackets")
            defaults = words.get("defaults", {})
            if not hasattr(defaults, "keys"):
                raise ValueError(f"defaults = {_show(defaults)} must be a table; write [defaults] on a line of its own")
            data = _read("data", words["data"]) if "data" in words else None
            configurations = tuple(Configuration.from_words(table, defaults) for table in tables)
            return cls(_read("model", words["model"]), data, configurations)

    def to_toml(self) -> str:
        """The experiment as TOML, what equals the defaults left out; `from_toml` gives an equal one back."""
        top: dict[str, str] = {"model": self.model} | ({} if self.data is None else {"data": self.data})
        tables = (_write_lines(one.to_words()) for one in self.configurations)
        return "\n".join([_write_lines(top), *(f"[[configuration]]\n{lines}" for lines in tables)])


#: A configuration's fields that are keys of their own, and all its keys.
_FIELDS = tuple(one.name for one in fields(Configuration) if one.name != "recipes")
WORDS: tuple[str, ...] = (_FIELDS[0], *KINDS, *_FIELDS[1:])
_PARSERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "pruning": lambda text: parse_rule(text, PRUNING_RULES, what="pruning"),
        "distillation": lambda text: parse_rule(text, DISTILLATION_RULES),
        "rungs": lambda text: parse_rule(text, {Rungs.name: Rungs}),
        **dict.fromkeys(KINDS, Recipe.parse),
    }
)


def _default_of(name: str) -> Any:
    found = next(one.default for one in fields(Configuration) if one.name == name)
    return None if found is MISSING else found


def _read(name: str, value: Any) -> Any:
    """What a key stands for, from its plain value; a rule's empty text is None."""
    default = _default_of(name) if name in _FIELDS else None
    if isinstance(default, int | float):
        expected = "a whole number" if isinstance(default, int) else "a number"
        fits = isinstance(value, int if isinstance(default, int) else int | float) and not isinstance(value, bool)
    else:
        expected, fits = "a text in quotes", isinstance(value, str)
    if not fits:
        raise ValueError(f"{name} = {_show(value)} must be {expected}; {_give_example(name)}")
    if isinstance(default, float):
        return float(min(value, sys.float_info.max) if isinstance(value, int) else value)
    if name not in _PARSERS:
        return value
    with _told_at(name):
        return _PARSERS[name](value) if value.strip() else None


def _give_example(name: str) -> str:
    samples = {
        "name": "4 bits",
        "model": "sample:digits-mlp",
        "data": "data.npz",
        "pruning": "magnitude sparsity=0.5",
        "distillation": "distillation temperature=4",
        "rungs": "rungs steps=100",
        "layers": "fc|conv",
    }
    sample = "int4 channel" if name in KINDS else samples.get(name, _default_of(name) if name in _FIELDS else "")
    return f"write for example {name} = {_write(sample)}"


def _find_pattern_fault(pattern: str) -> str:
    try:
        Pattern.parse(pattern, "layers =")
    except ValueError as error:
        return f"{error}; write for example layers = 'fc|conv'"
    return ""


def _check_words(given: Collection[Any], known: Collection[str], what: str) -> None:
    for one in given:
        if one not in known:
            near = get_close_matches(str(one), known, n=1)
            told = f"did you mean {near[0]}?" if near else f"{what}s are {', '.join(known)}"
            raise ValueError(f"{what} {_show(one)} is unknown; {told}")


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"is nested too deeply to be read; {_EXAMPLE}") from None
    except ValueError as error:  # of the syntax, or of a number with thousands of digits
        told = shorten(str(error).partition("; use sys.")[0], 200)
        raise ValueError(f"is not TOML: {told}; {_EXAMPLE}") from None


def _write_lines(words: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_write(value)}\n" for name, value in words.items())


def _write(value: Any) -> str:
    """A text or a number in TOML: JSON's escapes are among its own, and it wants one for DEL too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _show(value: Any) -> str:
    return shorten(repr(value), 60)


def _told_of(name: object) -> Any:
    return _told_at(f"configuration {_show(name)}")


@contextmanager
def _told_at(place: str) -> Iterator[None]:
    """Puts the place before what is told of a mistake."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
