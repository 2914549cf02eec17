"""Activations as a source: names, shapes, values, notes, and rows of a sweep."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.models.activations.source import ActivationSource
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import measure
from qanalysis.sweeps.sweep import sweep


class Model(nn.Module):
    """A shared layer that runs twice, one that never runs, and a convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.shared, self.idle = nn.Conv1d(3, 6, 2), nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.conv(x)).movedim(1, -1)
        return self.shared(torch.relu(self.shared(hidden)))


def make() -> tuple[TorchModel, Calibration]:
    torch.manual_seed(1)
    return TorchModel(Model(), "model"), Calibration((Batch({"x": torch.randn(10, 3, 5)}),), "drawn")


def test_tensors_are_matrices_of_tokens_and_features_that_hold_every_call() -> None:
    model, data = make()
    x = data.blocks[0].inputs["x"]
    with ActivationSource(model, data, looks=("input", "output")) as source, torch.no_grad():
        assert [(info.name, info.shape, info.kind) for info in source.tensors] == [
            ("conv:input", (50, 3), "activation"),
            ("conv:output", (40, 6), "activation"),
            ("shared:input", (80, 6), "activation"),
            ("shared:output", (80, 6), "activation"),
        ]
        found = {info.name: source.read(info) for info in source.tensors}
        assert np.array_equal(found["conv:input"], x.movedim(1, -1).reshape(50, 3).numpy())
        hidden = torch.relu(model.module.conv(x)).movedim(1, -1)
        both = torch.cat([hidden, torch.relu(model.module.shared(hidden))]).reshape(80, 6)
        assert np.array_equal(found["shared:input"], both.numpy())
        info = source.tensors[2]
        assert source.is_sliceable(info)
        assert np.array_equal(source.read_slice(info, 7, 20), found["shared:input"].reshape(-1)[7:20])
        assert [place.name for place in source.unseen] == ["idle:input", "idle:output"]
        assert any("never seen in calibration: 2 activations, 'idle:input'" in note for note in source.notes)
        assert source.digest.startswith("sha256:")
    with pytest.raises(CheckpointError, match="the source is closed"):
        source.read(info)


@pytest.mark.parametrize("text", ["int8", "int8 channel", "int4 channel=1", "int4 group=4", "binary channel", "nf4"])
def test_rows_of_a_sweep_are_those_of_the_matrices(text: str) -> None:
    model, data = make()
    scheme = Scheme.parse(text)
    with ActivationSource(model, data) as source:
        rows = sweep(source, [scheme])
        values = {info.name: np.array(source.read(info)) for info in source.tensors}
    assert [row.tensor for row in rows] == ["conv:input", "shared:input"]
    for row in rows:
        wanted = measure(values[row.tensor], scheme.fit(values[row.tensor]).round_trip(values[row.tensor]))
        assert (row.kind, row.status) == ("activation", "ok")
        # sums of float32 errors in another order
        assert row.sqnr_db == pytest.approx(wanted.sqnr_db, abs=1e-4)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_change_no_value_that_is_kept(batch: int) -> None:
    model, data = make()
    with ActivationSource(model, data, is_wanted=lambda name: name == "conv:input", batch=batch, disk_bytes=240) as one:
        assert [info.shape for info in one.tensors] == [(13, 3)]  # room for 20 tokens of 50: every fourth
        assert one.tensors[0].note == "13 of 50 tokens, evenly drawn"
        assert one.seen[0].sums.tokens == 50
        whole = data.blocks[0].inputs["x"].movedim(1, -1).reshape(50, 3).numpy()
        assert np.array_equal(one.read(one.tensors[0]), whole[::4])
        assert any("'conv:input 13 of 50 tokens, evenly drawn'" in note for note in one.notes)


def test_a_stream_of_ten_times_as_many_batches_takes_no_more_memory() -> None:
    torch.manual_seed(2)
    model = TorchModel(nn.Sequential(nn.Linear(64, 64)), "wide")

    def peak(batches: int) -> int:
        x = torch.randn(64, 64).repeat(batches, 1)  # torch's own memory is not traced
        data = Calibration((Batch({"x": x}),), "drawn")
        tracemalloc.start()
        with ActivationSource(model, data, looks=("input", "output"), batch=64, disk_bytes=1 << 18):
            found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    # a batch is 16 kB: keeping inputs and outputs of 54 more of them would take 1.7 MB
    assert peak(60) - peak(6) < 200_000


def test_unknown_sides_and_expressions_that_leave_nothing_are_refused() -> None:
    model, data = make()
    with pytest.raises(ValueError, match="side 'inputs' is none of input, output, kv"):
        ActivationSource(model, data, looks=("inputs",))
    with pytest.raises(ValueError, match="no activation is left of 3 layers"):
        ActivationSource(model, data, is_wanted=lambda _name: False)


def test_a_model_that_fails_leaves_no_file_open_and_one_message() -> None:
    model, _data = make()
    with pytest.raises(ValueError, match="the model does not run on x float32"):
        ActivationSource(model, Calibration((Batch({"x": torch.randn(2, 4, 5)}),), "wrong"))
    assert not any(part._forward_pre_hooks for part in model.module.modules())


def test_an_onnx_model_has_the_same_activations_as_its_torch_twin(tmp_path: Path) -> None:
    model, data = make()
    weights = {name: value.detach().numpy() for name, value in model.module.state_dict().items()}
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Transpose", ["r"], ["t"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "turned"], ["y"], "first"),
    ]
    arrays = {"conv.weight": weights["conv.weight"], "conv.bias": weights["conv.bias"]}
    arrays["turned"] = np.ascontiguousarray(weights["shared.weight"].T)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 6])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "twin.onnx").write_bytes(made.SerializeToString())
    with open_model(str(tmp_path / "twin.onnx")) as twin, ActivationSource(twin, data) as source:
        found = {info.name: np.array(source.read(info)) for info in source.tensors}
    with ActivationSource(model, data) as source:
        wanted = {info.name: np.array(source.read(info)) for info in source.tensors}
    assert list(found) == ["conv:input", "first:input"]
    assert np.array_equal(found["conv:input"], wanted["conv:input"])
    # sums of six products, by another library
    np.testing.assert_allclose(found["first:input"], wanted["shared:input"][:40], atol=6 * 2**-22)
