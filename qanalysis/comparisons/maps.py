"""Which names does the user give to tensors? Expressions that turn names of A into names of B."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qanalysis.notation import quote
from qanalysis.patterns import Pattern

_FORM = r"write REGEX=REPLACEMENT, such as '^encoder\.=backbone.encoder.'"


@dataclass(frozen=True, slots=True)
class Renaming:
    """What a name becomes, and by which expression."""

    to: str
    pattern: str


def parse_maps(texts: Iterable[str]) -> dict[str, str]:
    r"""Replacements by expression, from texts "REGEX=REPLACEMENT", split at the first = before which an expression
    stands; ValueError for one without.

    >>> parse_maps([r"^model\.(.*)=\1", "(?=w)=v."])
    {'^model\\.(.*)': '\\1', '(?=w)': 'v.'}
    """
    maps = dict[str, str]()
    for text in texts:
        pattern, replacement = _split(text)
        if maps.get(pattern, replacement) != replacement:
            raise ValueError(
                f"map {quote(pattern)} is given twice, with {quote(maps[pattern])} and {quote(replacement)}"
            )
        maps[pattern] = replacement
    return maps


def _split(text: str) -> tuple[str, str]:
    fault: ValueError | None = None
    for place in (place for place, letter in enumerate(text) if letter == "=" and place):
        try:
            Pattern.parse(text[:place], "map")
        except ValueError as error:
            fault = fault or error
            continue
        return text[:place], text[place + 1 :]
    raise fault or ValueError(f"map {quote(text)}: {_FORM}")


def rename(names: Sequence[str], maps: Mapping[str, str]) -> dict[str, Renaming]:
    r"""What the names become in which one of the expressions is found, the first that finds it.

    Raises ValueError for what is no expression or no replacement, for an expression that finds none of the names, and
    where two names become one.

    >>> rename(["a.w", "b.w"], {"^a": "c"})
    {'a.w': Renaming(to='c.w', pattern='^a')}
    """
    renamed = dict[str, Renaming]()
    for text, replacement in maps.items():
        found = Pattern.parse(text, "map").replace(names, replacement)
        if not found:
            shown = ", ".join(quote(name, 40) for name in names[:3])
            raise ValueError(f"map {quote(text)} finds none of the {len(names):,} names of A, which begin with {shown}")
        renamed |= {name: Renaming(to, text) for name, to in found.items() if name not in renamed}
    taken = dict[str, str]()
    for name, one in renamed.items():
        if taken.setdefault(one.to, name) != name:
            raise ValueError(
                f"map {quote(one.pattern)} makes {quote(one.to)} of both {quote(taken[one.to])} and {quote(name)}; "
                "keep what tells them apart with a group, such as (.*)=\\1"
            )
    return renamed
