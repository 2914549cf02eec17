"""What is written as QDQ ONNX reads back as what was quantized, and ONNX Runtime computes what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import nn

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.models.activations.turns import calibrate_inputs
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.forms.onnx_codes import name_type, tell_storage
from qanalysis.models.forms.onnx_writer import write_qdq_onnx
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.runnable import Change, Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme
from tests.models.running.onnx_models import INT64, draw, make, network, node, save, value


def fit(model: Runnable, scheme: str, layers: Sequence[Layer]) -> dict[str, LevelQuantizer]:
    return {one.tensor.name: Scheme.parse(scheme).fit(model.read(one.tensor), axis=one.tensor.view) for one in layers}


def restore(model: Runnable, quantizers: Mapping[str, LevelQuantizer]) -> dict[str, NDArray[np.float32]]:
    infos = {info.name: info for info in model.tensors}
    return {name: one.round_trip(model.read(infos[name])) for name, one in quantizers.items()}


def run(path: Path, batch: Batch) -> torch.Tensor:
    """What a plain session makes of a file, with all that the runtime's optimizer does to it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: values.numpy() for name, values in batch.inputs.items()})
    return torch.from_numpy(found[0])


def weights_of(model: Runnable) -> list[Layer]:
    return [layer for layer in model.layers if layer.tensor.role in ("weight", "embedding") and layer.tensor.is_matrix]


def check_weights(
    path: Path, expected: Mapping[str, NDArray[np.float32]], quantizers: Mapping[str, LevelQuantizer]
) -> None:
    """Every tensor stands in the file under its name, decoded to the same numbers bit for bit; where ONNX has no such
    groups it is there as the matrix of its view, each row filled up to whole groups.
    """
    with open_checkpoint(path) as source:
        infos = {info.name: info for info in source.tensors}
        for name, values in expected.items():
            assert infos[name].stored.startswith("qdq "), name
            read, layout = source.read(infos[name]), quantizers[name].layout
            if infos[name].shape != values.shape:
                read = layout.from_matrix(read.reshape(layout.rows, -1)[:, : layout.columns])
            assert np.array_equal(read, values), name


SAMPLES = ("digits-mlp", "digits-cnn", "words-transformer")


@pytest.fixture(scope="module")
def opened() -> dict[str, tuple[TorchModel, Calibration]]:
    found: dict[str, Any] = {}
    for name in SAMPLES:
        model = open_model(f"sample:{name}")
        found[name] = model, open_calibration("sample", model, samples=40)
    return found


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("digits-mlp", "int8 channel"),
        ("digits-mlp", "int4 group=32"),
        ("digits-mlp", "binary channel"),
        ("digits-cnn", "int3 asym group=20"),
        ("digits-cnn", "int4 channel"),
        ("words-transformer", "int8 channel"),
    ],
)
def test_quantized_weights_of_a_torch_model_run_to_the_same_outputs(
    opened: dict[str, Any], tmp_path: Path, name: str, scheme: str
) -> None:
    model, calibration = opened[name]
    (batch,) = calibration.blocks
    quantizers = fit(model, scheme, weights_of(model))
    expected = restore(model, quantizers)
    before = model.record(batch).outputs
    write_qdq_onnx(model, batch.cut(0, 3), quantizers, {}, tmp_path / "q.onnx")
    check_weights(tmp_path / "q.onnx", expected, quantizers)
    ours, theirs = model.rerun(model.record(batch), Change(expected)), run(tmp_path / "q.onnx", batch)
    # sums of up to 576 products, one after the other, in another order: 576 ulp, and three to twenty layers of them
    assert (ours - theirs).norm() <= 20 * 576 * 2**-24 * ours.norm()
    marks = batch.targets != -100
    assert torch.equal(ours.argmax(-1)[marks] == batch.targets[marks], theirs.argmax(-1)[marks] == batch.targets[marks])
    assert torch.equal(model.record(batch).outputs, before)


