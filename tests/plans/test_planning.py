"""Plans from rows: equal to trying every combination, within their budget to the bit, and everything told of them."""

from __future__ import annotations

import itertools
import json
import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis import plan_bits
from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.plans.planning import PlanProgress
from qanalysis.plans.problem import InfeasibleError
from qanalysis.reports.report import read_result, write_report
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table
from qanalysis.sweeps.sweep import sweep

SCHEMES = ("int2 channel", "int4 channel", "int4 group=16", "int8 channel")
SHAPES = {"blk.0.q": (8, 32), "blk.0.k": (4, 32), "blk.1.q": (8, 48), "blk.1.k": (16, 32), "head": (32, 16)}


@pytest.fixture(scope="module")
def rows() -> Table[Any]:
    draw = np.random.default_rng(5)
    arrays = {name: (draw.normal(size=shape) * draw.uniform(0.5, 4, (shape[0], 1))) for name, shape in SHAPES.items()}
    return sweep({name: one.astype(np.float32) for name, one in arrays.items()}, list(SCHEMES))


def list_choices(rows: Table[Any]) -> list[list[Any]]:
    """Every combination of one row for each tensor."""
    by_tensor = {name: [row for row in rows if row.tensor == name] for name in SHAPES}
    return [list(choice) for choice in itertools.product(*by_tensor.values())]


def bits_of(choice: list[Any]) -> int:
    return sum(round(row.bits_per_weight * row.numel) for row in choice)


def cost_of(choice: list[Any]) -> float:
    return sum(row.relative_error_energy for row in choice)


NUMEL = sum(math.prod(shape) for shape in SHAPES.values())


@pytest.mark.parametrize("budget", [3.3, 4.1, 4.75, 6.02, 8.5])
def test_bits_per_weight_give_the_least_cost_of_all_combinations(rows: Table[Any], budget: float) -> None:
    plan = plan_bits(rows, budget_bpw=budget, front=False)
    allowed = [choice for choice in list_choices(rows) if bits_of(choice) <= budget * NUMEL]
    best = min(map(cost_of, allowed))
    assert plan.objective == pytest.approx(best, rel=1e-9)  # the planner's own gap
    assert plan.bits_per_weight <= budget
    assert plan.bits_per_weight == bits_of([row for row in rows if plan.assignments[row.tensor] == row.scheme]) / NUMEL
    assert plan.more["proof"]["proven"]


def test_bits_that_are_no_whole_numbers_are_summed_as_the_rows_have_them(rows: Table[Any]) -> None:
    broken = rows.from_rows(
        rows.row_type, [replace(row, bits_per_weight=row.bits_per_weight + 0.3 / row.numel) for row in rows]
    )
    plan = plan_bits(broken, budget_bpw=4.1)
    assert [one.bits_per_weight for one in plan] == [
        row.bits_per_weight for row in broken if plan.assignments[row.tensor] == row.scheme
    ]
    bits = math.fsum(one.bits_per_weight * one.numel for one in plan)
    assert plan.bits_per_weight == pytest.approx(bits / NUMEL, rel=1e-14)  # a few roundings of one part in 1e16
    allowed = [
        choice for choice in list_choices(broken) if sum(x.bits_per_weight * x.numel for x in choice) <= 4.1 * NUMEL
    ]
    assert plan.objective == pytest.approx(min(map(cost_of, allowed)), rel=1e-9)


@pytest.mark.parametrize("least", [8.0, 14.0, 21.5, 33.0])
def test_a_least_sqnr_gives_the_fewest_bits_and_among_those_the_least_cost(rows: Table[Any], least: float) -> None:
    plan = plan_bits(rows, min_sqnr_db=least, front=False)

    def sqnr_of(choice: list[Any]) -> float:
        errors = sum(row.mse * row.numel for row in choice)
        signal = sum(row.mse * row.numel / row.relative_l2**2 for row in choice)
        return 10 * math.log10(signal / errors)

    allowed = [choice for choice in list_choices(rows) if sqnr_of(choice) >= least]
    fewest = min(map(bits_of, allowed))
    best = min(cost_of(choice) for choice in allowed if bits_of(choice) == fewest)
    assert plan.bits_per_weight * NUMEL == pytest.approx(fewest, rel=1e-12)
    assert plan.objective == pytest.approx(best, rel=1e-9)
    assert plan.totals[0].pooled_sqnr_db >= least


@pytest.mark.parametrize("most", [0.001, 0.05, 0.4])
def test_a_greatest_loss_gives_the_fewest_bits(rows: Table[Any], most: float) -> None:
    plan = plan_bits(rows, max_loss=most, front=False)
    fewest = min(bits_of(choice) for choice in list_choices(rows) if cost_of(choice) <= most)
    assert plan.bits_per_weight * NUMEL == pytest.approx(fewest, rel=1e-12)
    assert plan.objective <= most


