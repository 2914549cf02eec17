"""Which names does a search leave? An expression where it is one, else a part of the name."""

from __future__ import annotations

from collections.abc import Sequence

from qanalysis.patterns import Pattern


def find_tensors(names: Sequence[str], pattern: str) -> list[str]:
    r"""Names that hold the pattern, upper and lower case alike: a regular expression where it is one, else plain text.

    An empty pattern leaves every name. Raises ValueError for one that takes too long.

    >>> find_tensors(["enc.0.q", "enc.0.k", "head"], r"\.(q|k)$")
    ['enc.0.q', 'enc.0.k']
    >>> find_tensors(["w[0]", "b"], "[0")
    ['w[0]']
    """
    try:
        wanted = Pattern.parse(pattern, "search", ignore_case=True)
    except ValueError:
        return [name for name in names if pattern.casefold() in name.casefold()]
    kept = wanted.select(names)
    return [name for name in names if name in kept]
