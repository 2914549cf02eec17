"""Which rules act on one kind of data? A grid, a range rule and what stands beside them, as one line of text.

Parts are joined by ` + `: a scheme (`int4 channel`), a range rule (`counts first=0.6`), and at most one each of `down`,
`average`, a width rule and a gradient rule. Words of the scheme may also stand among the range rule's keys, `bits=N`
for `intN`, `mode=` for the three scale modes of A15. Printing is canonical and parses back to an equal value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Self

from qanalysis.notation import quote, shorten
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.scheme import PARTS, Scheme
from qanalysis.quantizers.words import resembles_format
from qanalysis.training.counts import Counts
from qanalysis.training.gradient_rules import GRADIENT_RULES, Freezing, GradientRule
from qanalysis.training.learned_ranges import Lsq, LsqPlus, Pact
from qanalysis.training.range_rules import (
    Down,
    Hold,
    MinMax,
    MovingAverage,
    PrecisionRule,
    RangeRule,
    UpDistribution,
    UpDistributionGradual,
    UpGradual,
    UpStep,
)
from qanalysis.training.reach import Reach
from qanalysis.training.state import KindOfData
from qanalysis.training.width_rules import Average, WidthGrowth
from qanalysis.training.words import Rule, make_rule

RANGE_RULES: dict[str, type[RangeRule]] = {
    one.name: one
    for one in (
        MinMax,
        MovingAverage,
        Counts,
        Hold,
        UpStep,
        UpGradual,
        UpDistribution,
        UpDistributionGradual,
        Pact,
        Lsq,
        LsqPlus,
    )
}
#: What may stand beside a range rule, and the part of a recipe that it is.
_BESIDE: dict[str, tuple[str, type[Rule]]] = {
    "down": ("down", Down),
    "average": ("average", Average),
    "width-growth": ("width", WidthGrowth),
    **{name: ("gradient", rule) for name, rule in GRADIENT_RULES.items()},
}
#: The words of the three scale modes (A15): 2^p, absmax/(2^(b-1) - 1), and with an offset.
_MODES: Mapping[str, str] = MappingProxyType({"position": "scale=pow2:library", "scale": "", "offset": "asym"})
DEFAULT_BITS = 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """The rules of one kind of data.

    >>> str(Recipe.parse("up-step bits=8 exponent=source + down"))
    'up-step exponent=source + down'
    >>> str(Recipe.parse("ewgs + channel int4"))
    'int4 channel + minmax + ewgs'
    """

    scheme: Scheme
    range: RangeRule
    down: Down | None = None
    average: Average | None = None
    width: WidthGrowth | None = None
    gradient: GradientRule | None = None

    def __post_init__(self) -> None:
        if (
            isinstance(self.range, PrecisionRule)
            and self.range.scope == "group"
            and str(self.scheme.grouping) == "tensor"
        ):
            object.__setattr__(self, "scheme", replace(self.scheme, grouping=parse_grouping("channel")))
        fault = self.find_fault()
        if fault:
            raise ValueError(f"{quote(self.spell())}: {fault}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The recipe written as `text`; ValueError names the word, the rule and the choices."""
        parts: dict[str, Any] = {}
        scheme_words: list[str] = []
        for piece in _split(text):
            words = piece.split()
            if words[0] in RANGE_RULES:
                own, others = _part_words(words[1:])
                scheme_words += others
                name: str = "range"
                rule: Rule = make_rule(RANGE_RULES[words[0]], own)
            elif words[0] in _BESIDE:
                name, kind = _BESIDE[words[0]]
                own, others = _part_words(words[1:])
                scheme_words += others
                rule = make_rule(kind, own)
            elif _is_of_scheme(words[0]):
                scheme_words += words
                continue
            else:
                raise ValueError(f"rule {quote(piece, 60)} is unknown; {_guess(words[0])}{list_rules()}")
            if name in parts:
                raise ValueError(f"rule {quote(text, 80)} has two parts for {name}: {parts[name].name}, {rule.name}")
            parts[name] = rule
        own_range = parts.pop("range", Hold() if "down" in parts else MinMax())
        return cls(_read_scheme(scheme_words, text, own_range), own_range, **parts)

    def __str__(self) -> str:
        return self.spell()

    def spell(self) -> str:
        """The canonical text."""
        scheme, own = self.scheme, _plain_scheme(self.scheme.format.bits, self.range)
        is_plain = own is not None and scheme == own
        first = str(self.range)
        if is_plain and scheme.format.bits != DEFAULT_BITS:
            first += f" bits={scheme.format.bits}"
        beside = [self.down, self.average, self.width, self.gradient]
        return " + ".join([*([] if is_plain else [self._spell_scheme()]), first, *(str(one) for one in beside if one)])

    def _spell_scheme(self) -> str:
        """The scheme's text, without the grouping where the scope says it."""
        asks = isinstance(self.range, PrecisionRule) and self.range.scope == "group"
        is_channel = asks and str(self.scheme.grouping) == "channel"
        return str(self.scheme) if not is_channel else str(replace(self.scheme, grouping=parse_grouping("tensor")))

    @property
    def reach(self) -> Reach:
        """How far its grid reaches at a step."""
        return Reach(self.scheme)

    @property
    def bits(self) -> int:
        """The width it begins with."""
        return self.scheme.format.bits

    def find_fault(self) -> str:
        """Which parts exclude each other; empty where all go together."""
        return next((told for fails, told in self._list_pairs() + self._list_schemes() if fails), "")

    def _list_pairs(self) -> list[tuple[bool, str]]:
        """Which rules must not stand together, and what is told of it."""
        rule, fmt = self.range, self.scheme.format
        is_precision = isinstance(rule, PrecisionRule)
        most = self.width.most if self.width else 0
        return [
            (
                self.down is not None and not is_precision,
                f"down lowers the precision of an up- rule, and {rule.name} lowers its own range; leave one out",
            ),
            (
                self.average is not None and rule.trigger != "every",
                f"average sets the checks, and trigger={rule.trigger} does too; leave one out",
            ),
            (
                self.width is not None and not (fmt.is_integer and fmt.bits <= most),
                f"width-growth widens integers up to {most} bits, and {fmt} is none of them",
            ),
        ]

    def _list_schemes(self) -> list[tuple[bool, str]]:
        """Which rules a grid does not take, and what is told of it."""
        scheme, rule = self.scheme, self.range
        fmt, grouped = scheme.format, str(scheme.grouping) != "tensor"
        return [
            (
                isinstance(rule, PrecisionRule) and not scheme.symmetry.signed,
                f"{rule.name} moves one step for both signs, and {scheme} has a zero point; leave asym out",
            ),
            (
                not rule.refits and not scheme.takes_extremes,
                f"{scheme} lays its grid by its own rule over each tensor; only minmax goes with it",
            ),
            (
                rule.is_learned and grouped,
                f"{rule.name} learns one range per tensor; leave {scheme.grouping} out",
            ),
            (
                rule.is_learned and not fmt.is_integer,
                f"{rule.name} learns the step of integers, and {fmt} has levels of its own",
            ),
            (
                isinstance(self.gradient, Freezing) and not scheme.coder.is_uniform,
                f"freezing keeps whole codes, and {fmt} has levels of its own; take dampening",
            ),
            (isinstance(rule, Pact) and scheme.symmetry.signed, "pact clips at 0 and above; its grid is asym"),
            (
                isinstance(rule, PrecisionRule) and rule.scope == "all" and grouped,
                f"scope=all has one range for all layers, and {scheme.grouping} has many in each; leave one out",
            ),
        ]

    def check_kind(self, kind: KindOfData) -> None:
        """Raises ValueError where a part can not act on this kind of data."""
        if self.gradient is not None and kind not in self.gradient.kinds:
            kinds = ", ".join(self.gradient.kinds)
            raise ValueError(f"{kind}: {self.gradient.name} corrects the gradient of {kinds}; leave it out")
        grouping = str(self.scheme.grouping)
        if grouping != "tensor" and not kind.startswith("weight") and not self.range.refits:
            raise ValueError(
                f"{kind}: the groups of {grouping} change with the batch, so {self.range.name} can not follow them; "
                "take minmax, or one range per tensor"
            )
        if self.range.is_learned and kind.endswith("gradient"):
            raise ValueError(
                f"{kind}: {self.range.name} learns by gradient, and a gradient has none; take ema or minmax"
            )


