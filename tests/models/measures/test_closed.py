"""Layer output error and weighted error: by hand, against outputs measured directly, and against every kind of layer."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.calibration.samples import Batch, Calibration, number_blocks
from qanalysis.models.measures.closed import measure_closed
from qanalysis.models.measures.input_moments import gather_inputs
from qanalysis.models.measures.input_sums import Limits
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity.changes import Changes
from qanalysis.quantizers.scheme import Scheme

INT4 = Scheme.parse("int4 channel")
BY_INPUTS = ("layer_output_error", "imatrix_mse")


def make_calibration(*inputs: Tensor, names: tuple[str, ...] = ("x",)) -> Calibration:
    return Calibration(number_blocks([Batch(dict(zip(names, inputs, strict=True)))]), "made")


def measure(module: nn.Module, calibration: Calibration, quantized, **options):
    model = TorchModel(module, "made")
    layers = [layer for layer in model.layers if layer.tensor.role in ("weight", "embedding")]
    return measure_closed(
        model, calibration, layers, [INT4], **{"quantized": quantized, "columns": BY_INPUTS, **options}
    )


def test_two_by_two_by_hand() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    error = torch.tensor([[0.5, 0.0], [0.0, -1.0]])
    calibration = make_calibration(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    found = measure(layer, calibration, lambda _info, _scheme: (layer.weight.detach() + error).numpy())
    # E a is (0.5, 0) and (0.5, -1), W a is (1, 3) and (3, 7); E[a^2] is (1, 0.5)
    assert found.figures[("weight", "int4 channel")] == {
        "layer_output_error": 1.5 / 68,
        "imatrix_mse": (0.25 + 0.5) / (1 + 0.5 * 4 + 9 + 0.5 * 16),
    }
    assert found.complete


@pytest.mark.parametrize("sample", ["digits-mlp", "digits-cnn", "words-transformer"])
def test_equals_the_error_energy_of_every_linear_layer_of_the_samples(sample: str) -> None:
    model = open_model(f"sample:{sample}")
    assert isinstance(model, TorchModel)
    calibration = open_calibration("sample", model, samples=20)
    layers = [layer for layer in model.layers if layer.is_linear]
    quantized = Changes(model)
    found = measure_closed(model, calibration, layers, [INT4], quantized=quantized.quantize, columns=BY_INPUTS, batch=8)
    inputs: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    for batch in calibration.batches(20):
        model.watch(batch, list(inputs), lambda name, values: inputs[name].append(values.double().clone()))
    for layer in layers:
        weight = torch.from_numpy(model.read(layer.tensor)).double()
        error = torch.from_numpy(quantized.quantize(layer.tensor, INT4)).double() - weight
        rows = torch.cat([one.reshape(-1, one.shape[-1]) for one in inputs[layer.name]])
        direct = float((rows @ error.T).square().sum() / (rows @ weight.T).square().sum())
        got = found.figures[(layer.tensor.name, "int4 channel")]
        assert got["layer_output_error"] == pytest.approx(direct, rel=1e-12)
        weights = rows.square().mean(0)
        diagonal = float((error.square() @ weights).sum() / (weight.square() @ weights).sum())
        assert got["imatrix_mse"] == pytest.approx(diagonal, rel=1e-12)


class Times(nn.Module):
    """x W, as transformers' Conv1D has it, without a type that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Left(nn.Module):
    """W x for columns x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight @ x.mT


class Stack(nn.Module):
    """Experts: rows of x go to the one that their first value chooses."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.weight = nn.Parameter(torch.randn(3, 5, 4))

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "dense":
            return torch.bmm(x.expand(3, *x.shape), self.weight.mT)
        chosen = (x[:, 0] > 0).long()  # the third expert is never chosen
        out = x.new_zeros(len(x), 5)
        for number in range(3):
            if (chosen == number).any():
                out[chosen == number] = nn.functional.linear(x[chosen == number], self.weight[number])
        return out


