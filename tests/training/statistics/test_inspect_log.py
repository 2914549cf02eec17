"""Logs of nvdlfw-inspect: a real one of version 0.2.2 against the tensors it was made of, and what can go wrong.

`data/` holds a log that the package wrote for two layers, and the statistics of the same tensors by torch.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qanalysis.training.statistics.catalogue import read_statistics
from qanalysis.training.statistics.inspect_log import FOLDER
from qanalysis.training.statistics.scalars import read_inspect_name

DATA = Path(__file__).parent / "data"
LOG = DATA / "nvdlfw_inspect_globalrank-0.log"


def write_log(folder: Path, lines: list[str], *, rank: int = 0) -> Path:
    """A log in the format of the package, from "name step value" lines."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"nvdlfw_inspect_globalrank-{rank}.log"
    split = [line.split(" ") for line in lines]
    path.write_text(
        "".join(
            f"2026-01-01 00:00:00,000 - INFO - {name} \t\t\t\t iteration={int(step):06d} \t\t\t\t value={value}\n"
            for name, step, value in split
        )
    )
    return path


def test_a_real_log_gives_what_torch_sees_in_the_tensors() -> None:
    log = read_statistics(LOG)
    truth = pd.read_csv(DATA / "nvdlfw_inspect_truth.csv")
    assert len(log) == len(truth) == 24
    known = 0
    for wanted in truth.itertuples():
        row = np.flatnonzero((log.step == wanted.step) & (log.layer == wanted.layer) & (log.kind == wanted.kind))
        assert row.size == 1
        # Four decimals: half of the last one.
        assert log.absmax[row[0]] == pytest.approx(wanted.absmax, abs=0.5e-4)
        if not np.isnan(log.mean[row[0]]):
            # Half a decimal in a std of at least 0.01 moves n, and with it the moments, by at most 1 percent.
            assert log.mean[row[0]] == pytest.approx(wanted.mean, rel=0.01)
            assert log.std[row[0]] == pytest.approx(wanted.std, rel=0.03)
            assert log.numel[row[0]] == pytest.approx(wanted.numel, rel=0.01)
            known += 1
    assert known >= 12
    assert any("follow from the norms" in note for note in log.notes)


def test_a_folder_is_read_as_its_statistics_folder(tmp_path: Path) -> None:
    (tmp_path / "log" / FOLDER).mkdir(parents=True)
    shutil.copy(LOG, tmp_path / "log" / FOLDER)
    write_log(tmp_path / "log" / "nvdlfw_inspect_logs", ["fc1_weight_max 9 9"])
    log = read_statistics(tmp_path)
    np.testing.assert_array_equal(log.absmax, read_statistics(LOG).absmax)


def test_lines_without_a_time_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text(
        "INFO - a.b_qkv_activation_max                 iteration=000002                  value=4.3188\n"
        "INFO - a.b_qkv_activation_min                 iteration=000002                  value=-4.3386\n"
    )
    log = read_statistics(path)
    assert (log.layer[0], log.kind[0], log.absmax[0], log.low[0], log.high[0]) == (
        "a.b_qkv",
        "input",
        4.3386,
        -4.3386,
        4.3188,
    )
    assert "Mean and std of |x| are not in this log" in log.notes[0]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("transformer_layer.self_attention.layernorm_qkv_activation_max", ("transformer_layer.self_attention.layernorm_qkv", "input", "", "high")),
        ("fc_weight_1_weight_cur_amax", ("fc_weight_1", "weight", "", "absmax")),
        ("fc1_gradient_min", ("fc1", "output-gradient", "", "low")),
        ("fc1_dgrad_l1_norm", ("fc1", "input-gradient", "", "l1")),
        ("fc1_wgrad_dynamic_range", ("fc1", "weight-gradient", "", "dynamic_range")),
        ("fc1_output_fp8_delayed_scaling_max_columnwise", ("fc1", "output", "fp8_delayed_scaling columnwise", "high")),
        ("fc1_activation_mxfp8_scale_inv_min", None),
        ("fc1_activation_fp8_delayed_scaling_underflows%", None),
        ("fc1_activation", None),
    ],
)  # fmt: skip
def test_names_of_layers_with_underscores_and_dots(name: str, found: tuple[str, str, str, str] | None) -> None:
    assert read_inspect_name(name) == found


