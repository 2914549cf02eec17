"""The nine forms against worked numbers, against a loop of one's own on every sample, and what is told when not."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.forms.form import Form, cross_forms
from qanalysis.models.forms.forms import measure_forms
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import measure

# W = [[0.5, -1.2], [0.9, 0.3]] on x = [1, -0.6]: relative error of the output, integers per tensor, binary per row.
WEIGHTS_ONLY = {"W8": 0.00272529, "W4": 0.04944440, "W1": 0.35295388}
ACTIVATIONS_ONLY = {"A8": 0.00137505, "A4": 0.02494742, "A1": 0.19613568}
BOTH = {"W8A8": 0.00245829, "W4A4": 0.04382636, "W1A1": 0.51777263}
VECTOR = (0.9, -0.1, 0.4, -0.7, 0.05, -0.35)


def make_calibration(values: Any, targets: Tensor | None = None, loss: Any = None) -> Calibration:
    inputs = torch.tensor(values, dtype=torch.float32)
    return Calibration((Batch({"x": inputs}, targets),), "own", loss, is_logits=False)


def make_two_by_two() -> TorchModel:
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[0.5, -1.2], [0.9, 0.3]])
    return TorchModel(module, "two by two")


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param(WEIGHTS_ONLY, id="row-40-weights"),
        pytest.param(ACTIVATIONS_ONLY, id="row-41-activations"),
        pytest.param(BOTH, id="row-42-both"),
    ],
)
def test_forms_of_a_worked_layer_have_the_errors_worked_by_hand(errors: dict[str, float]) -> None:
    forms = [Form.parse(text, grouping="tensor") for text in errors]
    table = measure_forms(make_two_by_two(), make_calibration([[1.0, -0.6]]), forms)
    assert [row.form for row in table] == list(errors)
    for row in table:
        # The numbers are worked in float64 and given to eight places; the model runs in float32: 2^-24 of an output of
        # about 1 is 6e-8, and a step of the 8-bit grid would be 0.004.
        assert row.output_relative_l2 == pytest.approx(errors[row.form], abs=3e-7)
        assert row.layer_error == pytest.approx(errors[row.form], abs=3e-7)
        assert row.layer_error_worst == row.layer_error


@pytest.mark.parametrize(
    ("scheme", "mse", "sqnr_db"),
    [
        pytest.param("int8", 3.46167e-6, 48.8532, id="8-bit"),
        pytest.param("int4", 1.343537e-3, 22.9636, id="4-bit"),
        pytest.param("int2", 0.0558333, 6.7772, id="2-bit"),
        pytest.param("binary", 0.0922222, 4.5977, id="binary"),
    ],
)
def test_the_worked_vector_has_its_errors(scheme: str, mse: float, sqnr_db: float) -> None:
    values = np.float32(VECTOR)
    # A weight of one row on the unit vectors: each input value is 1, so the outputs are the weights.
    module = nn.Linear(6, 1, bias=False)
    module.weight.data = torch.tensor([VECTOR])
    table = measure_forms(TorchModel(module, "row"), make_calibration(np.eye(6)), [f"W({scheme})"])
    assert table[0].output_sqnr_db == pytest.approx(sqnr_db, abs=1e-4)  # given to four places
    found = measure(values, Scheme.parse(scheme).fit(values).round_trip(values))
    assert found.mse == pytest.approx(mse, rel=1e-5)  # six figures are given


def test_row_45_the_8_bit_form_takes_a_quarter_of_float32_and_a_scale_for_each_row() -> None:
    module = nn.Linear(64, 32)
    table = measure_forms(TorchModel(module, "layer"), make_calibration(np.eye(64)), ["W8", "W4", "W1", "A8"])
    floats = 4 * (64 * 32 + 32)
    scales_and_bias = 4 * 32 + 4 * 32
    assert [row.size_bytes for row in table] == [
        64 * 32 + scales_and_bias,
        64 * 32 // 2 + scales_and_bias,
        64 * 32 // 8 + scales_and_bias,
        floats,
    ]
    assert [row.size_ratio for row in table] == [row.size_bytes / floats for row in table]


def run_form_by_hand(model: TorchModel, inputs: Tensor, width: int, target: str) -> Tensor:
    """Weights quantized one by one, inputs in hooks of one's own, with ranges of a run before."""
    layers = {path: part for path, part in model.module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    ranges, hooks = dict[str, float](), []
    state = {name: value.clone() for name, value in model.module.state_dict().items()}

    def observe(path: str) -> Any:
        return lambda _part, args: ranges.__setitem__(path, max(ranges.get(path, 0.0), float(args[0].abs().max())))

    def quantize_input(path: str) -> Any:
        q = 2 ** (width - 1) - 1
        step = np.float32(ranges[path]) / np.float32(q)
        return lambda _part, args: (torch.clamp(torch.round(args[0] * float(1 / step)), -q, q) * float(step),)

    with torch.no_grad():
        hooks = [part.register_forward_pre_hook(observe(path)) for path, part in layers.items()]
        model.module(inputs)
        for hook in hooks:
            hook.remove()
        hooks = []
        if target != "weights":
            hooks = [part.register_forward_pre_hook(quantize_input(path)) for path, part in layers.items()]
        if target != "activations":
            for info in model.tensors:
                if info.role in ("weight", "embedding") and len(info.shape) > 1:
                    values = model.find(info.name).value
                    fitted = Scheme.parse(f"int{width} channel").fit(values.numpy(), axis=info.view)
                    values.data.copy_(torch.from_numpy(fitted.round_trip(values.numpy())))
        outputs: Tensor = model.module(inputs)
        for hook in hooks:
            hook.remove()
        model.module.load_state_dict(state)
    return outputs


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "words-transformer"])
def test_forms_of_every_sample_do_what_a_loop_of_ones_own_does_and_leave_the_model_as_it_was(name: str) -> None:
    model = open_model(f"sample:{name}")
    data = open_calibration("sample", model, samples=20)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    table = measure_forms(model, data, cross_forms(["8", "4"]), batch=16)
    assert all(torch.equal(value, before[key]) for key, value in model.module.state_dict().items())
    inputs, labels = data.blocks[0].inputs["x"], data.blocks[0].targets
    counts = labels != -100
    with torch.no_grad():
        y = model.module(inputs).double()
    for row in table:
        q = run_form_by_hand(model, inputs, row.bits, row.target).double()
        nsr = float((q - y).square().sum() / y.square().sum())
        # Other batches sum in another order, so that a value at the edge of a cell may fall to the other side: of 20
        # samples' values a few do, each changes the error's energy by parts in a thousand.
        assert row.output_relative_l2 == pytest.approx(math.sqrt(nsr), rel=1e-2 if row.activation_scheme else 1e-4)
        share = float((q.argmax(-1) == labels)[counts].double().mean())
        assert row.accuracy == pytest.approx(share, abs=1e-9 if not row.activation_scheme else 2 / int(counts.sum()))
        assert row.float_accuracy == pytest.approx(float((y.argmax(-1) == labels)[counts].double().mean()))
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high
        assert row.samples == 20


