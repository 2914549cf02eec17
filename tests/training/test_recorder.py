"""The recorder of a user's own run: the worked numbers of A4, torch's own values, and what must not disturb a training."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qanalysis.quantizers.scheme import Scheme
from qanalysis.training.recorder import Recorder
from qanalysis.training.state import KINDS
from qanalysis.training.statistics.catalogue import read_statistics


class Times(nn.Module):
    """y = w x, the example of A4."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


def record_example(folder: Path, *, needs_gradient: bool) -> tuple[pd.DataFrame, Recorder]:
    """The rows of `y = w x`, w = 2, x = 3, L = y^2 / 2."""
    model = Times()
    with Recorder(model, folder / "run.csv", layers=".*") as recorder:
        x = torch.tensor(3.0, requires_grad=needs_gradient)
        (model(x) ** 2 / 2).backward()
        recorder.step()
    return pd.read_csv(folder / "run.csv").set_index("kind"), recorder


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param("input", 3, id="row-18 input neurons"),
        pytest.param("output", 6, id="row-19 output neurons"),
        pytest.param("weight", 2, id="row-20 weights"),
        pytest.param("input-gradient", 12, id="row-21 input gradient"),
        pytest.param("output-gradient", 6, id="row-22 output gradient"),
        pytest.param("weight-gradient", 18, id="row-23 weight gradient"),
    ],
)
def test_the_worked_example(tmp_path: Path, kind: str, value: float) -> None:
    rows, _ = record_example(tmp_path, needs_gradient=True)
    row = rows.loc[kind]
    assert (row.step, row.layer, row.absmax, row.absmin, row["mean"], row["std"], row.numel) == (
        *(0, "model"),
        *(value, value, value, 0, 1),
    )


def test_row_21_the_input_gradient_of_a_first_layer_is_not_available(tmp_path: Path) -> None:
    rows, recorder = record_example(tmp_path, needs_gradient=False)
    assert sorted(rows.index) == sorted(set(KINDS) - {"input-gradient"})
    assert recorder.absent == (
        "model input-gradient: not available, its input needs no gradient, as that of a first layer",
    )