def test_absmin_follows_from_the_dynamic_range(tmp_path: Path) -> None:
    log = read_statistics(write_log(tmp_path, ["fc1_weight_cur_amax 1 8.0000", "fc1_weight_dynamic_range 1 5.0000"]))
    assert log.absmin.tolist() == [0.25]  # log2(8) - log2(0.25) = 5


def test_small_values_are_not_taken_for_zero(tmp_path: Path) -> None:
    lines = ["fc1_wgrad_min 0 -0.0000", "fc1_wgrad_max 0 0.0000", "fc1_wgrad_min 1 -0.0002", "fc1_wgrad_max 1 0.0001"]
    log = read_statistics(write_log(tmp_path, lines))
    np.testing.assert_array_equal(log.absmax, [np.nan, 0.0002])
    assert "1 values of absmax read 0.0000" in log.notes[0]


def test_a_run_that_overflowed_keeps_its_steps(tmp_path: Path) -> None:
    log = read_statistics(write_log(tmp_path, ["a_output_cur_amax 0 inf", "a_output_cur_amax 1 nan"]))
    np.testing.assert_array_equal(log.absmax, [np.inf, np.nan])


def test_other_figures_and_strange_lines_are_counted(tmp_path: Path) -> None:
    path = write_log(tmp_path, ["a_weight_cur_amax 0 1.0", "a_weight_mxfp8_mse 0 0.0000", "a_weight_cur_amax 0 2.0"])
    path.write_text(path.read_text() + "Traceback (most recent call last):\n2026-01-01 - INFO - a_weight_cur_am")
    log = read_statistics(path)
    assert log.absmax.tolist() == [2]
    assert f"{path.name}: 2 lines of 5 are no statistics, left out." in log.notes
    assert "1 figures are not read (mxfp8_mse)." in log.notes
    assert f"{path.name}: 1 figure stands again later at the same step: the last is kept." in log.notes


def test_ranks_are_merged_as_shares_of_one_tensor(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    shares = rng.normal(0.1, 1, (2, 500))

    def tell(x: np.ndarray) -> list[str]:
        figures = {
            "min": x.min(),
            "max": x.max(),
            "mean": x.mean(),
            "std": x.std(ddof=1),
            "l1_norm": np.abs(x).sum(),
            "l2_norm": np.sqrt((x**2).sum()),
        }
        return [f"fc1_activation_{name} 3 {value:.4f}" for name, value in figures.items()]

    for rank, share in enumerate(shares):
        write_log(tmp_path, tell(share), rank=rank)
    log = read_statistics(tmp_path)
    magnitude = np.abs(shares)
    assert log.absmax[0] == pytest.approx(magnitude.max(), abs=0.5e-4)
    # n is known to 1e-4 / std of x from the decimals, and to 1/n from the std of each share being the unbiased one.
    assert log.mean[0] == pytest.approx(magnitude.mean(), rel=3e-3)
    assert log.std[0] == pytest.approx(magnitude.std(), rel=6e-3)
    assert log.notes[0].startswith("2 ranks are read as one")


def test_a_layer_of_one_rank_alone_stands_as_it_is(tmp_path: Path) -> None:
    write_log(tmp_path, ["a_weight_cur_amax 0 1.0"], rank=0)
    write_log(tmp_path, ["b_weight_cur_amax 0 2.0", "a_weight_cur_amax 0 3.0"], rank=1)
    log = read_statistics(tmp_path)
    assert list(zip(log.layer, log.absmax, strict=True)) == [("a", 3), ("b", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing of the kind\n", "no line is a statistic of nvdlfw-inspect"),
        ("", "no line is a statistic of nvdlfw-inspect"),
        ("INFO - a_weight_max  iteration=000001  value=1,5\n", "line 1: value is '1,5', must be a number"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.log").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_statistics(tmp_path / "run.log")


def test_a_folder_with_several_runs_is_refused(tmp_path: Path) -> None:
    for run in ("a", "b"):
        write_log(tmp_path / run / FOLDER, ["a_weight_cur_amax 0 1.0"])
    with pytest.raises(ValueError, match="logs of 2 runs"):
        read_statistics(tmp_path)


def test_too_many_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qanalysis.training.statistics.inspect_log.MOST_ROWS", 0)
    with pytest.raises(ValueError, match="has 1 lines, at most 0 are read"):
        read_statistics(write_log(tmp_path, ["a_weight_cur_amax 0 1.0"]))
