"""Recipes as text: what parses, what is canonical, which parts exclude each other."""

from __future__ import annotations

import pytest

from qanalysis.training.recipe import RANGE_RULES, Recipe


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("up-step precision=s bits=8 exponent=covering scope=layer trigger=every", "up-step"),
        ("up-gradual precision=f bits=4 + down n=4", "up-gradual precision=f bits=4 + down n=4"),
        ("up-distribution n=2 trigger=doubling:32", "up-distribution trigger=doubling:32 n=2"),
        ("down", "hold + down"),
        ("down s_min=-9 bits=4", "hold bits=4 + down s-min=-9"),
        ("ema momentum=0.99", "ema momentum=0.99"),
        ("counts first=0.5 second=0.7 update=coefficient", "counts first=0.5 second=0.7 update=coefficient"),
        ("minmax mode=position", "int8 scale=pow2:library + minmax"),
        ("minmax mode=offset bits=4", "int4 asym + minmax"),
        ("minmax mode=scale", "minmax"),
        ("ema round=stochastic:3", "int8 round=stochastic:3 + ema"),
        ("mxfp4", "mxfp4 + minmax"),
        ("ewgs delta=0.1 + group=32 int4", "int4 group=32 + minmax + ewgs delta=0.1"),
        ("up-step scope=group", "up-step scope=group"),
        ("pact bits=4", "pact bits=4"),
        ("lsq+", "lsq+"),
        ("int4 asym + pact", "pact bits=4"),
        ("width-growth threshold=0.02 + average + int8", "minmax + average + width-growth threshold=0.02"),
        ("policy bands=0.1:0.8 dwell=3 hysteresis=0.2", "minmax + policy bands=0.1:0.8 dwell=3 hysteresis=0.2"),
    ],
)
def test_a_recipe_prints_canonically_and_parses_back(text: str, canonical: str) -> None:
    recipe = Recipe.parse(text)
    assert str(recipe) == canonical
    assert Recipe.parse(str(recipe)) == recipe


@pytest.mark.parametrize("name", RANGE_RULES)
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_every_range_rule_parses_back_at_every_width(name: str, bits: int) -> None:
    recipe = Recipe.parse(f"{name} bits={bits}")
    assert recipe.bits == bits
    assert Recipe.parse(str(recipe)) == recipe


def test_any_blanks_part_the_words() -> None:
    assert Recipe.parse("up-step\u00a0+\u00a0down\tn=4") == Recipe.parse("up-step + down n=4")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("up-step asym", "leave asym out"),
        ("ema + down", "down lowers the precision of an up- rule"),
        ("up-step + ema", "has two parts for range: up-step, ema"),
        ("up-step trigger=every:10 + average", "average sets the checks"),
        ("fp8_e4m3 + minmax + width-growth", "width-growth widens integers"),
        ("ternary + counts", "only minmax goes with it"),
        ("int4 channel + lsq", "learns one range per tensor"),
        ("int4 sym + pact", "pact clips at 0"),
        ("int4 channel + up-step scope=all", "scope=all has one range for all layers"),
        ("int4 + up-step bits=8", "names its width twice"),
        ("up-step bits=99", "must be a whole number from 2 to 16"),
        ("minmax mode=odd", "mode= is one of position, scale, offset"),
        ("up-step bits=²", "must be a whole number from 2 to 16"),
        ("up-step bits=" + "9" * 5000, "must be a whole number from 2 to 16"),
        ("sideways", "is unknown; ranges are minmax"),
        ("UP_STEP", "is unknown; did you mean up-step?"),
        ("up-step+down", "is unknown; put blanks around each +"),
        ("up-step + ", "empty part"),
        ("", "empty part"),
        ("up-step speed=3", "its keys are trigger="),
        ("up-step trigger=sometimes", "triggers are never, every"),
        ("nf4 group=64 + freezing", "freezing keeps whole codes"),
        ("down n=2", "n=2 must be at least 3"),
    ],
)
def test_what_does_not_go_together_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Recipe.parse(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["int4 channel + ema", "mxfp4 + counts", "up-step scope=group"])
def test_groups_of_activations_change_with_the_batch(text: str) -> None:
    Recipe.parse(text).check_kind("weight")
    with pytest.raises(ValueError, match=r"input: .* change with the batch"):
        Recipe.parse(text).check_kind("input")
