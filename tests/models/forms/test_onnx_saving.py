"""A form that is saved as ONNX runs elsewhere to the accuracy that its row states, repaired or not."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.forms.forms import measure_forms
from qanalysis.models.forms.onnx_writer import write_qdq_onnx
from qanalysis.models.running.opening import open_model


def count_right(path: Path, calibration: object) -> float:
    """The share of labels that a plain session gets right."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    right = total = 0
    for batch in calibration.blocks:
        (given,) = session.get_inputs()
        (outputs,) = session.run(None, {given.name: batch.inputs["x"].numpy()})
        right += int((outputs.argmax(-1) == batch.targets.numpy()).sum())
        total += batch.targets.numel()
    return right / total


@pytest.mark.parametrize(
    ("form", "repairs"), [("W8A8", []), ("W2A8", ["bias"]), ("W3", ["gptq"])], ids=["plain", "bias", "gptq"]
)
def test_a_saved_form_runs_to_the_accuracy_of_its_row(tmp_path: Path, form: str, repairs: list[str]) -> None:
    path = tmp_path / "form.onnx"
    with open_model("sample:digits-mlp") as model:
        calibration = open_calibration("sample", model, samples=200)
        table = measure_forms(model, calibration, [form], repairs=repairs, save=path)
    last = list(table)[-1]
    assert (last.status, last.repair) == ("ok", "".join(repairs))
    # one label may turn where the runtime's integer kernels round a product otherwise
    assert abs(count_right(path, calibration) - last.accuracy) <= 1 / 200
    with open_checkpoint(path) as source:
        assert sum(info.stored.startswith("qdq") for info in source.tensors) == 3


@pytest.mark.parametrize("repair", ["gptq", "bias"])
def test_a_form_of_an_onnx_model_is_saved_with_its_repair(tmp_path: Path, repair: str) -> None:
    first, second = tmp_path / "plain.onnx", tmp_path / "repaired.onnx"
    with open_model("sample:digits-mlp") as model:
        calibration = open_calibration("sample", model, samples=100)
        write_qdq_onnx(model, calibration.blocks[0], {}, {}, first)
    with open_model(str(first)) as model:
        table = measure_forms(model, calibration, ["W2A8"], repairs=[repair], save=second)
        rows = {row.repair: row for row in table}
    assert rows[repair].status == "ok"
    assert abs(count_right(second, calibration) - rows[repair].accuracy) <= 1 / 100


def test_ranges_of_tokens_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "form.onnx"
    with open_model("sample:digits-mlp") as model:
        calibration = open_calibration("sample", model, samples=20)
        with pytest.raises(ValueError, match="gets its ranges as it runs"):
            measure_forms(model, calibration, ["W8A(int8 channel)"], save=path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["W(nf4 group=64)", "W(mxfp4)A8", "W(gguf:q4_1)"])
def test_a_form_that_onnx_can_not_hold_is_refused_before_the_work(tmp_path: Path, form: str) -> None:
    with open_model("sample:digits-mlp") as model:
        calibration = open_calibration("sample", model, samples=20)
        with pytest.raises(ValueError, match=r"ONNX holds|can not hold"):
            measure_forms(
                model, calibration, [form], save=tmp_path / "form.onnx", on_progress=lambda _one: pytest.fail("worked")
            )
