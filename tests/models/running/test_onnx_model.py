"""A model of ONNX runs with other weights and inputs as the runtime runs a file that holds them, and stays what it was."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.onnx_model import OnnxModel
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.runnable import Change
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from tests.models.running.onnx_models import FLOAT, INT64, draw, make, network, node, replaced, run, save, value


def batch(**arrays: NDArray[Any]) -> Batch:
    return Batch({name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()})


X = draw(5, 1, 6, 6, seed=11)
ALL = 1 << 30


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    with open_model(str(save(tmp_path / "m.onnx", network()))) as model:
        yield model


def test_outputs_are_those_of_the_runtime(opened: OnnxModel) -> None:
    assert np.array_equal(opened.record(batch(x=X)).outputs.numpy(), run(network(), {"x": X}))


def test_tensors_are_those_of_a_sweep_over_the_file(opened: OnnxModel, tmp_path: Path) -> None:
    with open_checkpoint(tmp_path / "m.onnx") as source:
        assert opened.tensors == source.tensors
        assert opened.digest == source.digest


def test_layers_stand_in_the_order_of_the_graph_and_products_are_linear(opened: OnnxModel) -> None:
    weights = [layer for layer in opened.layers if layer.tensor.role == "weight"]
    assert [(layer.name, layer.tensor.name, layer.is_linear) for layer in weights] == [
        ("conv", "conv.weight", False),
        ("up", "up.weight", True),
        ("down", "down.weight", True),
        ("head", "head.weight", True),
    ]
    assert all(opened.is_used(layer) for layer in opened.layers)


NAMES = ("conv.weight", "conv.bias", "up.weight", "up.bias", "down.weight", "head.weight", "head.bias")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep_bytes", [0, 400, ALL])
def test_a_changed_tensor_gives_what_a_file_with_it_gives(opened: OnnxModel, name: str, keep_bytes: int) -> None:
    info = next(info for info in opened.tensors if info.name == name)
    values = opened.read(info) + np.float32(0.25)
    found = opened.rerun(opened.record(batch(x=X), keep_bytes=keep_bytes), Change({name: values}))
    # the same operations on the same numbers in the same order: no rounding apart
    assert np.array_equal(found.numpy(), run(replaced(network(), name, values), {"x": X}))


def test_several_changes_together_and_none_leave_nothing_behind(opened: OnnxModel) -> None:
    recording = opened.record(batch(x=X), keep_bytes=ALL)
    up, head = np.zeros((72, 16), np.float32), np.ones((3, 72), np.float32)
    both = opened.rerun(recording, Change({"up.weight": up, "head.weight": head}))
    made = replaced(replaced(network(), "up.weight", up), "head.weight", head)
    assert np.array_equal(both.numpy(), run(made, {"x": X}))
    assert torch.equal(opened.rerun(recording, Change()), recording.outputs)
    assert torch.equal(opened.record(batch(x=X)).outputs, recording.outputs)


def with_turn(layer: str, factor: float) -> onnx.ModelProto:
    """The network with a layer's input multiplied on its way in."""
    made = network()
    place = next(place for place, one in enumerate(made.graph.node) if one.name == layer)
    source = made.graph.node[place].input[0]
    made.graph.node[place].input[0] = "changed"
    made.graph.initializer.append(numpy_helper.from_array(np.float32(factor), "factor"))
    made.graph.node.insert(place, node("Mul", [source, "factor"], ["changed"]))
    return made


@pytest.mark.parametrize("layer", ["conv", "up", "down", "head"])
@pytest.mark.parametrize("keep_bytes", [0, ALL])
def test_a_changed_input_of_a_layer_reaches_that_layer_alone(opened: OnnxModel, layer: str, keep_bytes: int) -> None:
    recording = opened.record(batch(x=X), keep_bytes=keep_bytes)
    found = opened.rerun(recording, Change(inputs={layer: lambda a: a * 0.5}))
    assert np.array_equal(found.numpy(), run(with_turn(layer, 0.5), {"x": X}))


