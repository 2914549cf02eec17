"""Roles and views from names and shapes alone agree with the modules that own the tensors, in models by other people."""

from __future__ import annotations

import pytest
import torch

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import MEASURED_ROLES, TensorInfo
from qanalysis.checkpoints.views import assign_views
from qanalysis.quantizers.matrix_view import MatrixView

ARCHITECTURES = (
    "albert", "aria", "bart", "bert", "bloom", "clip", "convnext", "dac", "deberta-v2", "deepseek_v3", "dinov2",
    "encodec", "falcon", "gemma3", "gpt2", "gpt_bigcode", "gpt_neox", "gpt_oss", "gptj", "imagegpt", "llama", "llama4",
    "mamba", "mamba2", "mask2former", "mixtral", "olmoe", "openai-gpt", "opt", "qwen2_moe", "qwen3_moe", "qwen3_next", "resnet",
    "roberta", "rwkv", "sam", "segformer", "siglip", "speecht5", "swin", "t5", "univnet", "vit", "vits", "wav2vec2",
    "whisper", "xlnet",
)  # fmt: skip
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "encoder_layers", "decoder_layers", "num_decoder_layers")


def build_model(transformers, architecture):
    """The architecture's default model without values, two layers deep."""
    config = transformers.CONFIG_MAPPING[architecture]()
    inner = [value for value in vars(config).values() if isinstance(value, transformers.PretrainedConfig)]
    for part in (config, *inner):
        for key in _LAYERS:
            if isinstance(getattr(part, key, None), int):
                setattr(part, key, 2)
    with torch.device("meta"):
        return transformers.AutoModel.from_config(config), config.to_dict()


def expect(module, word, is_buffer):
    """The roles that a module's tensor may have, and its rows; None where the module does not tell."""
    kind = type(module).__name__
    if is_buffer:
        return ("buffer",), None
    if hasattr(module, "is_transposed") and word in {"gate_up_proj", "up_proj", "down_proj"}:
        return MEASURED_ROLES, (0, 2 if module.is_transposed else 1)
    if isinstance(module, torch.nn.Embedding):
        return MEASURED_ROLES, (0,)
    if kind == "Conv1D" or isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd):
        turned = kind == "Conv1D" or "Transpose" in kind
        return (MEASURED_ROLES, (1,) if turned else (0,)) if word == "weight" else (("bias",), None)
    return (("norm", "bias"), None) if "Norm" in kind and word in {"weight", "bias"} else None


@pytest.mark.filterwarnings("ignore")  # the peer's own, of whatever torch it meets
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_names_and_shapes_tell_what_the_modules_are(architecture):
    transformers = pytest.importorskip("transformers")
    model, config = build_model(transformers, architecture)
    evidence = Evidence(config=config)
    infos = [
        TensorInfo(name, tuple(value.shape), str(value.dtype)[6:], 4, decodes=value.is_floating_point())
        for name, value in model.state_dict().items()
    ]
    found = {info.name: info for info in assign_views(assign_roles(infos, evidence), evidence)}
    wrong, judged = [], 0
    for path, module in model.named_modules():
        for word in (*module._parameters, *module._buffers):
            info = found.get(f"{path}.{word}" if path else word)
            expected = expect(module, word, word in module._buffers)
            if info is None or expected is None or (expected[0] == ("buffer",) and "codebook" in info.name):
                continue
            roles, rows = expected
            judged += 1
            is_left_out = info.role not in MEASURED_ROLES or not info.is_matrix
            if info.role not in roles and not (is_left_out and roles != MEASURED_ROLES):
                wrong.append((info.name, info.shape, info.role, roles))
            if rows and len(info.shape) > 1 and info.view.rows != rows and not info.view.fold:
                wrong.append((info.name, info.shape, info.view, MatrixView(rows)))
    assert wrong == []
    assert judged > 10
