"""A plan's document that was changed by hand or by accident: one line says what does not go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qanalysis import plan_bits
from qanalysis.plans.soundness import find_damage
from qanalysis.sweeps.sweep import sweep


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    table = sweep({"a": np.random.default_rng(0).normal(size=(4, 32)), "b": np.ones((4, 32))}, ["int4", "int8"])
    return dict(plan_bits(table, budget_bpw=20).more)


def _set(*path: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The parts with another value at a place; the last of the path is the value."""

    def change(value: Any, keys: tuple[Any, ...], new: Any) -> Any:
        if not keys:
            return new
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[keys[0]] = change(copy[keys[0]], keys[1:], new)
        return copy

    return lambda parts: change(parts, path[:-1], path[-1])


DAMAGE = {
    "objective": (_set("objective", "low"), "objective is 'low', must be a finite number"),
    "infinite": (_set("bits_per_weight", float("nan")), "bits_per_weight is nan"),
    "column": (_set("objective_column", 5), "objective_column is 5, must be text"),
    "assignments": (_set("assignments", "a", "int2"), "assignments are not those of its rows"),
    "kept": (_set("kept_float", {"norm": -1}), "kept_float must hold the bytes of each tensor"),
    "candidates": (_set("candidates", {"a": {}}), "candidates are not those of its rows"),
    "schemes": (_set("candidates", "a", "scheme", ["int2"]), "candidates of 'a' do not hold its scheme"),
    "costs": (_set("candidates", "a", "cost", [1.0]), "candidates of 'a' must have a number for each scheme"),
    "front": (_set("front", 7), "front must be a list of points"),
    "point": (_set("front", 0, "bytes", None), r"front[0] must have numbers of"),
    "kind": (_set("front", 0, "kind", 3), r"front[0] must have words for kind"),
    "choice": (_set("front", 0, "choice", [0, 9]), r"front[0] must choose one of the candidates of each row"),
    "huge": (_set("front", 0, "choice", [0, 2**80]), r"front[0] must choose one of the candidates of each row"),
    "proof": (_set("proof", []), "proof must be an object"),
    "tensors": (_set("tensors", "all"), "tensors must be a list"),
    "tensor": (_set("tensors", 1, {"tensor": "b"}), "tensors[1] does not describe a tensor as this program does"),
    "shape": (_set("tensors", 0, "shape", "ax4"), "tensors[0] does not describe a tensor"),
    "view": (_set("tensors", 0, "view", "9"), "tensors[0] does not describe a tensor"),
    "aliases": (_set("tensors", 0, "aliases", [1]), "tensors[0] does not describe a tensor"),
}


@pytest.mark.parametrize(("change", "told"), DAMAGE.values(), ids=list(DAMAGE))
def test_damage_is_named(parts: dict[str, Any], change: Callable[[Any], Any], told: str) -> None:
    schemes = [parts["assignments"][name] for name in ("a", "b")]
    assert told in find_damage(change(parts), ["a", "b"], schemes)


def test_a_sound_plan_and_rows_alone_have_none(parts: dict[str, Any]) -> None:
    schemes = [parts["assignments"][name] for name in ("a", "b")]
    assert find_damage(parts, ["a", "b"], schemes) == ""
    assert find_damage({}, ["a", "b"], schemes) == ""
    assert find_damage({}, ["a", "a"], schemes) == "rows name a tensor twice"