def test_inputs_of_all_layers_and_a_weight_change_in_one_run(opened: OnnxModel) -> None:
    zeros = np.zeros((72, 16), np.float32)
    turns = {name: lambda a: torch.round(a * 8) / 8 for name in ("conv", "up", "down", "head")}
    found = opened.rerun(opened.record(batch(x=X), keep_bytes=ALL), Change({"up.weight": zeros}, turns)).numpy()
    rounded = np.round(X * 8) / 8
    arrays = {one.name: numpy_helper.to_array(one) for one in network().graph.initializer}
    first = network()
    del first.graph.node[2:]
    first.graph.output[0].name = "r"
    flat = run(first, {"x": rounded}).reshape(5, -1)
    hidden = np.round(np.tanh(arrays["up.bias"]) * 8) / 8
    total = np.round((hidden @ arrays["down.weight"].T + flat) * 8) / 8
    # products of 16 and 72 numbers summed in another order: 72 ulp of a sum of magnitude below 64, and a sum that lies
    # on the edge of a step of 1/8 may fall on either side of it, which no figure of these does
    np.testing.assert_allclose(found, total @ arrays["head.weight"].T + arrays["head.bias"], atol=72 * 64 * 2**-23)


def test_watched_values_are_those_that_pass(opened: OnnxModel) -> None:
    told: list[tuple[str, torch.Tensor]] = []
    outputs = opened.watch(batch(x=X), ["head", "conv", "down"], lambda name, a: told.append((name, a)))
    assert [name for name, _a in told] == ["conv", "down", "head"]
    assert torch.equal(told[0][1], torch.from_numpy(X))
    out: dict[str, torch.Tensor] = {}
    opened.watch(batch(x=X), ["head", "down"], out.__setitem__, side="output")
    assert torch.equal(out["head"], outputs)
    product = told[1][1].numpy() @ opened.read(next(i for i in opened.tensors if i.name == "down.weight")).T
    np.testing.assert_allclose(out["down"].numpy(), product, atol=16 * 8 * 2**-23)  # 16 terms, sums below 8


def test_a_turned_input_is_watched_as_the_layer_gets_it(opened: OnnxModel) -> None:
    told: dict[str, torch.Tensor] = {}
    opened.watch(batch(x=X), ["conv", "up"], told.__setitem__, change=Change(inputs={"conv": torch.zeros_like}))
    assert not told["conv"].any()