class Tied(nn.Module):
    """A table that is looked up and multiplied with; both outputs are returned side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.rows = torch.randn(11, 4)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.head(self.rows.to(self.head.weight.dtype)[x])
        return torch.cat([self.embedding(x), outputs], -1)


KINDS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(4, 3), (5, 2, 4)),
    "weight to the right": (Times(), (5, 2, 4)),
    "weight to the left": (Left(), (5, 2, 4)),
    "dense experts": (Stack("dense"), (6, 4)),
    "chosen experts": (Stack("chosen"), (20, 4)),
    "convolution of signals": (nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False), (5, 4, 9)),
    "dilated groups": (nn.Conv2d(4, 6, (3, 2), dilation=(1, 2), groups=2), (3, 4, 8, 7)),
    "depthwise": (nn.Conv2d(4, 8, 3, padding=1, groups=4), (3, 4, 6, 6)),
    "padded alike": (nn.Conv2d(4, 3, (3, 5), padding="same"), (3, 4, 6, 6)),
    "padded around": (nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"), (3, 4, 6, 6)),
    "volumes": (nn.Conv3d(2, 3, 2), (2, 2, 3, 4, 3)),
    "channels last": (nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), (3, 4, 6, 6)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (3, 4, 5, 4)),
    "transposed and dilated": (nn.ConvTranspose1d(4, 6, 3, stride=3, padding=2, dilation=2), (3, 4, 5)),
    "looked up": (nn.Embedding(7, 4), (9, 3)),
    "looked up and multiplied": (Tied(), (9, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_has_the_energy_of_its_outputs(kind: str) -> None:
    torch.manual_seed(0)
    module, shape = KINDS[kind]
    x = torch.randint(0, 7, shape) if "looked up" in kind else torch.randn(shape)
    name, weight = next(iter(module.named_parameters()))
    error = torch.randn(weight.shape) / 8
    for bias in (one for path, one in module.named_parameters() if path.endswith("bias")):
        nn.init.zeros_(bias)
    found = measure(module, make_calibration(x), lambda _info, _scheme: (weight.detach() + error).numpy(), batch=2)
    if kind in ("chosen experts", "dense experts"):
        found = measure(module, make_calibration(x), lambda _i, _s: (weight.detach() + error).numpy(), batch=len(x))
    got = found.figures[(name, "int4 channel")]["layer_output_error"]
    original = weight.detach().clone()
    changed = (original + error).double() - original.double()  # the error of the float32 sum, not what was meant
    module.double()
    with torch.no_grad():
        energy = [0.0, 0.0]
        for place, values in enumerate((changed, original.double())):
            weight.copy_(values)
            energy[place] = float(module(x.double() if x.is_floating_point() else x).square().sum())
        weight.copy_(original)
    module.float()
    assert got == pytest.approx(energy[0] / energy[1], rel=1e-12)
    assert ("imatrix_mse" in found.figures[(name, "int4 channel")]) == (kind != "looked up")
    cautions = found.cautions.get(name, {}).get("layer_output_error", "")
    assert ("33.3 % of its values met no rows" in cautions) == (kind == "chosen experts")


def test_parts_of_a_fused_weight_and_steps_of_a_recurrent_one_are_found() -> None:
    torch.manual_seed(1)
    attention, x = nn.MultiheadAttention(4, 2, batch_first=True), torch.randn(6, 5, 4)
    names = ("query", "key", "value")
    rng = np.random.default_rng(1)
    noise = {"in_proj_weight": rng.normal(size=(12, 4)), "weight_ih_l0": rng.normal(size=(8, 4))}

    def quantized(info, _scheme):
        own = dict(module.named_parameters())[info.name].detach().numpy()
        return (own + noise.get(info.name, 0)).astype(np.float32)

    module: nn.Module = attention
    found = measure(attention, make_calibration(x, x, torch.zeros_like(x), names=names), quantized)
    error = torch.from_numpy(noise["in_proj_weight"])
    weight = attention.in_proj_weight.detach().double()
    # values are zeros and add nothing; queries and keys meet the rows of x
    direct = float((x.double() @ error[:8].T).square().sum() / (x.double() @ weight[:8].T).square().sum())
    # the error is rounded to float32: 2^-24 of it, twice in its square
    assert found.figures[("in_proj_weight", "int4 channel")]["layer_output_error"] == pytest.approx(direct, rel=1e-6)
    module = nn.LSTM(4, 2, batch_first=True)
    found = measure(module, make_calibration(x), quantized)
    error, weight = torch.from_numpy(noise["weight_ih_l0"]), module.weight_ih_l0.detach().double()
    direct = float((x.double() @ error.T).square().sum() / (x.double() @ weight.T).square().sum())
    assert found.figures[("weight_ih_l0", "int4 channel")]["layer_output_error"] == pytest.approx(direct, rel=1e-6)
    assert ("weight_hh_l0", "int4 channel") in found.figures


class Fork(nn.Module):
    """Two layers that meet the same rows, or not, as the numbers say."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x if x.sum() > 0 else x + 1)


