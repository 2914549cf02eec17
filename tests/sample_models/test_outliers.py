"""Do the synthetic tensors follow the distributions on their card, and are they remade to the byte?"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor

from sample_models import read_card, weights_path
from sample_models.outliers import RECIPES, TensorRecipe
from sample_models.remake import main, remake

CARD = {entry["name"]: entry for entry in read_card("outliers")["tensors"]}
UNIT_DISTRIBUTIONS = {
    "normal": stats.norm(),
    "laplace": stats.laplace(scale=math.sqrt(0.5)),
    "student-t:5": stats.t(5, scale=math.sqrt(3 / 5)),
    "student-t:10": stats.t(10, scale=math.sqrt(8 / 10)),
}

# 1*3*5*7; 8! (1/2)^4; 1*3*5*7 (NU - 2)^3 / ((NU - 4)(NU - 6)(NU - 8)) at 10; infinite at NU = 5, where a sample kurtosis has no standard error
EIGHTH_MOMENTS = {"normal": 105.0, "laplace": 2520.0, "student-t:10": 1120.0}


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return load_file(weights_path("outliers"))


def ungained(x: Tensor, entry: dict[str, Any]) -> NDArray[np.float64]:
    """The unit-variance draws z behind a tensor, by the card alone; the massive element is left out."""
    z: NDArray[np.float64] = (x.double().numpy() - entry["mean"]) / entry["scale"]
    for column, factor in entry["column_gains"].items():
        z[..., int(column)] /= factor
    for row, factor in entry["row_gains"].items():
        z[int(row)] /= factor
    if entry["massive"]:
        z[tuple(entry["massive"]["index"])] = np.nan
    return z


@pytest.mark.parametrize("name", CARD)
def test_values_follow_the_distribution_on_the_card(tensors: dict[str, Tensor], name: str) -> None:
    z = ungained(tensors[name], CARD[name]).ravel()
    z = z[np.isfinite(z)]
    distance = stats.kstest(z, UNIT_DISTRIBUTIONS[CARD[name]["distribution"]].cdf).statistic
    # Dvoretzky-Kiefer-Wolfowitz: larger with probability 1e-6; float16's spacing near zero (6e-8 / 0.02) is far below it
    assert distance < math.sqrt(math.log(2e6) / (2 * z.size))


@pytest.mark.parametrize("name", CARD)
def test_second_and_fourth_moments_are_the_theoretical_ones(tensors: dict[str, Tensor], name: str) -> None:
    z = ungained(tensors[name], CARD[name])
    unit = UNIT_DISTRIBUTIONS[CARD[name]["distribution"]]
    fourth, count = CARD[name]["theoretical_base_excess_kurtosis"] + 3, z.size
    assert fourth == pytest.approx(float(unit.stats("k")) + 3, rel=1e-12)
    assert np.nanmean(z**2) == pytest.approx(
        1, abs=5 * math.sqrt((fourth - 1) / count)
    )  # five standard errors of a mean of z^2
    eighth = EIGHTH_MOMENTS.get(CARD[name]["distribution"])
    if eighth is not None:
        assert np.nanmean(z**4) == pytest.approx(fourth, abs=5 * math.sqrt((eighth - fourth**2) / count))


def test_every_outlier_column_has_its_gain(tensors: dict[str, Tensor]) -> None:
    columns = [
        (name, int(column))
        for name, entry in CARD.items()
        if len(entry["shape"]) == 2
        for column in entry["column_gains"]
    ]
    assert len(columns) == 6
    for name, column in columns:
        z = ungained(tensors[name], CARD[name])[:, column]
        assert np.mean(z**2) == pytest.approx(
            1, abs=5 * math.sqrt(2 / z.size)
        )  # five standard errors for a normal z; the smallest gain would give 64


def test_outlier_columns_are_8_to_50_times_the_others() -> None:
    gains = [gain for entry in CARD.values() if len(entry["shape"]) == 2 for gain in entry["column_gains"].values()]
    assert min(gains) == 8
    assert max(gains) == 50


def test_tiny_row_and_massive_element_stand_where_the_card_says(tensors: dict[str, Tensor]) -> None:
    tiny = tensors["model.layers.0.self_attn.v_proj.weight"].abs().amax(1)
    assert int(tiny.argmin()) == 17
    assert 0 < float(tiny[17]) < 6 * 0.02 * 1e-6  # a normal draw beyond six sigma has probability 2e-9
    down = tensors["model.layers.0.mlp.down_proj.weight"]
    assert float(down[42, 211]) == 8.0
    assert (
        float(down.abs().flatten().topk(2).values[1]) < 6 * 0.02
    )  # of 98304 draws one beyond six sigma has probability 2e-4


def test_theory_on_the_card_for_outlier_columns_by_hand() -> None:
    entry = CARD["model.layers.0.mlp.up_proj.weight"]  # 252 plain columns and gains 8, 16, 32, 50
    second = (252 + 8**2 + 16**2 + 32**2 + 50**2) / 256
    fourth = 3 * (252 + 8**4 + 16**4 + 32**4 + 50**4) / 256
    assert second == 16.0
    assert entry["theoretical_std"] == pytest.approx(0.02 * 4, rel=1e-12)
    assert entry["theoretical_excess_kurtosis"] == pytest.approx(fourth / 256 - 3, rel=1e-12)


def test_theory_on_the_card_for_a_massive_element_by_hand() -> None:
    entry, count = CARD["model.layers.0.mlp.down_proj.weight"], 256 * 384
    second = ((count - 1) * 0.02**2 + 8.0**2) / count
    fourth = ((count - 1) * 3 * 0.02**4 + 8.0**4) / count
    assert entry["theoretical_excess_kurtosis"] == pytest.approx(
        fourth / second**2 - 3, rel=1e-9
    )  # 98304 rounded additions of 2^-53 each


def test_one_tensor_is_float16_and_one_bfloat16(tensors: dict[str, Tensor]) -> None:
    assert tensors["model.embed_tokens.weight"].dtype == torch.float16
    assert tensors["model.layers.0.self_attn.o_proj.weight"].dtype == torch.bfloat16
    assert {str(x.dtype).removeprefix("torch.") for x in tensors.values()} == {
        entry["dtype"] for entry in CARD.values()
    }


def test_draws_depend_on_the_generator_alone() -> None:
    recipe = TensorRecipe("w", (3, 4), "laplace", 2.0)
    assert torch.equal(recipe.draw(np.random.default_rng(1)), recipe.draw(np.random.default_rng(1)))
    assert not torch.equal(recipe.draw(np.random.default_rng(1)), recipe.draw(np.random.default_rng(2)))


def test_remade_outliers_are_the_shipped_bytes(tmp_path: Path) -> None:
    card = remake("outliers", tmp_path)
    assert (tmp_path / "outliers.safetensors").read_bytes() == weights_path("outliers").read_bytes()
    written = json.loads((tmp_path / "outliers.json").read_text(encoding="utf-8"))
    shipped = read_card("outliers")
    assert written == json.loads(json.dumps(card))
    assert {key: value for key, value in written.items() if key != "versions"} == {
        key: value for key, value in shipped.items() if key != "versions"
    }
    assert len(written["tensors"]) == len(RECIPES)


def test_command_remakes_one_sample_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "outliers", "--out", str(tmp_path)]) == 0
    assert "outliers: 622848 parameters" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outliers.json", "outliers.safetensors"]


def test_command_ends_with_2_and_one_line_for_a_missing_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--only", "outliers", "--out", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_output_folder_names_the_folder_and_the_option(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere' does not exist; make it first or give another with --out"):
        remake("outliers", tmp_path / "nowhere")


def test_unknown_name_is_not_remade(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown sample model 'resnet'"):
        remake("resnet", tmp_path)


def test_missing_scikit_learn_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"scikit-learn, which is not installed: pip install scikit-learn"):
        remake("digits-mlp", tmp_path)
    assert main(["--only", "digits-mlp", "--out", str(tmp_path)]) == 2
    assert "scikit-learn" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_word_list_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not found"):
        remake("words-transformer", tmp_path, words=tmp_path / "web2")
    assert not list(tmp_path.iterdir())
