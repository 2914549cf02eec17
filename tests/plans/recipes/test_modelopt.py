"""ModelOpt: quantizers by layer, set for real where it installs, and the words of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.planning import make_plan

MIXED = {
    "fc1.weight": ((64, 32), "int4 group=16"),
    "fc2.weight": ((32, 64), "int8 channel"),
    "emb.weight": ((20, 32), "nvfp4"),
    "head.weight": ((8, 32), "fp8_e4m3"),
}
NVFP4 = '{num_bits: "e2m1", block_sizes: {-1: 16, type: "static", scale_bits: "e4m3"}}'
OTHER = {"other.weight": 4096}


def write(planned: dict[str, tuple[tuple[int, ...], str]] = MIXED, **keys: Any) -> Any:
    return write_recipe(make_plan(planned, kept=OTHER), "modelopt", **keys)


def test_everything_is_off_but_the_planned_quantizers() -> None:
    lines = write().files[0].text.splitlines()
    at = lines.index("  quant_cfg:")
    assert lines[at + 1 :] == [
        '    - {quantizer_name: "*", enable: false}',
        '    - {quantizer_name: "fc1.weight_quantizer", cfg: {num_bits: 4, block_sizes: {-1: 16, type: "static"}}}',
        '    - {quantizer_name: "fc2.weight_quantizer", cfg: {num_bits: 8, axis: 0}}',
        '    - {quantizer_name: "emb.weight_quantizer", cfg: ' + NVFP4 + "}",
        '    - {quantizer_name: "head.weight_quantizer", cfg: {num_bits: "e4m3", axis: null}}',
    ]


def test_an_exported_checkpoint_is_told_by_layer() -> None:
    found = json.loads(write().files[1].text)["quantization"]
    assert found["quant_algo"] == "MIXED_PRECISION"
    assert found["quantized_layers"] == {
        "fc1": {"quant_algo": "W4A16_AWQ", "group_size": 16},
        "fc2": {"quant_algo": "W8A16"},
        "emb": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
        "head": {"quant_algo": "FP8"},
    }


def test_its_own_search_has_the_plans_formats_and_budget() -> None:
    plan = make_plan(MIXED)
    text = write_recipe(plan, "modelopt").files[2].text
    assert f"effective_bits: {plan.bits_per_weight:.4f}" in text
    assert text.count("algorithm: max") == 4
    assert 'quantizer_name: "*weight_quantizer", cfg: {num_bits: 8, axis: 0}' in text


def test_wild_letters_of_a_name_are_themselves() -> None:
    text = write({"layers[0].proj.weight": ((8, 8), "int8")}).files[0].text
    assert '"layers[[]0].proj.weight_quantizer"' in text


def test_what_no_quantizer_does_is_listed() -> None:
    planned = {
        "a.weight": ((8, 64), "int4 asym group=32"),
        "b.weight": ((8, 16, 3, 3), "int4 group=16"),
    }
    reasons = {one.tensor: one.reason for one in write(planned).unexpressed}
    assert "symmetrically" in reasons["a.weight"]
    assert "along the last axis" in reasons["b.weight"]


def test_another_grid_and_layers_without_a_word_are_told() -> None:
    notes = write({"a.weight": ((8, 64), "int6 sym-full channel")}).notes
    assert any("step is absmax / q, as sym has it; the plan has sym-full" in note for note in notes)
    assert any("names 0 of 1 layers" in note for note in notes)


def test_formats_that_it_lacks_stop_the_recipe() -> None:
    with pytest.raises(ValueError, match="target modelopt: has no format nf4"):
        write({"a.weight": ((8, 64), "nf4")})


@pytest.mark.filterwarnings("ignore")
def test_quantizers_are_set_as_planned_and_lay_the_plans_grids(tmp_path: Path) -> None:
    quantization = pytest.importorskip("modelopt.torch.quantization")
    recipes = pytest.importorskip("modelopt.recipe")
    made = write()
    for file in made.files:
        (tmp_path / file.name).write_text(file.text)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = torch.nn.Embedding(20, 32)
            self.fc1, self.fc2 = torch.nn.Linear(32, 64), torch.nn.Linear(64, 32)
            self.head, self.other = torch.nn.Linear(32, 8), torch.nn.Linear(8, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.other(self.head(self.fc2(self.fc1(self.emb(ids)))))

    torch.manual_seed(3)
    model = Net().eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    config = recipes.load_recipe(tmp_path / "recipe.yaml").quantize.model_dump()
    model = quantization.quantize(model, config, forward_loop=lambda one: one(torch.tensor([1, 2])))
    enabled = {name: one for name, one in model.named_modules() if name.endswith("_quantizer") and one.is_enabled}
    assert set(enabled) == {f"{name}_quantizer" for name in MIXED}
    assert enabled["fc1.weight_quantizer"].num_bits == 4
    assert enabled["fc1.weight_quantizer"].block_sizes[-1] == 16
    assert (enabled["fc2.weight_quantizer"].num_bits, enabled["fc2.weight_quantizer"].axis) == (8, 0)
    for name in ("fc1.weight", "fc2.weight", "head.weight"):
        values = weights[name]
        ours = Scheme.parse(MIXED[name][1]).fit(values.numpy()).round_trip(values.numpy())
        theirs = enabled[f"{name}_quantizer"](values).detach().numpy()
        # They multiply by the reciprocal of the step: one rounding more, of values below 1.
        assert np.abs(theirs - ours).max() <= 2**-23
    search = recipes.load_recipe(tmp_path / "auto_quantize.yaml").auto_quantize
    assert len(search.candidate_formats) == 4
