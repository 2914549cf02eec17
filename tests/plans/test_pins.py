"""Pins and exclusions: split where a scheme begins, and one message for each way in which they can not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qanalysis import plan_bits
from qanalysis.plans.pins import Pin
from qanalysis.results.table import Table
from qanalysis.sweeps.sweep import sweep


@pytest.fixture(scope="module")
def rows() -> Table[Any]:
    draw = np.random.default_rng(0).normal
    arrays = {name: draw(size=(8, 32)).astype(np.float32) for name in ("h.0.q_proj", "h.0.k_proj", "head")}
    return sweep(arrays, ["int2 channel", "int4 group=16", "int8 channel"])


@pytest.mark.parametrize(
    ("text", "expression", "scheme"),
    [
        ("head=int8 channel", "head", "int8 channel"),
        ("head=channel int8", "head", "int8 channel"),
        ("(?=.*proj)h=int4 group=16", "(?=.*proj)h", "int4 group=16"),
        ("(?!.*=)(?<=a)b=int4 group=16 range=mse:100", "(?!.*=)(?<=a)b", "int4 group=16 range=mse"),
        ("a=b=gguf:q4_0", "a=b", "gguf:q4_0"),
    ],
)
def test_a_pin_is_split_where_a_scheme_begins(text: str, expression: str, scheme: str) -> None:
    pin = Pin.parse(text)
    assert (pin.pattern.text, pin.scheme) == (expression, scheme)
    assert str(Pin.parse(str(pin))) == str(pin)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("head", "REGEX=SCHEME is expected"),
        ("head=int99", "behind no '=' stands a scheme"),
        ("head=float", "to keep tensors as they are, use --exclude"),
        ("=int8", "the expression is empty"),
        ("(=int8", "is not a regular expression"),
    ],
)
def test_what_is_no_pin_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Pin.parse(text)


def test_pinned_tensors_have_their_scheme_and_the_others_the_rest_of_the_budget(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=6.2, pin=["head=int8 channel"])
    assert plan.assignments["head"] == "int8 channel"
    assert {row.tensor: row.decided_by for row in plan} == {
        "h.0.q_proj": "budget",
        "h.0.k_proj": "budget",
        "head": "pin",
    }
    assert plan_bits(rows, budget_bpw=6.2, pin={"head": "int8 channel"}).assignments == plan.assignments


def test_a_pin_on_one_of_a_group_pins_the_group(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=9, tie="vllm", pin="q_proj=int2 channel")
    assert plan.assignments["h.0.k_proj"] == "int2 channel"
    assert [row.decided_by for row in plan] == ["pin", "group", "budget"]


def test_what_is_excluded_stays_as_it_is(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=9, exclude=["head"])
    assert (set(plan.assignments), plan.kept_float) == ({"h.0.q_proj", "h.0.k_proj"}, {"head": 1024})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two-schemes": (
        {"pin": ["head=int8 channel", "h=int2 channel"]},
        "pins contradict each other: 'head' is pinned to int8 channel by .* and to int2 channel by",
    ),
    "group": (
        {"pin": ["q_proj=int8 channel", "k_proj=int2 channel"], "tie": "vllm"},
        "pins contradict each other: the group 'h.0.qkv' has one scheme",
    ),
    "excluded": ({"pin": "head=int8 channel", "exclude": "head"}, "'head' is pinned and excluded"),
    "nothing": ({"pin": "lm_head=int8 channel"}, "matches none of the 3 tensors with candidates"),
    "no-candidate": ({"pin": "head=int8"}, "'head' has no ok row under int8; it has int2 channel, int4 group=16, int8"),
    "too-much": ({"pin": ".=int8 channel"}, "--budget-bpw 5 can not be kept"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=list(WRONG))
def test_pins_that_can_not_hold_are_one_message(rows: Table[Any], options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        plan_bits(rows, budget_bpw=5, **options)
    assert "\n" not in str(error.value)
