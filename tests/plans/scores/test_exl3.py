"""Measurements of EXL3: a curve that was planted comes back, groups share their damage, noise and damage are refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.plans.candidates import Candidates
from qanalysis.plans.scores.catalogue import read_scores
from tests.plans.tables import sweep_candidates

SHAPES = {"model.layers.0.a_proj.weight": (16, 64), "model.layers.0.b_proj.weight": (48, 64), "lm_head.weight": (8, 64)}
LAYERS = ["model.layers.0.a_proj", "model.layers.0.b_proj"]
NUMEL = 64 * 64
SCHEMES = ("int3 channel", "int4 channel", "int6 channel")


def _describe(gains: Sequence[tuple[float, float]], *, layers: Sequence[str] = LAYERS) -> dict[str, Any]:
    """One group, base at 3 bits per weight; of each alternative its change of divergence and its extra bits per
    weight.
    """
    return {
        "base": {"dir": "base", "bpw": 3.0},
        "alts": [{"dir": f"alt{at}", "bpw": 3.0 + extra} for at, (_gain, extra) in enumerate(gains)],
        "groups": [
            {
                "idx": 0,
                "layers": list(layers),
                "candidates": [{"dkld": gain, "dbits": extra * NUMEL} for gain, extra in gains],
            }
        ],
        "base_kld": 0.05,
        "arch_string": "LlamaForCausalLM",
    }


def _score(folder: Path, document: Any, schemes: Sequence[str] = SCHEMES) -> Candidates:
    path = folder / "measurement.json"
    path.write_text(json.dumps(document))
    return read_scores(path, sweep_candidates(SHAPES, schemes))


def test_a_planted_curve_comes_back(tmp_path: Path) -> None:
    """The group's damage is 0.08 · 4^-(bits - 3): its gains are those of the curve, and both tensors' costs are its
    values at their bits, by their share of the elements.
    """
    gains = [(0.08 * (4.0**-extra - 1), extra) for extra in (1.0, 2.0)]
    scored = _score(tmp_path, _describe(gains))
    for one, share in zip(scored.options[:2], (0.25, 0.75), strict=True):
        bits = one.bits / one.tensor.numel
        assert one.costs == pytest.approx(share * 0.08 * 4.0 ** -(bits - 3), rel=1e-9)


def test_between_alternatives_the_logarithm_is_a_straight_line(tmp_path: Path) -> None:
    """Damages: D = 0.0796875 / (1 - 4^-3) = 0.08095 at the base, what the last alternative leaves at its own; the one
    between is as measured.
    """
    scored = _score(tmp_path, _describe([(-0.06, 1.0), (-0.0796875, 3.0)]))
    whole = 0.0796875 / (1 - 4.0**-3)
    one = scored.options[0]
    bits = one.bits / one.tensor.numel
    logs = np.interp(bits[:1], [3, 4, 6], np.log([whole, whole - 0.06, whole - 0.0796875]))
    assert one.costs[0] == pytest.approx(0.25 * np.exp(logs[0]), rel=1e-9)


def test_alternatives_of_no_more_bits_say_nothing(tmp_path: Path) -> None:
    gains = [(0.01, -1.0), (-0.5, 0.0), (0.08 * (4.0**-1 - 1), 1.0)]
    scored = _score(tmp_path, _describe(gains))
    bits = scored.options[0].bits / scored.options[0].tensor.numel
    assert scored.options[0].costs == pytest.approx(0.25 * 0.08 * 4.0 ** -(bits - 3), rel=1e-9)


def test_a_group_that_gains_nothing_is_harmless(tmp_path: Path) -> None:
    scored = _score(tmp_path, _describe([(0.001, 1.0), (0.0, 2.0)]))
    assert not scored.options[0].costs.any()


def test_a_tensor_outside_all_groups_is_told(tmp_path: Path) -> None:
    told = _score(tmp_path, _describe([(-0.06, 1.0)])).more["scores"]
    assert told["unscored"] == {"lm_head.weight": "has no entry"}
    assert (told["kind"], told["scored"]) == ("EXL3 measurement", 2)


def test_a_group_with_layers_of_another_model_takes_the_models_own_bits(tmp_path: Path) -> None:
    """Extra bits over half of the elements would be twice as many per weight; those of the models are right."""
    gains = [(0.08 * (4.0**-1 - 1), 1.0)]
    scored = _score(tmp_path, _describe(gains, layers=[LAYERS[0], "elsewhere"]))
    bits = scored.options[0].bits / scored.options[0].tensor.numel
    assert scored.options[0].costs == pytest.approx(0.08 * 4.0 ** -(bits - 3), rel=1e-9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda one: one | {"groups": []}, "holds no group"),
        (lambda one: one | {"alts": []}, "has 1 candidates for 0 alternatives"),
        (lambda one: one | {"base": {"dir": "x"}}, "'bpw' is missing"),
        (lambda one: one | {"base": {"bpw": 300}}, "the base's bpw is 300, must be a finite number from 0.1 to 64"),
        (lambda one: one | {"base": 3}, "a part of it is of another form"),
        (
            lambda one: one | {"groups": [{"layers": "a", "candidates": []}]},
            "layers of group 0 must be a list of names",
        ),
        (
            lambda one: one | {"groups": [{"layers": ["a"], "candidates": [{"dkld": None, "dbits": 1}]}]},
            "dkld of group 0 is None, must be a finite number",
        ),
    ],
    ids=["no-group", "no-alternative", "no-bits", "many-bits", "no-base", "no-list", "no-number"],
)
def test_damaged_files_are_refused_on_one_line(tmp_path: Path, spoil: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _score(tmp_path, spoil(_describe([(-0.06, 1.0)])))
    assert "\n" not in str(caught.value)