class Small(nn.Module):
    """A convolution, an in-place activation, two linear layers of which the second is called twice, a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.fc1 = nn.Linear(64, 8)
        self.fc2 = nn.Linear(8, 8)
        self.kept: dict[str, list[Tensor]] = {}

    def keep(self, name: str, x: Tensor) -> Tensor:
        """A tensor to compare with, itself part of the graph so that its gradient is known."""
        x = x * 1
        if x.requires_grad:
            x.retain_grad()
        self.kept.setdefault(name, []).append(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        self.kept = {}
        x = functional.relu(self.conv(x), inplace=True).flatten(1)
        x = functional.relu(self.keep("fc1 out", self.fc1(self.keep("fc1 in", x))), inplace=True)
        for _ in range(2):
            x = x + self.keep("fc2 out", self.fc2(self.keep("fc2 in", x)))
        return x


def train_small(
    path: Path, steps: int = 3, *, prepare: Callable[[nn.Module], nn.Module] = lambda model: model, **options: object
) -> tuple[Small, Recorder, list[float]]:
    torch.manual_seed(7)
    model = prepare(Small())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    with Recorder(model, path, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(5, 2, 6, 6, dtype=model.fc1.weight.dtype)).pow(2).mean()
            loss.backward()
            recorder.step()
            optimizer.step()
            losses.append(float(loss.detach()))
    return model, recorder, losses


def find_row(path: Path, layer: str, kind: str, step: int = 0, group: str = "") -> dict[str, float]:
    log = read_statistics(path)
    at = np.flatnonzero((log.layer == layer) & (log.kind == kind) & (log.step == step) & (log.group == group))
    assert at.size == 1
    names = ("absmax", "absmin", "mean", "std", "low", "high", "numel", "non_finite")
    return {name: float(getattr(log, name)[at[0]]) for name in names}


def describe(*tensors: Tensor) -> dict[str, float]:
    """The statistics by torch in float64, of all elements together."""
    x = torch.cat([tensor.detach().double().flatten() for tensor in tensors])
    magnitude = x.abs()
    return {
        "absmax": magnitude.max().item(),
        "absmin": magnitude[magnitude > 0].min().item(),
        "mean": magnitude.mean().item(),
        "std": magnitude.std(correction=0).item(),
        "low": x.min().item(),
        "high": x.max().item(),
        "numel": x.numel(),
        "non_finite": 0,
    }


def test_every_kind_is_what_torch_holds_also_of_a_layer_that_is_called_twice(tmp_path: Path) -> None:
    model, recorder, _ = train_small(tmp_path / "run.csv", steps=1)
    kept = model.kept
    for layer in ("fc1", "fc2"):
        module = getattr(model, layer)
        wanted = {
            "input": kept[f"{layer} in"],
            "output": kept[f"{layer} out"],
            "input-gradient": [x.grad for x in kept[f"{layer} in"]],
            "output-gradient": [x.grad for x in kept[f"{layer} out"]],
            "weight-gradient": [module.weight.grad],
        }
        for kind, tensors in wanted.items():
            if layer == "fc1" and kind.startswith("output"):
                continue  # changed in place afterwards, which the next tests look at
            # Sums are float64 over float32 values.
            assert find_row(tmp_path / "run.csv", layer, kind) == pytest.approx(describe(*tensors), rel=1e-6)
    assert recorder.absent == (
        "conv input-gradient: not available, its input needs no gradient, as that of a first layer",
    )


def test_an_output_is_seen_before_it_is_changed_in_place(tmp_path: Path) -> None:
    train_small(tmp_path / "run.csv", steps=1)
    assert find_row(tmp_path / "run.csv", "conv", "output")["low"] < 0
    assert find_row(tmp_path / "run.csv", "fc1", "input")["low"] == 0


def test_the_gradient_of_an_output_is_that_before_it_was_changed_in_place(tmp_path: Path) -> None:
    model, _, _ = train_small(tmp_path / "run.csv", steps=1)
    (after,) = model.kept["fc1 out"]
    before = after.grad * (after > 0)  # through the rectifier
    assert find_row(tmp_path / "run.csv", "fc1", "output-gradient") == pytest.approx(describe(before), rel=1e-6)


def test_recording_changes_nothing_of_the_training(tmp_path: Path) -> None:
    with_it = train_small(tmp_path / "run.csv", steps=5)
    seldom = train_small(tmp_path / "seldom.csv", steps=5, every=100)
    assert with_it[2] == seldom[2]
    for one, other in zip(with_it[0].parameters(), seldom[0].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_input_gradient_is_that_of_the_layer_alone(tmp_path: Path) -> None:
    """A residual stream is read by many; the gradient of the stream is not that of one reader."""
    model = nn.Linear(4, 4, bias=False)
    stream = torch.randn(3, 4, requires_grad=True)
    with Recorder(model, tmp_path / "run.csv") as recorder:
        (model(stream).sum() + 100 * stream.sum()).backward()
        recorder.step()
    alone = torch.ones(3, 4) @ model.weight.detach()
    assert find_row(tmp_path / "run.csv", "model", "input-gradient")["absmax"] == pytest.approx(
        alone.abs().max().item(), rel=1e-6
    )


@pytest.mark.parametrize("name", ["run.csv", "run.parquet"])
def test_every_nth_step_is_recorded_with_its_number(tmp_path: Path, name: str) -> None:
    train_small(tmp_path / name, steps=7, every=3, kinds=["weight"], layers="^fc")
    log = read_statistics(tmp_path / name)
    assert [str(one) for one in log.series()] == ["fc1 weight", "fc2 weight"]
    assert log.step.tolist() == [0, 3, 6] * 2
    assert log.notes == ()


@pytest.mark.parametrize("name", ["run.csv", "run.parquet"])
def test_a_run_that_goes_on_adds_to_its_file_and_a_new_one_replaces_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    train_small(path, steps=2, kinds="weight")
    train_small(path, steps=2, kinds="weight", start=2)
    assert read_statistics(path).step.tolist() == [0, 1, 2, 3] * 3
    train_small(path, steps=1, kinds="weight")
    assert read_statistics(path).step.tolist() == [0] * 3


def test_a_killed_run_keeps_its_steps_and_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    model = nn.Linear(2, 2)
    recorder = Recorder(model, path, kinds=["weight"])
    for _ in range(2):
        recorder.step()
    assert read_statistics(path).step.tolist() == [0, 1]  # not closed
    recorder.close()
    with path.open("a") as file:
        file.write("2,model,wei")
    with Recorder(model, path, kinds=["weight"], start=2) as recorder:
        recorder.step()
    assert read_statistics(path).step.tolist() == [0, 1, 2]


def test_gradients_are_unscaled_by_what_the_scaler_has(tmp_path: Path) -> None:
    def train(path: Path, factor: float, scale: object) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        with Recorder(model, path, scale=scale) as recorder:
            (model(torch.randn(3, 4)).pow(2).sum() * factor).backward()
            recorder.step()

    train(tmp_path / "plain.csv", 1, 1.0)
    train(tmp_path / "number.csv", 1000, 1000.0)
    train(tmp_path / "function.csv", 1024, lambda: 1024)
    plain, number, function = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "number", "function"))
    pd.testing.assert_frame_equal(plain, function)  # a power of two is exact
    # Multiplied and divided in float32: some roundings of 2^-24, of sums that cancel to a hundredth of their terms.
    pd.testing.assert_frame_equal(plain, number, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floating_types(tmp_path: Path, dtype: torch.dtype) -> None:
    model, _, _ = train_small(tmp_path / "run.csv", steps=1, prepare=lambda model: model.to(dtype))
    found = find_row(tmp_path / "run.csv", "fc2", "weight-gradient")
    assert found == pytest.approx(describe(model.fc2.weight.grad), rel=1e-6)


def test_autocast_is_recorded_in_its_own_type(tmp_path: Path) -> None:
    model = nn.Linear(8, 8)
    with Recorder(model, tmp_path / "run.csv") as recorder, torch.autocast("cpu", torch.bfloat16):
        y = model(torch.randn(4, 8))
        y.float().sum().backward()
        recorder.step()
    assert find_row(tmp_path / "run.csv", "model", "output") == pytest.approx(describe(y), rel=1e-6)


def test_non_finite_and_zero_tensors(tmp_path: Path) -> None:
    model = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    with Recorder(model, tmp_path / "run.csv") as recorder:
        model(torch.tensor([[1.0, -torch.inf, torch.nan, 3.0]]))
        recorder.step()
        model(torch.full((2, 4), torch.nan))
        recorder.step()
    log = read_statistics(tmp_path / "run.csv")
    mixed = find_row(tmp_path / "run.csv", "model", "input")
    assert (mixed["absmax"], mixed["absmin"], mixed["mean"], mixed["std"]) == (3, 1, 2, 1)
    assert (mixed["numel"], mixed["non_finite"]) == (4, 2)
    zero = find_row(tmp_path / "run.csv", "model", "weight")
    assert (zero["absmax"], zero["mean"]) == (0, 0)
    assert np.isnan(zero["absmin"])
    blank = find_row(tmp_path / "run.csv", "model", "input", step=1)
    assert np.isnan(blank["absmax"])
    assert blank["non_finite"] == 8
    assert any("without absmax" in note for note in log.notes)


def test_groups_are_rows_of_neighbouring_features(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(10, 6), nn.Unflatten(0, (2, 3)))
    x = torch.randn(6, 10)
    with Recorder(model, tmp_path / "run.csv", groups="group=4", kinds=["input", "weight"]) as recorder:
        model(x)
        recorder.step()
    for group, part in (("0:4", x[:, :4]), ("4:8", x[:, 4:8]), ("8:10", x[:, 8:])):
        assert find_row(tmp_path / "run.csv", "0", "input", group=group) == pytest.approx(describe(part), rel=1e-6)


def test_block_scales_are_those_that_the_format_gives(tmp_path: Path) -> None:
    """Over magnitudes of many binades, a block of zeros, and images, whose blocks run along the channels."""
    rng = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Linear(96, 32, bias=False), nn.Unflatten(0, (1, 8)))
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(32, 96, generator=rng) * torch.exp2(torch.arange(-140.0, 116, 8))[:, None])
        model[0].weight[0, :32] = 0
    path = tmp_path / "run.csv"
    with Recorder(model, path, kinds=["weight"], blocks="mxfp4") as recorder:
        recorder.step()
        with torch.no_grad():
            model[0].weight.mul_(2**-9)
        recorder.step()
    log = read_statistics(path)
    for step, factor in enumerate((2**9, 1)):
        weight = (model[0].weight.detach() * factor).numpy()
        scheme = Scheme.parse("mxfp4")
        scale = scheme.fit(weight).scale[np.abs(weight.reshape(-1, 32)).max(1) > 0]
        wanted = dict(zip(*np.unique(np.log2(scale), return_counts=True), strict=True))
        found = {e: counts[step] for e, counts in log.scale_exponents.items() if counts[step] > 0}
        assert found == wanted, step
    assert log.step.tolist() == [0, 1]


def test_tensors_that_blocks_do_not_divide_have_no_scales(tmp_path: Path) -> None:
    train_small(tmp_path / "run.csv", steps=1, blocks="mxfp8_e4m3", kinds=["weight", "input"])
    log = read_statistics(tmp_path / "run.csv")
    counts = np.nansum(list(log.scale_exponents.values()), axis=0)
    at = (log.layer == "fc1") & (log.kind == "weight")
    assert counts[at].tolist() == [64 * 8 / 32]
    assert counts[log.layer == "fc2"].tolist() == [0, 0]


def test_weights_with_other_names_are_layers_of_their_own(tmp_path: Path) -> None:
    model = nn.MultiheadAttention(8, 2)
    with Recorder(model, tmp_path / "run.csv") as recorder:
        x = torch.randn(3, 8)
        model(x, x, x)[0].sum().backward()
        recorder.step()
    series = [str(one) for one in read_statistics(tmp_path / "run.csv").series()]
    assert "model.in_proj_weight weight-gradient" in series
    assert "out_proj weight" in series


def test_sparse_gradients_and_whole_numbers_as_input(tmp_path: Path) -> None:
    model = nn.Embedding(10, 4, sparse=True)
    with Recorder(model, tmp_path / "run.csv") as recorder:
        model(torch.tensor([1, 2, 2])).sum().backward()
        recorder.step()
    gradient = find_row(tmp_path / "run.csv", "model", "weight-gradient")
    assert (gradient["absmax"], gradient["numel"]) == (2, 40)
    assert any("input: not available" in line for line in recorder.absent)


class Wrapped(nn.Module):
    """Takes its tensor by name and returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))

    def forward(self, *, mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        return {"mask": mask, "hidden": hidden @ self.weight}


def test_keyword_arguments_and_dictionaries(tmp_path: Path) -> None:
    model, hidden = Wrapped(), torch.ones(2, 4, requires_grad=True)
    with Recorder(model, tmp_path / "run.csv") as recorder:
        model(mask=torch.ones(2, dtype=torch.long), hidden=hidden)["hidden"].sum().backward()
        recorder.step()
    assert recorder.absent == ()
    assert find_row(tmp_path / "run.csv", "model", "input-gradient")["absmax"] == 4


def test_passes_without_gradients_are_not_recorded(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with Recorder(model, tmp_path / "run.csv", kinds=["input"]) as recorder:
        with torch.no_grad():
            model(torch.full((1, 2), 100.0))
        model(torch.ones(1, 2))
        recorder.step()
    assert find_row(tmp_path / "run.csv", "model", "input")["absmax"] == 1


def test_checkpointed_passes_count_once_in_effect(tmp_path: Path) -> None:
    from torch.utils.checkpoint import checkpoint

    model, x = nn.Linear(4, 4), torch.randn(2, 4, requires_grad=True)
    with Recorder(model, tmp_path / "run.csv") as recorder:
        checkpoint(model, x, use_reentrant=False).sum().backward()
        recorder.step()
    found = find_row(tmp_path / "run.csv", "model", "input")
    assert (found["absmax"], found["mean"]) == pytest.approx((x.abs().max().item(), x.abs().mean().item()), rel=1e-6)
    assert find_row(tmp_path / "run.csv", "model", "output-gradient")["absmax"] == 1


def test_copies_of_the_model_are_not_recorded_and_can_be_made(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with Recorder(model, tmp_path / "run.csv", kinds=["input", "output"]) as recorder:
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            other(torch.full((1, 2), 100.0))
        model(torch.ones(1, 2))
        recorder.step()
    assert find_row(tmp_path / "run.csv", "model", "input")["absmax"] == 1


def test_closing_takes_the_hooks_off(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    recorder = Recorder(model, tmp_path / "run.csv")
    recorder.close()
    recorder.close()
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"every": 0}, "every 0, start 0: steps are recorded every 1 or more", id="every"),
        pytest.param({"start": -1}, "start -1", id="start"),
        pytest.param({"kinds": ["wgrad"]}, "kind 'wgrad' is unknown; kinds are input, output", id="kind"),
        pytest.param({"kinds": []}, "no kind is chosen", id="no kind"),
        pytest.param({"layers": "("}, "not a regular expression", id="expression"),
        pytest.param({"layers": "attention"}, r"layers 'attention': the model has no such module .*'model', '0'", id="no layer"),
        pytest.param({"groups": "channel"}, "groups 'channel': is 'layer', or 'group=N'", id="groups"),
        pytest.param({"blocks": "int8"}, "blocks 'int8': has no blocks with power-of-two scales", id="no blocks"),
        pytest.param({"blocks": "nvfp4"}, "blocks 'nvfp4': has no blocks with power-of-two scales", id="scales"),
        pytest.param({"blocks": "mxfp4", "groups": "group=2"}, "choose one of them", id="both"),
    ],
)  # fmt: skip
def test_options_that_can_not_be_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recorder(nn.Sequential(nn.Linear(2, 2)), tmp_path / "run.csv", **options)


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no parameter of two or more axes"):
        Recorder(nn.ReLU(), tmp_path / "run.csv")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_a_scale_that_is_none_is_refused(tmp_path: Path, scale: float) -> None:
    model = nn.Linear(2, 2)
    with Recorder(model, tmp_path / "run.csv", scale=scale):
        loss = model(torch.ones(1, 2)).sum()
        with pytest.raises(ValueError, match="losses are multiplied by a finite number above 0"):
            loss.backward()


