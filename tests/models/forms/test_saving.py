"""A form in a file and back: every output bit for bit, sizes, what is refused, and what happens to a file that was there."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.forms.candidates import Candidate, FormMaker
from qanalysis.models.forms.form import Form
from qanalysis.models.forms.forms import choose_quantized, measure_forms
from qanalysis.models.forms.loading import load_form
from qanalysis.models.forms.repairing import repair_form
from qanalysis.models.forms.saving import NOTE, check_place, save_form
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.runnable import Change, Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.sweeps.selection import select_tensors

SAMPLES = ("digits-mlp", "digits-cnn", "words-transformer")
FORMS = ("W8", "W4A4", "W1A1", "W(int4 asym group=32)A8", "W(nf4 group=64)A(int8 channel)", "A8")


def make_maker(model: Runnable, data: Calibration, form: Form) -> FormMaker:
    layers = choose_quantized(model, data, select_tensors(model.tensors))
    maker = FormMaker(model, data, layers)
    maker.calibrate([form.activations] if form.activations else [])
    return maker


def make_candidate(model: Runnable, data: Calibration, text: str) -> Candidate:
    form = Form.parse(text)
    return make_maker(model, data, form).make(form)


def run(model: Runnable, data: Calibration, change: Change) -> Tensor:
    return model.watch(data.blocks[0], [], lambda _name, _values: None, change=change)


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("name", [pytest.param(name, id=f"row-44-{name}") for name in SAMPLES])
def test_a_saved_form_reloads_to_the_same_outputs_bit_for_bit(tmp_path: Path, name: str, text: str) -> None:
    model = open_model(f"sample:{name}")
    data = open_calibration("sample", model, samples=4)
    candidate = make_candidate(model, data, text)
    expected = run(model, data, candidate.make())
    path = tmp_path / "form.safetensors"
    save_form(path, model, candidate)
    again = load_form(path, open_model(f"sample:{name}"))
    assert (again.form, again.repair) == (candidate.form, "")
    assert torch.equal(run(open_model(f"sample:{name}"), data, again.change), expected)
    # The weights alone, as any checkpoint's, and the inputs on the ranges that were saved.
    reloaded = open_model(f"sample:{name}", weights=str(path))
    assert torch.equal(run(reloaded, data, Change(inputs=load_form(path, reloaded).change.inputs)), expected)
    with open_checkpoint(path) as source:
        stored = {info.name: info.stored for info in source.tensors if info.stored}
        assert all(info.decodes for info in source.tensors if info.stored)
    assert set(stored) == candidate.quantized
    assert set(stored.values()) <= {f"qanalysis {candidate.form.weights}"}


@pytest.mark.parametrize("name", [pytest.param(name, id=f"row-45-{name}") for name in SAMPLES])
def test_an_8_bit_file_takes_about_a_quarter_of_float32_and_what_the_row_says(tmp_path: Path, name: str) -> None:
    model = open_model(f"sample:{name}")
    data = open_calibration("sample", model, samples=4)
    path = tmp_path / "form.safetensors"
    row = measure_forms(model, data, ["W8"], save=path)[0]
    floats = sum(4 * info.numel for info in model.tensors)
    # A quarter, a scale for each row, biases and norms as they are, and in the file a header and 70 bytes of layout
    # for each tensor, which is much only where tensors are as small as here.
    assert row.size_ratio == pytest.approx(0.25, abs=0.02)
    overhead = 8 + 2048 + 500 * len(model.tensors)
    assert row.size_bytes <= path.stat().st_size <= row.size_bytes + overhead
    assert path.stat().st_size < 0.3 * floats


def test_a_repaired_form_comes_back_with_its_other_biases(tmp_path: Path) -> None:
    model = open_model("sample:digits-mlp")
    data = open_calibration("sample", model, samples=20)
    form = Form.parse("W3A8")
    candidate = repair_form(make_maker(model, data, form), form, "gptq+bias")
    path = tmp_path / "form.safetensors"
    save_form(path, model, candidate)
    again = load_form(path, model)
    assert again.repair == "gptq+bias"
    assert "fc1.bias" in again.change.weights
    assert torch.equal(run(model, data, again.change), run(model, data, candidate.make()))
    loaded = measure_forms(model, data, load=path)[0]
    measured = measure_forms(model, data, [form], repairs=["gptq+bias"])[1]
    assert (loaded.form, loaded.repair) == (measured.form, measured.repair) == ("W3A8", "gptq+bias")
    assert loaded.output_sqnr_db == measured.output_sqnr_db
    assert loaded.layer_error == measured.layer_error


class Odd(nn.Module):
    """Types and ties of real models: bfloat16, a table tied to the head, a counter, a mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(7, 32)
        self.inside = nn.Linear(32, 32)
        self.head = nn.Linear(32, 7, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("steps", torch.tensor(3))
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.inside(self.table(x))))


