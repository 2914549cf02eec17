"""Rules as text: every key parses back, limits are refused with the value, the rule and the choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from qanalysis.training.words import Rule, key, parse_rule


@dataclass(frozen=True, slots=True)
class Fade(Rule):
    name: ClassVar[str] = "fade"

    share: float = key(0.5, low=0, high=1, meaning="weight of the old value")
    most_bits: int = key(8, low=2, high=24)
    bands: tuple[float, float] = key((0.1, 0.8))
    mode: Literal["mean", "last"] = key("mean", choices=("mean", "last"))
    guard: bool = key(True)

    def find_fault(self) -> str:
        return "" if self.bands[0] < self.bands[1] else "bands= must rise"


CATALOGUE = {"fade": Fade}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("fade", "fade"),
        ("fade share=0.50", "fade"),
        ("fade mode=last most-bits=16 share=0.25", "fade share=0.25 most-bits=16 mode=last"),
        ("fade bands=0.2:3 guard=no", "fade bands=0.2:3 guard=no"),
        ("fade share=1e-3", "fade share=0.001"),
    ],
)
def test_a_rule_prints_canonically_and_parses_back(text: str, canonical: str) -> None:
    rule = parse_rule(text, CATALOGUE)
    assert str(rule) == canonical
    assert parse_rule(str(rule), CATALOGUE) == rule


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("glow", "rule 'glow' is unknown; there are fade"),
        ("", "is unknown"),
        ("fade speed=2", "the word 'speed=2' is unknown; its keys are share="),
        ("fade share", "the word 'share' is unknown"),
        ("fade share=1 share=2", "share= stands twice"),
        ("fade share=1.5", "share=1.5 must lie from 0 to 1"),
        ("fade share=nan", "must be a finite number"),
        ("fade most-bits=2.5", "most-bits is '2.5', must be a whole number"),
        ("fade bands=3", "must be two numbers with a colon"),
        ("fade bands=2:1", "bands= must rise"),
        ("fade mode=first", "mode=first must be one of mean, last"),
        ("fade guard=maybe", "must be yes or no"),
    ],
)
def test_a_wrong_word_is_refused_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"fade|unknown") as caught:
        parse_rule(text, CATALOGUE)
    assert told in str(caught.value)