def test_a_budget_that_a_uniform_plan_meets_exactly_allows_it(rows: Table[Any]) -> None:
    uniform = next(one for one in plan_bits(rows, budget_bpw=9, front=False).totals if one.scheme == "int4 channel")
    plan = plan_bits(rows, budget_bpw=uniform.bits_per_weight)
    assert plan.bits_per_weight <= uniform.bits_per_weight
    assert plan.objective <= uniform.objective
    assert next(one for one in plan.totals if one.scheme == "int4 channel").within
    assert not next(one for one in plan.totals if one.scheme == "int8 channel").within


def test_bytes_count_what_is_kept_float_and_bits_do_not() -> None:
    draw = np.random.default_rng(1).normal
    arrays = {"w": draw(size=(8, 32)).astype(np.float32), "norm": np.ones(100, np.float32)}
    header = ArraySource(arrays).tensors
    table = sweep({"w": arrays["w"]}, list(SCHEMES))
    small, large = (plan_bits(table, budget_bytes=size, header=header) for size in (550, 1000))
    assert small.kept_float == {"norm": 400}
    assert small.bytes == 400 + small[0].size_bytes <= 550
    assert large.assignments == {"w": "int8 channel"}
    with pytest.raises(InfeasibleError, match=r"96 are those of the smallest plan, 400 those of tensors kept float"):
        plan_bits(table, budget_bytes=450, header=header)


def test_few_bytes_are_a_budget_of_few_weights_and_a_slip_elsewhere(rows: Table[Any]) -> None:
    table = sweep({"w": np.float32([[1, 2, 3, 5]])}, ["int4", "int8"])
    assert plan_bits(table, budget_bytes=7).assignments == {"w": "int4"}
    with pytest.raises(InfeasibleError, match=r"--budget-bytes 4 \(did you mean --budget-bpw 4\?\) can not be kept"):
        plan_bits(rows, budget_bytes=4)


def test_the_nearest_feasible_budget_that_is_told_can_be_kept(rows: Table[Any]) -> None:
    for wrong in ({"budget_bpw": 1.5}, {"min_sqnr_db": 70.0}, {"max_loss": 1e-9}, {"budget_bytes": 100.0}):
        with pytest.raises(InfeasibleError, match="can not be kept") as told:
            plan_bits(rows, **wrong)
        word = str(told.value).rpartition("give ")[2].split()[0].replace(",", "")
        name = next(iter(wrong))
        assert plan_bits(rows, **{name: float(word)}).more["proof"]["proven"]


def test_the_front_runs_from_the_smallest_plan_to_the_best_and_holds_the_plan(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=4.5)
    bits, costs = ([point[name] for point in plan.front] for name in ("bits_per_weight", "objective"))
    ends = {point.point: point for point in plan.totals}
    assert bits == sorted(bits)
    assert (bits[0], costs[-1]) == (ends["smallest"].bits_per_weight, ends["best"].objective)
    own = [list(plan.candidates[row.tensor]["scheme"]).index(row.scheme) for row in plan]
    assert own in [point["choice"] for point in plan.front]
    for point in plan.front:
        chosen = [plan.candidates[row.tensor]["cost"][at] for row, at in zip(plan, point["choice"], strict=True)]
        assert point["objective"] == pytest.approx(sum(chosen), rel=1e-12)  # sums of five numbers


def test_no_point_of_the_front_beats_another_where_the_plan_is_beaten_itself(rows: Table[Any]) -> None:
    by_name = {row.tensor: row for row in rows if row.scheme == "int4 channel"}
    tight = sum(row.size_bytes for name, row in by_name.items() if ".q" in name)
    plan = plan_bits(rows, pools=[f"a={tight}:q", "b=9999:."])  # a is held down, b has room for the best of all
    objectives = [point["objective"] for point in plan.front]
    assert objectives == sorted(objectives, reverse=True)
    assert any(
        point["objective"] < plan.objective and point["bits_per_weight"] <= plan.bits_per_weight for point in plan.front
    )


def test_the_reach_is_known_before_the_optimum(rows: Table[Any]) -> None:
    steps: list[PlanProgress] = []
    plan_bits(rows, budget_bpw=4.5, on_progress=steps.append)
    assert [step.step for step in steps] == ["reach", "optimum", "front", "stability"]
    assert [point.point for point in steps[1].points] == ["smallest", "best", *["uniform"] * 4]


def test_a_document_comes_back_whole(rows: Table[Any], tmp_path: Any) -> None:
    plan = plan_bits(rows, budget_bpw=6.5, tie=r"^(blk\.\d)", pin={"head": "int8 channel"}, monotone="k$")
    for suffix in ("json", "parquet"):
        again = read_result(write_report(plan, tmp_path / f"plan.{suffix}"))
        assert (again.assignments, again.front, again.constraints) == (plan.assignments, plan.front, plan.constraints)
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["assignments"] == {row["tensor"]: row["scheme"] for row in document["rows"]}
    assert document["constraints"]["groups"][0]["members"] == ["blk.0.q", "blk.0.k"]
    assert document["settings"]["pin"] == ["head=int8 channel"]
    assert document["settings"]["rows"]["schemes"] == list(SCHEMES)


