"""How does a torch model become an ONNX file, and what is where in it?

PyTorch's own exporter traces the model on some samples; parameters keep their names.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch
from qanalysis.models.factory import describe_error
from qanalysis.models.running.onnx_constants import rename_inputs
from qanalysis.models.running.onnx_model import OnnxModel
from qanalysis.models.running.torch_model import TorchModel, run_module
from qanalysis.notation import quote

#: The version of ONNX's operators that is asked for: the newest of which nothing changed its meaning since.
_OPSET = 18
_PREFIX = "wrapped."
#: How far outputs of the exported model may be apart by rounding, relative to their norm.
_SAME = 1e-3


class _Main(nn.Module):
    """A model that takes its inputs by place and returns its main output."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.wrapped, self._names = module, names

    def forward(self, *values: Tensor) -> Tensor:
        """The main output, as the model itself is run elsewhere."""
        return run_module(self.wrapped, Batch(dict(zip(self._names, values, strict=True))))


def export_torch(model: TorchModel, example: Batch, folder: Path) -> Path:
    """Write a torch model into a folder as ONNX, traced on `example`, whose first axis stays free; the file's path.

    Initializers have the names of the parameters. Neither constants are folded nor normalisations fused, so that they
    have their values, too. Raises ValueError on one line where the exporter does not manage.
    """
    path = folder / "exported.onnx"
    names = list(example.inputs)
    wrapped = _Main(model.module, names).eval()
    wrapped.training = True  # of the wrapper alone: else the exporter makes one of tensors that are equal by chance
    example = example.cut(0, 2)  # more are no better for tracing
    axes = {name: _name_axes(values) for name, values in example.inputs.items()}
    settings: dict[str, Any] = {
        "input_names": names,
        "output_names": ["outputs"],
        "dynamic_axes": {**axes, "outputs": {0: "samples"}},
        "opset_version": _OPSET,
        "do_constant_folding": False,
        "training": torch.onnx.TrainingMode.PRESERVE,
    }
    try:
        with _silently(), torch.no_grad():
            torch.onnx.export(wrapped, tuple(example.inputs.values()), str(path), dynamo=False, **settings)
    except Exception as error:  # tracing runs the model's own code
        raise ValueError(
            f"{quote(model.name)} can not be exported as ONNX: {describe_error(error)}; keep the quantized model in a "
            "file of safetensors"
        ) from error
    _strip(path)
    return path


def _name_axes(values: Tensor) -> dict[int, str]:
    """Axes that stay free: that of the samples, and of whole numbers that of the positions, too."""
    axes = {0: "samples"}
    if not values.is_floating_point() and values.ndim > 1:
        axes[1] = "positions"
    return axes


@contextmanager
def _silently() -> Iterator[None]:
    """No warning of the exporter reaches the user, and no operation is fused that it does not know."""
    fast = torch.backends.mha.get_fastpath_enabled()
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    torch.backends.mha.set_fastpath_enabled(False)
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        logger.setLevel(level)


def _strip(path: Path) -> None:
    """Names as the model itself has them, without the wrapper's."""
    made = onnx.load(str(path), load_external_data=False)
    renamed = {one.name: one.name.removeprefix(_PREFIX) for one in made.graph.initializer}
    for tensor in made.graph.initializer:
        tensor.name = renamed[tensor.name]
    rename_inputs(made.graph, renamed)
    for node in made.graph.node:
        node.name = node.name.replace("/wrapped/", "/", 1)
    onnx.save(made, str(path))


def check_outputs(model: TorchModel, other: OnnxModel, example: Batch) -> None:
    """ValueError where the exported model computes something else than the model, as of code that looks at values."""
    ours = model.record(example).outputs.double()
    try:
        theirs = other.record(example).outputs.double()
    except ValueError:  # sizes that hold for the traced samples alone
        theirs = ours.new_empty(0)
    if ours.shape != theirs.shape or (ours - theirs).norm() > _SAME * ours.norm():
        raise ValueError(
            f"the exported {quote(model.name)} gives other outputs than the model: the exporter follows one run, and "
            "the model's code decides by what it is given; keep the quantized model in a file of safetensors"
        )


def match_tensors(model: TorchModel, other: OnnxModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given by tensor, under the names of the exported model."""
    known = {info.name for info in other.tensors}
    found = {model.find(name).info.name: value for name, value in given.items()}
    for name in found:
        if name not in known:
            raise ValueError(
                f"{quote(name)} did not reach the exported model: nothing that runs on samples uses it; leave it out "
                "with --keep"
            )
    return found


def match_layers(model: TorchModel, other: OnnxModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given by layer, under the names of the operations that take the layers' inputs."""
    places = {place.layer.tensor.name: place.layer.name for place in other.places if place.operand is not None}
    tensors: dict[str, list[str]] = {}
    for layer in model.layers:
        tensors.setdefault(layer.name, []).append(layer.tensor.name)
    found = dict[str, Any]()
    for path, value in given.items():
        names = [places[name] for name in tensors.get(path, []) if name in places]
        if not names:
            raise ValueError(f"the input of layer {quote(path)} is not in the exported model; leave the layer out")
        found[names[0]] = value
    return found