def list_rules() -> str:
    """What there is, in words."""
    return f"ranges are {', '.join(RANGE_RULES)}; beside them {', '.join(_BESIDE)}; or a scheme such as int4 channel"


def _guess(word: str) -> str:
    """What a word that is no rule may have been meant for; empty where nothing is near."""
    if "+" in word:
        return "put blanks around each +; "
    near = get_close_matches(word.lower(), [*RANGE_RULES, *_BESIDE], n=1)
    return f"did you mean {near[0]}? " if near else ""


def _split(text: str) -> list[str]:
    pieces = [piece.strip() for piece in f" {' '.join(text.split())} ".split(" + ")]
    if not all(pieces):
        raise ValueError(f"rule {quote(text, 60)} has an empty part; join parts by ' + ', such as up-step + down")
    return pieces


def _is_of_scheme(word: str) -> bool:
    return (
        word in FORMATS or any(part.takes(word) for part in PARTS.values()) or _is_short(word) or resembles_format(word)
    )


def _is_short(word: str) -> bool:
    return word.startswith(("bits=", "mode="))


def _part_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Keys of the rule, and words of the scheme among them."""
    others = [
        word for word in words if _is_short(word) or word in FORMATS or any(p.takes(word) for p in PARTS.values())
    ]
    return [word for word in words if word not in others], others


def _plain_scheme(bits: int, rule: RangeRule | None) -> Scheme | None:
    """The scheme of integers where nothing but a width is asked for: signed, or what the rule needs."""
    if f"int{bits}" not in FORMATS:
        return None
    words = {Pact: " asym", LsqPlus: " asym", Lsq: " sym-noclip"}
    scheme = Scheme.parse(f"int{bits}{next((more for kind, more in words.items() if isinstance(rule, kind)), '')}")
    if isinstance(rule, PrecisionRule) and rule.scope == "group":
        return replace(scheme, grouping=parse_grouping("channel"))
    return scheme


def _read_scheme(words: list[str], text: str, rule: RangeRule | None) -> Scheme:
    bits = [word.removeprefix("bits=") for word in words if word.startswith("bits=")]
    modes = [word.removeprefix("mode=") for word in words if word.startswith("mode=")]
    rest = [word for word in words if not _is_short(word)]
    formats = [word for word in rest if word in FORMATS]
    if len(bits) + len(formats) > 1:
        raise ValueError(f"rule {quote(text, 80)} names its width twice; keep one of {', '.join(formats)} and bits=")
    if len(modes) > 1 or any(mode not in _MODES for mode in modes):
        raise ValueError(f"rule {quote(text, 80)}: mode= is one of {', '.join(_MODES)}")
    if bits and not (re.fullmatch("[0-9]{1,2}", bits[0]) and f"int{int(bits[0])}" in FORMATS):
        raise ValueError(f"rule {quote(text, 80)}: bits={shorten(bits[0], 40)} must be a whole number from 2 to 16")
    width = int(bits[0]) if bits else DEFAULT_BITS
    own = _plain_scheme(width, rule)
    plain = str(own).removesuffix(" channel").split() if own else [f"int{width}"]
    if formats or any(resembles_format(word) for word in rest):
        names_symmetry = any(word in ("sym", "sym-full", "sym-noclip", "sym-clip", "asym") for word in rest)
        is_plain_integer = formats and FORMATS[formats[0]].is_integer and not names_symmetry
        plain = plain[1:] if is_plain_integer else []
    elif any(PARTS["symmetry"].takes(word) for word in rest):
        plain = plain[:1]
    return Scheme.parse(" ".join([*plain, *rest, *(_MODES[mode] for mode in modes)]))