def test_binary_forms_have_two_levels_of_each_row_and_one_of_each_input() -> None:
    module = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Identity())
    module[0].weight.data = torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
    model = TorchModel(module, "signs")
    data = make_calibration([[1.0, 0.0, -5.0]])
    seen = []
    module[1].register_forward_hook(lambda _part, _inputs, outputs: seen.append(outputs.clone()))
    row = measure_forms(model, data, ["W1A1"])[0]
    # sign(0) is +1: the row is (1, -1, 1), the inputs 2 * (1, 1, -1); a row of zeros stays 0.
    assert torch.equal(seen[-1], torch.tensor([[2.0 * (1 - 1 - 1), 0.0]]))
    assert row.status == "ok"


def test_the_error_of_layers_counts_what_comes_before_and_the_worst_is_named() -> None:
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    module[0].weight.data, module[1].weight.data = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    model = TorchModel(module, "chain")
    # A fixed grid of step 0.5 is not to be had of one weight, so inputs are quantized: 3 levels of +-1, and 0.6 -> 1.
    row = measure_forms(model, make_calibration([[1.0], [0.6]]), ["A2"])[0]
    first = 0.4 / math.sqrt(1.36)
    assert row.layer_error == pytest.approx(first, rel=1e-6)
    assert row.worst_layer == "0"


