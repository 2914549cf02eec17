"""What is said of plans: one sentence with all that counts, points beside it, how sure it is; damage is passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis.plans.plan import Plan
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.row import PlanRow, PointRow
from qanalysis.reports.kinds import draw
from qanalysis.reports.outline import Bullets, Facts, Grid, Outline
from qanalysis.reports.page import render_page
from qanalysis.reports.plan_sections import outline_plan
from qanalysis.reports.terminal import print_result
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.sweep import sweep
from tests.reports.test_kinds import NOON

MORE: dict[str, Any] = {
    "assignments": {"a": "int8 channel", "b": "int4 channel"},
    "objective": 0.17,
    "objective_column": "relative_error_energy",
    "bits_per_weight": 4.5,
    "bytes": 358_000,
    "kept_float": {"norm": 2048, "bias": 1024},
    "constraints": {"budget": {"kind": "budget_bpw", "amount": 4.5}, "pin": ["a=int8 channel"]},
    "proof": {"minimised": "objective", "proven": True, "gap": 0.0},
}


def make_plan(*, points: bool = True, more: dict[str, Any] | None = None, **rest: Any) -> Plan:
    """Two tensors, one of eight bits and one of four, which are kept by 20 and 14 of 20 plans."""
    rows = [
        PlanRow(
            tensor=name,
            scheme=scheme,
            numel=numel,
            bits_per_weight=bits,
            size_bytes=round(numel * bits / 8),
            cost=cost,
            sqnr_db=30.0,
            stability=stability,
            options=2,
        )
        for name, scheme, numel, bits, cost, stability in (
            ("a", "int8 channel", 1000, 8.0, 0.02, 1.0),
            ("b", "int4 channel", 7000, 4.0, 0.15, 0.7),
        )
    ]
    facts: dict[str, Any] = {"tensors": 2, "bytes": 5000}
    totals = [
        PointRow(point="plan", bits_per_weight=4.5, objective=0.17, within=True, **facts),
        PointRow(point="uniform", scheme="int4 channel", bits_per_weight=4.19, objective=0.323, within=True, **facts),
        PointRow(point="uniform", scheme="int8 channel", bits_per_weight=8.2, objective=0.001, within=False, **facts),
    ]
    source = SourceIdentity("sample:words-transformer", 1_000_000, None)
    parts = MORE if more is None else more
    return Plan.from_rows(PlanRow, rows, totals=totals if points else (), source=source, more=parts, **rest)


def _find(told: Outline, name: str) -> Any:
    return next(one for one in (*told.lead, *told.rest) if one.id == name)


def test_the_headline_has_all_that_counts() -> None:
    assert outline_plan(make_plan()).headline == (
        "words-transformer: 4.50 bits per weight (scales counted) over 2 of 4 tensors, 349.61 KiB with 2 kept float; "
        "sum of relative error energies 0.17, optimal to 1e-9; int4 channel for all costs 4.19 bits and 1.9 times the "
        "error"
    )


@pytest.mark.parametrize(
    ("proof", "told"),
    [
        ({"proven": False, "gap": 0.031}, "the best found, no other is more than 3.1 % better"),
        ({"proven": False}, "the best found"),
        ({"proven": True, "minimised": "bits"}, "smallest possible to 1e-9"),
        ({}, "not told whether it is optimal"),
    ],
    ids=["gap", "no-gap", "smallest", "unknown"],
)
def test_whether_it_is_optimal_is_said(proof: dict[str, Any], told: str) -> None:
    found = outline_plan(make_plan(more={**MORE, "proof": proof}))
    assert told in found.headline
    assert bool(found.warnings) == (proof.get("proven") is False)


def test_the_budget_and_the_least_sure_tensor_stand_below() -> None:
    kept = {"b": {"scheme": 14, "bits": 17, "of": 20, "counts": {"int4 channel": 14, "int8 channel": 6}}}
    certainty = {"resamples": 20, "failed": 0, "note": "450 samples drawn anew", "kept": kept}
    told = outline_plan(make_plan(more={**MORE, "certainty": certainty}))
    least = "least sure: b, 14 of 20 resamples keep it at int4 channel, 17 at its bits"
    assert told.under == [
        "budget: at most 4.5 bits per weight over the planned tensors",
        f"1 of 2 tensors keep their scheme in all 20 plans from resampled scores; {least}",
    ]
    facts, grid = _find(told, "certainty").blocks
    assert facts.items == [("Resampled", "20 plans: 450 samples drawn anew")]
    assert list(grid.lines) == [("b", "int4 channel", "int4 channel (14), int8 channel (6)", "14 of 20", "17 of 20")]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("budget_bytes", "at most 400 bytes of all that is stored"),
        ("fit_gib", "fits in 400 GiB"),
        ("min_sqnr_db", "smallest plan of at least 400 dB pooled SQNR"),
        ("max_loss", "smallest plan whose objective sums to at most 400"),
    ],
)
def test_every_budget_has_its_words(kind: str, words: str) -> None:
    more = {**MORE, "constraints": {"budget": {"kind": kind, "amount": 400}}}
    assert f"budget: {words}" in outline_plan(make_plan(more=more)).under


def test_uniform_schemes_stand_beside_the_plan_from_the_smallest_on() -> None:
    grid = _find(outline_plan(make_plan()), "points").blocks[0]
    assert [line[:3] for line in grid.lines] == [
        ("all tensors", "int4 channel", "4.190"),
        ("this plan", "–", "4.500"),
        ("all tensors", "int8 channel", "8.200"),
    ]
    assert grid.chosen == 1


def test_schemes_are_counted_by_width() -> None:
    grid = _find(outline_plan(make_plan()), "schemes").blocks[0]
    assert [line[:3] for line in grid.lines] == [("int8 channel", "1", "12.5 %"), ("int4 channel", "1", "87.5 %")]
    assert [line[-1] for line in grid.lines] == ["11.8 %", "88.2 %"]


def test_interactions_and_scores_are_facts() -> None:
    certainty = {
        "resamples": 0,
        "note": "errors of weights are exact",
        "objective_low": 0.1,
        "objective_high": 0.2,
        "predicted_low": 0.05,
        "predicted_high": 0.4,
        "interaction": {"ratio": 1.1, "note": "damages of 4 sets together", "warning": "output_nsr does not add up."},
        "objective": "KL weighed by s.json (EXL3 measurement)",
        "scores": {"text": "KL weighed by s.json (EXL3 measurement)", "notes": ["1 of 2 tensors have a score"]},
    }
    told = outline_plan(make_plan(more={**MORE, "certainty": certainty}))
    assert "sum of KL weighed by s.json (EXL3 measurement) 0.17" in told.headline
    assert told.warnings == ["output_nsr does not add up."]
    assert _find(told, "certainty").blocks[0].items == [
        ("Objective", "0.17 [0.1, 0.2] at 95 %"),
        ("Resampled", "errors of weights are exact"),
        ("Interactions", "damages of 4 sets together; together predicted 0.05 to 0.4"),
        ("Scores", "KL weighed by s.json (EXL3 measurement)"),
        ("Scores", "1 of 2 tensors have a score"),
    ]


def test_a_real_run_stands_beside_the_float_model() -> None:
    forward = {
        "samples": 450,
        "calibration": "sample",
        "status": "ok",
        "output_sqnr_db": 20.5,
        "output_sqnr_db_low": 20.0,
        "output_sqnr_db_high": 21.0,
        "output_kl": 0.01,
        "loss": 0.5,
        "float_loss": 0.4,
        "accuracy": 0.95,
        "float_accuracy": 0.975,
        "objective_column": "output_nsr",
        "predicted": 0.01,
        "measured": 0.012,
        "ratio": 1.2,
        "low": 0.008,
        "high": 0.011,
        "is_inside": False,
    }
    told = outline_plan(make_plan(more={**MORE, "proof": {"proven": True, "forward": forward}}))
    grid, facts = _find(told, "forward").blocks
    assert list(grid.lines) == [
        ("output SQNR", "–", "20.50 dB [20.00 dB, 21.00 dB]"),
        ("output KL", "–", "0.01 nat"),
        ("loss", "0.4", "0.5"),
        ("accuracy", "97.5 %", "95 %"),
    ]
    assert facts.items == [
        ("Predicted", "0.01 output_nsr [0.008, 0.011]"),
        ("Measured", "0.012, 1.2 times the sum, outside the predicted interval"),
    ]
    assert told.warnings == ["A real run of the plan lies outside what its sum predicts."]


def test_constraints_pools_and_groups_are_listed() -> None:
    asked = {
        "pin": ["a=int8 channel"],
        "monotone": True,
        "pools": [{"name": "gpu", "bytes": 4096, "used": 1024, "tensors": 2}],
        "groups": [{"name": "q/k/v", "scheme": "int4 channel", "members": ["a", "b"]}],
        "parts": {"weights": 2048, "cache": {"bytes": 1024}},
    }
    told = outline_plan(make_plan(more={**MORE, "constraints": asked}))
    facts, pools, groups = _find(told, "constraints").blocks
    assert isinstance(facts, Facts)
    assert isinstance(pools, Grid)
    assert isinstance(groups, Bullets)
    assert ("Pins", "a=int8 channel") in facts.items
    assert ("Bits never fall with depth", "yes") in facts.items
    assert ("Bytes of keys and values", "1.00 KiB") in facts.items
    assert list(pools.lines) == [("gpu", "1.00 KiB", "4.00 KiB", "2")]
    assert groups.items == [("q/k/v: int4 channel", "2 tensors: a, b")]


def test_what_is_kept_float_is_listed_from_the_largest_on() -> None:
    section = _find(outline_plan(make_plan()), "kept")
    assert list(section.blocks[0].lines) == [("norm", "2.00 KiB"), ("bias", "1.00 KiB")]
    assert section.note == "2 tensors without a scheme stay as they are, 3.00 KiB in all."


def test_rows_alone_are_told_too() -> None:
    """As a CSV has them: no parts, no points, no source."""
    bare = Plan.from_rows(PlanRow, list(make_plan()), more={})
    told = outline_plan(bare)
    assert told.headline == "a model: – bits per weight (scales counted) over 2 of 2 tensors"
    assert "int8 channel" in render_page(bare, created=NOON)


def test_notes_stand_above_on_a_page_and_at_the_end_in_a_terminal() -> None:
    told = outline_plan(make_plan(coverage=({"part": "note", "reason": "nothing is tied"},)))
    assert told.under[-1] == told.closing[0] == "nothing is tied"
    assert "nothing is tied" not in told.opening


def test_a_plan_of_partial_rows_says_so() -> None:
    told = outline_plan(make_plan(complete=False))
    assert told.headline.endswith("partial, as its rows are")
    assert told.warnings[0].startswith("Partial:")


_JUNK = (None, True, 3, -1.5, 10**400, "text", [], [1, "a", None, {}], {"a": 1}, {"kept": {"b": 3}, "counts": []})


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_of_a_part_stops_the_telling(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Every value of the document is replaced by another one at random, in its parts and in theirs."""
    generator = np.random.default_rng(seed)

    def spoil(value: Any, depth: int = 1) -> Any:
        if isinstance(value, dict) and depth < 4 and generator.random() < 0.8:
            return {name: spoil(one, depth + 1) for name, one in value.items()}
        return _JUNK[generator.integers(len(_JUNK))] if generator.random() < 0.5 else value

    names = ("resamples", "kept", "failed", "note", "interaction", "scores", "objective")
    certainty: dict[str, Any] = {name: {} for name in names}
    forward = dict.fromkeys(("output_sqnr_db", "accuracy", "loss", "status", "is_inside", "low", "reason"), 1)
    asked = {name: [{}] for name in ("pools", "groups", "parts", "budget", "pin", "monotone")}
    whole = {**MORE, "certainty": certainty, "proof": {"forward": forward}, "constraints": asked}
    plan = make_plan(more={name: spoil(part) for name, part in whole.items()}, points=False)
    print_result(plan)
    told = capsys.readouterr().out
    assert "tensors" in told
    assert render_page(replace(plan, more={}), created=NOON)


def test_a_page_has_the_front_and_the_bits_of_each_layer() -> None:
    rows = sweep(
        {name: np.random.default_rng(1).normal(size=(8, 64)) for name in "ab"}, ["int4 channel", "int8 channel"]
    )
    plan = plan_bits(rows, budget_bpw=7)
    drawn = draw(plan)
    assert [chart.heading for chart in drawn] == ["Error against size", "Bits along the model"]
    assert "bits per weight" in drawn[0].alt
    assert "1 at int4" in drawn[1].alt
    assert drawn[0].scene in render_page(plan, created=NOON)


def test_rows_alone_have_no_charts() -> None:
    assert draw(replace(make_plan(), more={})) == []