def test_tensors_of_other_types_are_kept_as_they_are_and_tied_ones_stand_once(tmp_path: Path) -> None:
    model = TorchModel(Odd().bfloat16(), "odd")
    data = Calibration((Batch({"x": torch.arange(6).reshape(2, 3)}),), "own")
    candidate = make_candidate(model, data, "W4A8")
    path = tmp_path / "form.safetensors"
    save_form(path, model, candidate)
    with open_checkpoint(path) as source:
        types = {info.name: info.dtype for info in source.tensors}
    assert types == {
        "table.weight": "uint8", "inside.weight": "uint8", "inside.bias": "bfloat16", "steps": "int64", "mask": "bool",
    }  # fmt: skip
    assert torch.equal(run(model, data, load_form(path, model).change), run(model, data, candidate.make()))


def test_safetensors_own_reader_takes_the_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = TorchModel(Odd().bfloat16(), "odd")
    data = Calibration((Batch({"x": torch.arange(6).reshape(2, 3)}),), "own")
    save_form(tmp_path / "form.safetensors", model, make_candidate(model, data, "W(int3 asym)"))
    found = load_file(tmp_path / "form.safetensors")
    assert torch.equal(found["inside.bias"], model.module.inside.bias)
    assert found["table.weight.q_codes"].shape == (7, 12)


def make_two_layers() -> tuple[TorchModel, Calibration]:
    torch.manual_seed(1)
    model = TorchModel(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), "two layers")
    return model, Calibration((Batch({"x": torch.randn(5, 4)}),), "own")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("W16", "W16 can not be saved: int16 channel has codes of more than 8 bits", id="wide"),
        pytest.param("W(gguf:q4_1)", "blocks of 32", id="nothing-quantized"),
    ],
)
def test_what_no_layout_holds_is_refused_and_the_file_that_was_there_stays(
    tmp_path: Path, text: str, reason: str
) -> None:
    model, data = make_two_layers()
    path = tmp_path / "form.safetensors"
    path.write_text("mine")
    with pytest.raises(ValueError, match=reason):
        save_form(path, model, make_candidate(model, data, text))
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["form.safetensors"]


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    model, data = make_two_layers()
    candidate = make_candidate(model, data, "W8")
    with torch.no_grad():
        model.module[1].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"1\.weight holds NaN or infinities"):
        save_form(tmp_path / "form.safetensors", model, candidate)


