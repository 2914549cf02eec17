"""docs/training.md knows every word, key and default of the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanalysis.training.compression import PRUNING_RULES
from qanalysis.training.distillation import DISTILLATION_RULES
from qanalysis.training.gradient_rules import GRADIENT_RULES
from qanalysis.training.range_rules import Down, PrecisionRule
from qanalysis.training.recipe import RANGE_RULES
from qanalysis.training.rungs import Rungs
from qanalysis.training.width_rules import Average, WidthGrowth
from qanalysis.training.words import keys_of, spell_key, write_value

RULES = {
    **RANGE_RULES,
    **GRADIENT_RULES,
    **PRUNING_RULES,
    **DISTILLATION_RULES,
    **{one.name: one for one in (Down, Average, WidthGrowth, Rungs)},
}
LINES = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_stands_in_the_table_with_its_keys(name: str) -> None:
    line = next(line for line in LINES if line.startswith(f"| `{name}` |"))
    cell = line.split(" | ")[1]
    for key in keys_of(RULES[name]):
        word = spell_key(key.name)
        if word == "trigger" or (issubclass(RULES[name], PrecisionRule) and "the same" in cell and word != "n"):
            continue
        wanted = word if key.default is None else f"{word}={write_value(key.default)}"
        assert wanted in cell
