"""Where does a back end lay another grid than the plan measured? The error is another one there, and a recipe says so.

A back end has one convention for each of its modes; a plan may have been made of others, which a scheme tells apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from qanalysis.notation import escape, shorten
from qanalysis.plans.recipes.recipe import Item
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES

_MOST_NAMED = 3


def tell_grids(items: Iterable[Item], target: str, lay: Callable[[Scheme], Scheme]) -> list[str]:
    """One sentence for each way in which the grids differ: `lay` gives the scheme whose grid the back end makes of a
    planned one.
    """
    grouped = dict[tuple[str, str], list[Item]]()
    for item in items:
        planned, made = _name_difference(item.scheme, lay(item.scheme))
        if planned != made:
            grouped.setdefault((planned, made), []).append(item)
    return [
        f"{name_some(those)} {'is' if len(those) == 1 else 'are'} planned as {planned}, {target} makes {made}: "
        "another grid, so another error than planned"
        for (planned, made), those in grouped.items()
    ]


def tell_powers(items: Iterable[Item], target: str) -> list[str]:
    """A note on formats whose scales are powers of two, for a back end that rounds these up where OCP rounds down.

    For Gaussian weights under mxfp8_e4m3 this was measured to be worth 1.2 dB, for mxfp4 0.3 dB.
    """
    powers = [item for item in items if item.scheme.scale.is_power_of_two and item.scheme.format.block]
    if not powers:
        return []
    told = (
        f"{name_some(powers)}: {target} chooses powers of two by a rule of its own, not 2^(floor(log2 absmax) − e) of "
        "the OCP formats measured here, so the error is another than planned"
    )
    return [told]


def name_some(items: Sequence[Item]) -> str:
    """A few tensors by name, and how many more there are.

    >>> name_some([])
    '0 tensors'
    """
    named = ", ".join(shorten(escape(item.tensor)) for item in items[:_MOST_NAMED])
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return f"{len(items)} tensor{'s' * (len(items) != 1)}" + (f" ({named}{more})" if named else "")


def _name_difference(planned: Scheme, made: Scheme) -> tuple[str, str]:
    """The words in which two schemes differ, beside the format; equal texts where they do not."""
    names = [
        name for name in ("format", "symmetry", "range", "rounding") if getattr(planned, name) != getattr(made, name)
    ]
    return _say(planned, names), _say(made, names)


def _say(scheme: Scheme, names: Sequence[str]) -> str:
    words = [str(scheme.format)] if names else []
    for name in names:
        value = getattr(scheme, name)
        if name == "symmetry":
            divisor = SYMMETRIES[str(value)].describe(scheme.format.largest_code)[0]
            words.append(f"{value} (step = {divisor})")
        elif name != "format":
            words.append(f"{name}={value}")
    return " ".join(words)
