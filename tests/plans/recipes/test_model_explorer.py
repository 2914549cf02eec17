"""Node data of Model Explorer: keys, values and form, against its own builder where it installs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.plans.recipes.catalogue import write_recipe
from tests.plans.recipes.onnx_models import make_chain, plan_model, save_model
from tests.plans.recipes.planning import make_plan

SCHEMES = {"table": "int8 channel", "a": "int4 group=32", "b": "int8"}


def test_values_stand_at_the_outputs_of_the_nodes_that_take_the_weights(tmp_path: Path) -> None:
    plan = plan_model(save_model(tmp_path, make_chain()), SCHEMES)
    bits, sqnr = (json.loads(file.text) for file in write_recipe(plan, "model-explorer").files)
    rows = {row.tensor: row for row in plan.rows}
    keys = {"table": "y_table", "a": "y_a", "b": "y_b"}
    assert bits["results"] == {
        key: {"value": pytest.approx(rows[name].bits_per_weight, abs=1e-4)} for name, key in keys.items()
    }
    assert sqnr["results"] == {
        key: {"value": pytest.approx(rows[name].sqnr_db, abs=1e-4)} for name, key in keys.items()
    }
    assert [stop["stop"] for stop in bits["gradient"]] == [0, 0.5, 1]


def test_a_plan_of_rows_alone_finds_the_nodes_in_the_model(tmp_path: Path) -> None:
    plan = make_plan({"a": ((64, 32), "int8")})
    with pytest.raises(ValueError, match=r"target model-explorer: .* give --source MODEL\.onnx"):
        write_recipe(plan, "model-explorer")
    with open_checkpoint(save_model(tmp_path, make_chain())) as source:
        recipe = write_recipe(plan, "model-explorer", source=source)
    assert list(json.loads(recipe.files[0].text)["results"]) == ["y_a"]


def test_any_format_has_a_value(tmp_path: Path) -> None:
    plan = plan_model(save_model(tmp_path, make_chain()), {"a": "nf4", "b": "gguf:q4_0"})
    assert len(json.loads(write_recipe(plan, "model-explorer").files[0].text)["results"]) == 2


def test_its_own_builder_writes_the_same(tmp_path: Path) -> None:
    builder = pytest.importorskip("model_explorer.node_data_builder")
    plan = plan_model(save_model(tmp_path, make_chain()), SCHEMES)
    text = write_recipe(plan, "model-explorer").files[0].text
    content = json.loads(text)
    data = builder.GraphNodeData(
        results={key: builder.NodeDataResult(value=one["value"]) for key, one in content["results"].items()},
        name=content["name"],
        gradient=[builder.GradientItem(**stop) for stop in content["gradient"]],
    )
    theirs = json.loads(data.to_json_string())
    # What is left out here has the value that the builder gives it by default.
    defaults = json.loads(builder.GraphNodeData(results={}).to_json_string())
    assert theirs == {**defaults, **content}
