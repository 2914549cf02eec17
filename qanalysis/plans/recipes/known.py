"""Which tensors of a plan have a format that a back end knows? The others stop a recipe, or are listed where a part of
it is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qanalysis.notation import escape, shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.catalogue import TARGETS, Target, find_target
from qanalysis.plans.recipes.recipe import Item, Unexpressed, list_items
from qanalysis.sweeps.held import TENSORS

_MOST_NAMED = 3


def take_known(plan: Plan, target: str, *, partial: bool) -> tuple[list[Item], list[Unexpressed]]:
    """The tensors whose formats the back end knows, and the others, listed.

    Without `partial` others raise ValueError: one line with the formats, the tensors, and the targets that know them.
    """
    back_end = find_target(target)
    header = {line["tensor"]: line for line in plan.more.get(TENSORS, ())}
    items = [_complete(item, header.get(item.tensor)) for item in list_items(list(plan.rows))]
    unknown = [item for item in items if not back_end.knows(str(item.scheme.format))]
    if unknown and not partial:
        raise ValueError(_refuse(back_end, unknown))
    listed = [
        Unexpressed(
            item.tensor, str(item.scheme), f"{target} has no format {item.scheme.format}", "no line names the tensor"
        )
        for item in unknown
    ]
    return [item for item in items if back_end.knows(str(item.scheme.format))], listed


def _complete(item: Item, line: Mapping[str, Any] | None) -> Item:
    """An item with what the document says of the tensor beside its row."""
    return item if line is None else replace(item, view=line["view"], aliases=tuple(line["aliases"]))


def _refuse(target: Target, unknown: list[Item]) -> str:
    """The message to who asks a back end for formats that it does not know."""
    formats = list(dict.fromkeys(str(item.scheme.format) for item in unknown))
    names = [shorten(escape(item.tensor)) for item in unknown[:_MOST_NAMED]]
    more = f" and {len(unknown) - len(names)} more" if len(unknown) > len(names) else ""
    others = [one.name for one in TARGETS if one.formats and all(map(one.knows, formats))]
    way = f"; {', '.join(others)} know{'s' * (len(others) == 1)} all of them" if others else ""
    return (
        f"target {target.name}: has no format {', '.join(formats)}, which the plan gives to {', '.join(names)}{more}"
        f"{way}; plan with formats that it knows ({', '.join(target.formats)}), or give --partial for the rest"
    )