@pytest.mark.parametrize("hold_bytes", [1 << 20, 200], ids=["one pass", "a pass for each layer"])
def test_sums_are_the_same_whether_layers_share_them_and_in_how_many_passes(hold_bytes: int) -> None:
    torch.manual_seed(2)
    model, x = TorchModel(Fork(), "made"), torch.randn(8, 4).abs()
    x[4:] *= -1
    layers = [layer for layer in model.layers if layer.tensor.role == "weight"]
    met = {"first.weight": x.double(), "second.weight": torch.cat([x[:4], x[4:] + 1]).double()}
    for samples in (4, 8):  # all rows are shared by both; from the fifth on they are not
        calibration = make_calibration(x).limit(samples)
        limits = Limits(64, hold_bytes)
        inputs = gather_inputs(model, calibration, layers, batch=2, limits=limits)
        for name, found in inputs.found.items():
            (moments,) = found.moments.values()
            rows = met[name][:samples]
            assert moments.count == samples
            assert moments.products is not None
            np.testing.assert_allclose(moments.products, (rows.T @ rows).numpy(), rtol=1e-14)
    assert set(inputs.found) == set(met)


def test_figures_do_not_depend_on_batches() -> None:
    model = open_model("sample:digits-cnn")
    calibration = open_calibration("sample", model, samples=11)
    layers = [layer for layer in model.layers if layer.tensor.role == "weight"]
    found = [
        measure_closed(
            model, calibration, layers, [INT4], quantized=Changes(model).quantize, columns=BY_INPUTS, batch=batch
        )
        for batch in (1, 4, 64)
    ]
    assert len(found[0].figures) == len(layers)
    for key, figures in found[0].figures.items():
        for other in found[1:]:
            # the float32 run itself differs with the batch, 1e-7 of an activation
            assert other.figures[key] == pytest.approx(figures, rel=1e-5)