def test_a_file_is_not_written_over_an_input(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights, inside = tmp_path / "weights.safetensors", tmp_path / "model" / "model.safetensors"
    for path in (weights, inside):
        path.write_text("float")
    check_place(tmp_path / "other.safetensors", {"--weights": weights, "the model": None})
    with pytest.raises(ValueError, match="is --weights itself"):
        check_place(tmp_path / "model" / ".." / "weights.safetensors", {"--weights": weights})
    with pytest.raises(ValueError, match="is the model itself or a part of it"):
        check_place(inside, {"the model": str(tmp_path / "model")})


def rewrite(path: Path, change: Any) -> None:
    """The same tensors under another note."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda _note: {}, "holds no form of a model", id="no-note"),
        pytest.param(lambda note: note | {NOTE: "{"}, "holds no form of a model", id="cut"),
        pytest.param(lambda note: note | {NOTE: "[]"}, "its form lacks activation_scheme", id="list"),
        pytest.param(
            lambda note: note | {NOTE: json.dumps(json.loads(note[NOTE]) | {"inputs": 3})},
            "inputs of its layers are not told",
            id="inputs",
        ),
        pytest.param(
            lambda note: note | {NOTE: json.dumps(json.loads(note[NOTE]) | {"inputs": {"0": {"scheme": "int8", "over": "range"}}})},
            "the input of 0 is not told as it should be",
            id="range",
        ),
        pytest.param(
            lambda note: note | {NOTE: json.dumps(json.loads(note[NOTE]) | {"inputs": {"9": {"scheme": "int8 channel"}}})},
            "another model, which has a layer '9'",
            id="layer",
        ),
        pytest.param(
            lambda note: note | {NOTE: json.dumps(json.loads(note[NOTE]) | {"weight_scheme": "int99"})},
            "int99",
            id="scheme",
        ),
    ],
)  # fmt: skip
def test_a_damaged_note_is_told_in_one_line(tmp_path: Path, change: Any, reason: str) -> None:
    model, data = make_two_layers()
    path = tmp_path / "form.safetensors"
    save_form(path, model, make_candidate(model, data, "W8A8"))
    rewrite(path, change)
    with pytest.raises(ValueError, match=reason) as caught:
        load_form(path, model)
    assert "\n" not in str(caught.value)


def test_the_form_of_another_model_is_refused(tmp_path: Path) -> None:
    model, data = make_two_layers()
    path = tmp_path / "form.safetensors"
    save_form(path, model, make_candidate(model, data, "W8"))
    other = TorchModel(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), "other")
    with pytest.raises(ValueError, match=r"'1\.weight' is 2x4 in it, 3x4 in the model"):
        load_form(path, other)
    with pytest.raises(ValueError, match="'weight' is not in it"):
        load_form(path, TorchModel(nn.Linear(4, 4), "other"))
    with pytest.raises(ValueError, match=r"nothing\.safetensors"):
        load_form(tmp_path / "nothing.safetensors", model)


def test_one_file_holds_one_form(tmp_path: Path) -> None:
    model, data = make_two_layers()
    with pytest.raises(ValueError, match="a file holds one form"):
        measure_forms(model, data, ["W8", "W4"], save=tmp_path / "form.safetensors")
    with pytest.raises(ValueError, match="a saved form is measured by itself"):
        measure_forms(model, data, ["W8"], load=tmp_path / "form.safetensors")
    assert not list(tmp_path.iterdir())
    assert np.isfinite(measure_forms(model, data, ["W8"])[0].output_sqnr_db or np.nan)


@pytest.mark.parametrize("kind", ["encoder", "gpt2"])
def test_a_folder_of_transformers_is_saved_and_comes_back(
    tmp_path: Path, kind: str, model_folder: Any, text_file: Path
) -> None:
    pytest.importorskip("transformers")
    folder = str(model_folder(kind))
    model = open_model(folder)
    data = open_calibration(str(text_file), model, samples=4, length=12)
    path = tmp_path / "form.safetensors"
    saved = measure_forms(model, data, ["W4A8"], save=path)[0]
    assert saved.status == "ok"
    reloaded = open_model(folder, weights=str(path))
    expected = run(model, data, load_form(path, model).change)
    assert torch.equal(run(reloaded, data, Change(inputs=load_form(path, reloaded).change.inputs)), expected)
    again = measure_forms(model, data, load=path)[0]
    assert (again.output_sqnr_db, again.layer_error, again.loss) == (
        saved.output_sqnr_db,
        saved.layer_error,
        saved.loss,
    )


@pytest.mark.parametrize(("text", "repairs"), [("W8A8", []), ("W4", ["gptq+bias"])], ids=["both", "repaired"])
def test_row_44_onnx_runtime_has_the_accuracy_that_was_measured(tmp_path: Path, text: str, repairs: list[str]) -> None:
    pytest.importorskip("onnxruntime")
    model = open_model("sample:digits-mlp")
    data = open_calibration("sample", model, samples=100)
    path = tmp_path / "form.onnx"
    row = measure_forms(model, data, [text], repairs=repairs, save=path)[-1]
    with open_model(str(path)) as deployed:
        logits = deployed.record(data.blocks[0]).outputs
    right = float((logits.argmax(-1) == data.blocks[0].targets).double().mean())
    # The runtime's products sum in another order: an input at the edge of a cell may fall to the other side of it, which
    # moves the label of a sample only where two logits are all but equal.
    assert right == pytest.approx(row.accuracy, abs=0.01 + 1e-9)
