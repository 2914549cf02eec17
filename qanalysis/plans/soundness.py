"""Is a document that was read a plan? Its parts go together with its rows, or one line says which does not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qanalysis.notation import quote
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.sweeps.held import TENSORS

_LISTS = ("bits_per_weight", "size_bytes", "cost")
_WORDS = ("tensor", "role", "shape", "dtype", "stored", "view")
_SHAPE = re.compile(r"(?:[0-9]{1,15}(?:x[0-9]{1,15}){0,63})?")
_FOUR = ("objective", "bits_per_weight", "bytes")


def find_damage(parts: Mapping[str, Any], tensors: Sequence[str], schemes: Sequence[str]) -> str:
    """What is wrong with the parts of a plan's document, whose rows have these tensors and schemes; empty for nothing.

    Parts that are not there are none: a CSV holds rows alone. A front without candidates needs no choice.
    """
    found = (
        _check_facts(parts),
        _check_assignments(parts, dict(zip(tensors, schemes, strict=True)), len(tensors)),
        _check_kept(parts),
        _check_candidates(parts, tensors, schemes),
        _check_tensors(parts),
        *(f"{name} must be an object" for name in ("constraints", "certainty", "proof") if not _is_object(parts, name)),
    )
    first = next((fault for fault in found if fault), "")
    return first or _check_front(parts, tensors)


def _is_object(parts: Mapping[str, Any], name: str) -> bool:
    return isinstance(parts.get(name, {}), dict)


def _check_facts(parts: Mapping[str, Any]) -> str:
    for name in _FOUR:
        if name in parts and not _is_number(parts[name]):
            return f"{name} is {quote(parts[name])}, must be a finite number"
    column = parts.get("objective_column", "")
    return "" if isinstance(column, str) else f"objective_column is {quote(column)}, must be text"


def _check_assignments(parts: Mapping[str, Any], assigned: Mapping[str, str], rows: int) -> str:
    if len(assigned) < rows:
        return "rows name a tensor twice"
    if "assignments" not in parts or parts["assignments"] == assigned:
        return ""
    return "assignments are not those of its rows"


def _check_kept(parts: Mapping[str, Any]) -> str:
    kept = parts.get("kept_float", {})
    if isinstance(kept, dict) and all(type(size) is int and 0 <= size < 1 << 63 for size in kept.values()):
        return ""
    return "kept_float must hold the bytes of each tensor"


def _check_tensors(parts: Mapping[str, Any]) -> str:
    lines = parts.get(TENSORS, ())
    if not isinstance(lines, list | tuple):
        return f"{TENSORS} must be a list"
    place = next((place for place, line in enumerate(lines) if not _is_described(line)), None)
    return "" if place is None else f"{TENSORS}[{place}] does not describe a tensor as this program does"


def _is_described(line: Any) -> bool:
    """Whether a line has the words of a tensor, a shape that is one, and rows that go with it."""
    if not isinstance(line, dict) or not all(isinstance(line.get(word), str) for word in _WORDS):
        return False
    aliases, counts = line.get("aliases"), (line.get("numel"), line.get("size_bytes"))
    if not isinstance(aliases, list | tuple) or not all(isinstance(name, str) for name in aliases):
        return False
    if any(type(count) is not int or count < 0 for count in counts) or not _SHAPE.fullmatch(line["shape"]):
        return False
    shape = tuple(map(int, line["shape"].split("x"))) if line["shape"] else ()
    try:
        view = MatrixView.parse(line["view"])
        if len(shape) > 1:
            view.settle(shape)
    except ValueError:
        return False
    return True


def _check_candidates(parts: Mapping[str, Any], tensors: Sequence[str], schemes: Sequence[str]) -> str:
    candidates = parts.get("candidates", {})
    if candidates == {}:
        return ""
    if not isinstance(candidates, dict) or candidates.keys() != set(tensors):
        return "candidates are not those of its rows"
    for tensor, scheme in zip(tensors, schemes, strict=True):
        one = candidates[tensor]
        names = one.get("scheme") if isinstance(one, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or scheme not in names:
            return f"candidates of {quote(tensor)} do not hold its scheme"
        if any(not _is_list_of_numbers(one.get(name), len(names)) for name in _LISTS):
            return f"candidates of {quote(tensor)} must have a number for each scheme"
    return ""


def _check_front(parts: Mapping[str, Any], tensors: Sequence[str]) -> str:
    front, candidates = parts.get("front", []), parts.get("candidates", {})
    if not isinstance(front, list):
        return "front must be a list of points"
    counts = [len(candidates[tensor]["scheme"]) for tensor in tensors] if candidates else []
    for number, point in enumerate(front):
        if not isinstance(point, dict) or any(not _is_number(point.get(name)) for name in _FOUR):
            return f"front[{number}] must have numbers of {', '.join(_FOUR)}"
        if not all(isinstance(point.get(name, ""), str) for name in ("objective_column", "kind")):
            return f"front[{number}] must have words for kind and objective_column"
        if candidates and not _is_choice(point.get("choice"), counts):
            return f"front[{number}] must choose one of the candidates of each row"
    return ""


def _is_choice(choice: Any, counts: Sequence[int]) -> bool:
    if not isinstance(choice, list) or len(choice) != len(counts) or any(type(place) is not int for place in choice):
        return False
    try:
        places = np.array(choice, np.int64)
    except OverflowError:
        return False
    return bool(((places >= 0) & (places < np.array(counts, np.int64))).all())


def _is_list_of_numbers(values: Any, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1 << 63 if isinstance(value, int) else math.isfinite(value)