@pytest.mark.parametrize(
    ("name", "scheme", "inputs"),
    [
        ("digits-mlp", "int8 channel", "int8 asym"),
        ("digits-mlp", "binary channel", "binary"),
        ("digits-cnn", "int6", "int6"),
        ("words-transformer", "int8 channel", "int8"),
    ],
)
def test_quantized_weights_and_inputs_of_a_torch_model_keep_their_accuracy(
    opened: dict[str, Any], tmp_path: Path, name: str, scheme: str, inputs: str
) -> None:
    model, calibration = opened[name]
    (batch,) = calibration.blocks
    layers = weights_of(model)
    quantizers = fit(model, scheme, layers)
    turns, activations = fit_inputs(model, calibration, layers, inputs)
    write_qdq_onnx(model, batch, quantizers, activations, tmp_path / "q.onnx")
    whole = model.record(batch).outputs
    ours, theirs = (
        model.rerun(model.record(batch), Change(restore(model, quantizers), turns)),
        run(tmp_path / "q.onnx", batch),
    )
    # values at the edge of a step may fall on its other side, where 1/scale was rounded: far fewer than all values
    assert (ours - theirs).norm() <= 0.2 * (ours - whole).norm()
    marks = batch.targets != -100
    right, theirs_right = (one.argmax(-1)[marks] == batch.targets[marks] for one in (ours, theirs))
    assert abs(int(right.sum()) - int(theirs_right.sum())) <= 0.01 * int(marks.sum())


def fit_inputs(model: Runnable, calibration: Calibration, layers: Sequence[Layer], scheme: str) -> tuple[Any, Any]:
    """The turns of layers' inputs, and the quantizers that are written, by layer."""
    parsed = Scheme.parse(scheme)
    grids = calibrate_inputs(model, calibration, layers, [parsed])
    real = [layer for layer in layers if layer.has_real_input]
    found = {layer.name: grids.find(layer, parsed).statistic for layer in real}
    one = Grouping().lay_out((1, 1))
    laid = {name: LevelQuantizer(parsed.lay_grid(statistic), one) for name, statistic in found.items() if statistic}
    return {layer.name: grids.turn(layer, parsed) for layer in real}, laid


def test_the_axis_of_the_samples_stays_free(opened: dict[str, Any], tmp_path: Path) -> None:
    model, calibration = opened["digits-cnn"]
    (batch,) = calibration.blocks
    write_qdq_onnx(model, batch.cut(0, 1), {}, {}, tmp_path / "q.onnx")
    for count in (1, 7):
        part = batch.cut(0, count)
        torch.testing.assert_close(run(tmp_path / "q.onnx", part), model.record(part).outputs, atol=1e-4, rtol=1e-4)


X = Batch({"x": torch.from_numpy(draw(5, 1, 6, 6, seed=11))})


@pytest.mark.parametrize(
    "scheme",
    ["int8", "int8 channel", "int4 asym channel", "int4 group=5", "int16 channel", "int8 block=2x8"],
)
@pytest.mark.parametrize("opset", [12, 17, 21])
def test_weights_of_an_onnx_model_become_integers(tmp_path: Path, scheme: str, opset: int) -> None:
    made = network()
    made.opset_import[0].version = opset
    made.ir_version = 7
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        layers = [layer for layer in weights_of(model) if layer.tensor.name != "conv.weight"]
        quantizers = fit(model, scheme, layers)
        expected = restore(model, quantizers)
        if opset < 21 and scheme.startswith("int16"):
            with pytest.raises(ValueError, match="find no integer type in version"):
                write_qdq_onnx(model, X, quantizers, {}, tmp_path / "q.onnx")
            assert not (tmp_path / "q.onnx").exists()
            return
        write_qdq_onnx(model, X, quantizers, {}, tmp_path / "q.onnx")
        ours = model.rerun(model.record(X), Change(expected))
    check_weights(tmp_path / "q.onnx", expected, quantizers)
    # 72 products, sums below 64, in another order
    torch.testing.assert_close(run(tmp_path / "q.onnx", X), ours, rtol=0, atol=72 * 64 * 2**-23)
    with open_model(str(tmp_path / "q.onnx")) as again:
        names = [layer.tensor.name for layer in again.layers if layer.tensor.role == "weight"]
        assert names == ["conv.weight", "up.weight", "down.weight", "head.weight"]