def test_too_many_groups_and_changing_ones_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(nn.Linear(2000, 2), tmp_path / "run.csv", groups="group=4")
    with recorder, pytest.raises(ValueError, match="model weight: 500 groups of 4 features, at most 256"):
        recorder.step()
    model = nn.Sequential(nn.Softmax(-1), nn.Linear(2, 2))
    with Recorder(model, tmp_path / "run.csv", layers="0", groups="group=2", kinds=["input"]):
        model[0](torch.ones(1, 2))
        with pytest.raises(ValueError, match="0 input: has 6 features here and others earlier"):
            model[0](torch.ones(1, 6))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run.json", r"statistics are written to \.csv or \.parquet"),
        ("nowhere/run.csv", "is no folder"),
        ("folder.csv", "is a folder"),
    ],
)
def test_paths_that_can_not_be_written_are_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=message):
        Recorder(nn.Linear(2, 2), tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_step_after_the_last_is_not_lost_in_silence(tmp_path: Path, suffix: str) -> None:
    recorder = Recorder(nn.Linear(2, 2), tmp_path / f"run.{suffix}")
    recorder.close()
    with pytest.raises(ValueError, match="step 0: the recorder is closed"):
        recorder.step()


def test_a_scripted_model_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        scripted = torch.jit.script(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="takes no hooks"):
        Recorder(scripted, tmp_path / "run.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_another_table_is_not_gone_on_with(tmp_path: Path, suffix: str) -> None:
    table, path = pd.DataFrame({"loss": [1], "step": [0]}), tmp_path / f"run.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    with pytest.raises(ValueError, match=rf"run\.{suffix}: was not written by a recorder \(columns loss\)"):
        Recorder(nn.Linear(2, 2), path, start=5)