class Scaled(nn.Module):
    """A weight that is scaled before it is used, one that is not used, and a bag of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))
        self.idle = nn.Linear(4, 4)
        self.bag = nn.EmbeddingBag(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight * 2).T + self.bag(torch.tensor([[0, 1]]))


def test_a_missing_figure_says_why() -> None:
    found = measure(Scaled(), make_calibration(torch.randn(5, 4)), lambda _info, _scheme: pytest.fail("not asked"))
    assert not found.figures
    assert {name: notes["layer_output_error"] for name, notes in found.notes.items()} == {
        "weight": "it is no factor of a product; it is used by mul",
        "idle.weight": "its inputs are not known: no product with it was seen",
        "bag.weight": "it is no factor of a product; it is used by _embedding_bag",
    }


def test_a_model_that_does_not_run_has_notes_and_rows_out_of_a_table_are_not_followed() -> None:
    found = measure(nn.Linear(4, 2), make_calibration(torch.randn(5, 3)), lambda _info, _scheme: pytest.fail("no"))
    assert found.notes["weight"]["imatrix_mse"].startswith("the model does not run on x float32 (5, 3)")

    class Picking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(6, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.table[x]

    table = Picking()
    found = measure(table, make_calibration(torch.tensor([1, -1])), lambda _info, _scheme: table.table.detach().numpy())
    assert found.figures[("table", "int4 channel")] == {"layer_output_error": 0.0}  # -1 is the last row


def test_a_wide_input_keeps_the_diagonal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qanalysis.models.measures.by_inputs.WIDEST", 3)
    layer = nn.Linear(4, 2)
    found = measure(layer, make_calibration(torch.randn(5, 4)), lambda _info, _scheme: np.zeros((2, 4), np.float32))
    assert found.figures == {("weight", "int4 channel"): {"imatrix_mse": 1.0}}
    assert found.notes["weight"]["layer_output_error"] == (
        "its input has 4 features and second moments are held of 3 at most; see imatrix_mse"
    )


def test_a_layer_of_zeros_or_infinities_has_a_note_and_a_scheme_that_does_not_fit_has_none() -> None:
    layer = nn.Linear(4, 2, bias=False)
    nn.init.zeros_(layer.weight)
    found = measure(layer, make_calibration(torch.randn(5, 4)), lambda _info, _scheme: pytest.fail("not asked"))
    assert found.notes["weight"]["layer_output_error"] == "the outputs of the unchanged tensor are all zero"
    nn.init.ones_(layer.weight)
    found = measure(
        layer, make_calibration(torch.randn(5, 4)), lambda _info, _scheme: np.full((2, 4), np.inf, np.float32)
    )
    assert "hold NaN or infinities" in found.notes["weight"]["imatrix_mse"]

    def refuse(_info, _scheme):
        raise ValueError("does not fit")

    found = measure(layer, make_calibration(torch.randn(5, 4)), refuse)
    assert not found.figures
    assert not found.notes


def test_cancelled_before_the_first_layer_there_is_nothing() -> None:
    cancel = threading.Event()
    cancel.set()
    found = measure(nn.Linear(4, 2), make_calibration(torch.randn(5, 4)), lambda _i, _s: None, cancel=cancel)
    assert not found.complete
    assert not found.figures


def test_linear_layers_of_an_onnx_model_are_watched(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(6, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], name="times"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Gemm", ["r", "second"], ["y"], name="turned", transB=1),
    ]
    values = [helper.make_tensor_value_info(*one) for one in (("x", 1, ["n", 6]), ("y", 1, ["n", 4]))]
    weights = [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    x = torch.from_numpy(rng.normal(size=(30, 6)).astype(np.float32))
    with open_model(str(tmp_path / "m.onnx")) as model:
        changes = Changes(model)
        found = measure_closed(model, make_calibration(x), model.layers, [INT4], quantized=changes.quantize)
        error = changes.quantize(model.layers[0].tensor, INT4).astype(np.float64) - first
    rows = x.numpy().astype(np.float64)
    direct = ((rows @ error) ** 2).sum() / ((rows @ first.astype(np.float64)) ** 2).sum()
    assert found.figures[("first", "int4 channel")]["layer_output_error"] == pytest.approx(direct, rel=1e-12)
    assert set(found.figures[("second", "int4 channel")]) == {"layer_output_error", "imatrix_mse"}
    assert found.notes["second"]["hawq"] == "gradients need a torch model"


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [
        ("Conv", (6, 2, 3, 3), {"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}),
        (
            "ConvTranspose",
            (4, 3, 3, 3),
            {"group": 2, "strides": [2, 2], "pads": [1, 0, 1, 2], "output_padding": [1, 0]},
        ),
    ],
    ids=["grouped and padded on one side", "transposed"],
)
def test_convolutions_of_an_onnx_model_are_watched(tmp_path: Path, op: str, shape: tuple, attributes: dict) -> None:
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(4)
    # numbers of few bits, so that float32 outputs are exact
    weight, error = (rng.integers(-8, 8, shape).astype(np.float32) / 8 for _ in range(2))
    x = rng.integers(-8, 8, (5, 4, 7, 8)).astype(np.float32) / 8
    node = helper.make_node(op, ["x", "w"], ["y"], name="conv", kernel_shape=[3, 3], **attributes)
    values = [helper.make_tensor_value_info(name, 1, ["n", None, None, None]) for name in ("x", "y")]

    def make(tensor: np.ndarray) -> onnx.ModelProto:
        graph = helper.make_graph([node], "g", values[:1], values[1:], [numpy_helper.from_array(tensor, "w")])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def find_energy(tensor: np.ndarray) -> float:
        session = runtime.InferenceSession(make(tensor).SerializeToString())
        return float(np.square(session.run(None, {"x": x})[0].astype(np.float64)).sum())

    onnx.save(make(weight), tmp_path / "m.onnx")
    with open_model(str(tmp_path / "m.onnx")) as model:
        found = measure_closed(
            model,
            make_calibration(torch.from_numpy(x)),
            model.layers,
            [INT4],
            quantized=lambda _info, _scheme: weight + error,
            columns=BY_INPUTS,
        )
    got = found.figures[("w", "int4 channel")]["layer_output_error"]
    assert got == pytest.approx(find_energy(error) / find_energy(weight), rel=1e-12)
