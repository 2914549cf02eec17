"""Which schemes has the user decided? Pins of one scheme on names, and names that stay float."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.plans.candidates import Candidates, Options
from qanalysis.plans.tensors import PlanTensor
from qanalysis.quantizers.scheme import Scheme

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Pin:
    """Tensors whose names have a match get one scheme; `scheme` is canonical text."""

    pattern: Pattern
    scheme: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """REGEX=SCHEME, of which both may hold "=": split at the first one behind which a scheme stands.

        Raises ValueError where none does, or no expression stands in front.

        >>> pin = Pin.parse("(?=.*proj)layers=int4 group=128")
        >>> pin.pattern.text, pin.scheme, str(Pin.parse("head=int8 channel"))
        ('(?=.*proj)layers', 'int4 group=128', 'head=int8 channel')
        """
        places = [place for place, letter in enumerate(text) if letter == "="]
        for place in places:
            scheme = _read_scheme(text[place + 1 :])
            if scheme:
                return cls.of(text[:place], scheme)
        told = _explain(text[places[-1] + 1 :]) if places else ""
        raise ValueError(
            f"pin {quote(text)}: REGEX=SCHEME is expected, such as 'lm_head=int8 channel'; behind no '=' stands a "
            f"scheme{told}"
        )

    @classmethod
    def of(cls, expression: str, scheme: str) -> Self:
        """An expression and a scheme's text. Raises ValueError for what is neither."""
        if not expression:
            raise ValueError(f"pin {quote(f'={scheme}')}: the expression is empty; write '.' for every tensor")
        canonical = _read_scheme(scheme)
        if not canonical:
            raise ValueError(f"pin {quote(f'{expression}={scheme}')}: is no scheme{_explain(scheme)}")
        return cls(Pattern.parse(expression, "pin"), canonical)

    def __str__(self) -> str:
        return f"{self.pattern.text}={self.scheme}"


def read_pins(pins: Mapping[str, str] | Iterable[str]) -> tuple[Pin, ...]:
    """Pins from texts REGEX=SCHEME, or from a mapping of expressions to schemes."""
    if isinstance(pins, str):
        return (Pin.parse(pins),)
    if isinstance(pins, Mapping):
        return tuple(Pin.of(expression, scheme) for expression, scheme in pins.items())
    return tuple(map(Pin.parse, pins))


def _read_scheme(text: str) -> str:
    """The canonical text of a scheme; empty where it is none."""
    try:
        return str(Scheme.parse(text)) if text.strip() else ""
    except ValueError:
        return ""


def _explain(text: str) -> str:
    if text.strip().lower() in ("float", "float32", "keep", "none"):
        return f"; to keep tensors as they are, use --exclude in place of {quote(text)}"
    try:
        Scheme.parse(text)
    except ValueError as error:
        return f" ({error})"
    return ""


def find_matches(pattern: Pattern, tensors: Iterable[PlanTensor]) -> set[str]:
    """The names of the tensors of which any name has a match."""
    owners = {name: one.name for one in tensors for name in one.names}
    return {owners[name] for name in pattern.select(list(owners))}


def keep_pinned(
    options: Sequence[Options],
    pins: Sequence[Pin],
    excluded: Sequence[PlanTensor] = (),
    decided: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[Options, ...], dict[str, str]]:
    """The candidates with those of pinned tensors cut down to one, and the scheme of each pinned tensor.

    `decided` are schemes by name that a file decides; a pin goes before it. Raises ValueError for a pin that finds no
    planned tensor, for two schemes on one tensor, for a pin on an excluded one, and for a scheme that is no candidate.
    """
    by = dict[str, Pin]()
    for pin in pins:
        found = find_matches(pin.pattern, [one.tensor for one in options])
        out = find_matches(pin.pattern, excluded)
        if out:
            raise ValueError(
                f"pin {quote(str(pin))}: {quote(min(out))} is pinned and excluded; take one of the two back"
            )
        if not found:
            raise ValueError(f"pin {quote(str(pin))}: matches none of the {len(options):,} tensors with candidates")
        for name in found:
            first = by.setdefault(name, pin)
            if first.scheme != pin.scheme:
                raise ValueError(
                    f"pins contradict each other: {quote(name)} is pinned to {first.scheme} by {quote(str(first))} "
                    f"and to {pin.scheme} by {quote(str(pin))}; take one of them back"
                )
    own = {one.tensor.name for one in options}
    pinned = {name: scheme for name, scheme in decided.items() if name in own}
    pinned |= {name: pin.scheme for name, pin in by.items()}
    kept = tuple(
        _keep_one(one, pinned[one.tensor.name], by.get(one.tensor.name)) if one.tensor.name in pinned else one
        for one in options
    )
    return kept, pinned


def _keep_one(options: Options, scheme: str, pin: Pin | None) -> Options:
    if scheme in options.schemes:
        return options.take([options.schemes.index(scheme)])
    who = f"pin {quote(str(pin))}" if pin is not None else f"{scheme} by the file of scores"
    raise ValueError(
        f"{who}: {quote(options.tensor.name)} has no ok row under {scheme}; it has "
        f"{name_schemes(options.schemes)}; pin one of these, or make a row of that scheme too"
    )


def name_schemes(schemes: Sequence[str]) -> str:
    """Some schemes by their texts, the number of the others.

    >>> name_schemes(["int4", "int8"])
    'int4, int8'
    """
    more = f" and {len(schemes) - _SHOWN} others" if len(schemes) > _SHOWN else ""
    return f"{', '.join(schemes[:_SHOWN])}{more}"


def leave_out(
    candidates: Candidates, exclude: Sequence[str], names: Iterable[str] = ()
) -> tuple[tuple[Options, ...], tuple[PlanTensor, ...]]:
    """The candidates of what is not excluded, by expressions or by `names`, and the tensors that are, which stay float.

    Raises ValueError for an expression that finds nothing at all, and where nothing is left.
    """
    options, others = candidates.options, candidates.others
    tensors = [*(one.tensor for one in options), *candidates.lacking]
    out = set(names)
    for expression in exclude:
        pattern = Pattern.parse(expression, "exclude")
        found = find_matches(pattern, tensors)
        if not found and not find_matches(pattern, others):
            raise ValueError(f"exclude {quote(expression)}: matches none of the {len(tensors) + len(others):,} tensors")
        out |= found
    kept = tuple(one for one in options if one.tensor.name not in out)
    if not kept:
        told = ", ".join(exclude) or "by the file of scores"
        raise ValueError(f"exclude {quote(told)}: leaves no tensor to plan; exclude less")
    return kept, tuple(one for one in tensors if one.name in out)