def test_the_file_stays_as_it_is(opened: OnnxModel, tmp_path: Path) -> None:
    before = hashlib.sha256((tmp_path / "m.onnx").read_bytes()).hexdigest()
    recording = opened.record(batch(x=X), keep_bytes=ALL)
    with pytest.raises(ZeroDivisionError):
        opened.rerun(recording, Change(inputs={"up": lambda _a: 1 // 0}))
    assert torch.equal(opened.record(batch(x=X)).outputs, recording.outputs)
    assert hashlib.sha256((tmp_path / "m.onnx").read_bytes()).hexdigest() == before


def test_what_a_recording_weighs_is_what_it_holds(opened: OnnxModel) -> None:
    # values at the cuts before up, down and head, in float32: f (72), t (16), s (72), and y (3)
    assert opened.weigh(batch(x=X)) == 4 * (72 + 16 + 72 + 3)


@pytest.mark.parametrize("word", ["float16", "bfloat16"])
def test_halves_are_computed_in_float32_with_the_values_of_the_file(tmp_path: Path, word: str) -> None:
    wide = network()
    half = onnx.ModelProto()
    half.CopyFrom(wide)
    code = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}[word]
    dtype = helper.tensor_dtype_to_np_dtype(code)
    for narrow, tensor in zip(half.graph.initializer, wide.graph.initializer, strict=True):
        values = numpy_helper.to_array(tensor).astype(dtype)
        narrow.CopyFrom(numpy_helper.from_array(values, tensor.name))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    half.graph.input[0].type.tensor_type.elem_type = code
    half.graph.output[0].type.tensor_type.elem_type = code
    with open_model(str(save(tmp_path / "half.onnx", half))) as model:
        recording = model.record(batch(x=X), keep_bytes=ALL)
        assert np.array_equal(recording.outputs.numpy(), run(wide, {"x": X}))
        values = np.full((3, 72), 1 / 3, np.float32)  # no half
        found = model.rerun(recording, Change({"head.weight": values}))
        assert np.array_equal(found.numpy(), run(replaced(wide, "head.weight", values), {"x": X}))
        assert any("float32" in note for note in model.notes)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_fixed_number_of_samples_is_served_in_pieces(tmp_path: Path, size: int) -> None:
    made = network()
    made.graph.input[0].CopyFrom(value("x", [size, 1, 6, 6]))
    told: list[torch.Tensor] = []
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        recording = model.record(batch(x=X), keep_bytes=ALL)
        changed = model.rerun(recording, Change({"head.bias": np.zeros(3, np.float32)}))
        model.watch(batch(x=X), ["up"], lambda _name, a: told.append(a))
    whole = run(network(), {"x": X})
    # a product of another number of rows may be summed in another order: 72 terms, sums below 64
    atol = 72 * 64 * 2**-23
    np.testing.assert_allclose(recording.outputs.numpy(), whole, atol=atol)
    bias = numpy_helper.to_array(network().graph.initializer[6])
    np.testing.assert_allclose(changed.numpy(), whole - bias, atol=2 * atol)
    assert [len(one) for one in told] == [min(size, 5 - start) for start in range(0, 5, size)]


def test_inputs_without_an_axis_of_samples_are_given_one_by_one(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["a", "w"], ["h"]), node("Mul", ["h", "gain"], ["y"])]
    made = make(nodes, {"w": draw(4, 2)}, [value("a", ["n", 4]), value("gain", [])])
    a, gain = draw(3, 4, seed=1), draw(3, seed=2)
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        found = model.record(batch(a=a, gain=gain)).outputs.numpy()
    np.testing.assert_allclose(found, (a @ draw(4, 2)) * gain[:, None], rtol=4 * 2**-23, atol=4 * 2**-23)


def test_whole_numbers_are_cast_to_what_the_model_takes(tmp_path: Path) -> None:
    nodes = [node("Gather", ["table", "ids"], ["e"], "embed"), node("MatMul", ["e", "w"], ["logits"], "head")]
    code = TensorProto.INT32
    made = make(
        nodes, {"table": draw(7, 4), "w": draw(4, 5)}, [value("ids", ["n", "t"], code)], output=value("logits", None)
    )
    ids = np.array([[0, 6, 3], [1, 2, 2]])
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        assert [layer.has_real_input for layer in model.layers] == [False, True]
        assert model.layers[0].tensor.role == "embedding"
        whole = model.record(batch(x=ids)).outputs
        assert torch.equal(model.record(batch(x=ids.astype(np.float32))).outputs, whole)
        assert torch.equal(model.record(batch(x=ids[:, :2])).outputs, whole[:, :2])
        with pytest.raises(ValueError, match=r"takes whole numbers; the data holds 0\.5"):
            model.record(batch(x=ids + 0.5))
        with pytest.raises(ValueError, match="takes int32; the data reaches from 0 to 4294967296"):
            model.record(batch(x=np.array([[0, 1 << 32]])))


def test_of_several_outputs_the_logits_are_taken(tmp_path: Path) -> None:
    made = make(
        [node("MatMul", ["x", "w"], ["h"]), node("ArgMax", ["h"], ["label"], axis=1), node("Relu", ["h"], ["logits"])],
        {"w": draw(4, 2)},
        [value("x", ["n", 4])],
    )
    del made.graph.output[:]
    made.graph.output.extend([value("label", None, INT64), value("h", None), value("logits", None)])
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        assert (model.record(batch(x=draw(3, 4))).outputs >= 0).all()
    del made.graph.output[1:]
    with pytest.raises(ValueError, match="returns no real numbers; its outputs are label"):
        open_model(str(save(tmp_path / "n.onnx", made)))


def test_weights_of_branches_and_constant_nodes_can_be_changed(tmp_path: Path) -> None:
    def branch(name: str, seed: int) -> onnx.GraphProto:
        nodes = [
            node("Constant", [], ["w"], value=numpy_helper.from_array(draw(4, 2, seed=seed), "w")),
            node("MatMul", ["x", "w"], ["o"], "product"),
        ]
        return helper.make_graph(nodes, name, [], [value("o", None)])

    nodes = [
        node("ReduceSum", ["x"], ["total"], keepdims=0),
        node("Greater", ["total", "zero"], ["is_positive"]),
        helper.make_node(
            "If", ["is_positive"], ["h"], "choice", then_branch=branch("a", 1), else_branch=branch("b", 2)
        ),
        node("Relu", ["h"], ["y"]),
    ]
    made = make(nodes, {"zero": np.float32(0)}, [value("x", ["n", 4])])
    x = np.abs(draw(3, 4))
    with open_model(str(save(tmp_path / "m.onnx", made))) as model, open_checkpoint(tmp_path / "m.onnx") as source:
        names = [info.name for info in source.tensors if info.role == "weight"]
        assert len(names) == 2
        recording = model.record(batch(x=x), keep_bytes=ALL)
        weight = draw(4, 2, seed=1)
        np.testing.assert_allclose(recording.outputs.numpy(), np.maximum(x @ weight, 0), atol=1e-6)
        infos = {info.name: info for info in source.tensors}
        names.sort(key=lambda name: not np.array_equal(model.read(infos[name]), weight))
        taken, other = (model.rerun(recording, Change({name: -weight})).numpy() for name in names)
        np.testing.assert_allclose(taken, np.maximum(x @ -weight, 0), atol=1e-6)
        assert np.array_equal(other, recording.outputs.numpy())


def test_weights_of_branches_inside_branches_are_found_and_those_of_one_name_told_apart(tmp_path: Path) -> None:
    def constant(seed: int) -> onnx.NodeProto:
        return node("Constant", [], ["w"], value=numpy_helper.from_array(draw(4, 4, seed=seed), "w"))

    def branch(nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        return helper.make_graph(nodes, "branch", [], [value("o", None)])

    inner = [
        branch([constant(seed), node("MatMul", ["h", "w"], ["p"]), node("Identity", ["p"], ["o"])]) for seed in (1, 2)
    ]
    outer = branch(
        [
            constant(3),
            node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("If", ["choice"], ["o"], "inside", then_branch=inner[0], else_branch=inner[1]),
        ]
    )
    nodes = [
        node("Constant", [], ["choice"], value=numpy_helper.from_array(np.array([True]), "choice")),
        helper.make_node(
            "If",
            ["choice"],
            ["y"],
            "outside",
            then_branch=outer,
            else_branch=branch([constant(4), node("MatMul", ["x", "w"], ["o"])]),
        ),
    ]
    x = draw(3, 4)
    with open_model(str(save(tmp_path / "m.onnx", make(nodes, {}, [value("x", ["n", 4])])))) as model:
        weights = [info for info in model.tensors if info.role == "weight"]
        recording = model.record(batch(x=x), keep_bytes=ALL)
        np.testing.assert_allclose(recording.outputs, x @ draw(4, 4, seed=3) @ draw(4, 4, seed=1), atol=1e-5)
        for info in weights:
            (seed,) = (one for one in (1, 2, 3, 4) if np.array_equal(model.read(info), draw(4, 4, seed=one)))
            zeroed = model.rerun(recording, Change({info.name: np.zeros((4, 4), np.float32)}))
            assert bool(zeroed.any()) == (seed in (2, 4)), info.name
        assert len(weights) == 4


def test_data_beside_the_model_is_fed_too(tmp_path: Path) -> None:
    onnx.save_model(network(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=64)
    with open_model(str(tmp_path / "m.onnx")) as model:
        recording = model.record(batch(x=X), keep_bytes=ALL)
        assert np.array_equal(recording.outputs.numpy(), run(network(), {"x": X}))
        zeros = np.zeros((72, 16), np.float32)
        found = model.rerun(recording, Change({"down.weight": zeros})).numpy()
        assert np.array_equal(found, run(replaced(network(), "down.weight", zeros), {"x": X}))


def test_a_tied_matrix_changes_wherever_it_is_used(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["table", "ids"], ["e"], "embed"),
        node("Transpose", ["table"], ["t"], perm=[1, 0]),
        node("MatMul", ["e", "t"], ["y"], "head"),
    ]
    table, ids = draw(7, 4), np.array([[0, 6, 3]])
    with open_model(
        str(save(tmp_path / "m.onnx", make(nodes, {"table": table}, [value("ids", ["n", "t"], INT64)])))
    ) as model:
        found = model.rerun(model.record(batch(x=ids), keep_bytes=ALL), Change({"table": 2 * table})).numpy()
    np.testing.assert_allclose(found, 4 * table[ids] @ table.T, atol=4 * 64 * 2**-23)  # 4 terms, sums below 64


def quantized_weights() -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    """x times a matrix of int8 codes, one scale each column; the matrix."""
    codes = np.random.default_rng(1).integers(-128, 128, (6, 4)).astype(np.int8)
    scales = np.float32([0.5, 0.25, 1, 0.1])
    nodes = [node("DequantizeLinear", ["w_quantized", "s"], ["w"], axis=1), node("MatMul", ["x", "w"], ["y"], "layer")]
    return make(nodes, {"w_quantized": codes, "s": scales}, [value("x", ["n", 6])]), codes * scales


def test_codes_are_measured_by_their_decoded_values(tmp_path: Path) -> None:
    made, weight = quantized_weights()
    x = draw(3, 6)
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        (layer,) = (one for one in model.layers if one.tensor.role == "weight")
        assert (layer.name, layer.tensor.name, layer.is_linear) == ("layer", "w_quantized", True)
        assert np.array_equal(model.read(layer.tensor), weight)
        recording = model.record(batch(x=x), keep_bytes=ALL)
        assert np.array_equal(recording.outputs.numpy(), run(made, {"x": x}))
        half = model.rerun(recording, Change({"w_quantized": weight / 2}))
        assert torch.equal(half * 2, recording.outputs)


def test_blocks_of_bits_are_measured_by_their_decoded_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    arrays = {
        "w": rng.integers(0, 256, (4, 2, 16)).astype(np.uint8),
        "s": rng.uniform(0.01, 0.1, (8,)).astype(np.float32),
    }
    keys = {"N": 4, "K": 64, "bits": 4, "block_size": 32}
    made = make(
        [node("MatMulNBits", ["x", "w", "s"], ["y"], "layer", domain="com.microsoft", **keys)],
        arrays,
        [value("x", ["n", 64])],
    )
    x = draw(3, 64)
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        recording = model.record(batch(x=x))
        # 64 terms, sums below 16
        np.testing.assert_allclose(recording.outputs.numpy(), run(made, {"x": x}), atol=64 * 16 * 2**-23)
        (layer,) = (one for one in model.layers if one.tensor.role == "weight")
        twice = model.rerun(recording, Change({"w": 2 * model.read(layer.tensor)}))
        assert torch.equal(twice, 2 * recording.outputs)


def test_an_operator_that_computes_with_codes_gives_an_unsupported_row(tmp_path: Path) -> None:
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
        node("MatMulInteger", ["q", "w", "qz"], ["i"], "integers"),
        node("Cast", ["i"], ["f"], to=FLOAT),
        node("Mul", ["qs", "ws"], ["s"]),
        node("Mul", ["f", "s"], ["h"]),
        node("MatMul", ["h", "v"], ["y"], "real"),
    ]
    codes = np.random.default_rng(1).integers(-128, 128, (6, 4)).astype(np.int8)
    made = make(nodes, {"w": codes, "ws": np.float32(0.1), "v": draw(4, 3)}, [value("x", ["n", 6])])
    calibration = Calibration((batch(x=draw(4, 6)),), "drawn")
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        table = measure_sensitivity(model, calibration, ["int4 channel"])
    rows = {row.tensor: row for row in table}
    assert rows["v"].status == "ok"
    assert rows["w"].status == "unsupported"
    assert "MatMulInteger computes with the codes themselves" in rows["w"].reason


def test_a_sensitivity_is_what_brute_force_over_files_finds(tmp_path: Path) -> None:
    from qanalysis.quantizers.scheme import Scheme

    made, scheme = network(), Scheme.parse("int4 channel")
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        table = measure_sensitivity(model, Calibration((batch(x=X),), "drawn"), [scheme])
        infos = {info.name: info for info in model.tensors}
    whole = run(made, {"x": X}).astype(np.float64)
    for row in table:
        values = numpy_helper.to_array(next(one for one in made.graph.initializer if one.name == row.tensor))
        other = scheme.fit(values, axis=infos[row.tensor].view).round_trip(values)
        error = run(replaced(made, row.tensor, other), {"x": X}) - whole
        assert row.output_sqnr_db == pytest.approx(10 * np.log10((whole**2).sum() / (error**2).sum()), abs=1e-9)
    assert len(table) == 4


def write_weights(path: Path, **other: NDArray[Any]) -> str:
    arrays = {one.name: numpy_helper.to_array(one) for one in network().graph.initializer} | other
    save_file({name: array for name, array in arrays.items() if array.size}, path)
    return str(path)


def test_weights_of_a_checkpoint_take_the_place_of_the_models_own(tmp_path: Path) -> None:
    path, head = save(tmp_path / "m.onnx", network()), draw(3, 72, seed=9)
    weights = write_weights(tmp_path / "w.safetensors", **{"head.weight": head})
    with open_model(str(path), weights=weights) as model:
        assert np.array_equal(model.read(next(info for info in model.tensors if info.name == "head.weight")), head)
        expected = run(replaced(network(), "head.weight", head), {"x": X})
        assert np.array_equal(model.record(batch(x=X)).outputs.numpy(), expected)
        assert model.identity.path == "w.safetensors"


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"head.weight": draw(3, 71)}, r"1 have another shape \(head.weight 3x71 against 3x72\)"),
        ({"head.weight": np.zeros(0, np.float32)}, "1 of the model's 7 tensors are not in the file"),
        ({"tail.weight": draw(3, 3)}, r"1 of the file's are not in the model \(tail.weight\)"),
    ],
    ids=["shape", "missing", "unexpected"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, other: dict[str, Any], match: str) -> None:
    path = save(tmp_path / "m.onnx", network())
    with pytest.raises(ValueError, match=match) as raised:
        open_model(str(path), weights=write_weights(tmp_path / "w.safetensors", **other))
    assert "\n" not in str(raised.value)