def test_layers_that_are_kept_stay_bit_for_bit_and_ends_are_the_first_and_the_last() -> None:
    model = open_model("sample:digits-mlp")
    data = open_calibration("sample", model, samples=4)
    whole, kept, ends = (
        measure_forms(model, data, ["W4"], **options)[0] for options in ({}, {"keep": "fc[13]"}, {"keep_ends": True})
    )
    assert kept.output_relative_l2 == ends.output_relative_l2 < whole.output_relative_l2
    assert kept.size_bytes == whole.size_bytes + sum(
        4 * n - n // 2 - 4 * rows for n, rows in ((64 * 256, 256), (128 * 10, 10))
    )


def test_a_tensor_that_a_scheme_does_not_fit_stays_float_and_the_row_says_so() -> None:
    module = nn.Sequential(nn.Linear(64, 5), nn.Linear(5, 3))
    row = measure_forms(TorchModel(module, "ragged"), make_calibration(np.eye(64)), ["W(mxfp4)"])[0]
    assert row.status == "ok"
    assert row.reason.startswith("1 weight stays float (1.weight): mxfp4 codes blocks of 32")
    only = measure_forms(TorchModel(module[1], "ragged"), make_calibration(np.eye(5)), ["W(mxfp4)"])[0]
    assert (only.status, only.output_sqnr_db) == ("unsupported", None)


def test_a_form_that_does_not_run_says_why_and_the_others_are_measured() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.layer.weight.data = torch.tensor([[0.31, 0.7], [0.2, 0.9]])

        def forward(self, x: Tensor) -> Tensor:
            if float(self.layer.weight[0, 0]) == float(self.layer.weight[0, 1]):
                raise RuntimeError("two weights are alike")
            return self.layer(x)

    table = measure_forms(TorchModel(Picky(), "picky"), make_calibration(np.eye(2)), ["W8", "W1"])
    assert [row.status for row in table] == ["ok", "failed"]
    assert "two weights are alike" in table[1].reason


def test_cancelled_work_keeps_the_forms_that_saw_all_samples_so_far() -> None:
    model = open_model("sample:digits-mlp")
    data = open_calibration("sample", model, samples=8)
    cancel, told = threading.Event(), []

    def tell(progress: Any) -> None:
        told.append((progress.done, progress.total, progress.label))
        if progress.done == 5:
            cancel.set()

    table = measure_forms(model, data, ["W8", "W4", "W1"], batch=4, on_progress=tell, cancel=cancel)
    assert told[-1] == (5, 6, "W4")
    assert not table.complete
    assert [(row.form, row.samples) for row in table] == [("W8", 8), ("W4", 8)]


def test_mistakes_are_told_in_one_line() -> None:
    model, data = make_two_by_two(), make_calibration([[1.0, -0.6]])
    with pytest.raises(ValueError, match="no layer is left to quantize"):
        measure_forms(model, data, ["W8"], keep_ends=True)
    with pytest.raises(ValueError, match="form 'Q8': write W for weights"):
        measure_forms(model, data, ["Q8"])
    with pytest.raises(ValueError, match="outputs hold NaN or infinities, first for sample 1"):
        measure_forms(model, make_calibration([[1.0, 0.0], [math.nan, 0.0]]), ["W8"])


@pytest.mark.parametrize(
    ("text", "name", "weights", "activations"),
    [
        pytest.param("W8", "W8", "int8 channel", "None", id="weights"),
        pytest.param("a04", "A4", "None", "int4", id="activations"),
        pytest.param("w1a1", "W1A1", "binary channel", "binary", id="both-binary"),
        pytest.param("W(nf4 group=64)A8", "W(nf4)A8", "nf4", "int8", id="scheme"),
    ],
)
def test_a_form_reads_and_prints(text: str, name: str, weights: str, activations: str) -> None:
    form = Form.parse(text)
    assert (form.name, str(form.weights), str(form.activations)) == (name, weights, activations)
    assert Form.parse(form.name) == form


@pytest.mark.parametrize("text", ["", "W", "A", "W0", "W17", "W8A8W8", "W()", "W(int4", "8", "W-8"])
def test_what_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="form"):
        Form.parse(text)


