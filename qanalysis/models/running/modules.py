"""How does a module of Python run: a sample, or what the user's own factory returns, alone or with data?"""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn
from torch.jit import ScriptModule

from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.data import SAMPLE_PREFIX
from qanalysis.models.factory import call_factory, describe_error
from qanalysis.models.model import load_model, take_module
from qanalysis.models.running.parametrizations import fold_parametrizations
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.running.weights import load_weights
from qanalysis.notation import quote


def open_module(text: str, *, weights: str | None = None) -> TorchModel:
    """The model of "sample:NAME" or `package.module:factory`, with `weights` of a checkpoint in place of its own.

    A factory returns a module or (module, data), where data is a `Calibration` or what `Calibration.from_data` takes.
    Raises ValueError for what is neither, for modules without parameters, with lazy ones, on another device than the
    CPU, of TorchScript, and as `call_factory` and `load_weights` do.
    """
    module, data = _make(text)
    brought = None if data is None else Calibration.from_data(data, name=f"data of {text}")
    source = None if weights is None else load_weights(module, weights, model=text)
    notes = (*_widen(module, text), *fold_parametrizations(module))
    model = TorchModel(module, text, source=source, notes=notes)
    model.brought = brought
    return model


def _make(text: str) -> tuple[nn.Module, object]:
    if text.startswith(SAMPLE_PREFIX):
        return load_model(text), None
    made = call_factory(text)
    data = None
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        made, data = made
    module = _unwrap(take_module(made, text), text)
    return module, data


def _unwrap(module: nn.Module, text: str) -> nn.Module:
    """The module inside torch's wrappers; ValueError for one that can not be changed part by part."""
    while isinstance(module, nn.DataParallel) or hasattr(module, "_orig_mod"):
        inner = getattr(module, "_orig_mod", None) or getattr(module, "module", None)
        if not isinstance(inner, nn.Module):
            break
        module = inner
    devices = {value.device.type for value in chain(module.parameters(), module.buffers())} - {"cpu"}
    if devices:
        named = "has no values (device meta)" if "meta" in devices else f"lies on the device {min(devices)}"
        raise ValueError(f"the model of {quote(text)} {named}; return it with its values on the CPU, by .cpu()")
    if not isinstance(module, ScriptModule):
        return module
    raise ValueError(
        f"the model of {quote(text)} is a program of TorchScript, whose layers can not be changed one at a time; "
        "return the torch.nn.Module that it was made of"
    )


def _widen(module: nn.Module, text: str) -> tuple[str, ...]:
    """Everything in float32, in which inputs come; a note where it was not."""
    others = {value.dtype for value in chain(module.parameters(), module.buffers()) if value.is_floating_point()}
    others -= {torch.float32}
    if not others:
        return ()
    try:
        module.float()
    except Exception as error:  # of parameters that are no plain tensors
        raise ValueError(
            f"the model of {quote(text)} can not be computed in float32 ({describe_error(error)}); return plain tensors"
        ) from error
    named = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in others))
    return (f"computed in float32, the model is in {named}",)