def refuse(path: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as raised:
        open_model(str(path))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_an_operator_without_a_kernel_is_refused(tmp_path: Path) -> None:
    made = make(
        [helper.make_node("Sorcery", ["x"], ["y"], "spell", domain="org.example")],
        {"w": draw(2, 2)},
        [value("x", ["n", 2])],
    )
    refuse(save(tmp_path / "m.onnx", made), "ONNX Runtime does not take the model.*Sorcery")


def test_a_type_without_a_kernel_is_refused(tmp_path: Path) -> None:
    code = TensorProto.INT16
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Cast", ["h"], ["y"], to=FLOAT)]
    made = make(nodes, {"w": np.ones((2, 2), np.int16), "v": draw(2, 2)}, [value("x", ["n", 2], code)])
    refuse(save(tmp_path / "m.onnx", made), "ONNX Runtime does not take the model")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = network().SerializeToString()
    for name, data in {"cut": whole[: len(whole) // 2], "text": b"hello, world", "empty": b""}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        refuse(path, "onnx")
    refuse(tmp_path / "absent.onnx", "absent.onnx")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"b": draw(2, 4)}, r"input 'a' is missing; the model takes a \(float32, Nx4\)"),
        ({"a": draw(2, 4), "c": draw(2, 4)}, "'c' is no input of the model; the model takes a"),
        ({"a": draw(2, 3, 4)}, r"a \(float32, Nx4\) has the shape 2x3x4; its first axis is that of the samples"),
        ({"a": draw(2, 5)}, "has the shape 2x5"),
        ({"x": draw(2, 5)}, "has the shape 2x5"),
    ],
    ids=["missing", "unknown", "rank", "width", "by place"],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], match: str) -> None:
    made = make([node("MatMul", ["a", "w"], ["y"])], {"w": draw(4, 2)}, [value("a", ["n", 4])])
    with open_model(str(save(tmp_path / "m.onnx", made))) as model, pytest.raises(ValueError, match=match) as raised:
        model.record(batch(**arrays))
    assert "\n" not in str(raised.value)