def test_schemes_of_two_tables_of_one_source_are_put_together(rows: Table[Any]) -> None:
    parts = [rows.rows.take(np.array([row.scheme in own for row in rows])) for own in (SCHEMES[:2], SCHEMES[2:])]
    tables = [type(rows)(part, rows.totals, rows.source) for part in parts]
    whole, put = plan_bits(rows, budget_bpw=5), plan_bits(tables, budget_bpw=5)
    assert whole.assignments == put.assignments
    other = type(rows)(parts[1], rows.totals, SourceIdentity("other.npz", 7, None))
    with pytest.raises(ValueError, match=r"the tables are of different sources: 'arrays' \(.*\) and 'other.npz'"):
        plan_bits([tables[0], other], budget_bpw=5)


def test_a_tensor_with_ok_rows_under_some_schemes_only_is_planned_over_these() -> None:
    draw = np.random.default_rng(2).normal
    table = sweep({"even": draw(size=(4, 64)), "odd": draw(size=(4, 30))}, ["int8 channel", "gguf:q4_0"])
    plan = plan_bits(table, budget_bpw=9)
    assert set(plan.assignments) == {"even", "odd"}
    assert list(plan.candidates["odd"]["scheme"]) == ["int8 channel"]
    assert (plan[1].decided_by, plan[1].options) == ("only candidate", 1)
    assert any("'odd', have ok rows under some of the schemes only" in str(one["reason"]) for one in plan.coverage)


def test_partial_rows_make_a_partial_plan(rows: Table[Any]) -> None:
    partial = type(rows)(rows.rows, rows.totals, rows.source, complete=False)
    assert not plan_bits(partial, budget_bpw=5).complete


def test_rows_without_the_rest_of_their_file_say_so(rows: Table[Any]) -> None:
    bare = type(rows)(rows.rows, rows.totals, rows.source)
    told = " ".join(str(one["reason"]) for one in plan_bits(bare, budget_bpw=5).coverage)
    assert "the rows do not say what else their file holds" in told
    header = [TensorInfo(name, shape, "float32", 4 * math.prod(shape)) for name, shape in SHAPES.items()]
    header.append(TensorInfo("norm", (7,), "float32", 28))
    assert plan_bits(bare, budget_bpw=5, header=header).kept_float == {"norm": 28}


def test_most_formats_and_bits_that_do_not_fall_hold_in_the_best_of_all_combinations(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=4.5, most_formats=2, monotone=True, front=False)

    def keeps(choice: list[Any]) -> bool:
        bits = {row.tensor: row.bits_per_weight for row in choice}
        rises = bits["blk.0.q"] <= bits["blk.1.q"] and bits["blk.0.k"] <= bits["blk.1.k"]
        return rises and len({row.format for row in choice}) <= 2 and bits_of(choice) <= 4.5 * NUMEL

    assert plan.objective == pytest.approx(min(map(cost_of, filter(keeps, list_choices(rows)))), rel=1e-9)


def test_a_floor_for_every_tensor_leaves_only_what_reaches_it(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=8.5, min_layer_sqnr_db=18)
    assert min(row.sqnr_db for row in plan if row.sqnr_db is not None) >= 18
    with pytest.raises(ValueError, match=r"least SQNR of a layer 90 dB: 'blk.0.q' reaches .* dB at best"):
        plan_bits(rows, budget_bpw=8.5, min_layer_sqnr_db=90)


WRONG = {
    "no-rows": ({}, "a plan needs rows"),
    "objective": ({"objective": "sqnr_db"}, "does not add over tensors"),
    "no-column": ({"objective": "fisher"}, "is no column of these rows"),
    "exclude-all": ({"exclude": "."}, "leaves no tensor to plan"),
    "exclude-none": ({"exclude": "nowhere"}, "matches none of the 5 tensors"),
    "formats": ({"most_formats": 0}, "most formats 0: must be a whole number, 1 or more"),
    "monotone": ({"monotone": "^head"}, "no two tensors of one kind lie in numbered blocks"),
    "experts": ({"active_experts": "2/8"}, "none of the 5 tensors is an expert by its name"),
    "context": ({"context": 5}, "--context is that of a cache which has to fit too"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_go_together_is_one_message(rows: Table[Any], options: dict[str, Any], told: str) -> None:
    tables: Any = rows if options else []
    with pytest.raises(ValueError, match=told) as error:
        plan_bits(tables, budget_bpw=5, **options)
    assert "\n" not in str(error.value)


def test_after_a_cancel_the_optimum_is_kept_without_what_follows_it(rows: Table[Any]) -> None:
    cancel = threading.Event()
    cancel.set()
    plan = plan_bits(rows, budget_bpw=4.5, cancel=cancel)
    assert plan.assignments == plan_bits(rows, budget_bpw=4.5).assignments
    assert (plan.front, "certainty" in plan.more) == ([], False)