def test_kernels_in_groups_are_put_back_to_their_shape(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "plain"], ["a"], "plain", pads=[1, 1, 1, 1]),
        node("ConvTranspose", ["a", "up"], ["b"], "up", group=2),
        node("Conv", ["b", "point"], ["y"], "point"),
    ]
    arrays = {"plain": draw(4, 1, 3, 3), "up": draw(4, 3, 2, 2, seed=1), "point": draw(2, 6, 1, 1, seed=2)}
    made = make(nodes, arrays, [value("x", ["n", 1, 6, 6])])
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        for scheme in ("int4 channel", "int4 group=5", "int8 block=2x4"):
            quantizers = fit(model, scheme, weights_of(model))
            write_qdq_onnx(model, X, quantizers, {}, tmp_path / "q.onnx")
            expected = restore(model, quantizers)
            ours = model.rerun(model.record(X), Change(expected))
            torch.testing.assert_close(run(tmp_path / "q.onnx", X), ours, rtol=0, atol=36 * 64 * 2**-23)


def test_recurrent_and_tied_weights_and_those_of_constant_nodes(tmp_path: Path) -> None:
    nodes = [
        node("Constant", [], ["table"], value=numpy_helper.from_array(draw(9, 4), "table")),
        node("Gather", ["table", "ids"], ["e"], "embed"),
        node("Transpose", ["e"], ["s"], perm=[1, 0, 2]),
        node("LSTM", ["s", "w", "r", "b"], ["h"], "lstm", hidden_size=4),
        node("Squeeze", ["h", "one"], ["q"]),
        node("Transpose", ["table"], ["t"], perm=[1, 0]),
        node("MatMul", ["q", "t"], ["o"], "head"),
        node("Transpose", ["o"], ["y"], perm=[1, 0, 2]),
    ]
    arrays = {"w": draw(1, 16, 4, seed=1), "r": draw(1, 16, 4, seed=2), "b": draw(1, 32, seed=3), "one": np.array([1])}
    made = make(nodes, arrays, [value("ids", ["n", "t"], INT64)])
    ids = Batch({"ids": torch.tensor([[0, 8, 3], [1, 1, 2]])})
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        layers = weights_of(model)
        assert [layer.tensor.name for layer in layers] == ["table", "w", "r"]
        quantizers = fit(model, "int4 channel", layers)
        expected = restore(model, quantizers)
        write_qdq_onnx(model, ids, quantizers, {}, tmp_path / "q.onnx")
        check_weights(tmp_path / "q.onnx", expected, quantizers)
        ours = model.rerun(model.record(ids), Change(expected))
    torch.testing.assert_close(run(tmp_path / "q.onnx", ids), ours, rtol=0, atol=1e-5)


def test_inputs_of_an_onnx_model_are_quantized_before_their_layer_alone(tmp_path: Path) -> None:
    with open_model(str(save(tmp_path / "m.onnx", network()))) as model:
        layers = weights_of(model)
        turns, activations = fit_inputs(model, Calibration((X,), "drawn"), layers, "int8 asym")
        assert set(activations) == {"conv", "up", "down", "head"}
        for name in activations:
            write_qdq_onnx(model, X, {}, {name: activations[name]}, tmp_path / "q.onnx")
            ours = model.rerun(model.record(X), Change(inputs={name: turns[name]}))
            torch.testing.assert_close(run(tmp_path / "q.onnx", X), ours, rtol=0, atol=72 * 64 * 2**-23)


