"""What does a measurement of EXL3 say? How much less the model diverges when a group of layers has more bits.

The base model has all layers at its bits; candidate i gives one group the bits of alternative i: `dbits` more bits of
storage, `dkld` (mostly negative) more divergence. The group's own damage D at the base is what it would gain with ever
more bits: with a factor of 4 for each bit between base and the largest alternative, D = -dkld / (1 - 4^-bits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.plans.candidates import Candidates
from qanalysis.plans.scores.curves import price, read_errors
from qanalysis.plans.scores.names import match_entries
from qanalysis.plans.scores.score_file import Scored, ScoreFile, read_number

KIND = "EXL3 measurement"
_LEAST_BITS, _MOST_BITS = 0.1, 64.0
_WAY_OUT = "give the file that exllamav3's measure_model wrote, whole and unchanged"


def recognise(file: ScoreFile) -> bool:
    """Groups beside a base and alternatives."""
    return isinstance(file.document, dict) and {"base", "alts", "groups"} <= set(file.document)


def score(file: ScoreFile, candidates: Candidates) -> Scored:
    """The divergence of each tensor's group at the candidate's bits, by the tensor's share of the group's elements."""
    base, alts, groups = _read(file)
    owners = {layer: number for number, (layers, _points) in enumerate(groups) for layer in layers}
    matched = match_entries([one.tensor for one in candidates.options], owners)
    numel = dict.fromkeys(range(len(groups)), 0)
    met = {number: set[str]() for number in numel}
    for one in candidates.options:
        hit = matched.get(one.tensor.name)
        if hit is not None:
            numel[owners[hit.name]] += one.tensor.numel
            met[owners[hit.name]].add(hit.name)
    costs = dict[str, Doubles]()
    for one, errors in zip(candidates.options, read_errors(candidates), strict=True):
        hit = matched.get(one.tensor.name)
        if hit is None:
            continue
        number = owners[hit.name]
        layers, gains = groups[number]
        size = numel[number] if met[number] == set(layers) else 0
        points, damages = _trace(base, alts, gains, size)
        costs[one.tensor.name] = price(one, errors, points, damages) * one.tensor.numel / numel[number]
    note = (
        f"{len(groups)} groups of layers were measured from {base:.3g} to {max(alts):.3g} bits per weight; a tensor "
        "has its group's divergence by its share of elements, other bits follow in the logarithm"
    )
    return Scored("KL divergence of its group by bits per weight", costs, [note])


def _trace(
    base: float, alts: Sequence[float], gains: Sequence[tuple[float, float]], size: int
) -> tuple[Doubles, Doubles]:
    """Bits per weight, ascending, and the group's damage there. `size` is how many elements the group has, 0 where that
    is not known: then the models' own bits stand for the group's.
    """
    bits = [base + extra / size if size else own for (_gain, extra), own in zip(gains, alts, strict=True)]
    # More bits alone say what a group gains; of alternatives with like bits the first counts.
    larger = {own: gain for (gain, _extra), own in reversed(list(zip(gains, bits, strict=True))) if own > base}
    points = np.array([base, *sorted(larger)])
    change = np.array([0.0, *(larger[own] for own in sorted(larger))])
    if len(points) == 1 or change.min() >= 0:
        return points[:1], np.zeros(1)
    least = int(np.argmin(change))
    whole = -change[least] / (1 - 4.0 ** (points[0] - points[least]))
    damages: Doubles = np.maximum(whole + change, whole + change[least])
    return points, damages


def _read(file: ScoreFile) -> tuple[float, list[float], list[tuple[list[str], list[tuple[float, float]]]]]:
    """Bits per weight of the base and of the alternatives; of each group its layers, and by alternative the change of
    divergence and of bits.
    """
    try:
        base = read_number(file.document["base"]["bpw"], "the base's bpw", least=_LEAST_BITS, most=_MOST_BITS)
        alts = [
            read_number(one["bpw"], f"bpw of alternative {at}", least=_LEAST_BITS, most=_MOST_BITS)
            for at, one in enumerate(file.document["alts"])
        ]
        groups = [_read_group(one, at, len(alts)) for at, one in enumerate(file.document["groups"])]
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else "a part of it is of another form"
        raise file.refuse(f"is no measurement of EXL3 as its tool writes it: {what}; {_WAY_OUT}") from None
    except ValueError as error:
        raise file.refuse(f"{error}; {_WAY_OUT}") from None
    if not groups or not alts:
        raise file.refuse(f"holds no {'group' if alts else 'alternative'}; {_WAY_OUT}")
    return base, alts, groups


def _read_group(one: Mapping[str, Any], at: int, alts: int) -> tuple[list[str], list[tuple[float, float]]]:
    layers, found = one["layers"], one["candidates"]
    if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ValueError(f"layers of group {at} must be a list of names")
    if len(found) != alts:
        raise ValueError(f"group {at} has {len(found)} candidates for {alts} alternatives")
    place = f"of group {at}"
    return layers, [
        (read_number(each["dkld"], f"dkld {place}"), read_number(each["dbits"], f"dbits {place}")) for each in found
    ]