def test_an_operation_that_fails_at_work_is_told_on_one_line(tmp_path: Path) -> None:
    made = make(
        [node("MatMul", ["a", "w"], ["h"]), node("Reshape", ["h", "s"], ["y"])],
        {"w": draw(4, 2), "s": np.int64([3, 5])},
        [value("a", ["n", 4])],
    )
    with (
        open_model(str(save(tmp_path / "m.onnx", made))) as model,
        pytest.raises(ValueError, match="does not run") as raised,
    ):
        model.record(batch(a=draw(2, 4)))
    assert "\n" not in str(raised.value)


def test_unknown_layers_and_tensors_are_refused(opened: OnnxModel) -> None:
    recording = opened.record(batch(x=X))
    with pytest.raises(ValueError, match="'nothing' is no tensor of the model"):
        opened.rerun(recording, Change({"nothing": draw(2, 2)}))
    with pytest.raises(ValueError, match="'nothing' is no layer"):
        opened.rerun(recording, Change(inputs={"nothing": lambda a: a}))
    with pytest.raises(ValueError, match="'nothing' is no layer"):
        opened.watch(batch(x=X), ["nothing"], lambda _name, _a: None)


def test_without_the_runtime_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "m.onnx", network())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as Python does for a package that is not there
    refuse(path, r"pip install 'qanalysis\[onnx\]'")


def test_nothing_is_said_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = network()
    made.graph.output[0].CopyFrom(value("y", [7, 9]))  # which is not so, and the runtime would warn of it
    with open_model(str(save(tmp_path / "m.onnx", made))) as model:
        model.record(batch(x=X))
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