def test_a_model_of_halves_gets_integers_and_keeps_its_type(tmp_path: Path) -> None:
    half = network()
    for tensor in half.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for end in (half.graph.input[0], half.graph.output[0]):
        end.type.tensor_type.elem_type = TensorProto.FLOAT16
    with open_model(str(save(tmp_path / "m.onnx", half))) as model:
        layers = weights_of(model)
        quantizers = fit(model, "int8 channel", layers)
        _turns, activations = fit_inputs(model, Calibration((X,), "drawn"), layers, "int8")
        write_qdq_onnx(model, X, quantizers, activations, tmp_path / "q.onnx")
        check_weights(tmp_path / "q.onnx", restore(model, quantizers), quantizers)
        whole = model.record(X).outputs
    found = run(tmp_path / "q.onnx", Batch({"x": X.inputs["x"].half()}))
    assert found.dtype == torch.float16
    assert (found.float() - whole).norm() < 0.05 * whole.norm()


@pytest.mark.parametrize(
    ("scheme", "word"),
    [
        ("int2", "int4"),
        ("int3", "int4"),
        ("int4 asym", "uint4"),
        ("int6", "int8"),
        ("int8", "int8"),
        ("int8 asym", "uint8"),
        ("int9", "int16"),
        ("binary", "int4"),
        ("ternary", "int4"),
        ("mxint8", "int8"),
    ],
)
def test_codes_stand_in_the_next_wider_type(scheme: str, word: str) -> None:
    quantizer = Scheme.parse(scheme).fit(draw(4, 32))
    assert name_type(quantizer) == word


def test_what_is_stored_wider_than_needed_is_said(tmp_path: Path) -> None:
    quantizers = [Scheme.parse(scheme).fit(draw(4, 32)) for scheme in ("int3", "int3 asym", "int8", "binary")]
    assert tell_storage(quantizers) == [
        "codes of 3 bits in 2 tensors are stored as int4",
        "codes of 1 bit in 1 tensor are stored as int4",
    ]
    with open_model(str(save(tmp_path / "m.onnx", network()))) as model:
        write_qdq_onnx(model, X, fit(model, "int6", weights_of(model)), {}, tmp_path / "q.onnx")
    props = {one.key: one.value for one in onnx.load(str(tmp_path / "q.onnx")).metadata_props}
    assert props["codes"] == "codes of 6 bits in 4 tensors are stored as int8"


@pytest.mark.parametrize("scheme", ["nf4 group=4", "mxfp4", "gguf:q4_1", "fp8_e4m3"])
def test_formats_that_onnx_can_not_hold_are_refused_and_the_file_stays(tmp_path: Path, scheme: str) -> None:
    made = make([node("MatMul", ["x", "w"], ["y"], "layer")], {"w": draw(256, 32)}, [value("x", ["n", 256])])
    path = tmp_path / "q.onnx"
    path.write_bytes(b"before")
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        quantizers = fit(model, scheme, weights_of(model))
        with pytest.raises(ValueError, match=r"ONNX (holds|can not hold)|can not hold") as raised:
            write_qdq_onnx(model, Batch({"x": torch.zeros(1, 256)}), quantizers, {}, path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == b"before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m.onnx", "q.onnx"]


def test_names_that_are_not_there_and_ranges_of_tokens_are_refused(opened: dict[str, Any], tmp_path: Path) -> None:
    model, calibration = opened["digits-mlp"]
    quantizer = Scheme.parse("int8").fit(draw(4, 4))
    rows = Scheme.parse("int8 channel").fit(draw(4, 4))
    with open_model(str(save(tmp_path / "m.onnx", network()))) as other:
        with pytest.raises(ValueError, match="'nothing' is no tensor"):
            write_qdq_onnx(other, X, {"nothing": quantizer}, {}, tmp_path / "q.onnx")
        with pytest.raises(ValueError, match="'nothing' is no layer"):
            write_qdq_onnx(other, X, {}, {"nothing": quantizer}, tmp_path / "q.onnx")
        with pytest.raises(ValueError, match="4 ranges can not be written as QuantizeLinear"):
            write_qdq_onnx(other, X, {}, {"up": rows}, tmp_path / "q.onnx")
    with pytest.raises(ValueError, match="the input of layer 'nothing' is not in the exported model"):
        write_qdq_onnx(model, calibration.blocks[0], {}, {"nothing": quantizer}, tmp_path / "q.onnx")
    assert not (tmp_path / "q.onnx").exists()


