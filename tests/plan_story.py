"""One real plan, told by its commands: a sample as ONNX, its sweep, a plan, ONNX Runtime's recipe, the file, the proof.

Beside it what docs/plans.md takes from the catalogue of targets and from the words of a verification.
"""

from __future__ import annotations

import json
import logging
import runpy
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from itertools import takewhile
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.comparisons.verify_row import STATUS_WORDS
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.forms.onnx_export import export_torch
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.plans.recipes.catalogue import TARGETS

#: How the list of all tensors begins, which the second file would only repeat.
_EVERY = "Tensors with a scheme"
SAMPLE, LARGEST = "sample:digits-cnn", "conv3.weight"
#: What the tests of a target do beyond reading its syntax.
_CHECKED = {
    **dict.fromkeys(("onnxruntime", "matmul-nbits"), "applied"),
    **dict.fromkeys(
        ("torchao", "compressed-tensors", "mlx", "nncf", "aimet", "modelopt", "coremltools"), "applied where installed"
    ),
    "model-explorer": "form, by its builder where installed",
}
_STEPS = (
    'qanalysis sweep digits.onnx --scheme "int4 sym-full channel" --scheme "int8 channel" --out rows.json',
    "qanalysis plan rows.json --budget-bpw 4.6 --out plan.json",
    "qanalysis recipe plan.json --target onnxruntime --out recipe/",
    "python recipe/quantize.py digits.onnx planned.onnx samples.npz",
    "qanalysis verify plan.json planned.onnx --float digits.onnx",
    "qanalysis verify plan.json careless.onnx",
)


def make_plan_story() -> str:
    """The commands and what they print, the last on a file for which one override was lost on the way."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), _quietly():
        _write_model()
        told = []
        for step in _STEPS[:-1]:
            told += [f"$ {step}", *_run(step)]
        _lose_override()
        told.append(f"$ {_STEPS[-1]}      # the recipe without its line for {LARGEST}")
        told += takewhile(lambda line: not line.startswith(_EVERY), _run(_STEPS[-1]))
    lines = [line.rstrip() for line in told if line.strip()]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def make_targets() -> str:
    """The back ends that recipes are for, and how it is known that they obey."""
    lines = ["| target | files | formats | checked |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{target.name}` | {target.about} | {', '.join(f'`{one}`' for one in target.formats)} "
        f"| {_CHECKED.get(target.name, 'syntax')} |"
        for target in TARGETS
    ]
    return "\n".join(lines) + "\n"


def make_deviations() -> str:
    """The words of a verification and what each means."""
    lines = ["| word | meaning |", "| --- | --- |", *(f"| `{word}` | {told} |" for word, told in STATUS_WORDS.items())]
    return "\n".join(lines) + "\n"


def _write_model() -> None:
    """The sample as an ONNX file, and some of its inputs."""
    with open_model(SAMPLE) as model:
        batch = next(iter(open_calibration("sample", model).batches(64)))
        if not isinstance(model, TorchModel):
            raise TypeError(f"{SAMPLE} is no torch model")
        export_torch(model, batch, Path()).rename("digits.onnx")
    np.savez("samples.npz", **{name: values.numpy() for name, values in batch.inputs.items()})


def _run(step: str) -> list[str]:
    """The lines that a step prints, notes of what was written left aside."""
    program, *words = shlex.split(step)
    if program == "python":
        script, source, target, samples = words
        runpy.run_path(script)["quantize"](source, target, np.load(samples))
        return []
    done = CliRunner().invoke(app, words)
    if done.exit_code not in (0, 1):
        raise RuntimeError(f"{step}: exit {done.exit_code}, {done.output}")
    notes = [] if words[0] in ("recipe", "verify") else done.stderr.splitlines()
    return [*done.stdout.splitlines(), *(note for note in notes if not note.startswith("wrote "))]


def _lose_override() -> None:
    recipe = Path("recipe/tensor_quant_overrides.json")
    content = json.loads(recipe.read_text())
    del content["TensorQuantOverrides"][LARGEST]
    recipe.write_text(json.dumps(content))
    _run("python recipe/quantize.py digits.onnx careless.onnx samples.npz")


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice that ONNX Runtime logs."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
