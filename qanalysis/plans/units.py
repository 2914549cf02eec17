"""What is decided together? Units of one or more tensors, and the figures of each of their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.plans.candidates import Options
from qanalysis.plans.pins import name_schemes
from qanalysis.plans.ties import Group

_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Tensors that have one scheme together: their options under the schemes that all of them have, in one order.

    `name` is empty for a tensor on its own; `is_pinned` says that the user chose the scheme.
    """

    name: str
    members: tuple[Options, ...]
    is_pinned: bool = False

    @property
    def schemes(self) -> tuple[str, ...]:
        """What it may have."""
        return self.members[0].schemes

    def sum(self, figure: str, shares: Mapping[str, float] | None = None) -> Doubles:
        """A figure of the options summed over the members, each with its share, by default all of it."""
        parts = [getattr(one, figure) * (shares or {}).get(one.tensor.name, 1.0) for one in self.members]
        total: Doubles = np.sum(parts, axis=0)
        return total


def join_units(options: Sequence[Options], groups: Sequence[Group], pinned: Mapping[str, str]) -> tuple[Unit, ...]:
    """One unit for each group and each tensor in none, in the order of their first tensors.

    Raises ValueError for a group whose tensors are pinned to two schemes, or have no scheme in common.
    """
    by_name = {one.tensor.name: one for one in options}
    groups_of = {name: group for group in groups for name in group.members}
    units = dict[str, Unit]()
    for one in options:
        group = groups_of.get(one.tensor.name)
        if group is None:
            units[one.tensor.name] = Unit("", (one,), one.tensor.name in pinned)
        elif group.members[0] not in units:
            units[group.members[0]] = _join(group, [by_name[name] for name in group.members], pinned)
    return tuple(units.values())


def _join(group: Group, members: Sequence[Options], pinned: Mapping[str, str]) -> Unit:
    pins = {name: pinned[name] for name in group.members if name in pinned}
    if len(set(pins.values())) > 1:
        told = " and ".join(f"{quote(name)} to {scheme}" for name, scheme in list(pins.items())[:_SHOWN])
        raise ValueError(f"pins contradict each other: the group {quote(group.name)} has one scheme, and pins {told}")
    common = [scheme for scheme in members[0].schemes if all(scheme in one.schemes for one in members[1:])]
    if not common:
        told = "; ".join(f"{quote(one.tensor.name)} has {name_schemes(one.schemes)}" for one in members[:_SHOWN])
        raise ValueError(
            f"the group {quote(group.name)} has no scheme in common: {told}; make rows of one scheme for all of it, "
            "or leave out the tie"
        )
    taken = [one.take([one.schemes.index(scheme) for scheme in common]) for one in members]
    return Unit(group.name, tuple(taken), bool(pins))


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """Of all units the figures of their options, one array for each unit.

    `costs` are the objective's; `bits` count, `counted` are those of weights that work on a token; `sizes` are bytes;
    `errors` as in `Options`. `numel` and `counted_numel` are the weights that bits are divided by, `signal` is Σx².
    """

    costs: tuple[Doubles, ...]
    bits: tuple[Doubles, ...]
    counted: tuple[Doubles, ...]
    sizes: tuple[Doubles, ...]
    errors: tuple[Doubles, ...]
    numel: int
    counted_numel: float
    signal: float

    @classmethod
    def of(cls, units: Sequence[Unit], shares: Mapping[str, float]) -> Figures:
        """The figures of units; `shares` are those of tensors that work on a part of all tokens."""
        members = [one for unit in units for one in unit.members]
        numel = sum(one.tensor.numel for one in members)
        if not numel:
            raise ValueError("the rows do not tell how many weights there are; give the file too, with --source")
        return cls(
            costs=tuple(unit.sum("costs") for unit in units),
            bits=tuple(unit.sum("bits") for unit in units),
            counted=tuple(unit.sum("bits", shares) for unit in units),
            sizes=tuple(unit.sum("sizes") for unit in units),
            errors=tuple(unit.sum("errors") for unit in units),
            numel=numel,
            counted_numel=sum(one.tensor.numel * shares.get(one.tensor.name, 1.0) for one in members),
            signal=sum(one.signal for one in members),
        )