class Choosing(nn.Module):
    """Code that looks at values, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x @ self.weight * self.calls


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x @ self.weight).real


class Stretching(nn.Module):
    """Follows the number of samples into a size of its own, which the exporter writes down as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.weight).reshape(len(x), 16)


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (Choosing(), "gives other outputs than the model"),
        (Failing(), "can not be exported as ONNX"),
        (Stretching(), "gives other outputs than the model"),
    ],
    ids=["other", "fails", "sizes"],
)
def test_a_model_that_the_exporter_does_not_follow_is_refused(tmp_path: Path, module: nn.Module, match: str) -> None:
    model = TorchModel(module, "made")
    quantizers = {"weight": Scheme.parse("int8").fit(np.ones((4, 4), np.float32))}
    with pytest.raises(ValueError, match=match) as raised:
        write_qdq_onnx(model, Batch({"x": torch.randn(3, 4, 4)}), quantizers, {}, tmp_path / "q.onnx")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "q.onnx").exists()


class Two(nn.Module):
    """Two inputs by name, a recurrent layer, attention, a normalised convolution, and a tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.conv = nn.Conv1d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, input_ids: torch.Tensor, gain: torch.Tensor) -> Any:
        x, _state = self.lstm(self.embed(input_ids))
        x = x + self.attend(x, x, x, need_weights=False)[0]
        x = self.norm(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return {"hidden": x, "logits": self.head(x * gain[:, :, None])}


def test_recurrence_attention_normalisation_and_tied_weights_are_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TorchModel(Two(), "two")
    batch = Batch({"input_ids": torch.randint(0, 11, (4, 6)), "gain": torch.rand(4, 6)})
    layers = weights_of(model)
    quantizers = fit(model, "int8 channel", layers)
    expected = restore(model, quantizers)
    write_qdq_onnx(model, batch, quantizers, {}, tmp_path / "q.onnx")
    check_weights(tmp_path / "q.onnx", expected, quantizers)
    ours = model.rerun(model.record(batch), Change(expected))
    torch.testing.assert_close(run(tmp_path / "q.onnx", batch), ours, rtol=1e-4, atol=1e-5)
    with open_model(str(tmp_path / "q.onnx")) as again:
        torch.testing.assert_close(again.record(batch).outputs, ours, rtol=1e-4, atol=1e-5)


class Twice(nn.Module):
    """A layer that runs twice, and one that was made equal to it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.load_state_dict(self.first.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(self.first(self.first(x).relu()))
        return output


def test_each_run_of_a_layer_is_quantized_and_equal_tensors_stay_apart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch = TorchModel(Twice(), "twice"), Batch({"x": torch.randn(40, 6)})
    layers = weights_of(model)
    quantizers = fit(model, "int8 channel", layers)
    # Three bits: an input that is left as it is would be seen at once.
    turns, activations = fit_inputs(model, Calibration((batch,), "drawn"), layers, "int3")
    write_qdq_onnx(model, batch, quantizers, activations, tmp_path / "q.onnx")
    expected = restore(model, quantizers)
    check_weights(tmp_path / "q.onnx", expected, quantizers)
    ours = model.rerun(model.record(batch), Change(expected, turns))
    # Values at the edge of a step may fall on its other side: far fewer than all.
    error = (ours - model.record(batch).outputs).norm()
    assert (run(tmp_path / "q.onnx", batch) - ours).norm() <= 0.2 * error
