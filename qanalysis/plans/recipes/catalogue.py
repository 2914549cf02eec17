"""Which back ends have recipes? One line each: its name, what its files are, and the function that writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from qanalysis.notation import quote
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Target:
    """A back end: `name` as it is typed, `about` in one line, and the writer, "file.function" of this folder.

    The writer takes the plan and keyword options; it raises ValueError for a plan with a format that the back end does
    not know at all, unless `partial`, and lists what it can not express otherwise.
    """

    name: str
    about: str
    writer: str

    def write(self, plan: Plan, **options: Any) -> Recipe:
        """The recipe of a plan."""
        module, function = self.writer.rsplit(".", 1)
        write: Callable[..., Recipe] = getattr(import_module(f"qanalysis.plans.recipes.{module}"), function)
        return write(plan, **options)


TARGETS: tuple[Target, ...] = ()


def find_target(name: str) -> Target:
    """The back end of a name; ValueError lists those that there are."""
    for target in TARGETS:
        if target.name == name:
            return target
    raise ValueError(f"target {quote(name)}: is none of {', '.join(target.name for target in TARGETS)}")