def test_repairs_are_measured_after_the_form_that_they_repair_and_activations_alone_have_none() -> None:
    model = open_model("sample:digits-cnn")
    data = open_calibration("sample", model, samples=60)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    table = measure_forms(model, data, ["W3", "A8", "W3A8"], repairs=["gptq", "gptq+bias"])
    assert all(torch.equal(value, before[key]) for key, value in model.module.state_dict().items())
    assert [(row.form, row.repair) for row in table] == [
        ("W3", ""), ("W3", "gptq"), ("W3", "gptq+bias"), ("A8", ""), ("W3A8", ""), ("W3A8", "gptq"), ("W3A8", "gptq+bias"),
    ]  # fmt: skip
    found = {(row.form, row.repair): row for row in table}
    for form in ("W3", "W3A8"):
        # Error feedback lowers the error of the outputs of layers, for which it was made, on the very samples.
        assert found[form, "gptq"].layer_error < found[form, ""].layer_error
        assert found[form, "gptq"].size_bytes == found[form, ""].size_bytes


def test_a_repair_that_is_cancelled_keeps_the_forms_before_it() -> None:
    model = open_model("sample:digits-mlp")
    data = open_calibration("sample", model, samples=8)
    cancel, told = threading.Event(), []

    def tell(progress: Any) -> None:
        told.append((progress.done, progress.total, progress.label))
        if progress.label == "W4, gptq":
            cancel.set()

    table = measure_forms(model, data, ["W4"], repairs=["gptq", "bias"], on_progress=tell, cancel=cancel)
    assert told == [(1, 5, "W4"), (2, 5, "W4, gptq")]
    assert not table.complete
    assert [(row.form, row.repair) for row in table] == [("W4", "")]


@pytest.mark.parametrize("rule", ["minmax", "percentile:99.9", "mse", "kl"])
def test_activations_take_their_ranges_from_calibration_by_any_rule(rule: str) -> None:
    model = open_model("sample:digits-mlp")
    data = open_calibration("sample", model, samples=100)
    row = measure_forms(model, data, [f"A(int6 asym range={rule})"])[0]
    assert row.status == "ok"
    assert row.output_sqnr_db > 15  # 6.02 dB a bit of 36, less what a peak takes


def test_an_onnx_model_has_the_forms_of_the_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from tests.models.running.onnx_models import make, node, save, value

    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((16, 8), (8, 4))]
    nodes = [node("MatMul", ["x", "first"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "last"], ["y"])]
    graph = make(nodes, {"first": weights[0], "last": weights[1]}, [value("x", ["n", 16])])
    path = save(tmp_path / "network.onnx", graph)
    data = make_calibration(rng.normal(size=(30, 16)))
    with open_model(str(path)) as model:
        table = measure_forms(model, data, cross_forms(["8", "4"]))
    module = nn.Sequential(nn.Linear(16, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False))
    for layer, values in zip((module[0], module[2]), weights, strict=True):
        layer.weight.data = torch.from_numpy(values.T.copy())
    own = measure_forms(TorchModel(module, "own"), data, cross_forms(["8", "4"]))
    for row, wanted in zip(table, own, strict=True):
        assert row.status == "ok", row.reason
        # The same network in two runtimes: float32 sums of 16 terms, but a value at the edge of a cell may fall to
        # either side.
        assert row.output_relative_l2 == pytest.approx(wanted.output_relative_l2, rel=0.02)
        assert row.layer_error == pytest.approx(wanted.layer_error, rel=0.02)
        assert row.size_bytes == wanted.size_bytes


def test_moving_averages_of_ends_depend_on_batches_and_lie_within_all_values() -> None:
    values = np.ones((100, 1))
    values[-1] = 10.0  # in the last of two calibration batches: the average of the ends is 0.9 * 1 + 0.1 * 10
    module = nn.Linear(1, 1, bias=False)
    data = make_calibration(values)
    plain, moving = (
        measure_forms(TorchModel(module, "one"), data, ["A8"], averaging=word)[0] for word in ("none", "moving")
    )
    assert plain.output_relative_l2 < 0.02
    clipped = (10 - 1.9) / math.sqrt(199)
    assert moving.output_relative_l2 == pytest.approx(clipped, rel=0.01)


def test_outputs_that_a_repair_gave_another_scale_are_compared_at_that_of_the_float_model() -> None:
    model = open_model("sample:digits-cnn")
    data = open_calibration("sample", model, samples=20)
    plain, equalised = measure_forms(model, data, ["W8"], repairs=["equalise"])
    # At 8 bits a step is a hundredth of a channel's range: channels that were not brought back would differ by as much
    # as they are.
    assert equalised.status == "ok"
    assert equalised.layer_error < 2 * plain.layer_error < 0.05
