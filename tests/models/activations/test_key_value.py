"""Keys and values: from projections by their names, and from the cache that a model hands out."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.activations.heads import measure_heads
from qanalysis.models.activations.key_value import find_keys_values, find_projections
from qanalysis.models.activations.source import ActivationSource
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme


class Attention(nn.Module):
    """Two heads of four channels; projections apart, fused in thirds, or fused by head."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.num_heads, self.kind = 2, kind
        if kind == "apart":
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(8, 8) for _ in range(3))
        elif kind == "qkv":
            self.qkv = nn.Linear(8, 24)
        else:
            self.query_key_value = nn.Linear(8, 24)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values as (tokens, 8)."""
        tokens = x.reshape(-1, 8)
        if self.kind == "apart":
            return self.k_proj(tokens), self.v_proj(tokens)
        if self.kind == "qkv":
            return tuple(self.qkv(tokens).split(8, dim=1)[1:])
        parts = self.query_key_value(tokens).reshape(-1, 2, 12)
        return parts[..., 4:8].reshape(-1, 8), parts[..., 8:].reshape(-1, 8)

    def forward(self, x: Tensor) -> Tensor:
        keys, values = self.project(x)
        return (keys * values).reshape(x.shape)


def make(kind: str) -> tuple[TorchModel, Calibration]:
    torch.manual_seed(2)
    model = TorchModel(nn.Sequential(Attention(kind)), kind)
    return model, Calibration((Batch({"x": torch.randn(5, 6, 8)}),), "drawn")


@pytest.mark.parametrize("kind", ["apart", "qkv", "query_key_value"])
def test_names_tell_where_keys_and_values_are_and_modules_how_many_heads(kind: str) -> None:
    model, data = make(kind)
    with ActivationSource(model, data, looks=("kv",), batch=2) as source, torch.no_grad():
        assert [(info.name, info.shape, str(info.view)) for info in source.tensors] == [
            ("0:keys", (30, 2, 4), "1,2"),
            ("0:values", (30, 2, 4), "0,1"),
        ]
        wanted = model.module[0].project(data.blocks[0].inputs["x"])
        for info, values in zip(source.tensors, wanted, strict=True):
            # a product over other batches may be rounded otherwise: 8 terms
            np.testing.assert_allclose(source.read(info).reshape(30, 8), values.numpy(), atol=8 * 2**-22)


def test_a_lone_word_is_no_attention_and_nothing_is_said_so() -> None:
    module = nn.ModuleDict({"key": nn.Linear(4, 4)})
    model = TorchModel(nn.Sequential(nn.Linear(4, 4)), "plain")
    assert find_projections(TorchModel(module, "lone")) == []
    data = Calibration((Batch({"x": torch.randn(3, 4)}),), "drawn")
    assert find_keys_values(model, data.blocks[0]) is None
    with pytest.raises(ValueError, match="the model hands out no cache"):
        ActivationSource(model, data, looks=("kv",))


def test_errors_by_head_are_those_of_scales_per_channel_and_per_token() -> None:
    model, data = make("apart")
    with torch.no_grad():
        model.module[0].k_proj.weight[5] *= 30  # a channel of the second head
    scheme = Scheme.parse("int4 group=2")
    with ActivationSource(model, data, looks=("kv",)) as source:
        rows = measure_heads(source, [scheme, Scheme.parse("int4"), Scheme.parse("mxfp4")])
        keys = source.read(source.tensors[0]).astype(np.float64)
    assert [(row["side"], row["head"], row["scheme"]) for row in rows] == [
        (side, head, "int4") for side in ("keys", "values") for head in (0, 1)
    ]
    second = keys[:, 1]
    for axis, column in ((0, "per_channel_sqnr_db"), (1, "per_token_sqnr_db")):
        step = np.abs(second).max(axis=axis, keepdims=True) / 7
        error = np.clip(np.rint(second / step), -7, 7) * step - second
        # float32 steps against float64 ones
        wanted = 10 * np.log10(np.square(second).sum() / np.square(error).sum())
        assert rows[1][column] == pytest.approx(wanted, abs=1e-3)
    # the loud channel has almost all energy, and token by token its own range; the quiet ones then round to 0
    assert rows[1]["better"] == "token"
    assert rows[1]["per_token_balanced_db"] + 6 < rows[1]["per_channel_balanced_db"]
    loud = np.square(error).sum(0) / np.square(second).sum(0)
    assert rows[1]["per_token_balanced_db"] == pytest.approx(-10 * np.log10(loud.mean()), abs=1e-3)


@pytest.mark.filterwarnings("ignore")  # what other packages say while transformers looks for them
def test_what_a_model_of_transformers_hands_out_is_its_cache() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(6)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = TorchModel(transformers.LlamaForCausalLM(config), "small")
    batch = Batch({"input_ids": torch.randint(0, 32, (3, 7))})
    with ActivationSource(model, Calibration((batch,), "drawn"), looks=("kv",), batch=2) as source, torch.no_grad():
        names = [info.name for info in source.tensors]
        assert names == [f"model.layers.{n}.self_attn:{part}" for n in (0, 1) for part in ("keys", "values")]
        assert {info.shape for info in source.tensors} == {(21, 2, 4)}
        values = model.module.model.layers[0].self_attn.v_proj(
            model.module.model.layers[0].input_layernorm(model.module.model.embed_tokens(batch.inputs["input_ids"]))
        )
        found = source.read(source.tensors[1])
        keys = source.read(source.tensors[0])
    np.testing.assert_allclose(found.reshape(21, 8), values.reshape(21, 8).numpy(), atol=1e-6)
    # positions are turned into keys: beyond the first token they differ from what the projection returns
    assert not np.allclose(keys.reshape(3, 7, 8)[:, 1:], found.reshape(3, 7, 8)[:, 1:])
