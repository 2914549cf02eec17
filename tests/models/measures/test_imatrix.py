"""Importance matrices against a model: imported weights give the weighted error, own statistics come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qanalysis.checkpoints.imatrix import Imatrix, Importance, read_imatrix, write_imatrix
from qanalysis.models.calibration.samples import Batch, Calibration, number_blocks
from qanalysis.models.measures.closed import measure_closed
from qanalysis.models.measures.imatrix import collect_imatrix
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme

INT4 = Scheme.parse("int4 channel")


STACK = "experts.down_proj"


class Experts(nn.Module):
    """A stack of two experts, rows chosen by the sign of their first value."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Module()
        self.experts.down_proj = nn.Parameter(torch.randn(2, 3, 2))

    def forward(self, x):
        chosen = x[:, 0] > 0
        out = x.new_zeros(len(x), 3)
        out[chosen] = x[chosen] @ self.experts.down_proj[0].T
        out[~chosen] = x[~chosen] @ self.experts.down_proj[1].T
        return out


def measure(module: nn.Module, imatrix: Imatrix | None, x: torch.Tensor, error: np.ndarray | float = 1.0):
    model = TorchModel(module, "made")
    layers = [layer for layer in model.layers if len(layer.tensor.shape) > 1]

    def quantized(info, _scheme):
        return model.read(info) + np.float32(error)

    data = Calibration(number_blocks([Batch({"x": x})]), "made")
    found = measure_closed(model, data, layers, [INT4], quantized=quantized, columns=("imatrix_mse",), imatrix=imatrix)
    figures = {name: one["imatrix_mse"] for (name, _scheme), one in found.figures.items()}
    notes = {name: notes["imatrix_mse"] for name, notes in (*found.notes.items(), *found.cautions.items())}
    return figures, notes, (model, data, layers)


def make_entry(squares: list[list[float]], counts: list[float]) -> Importance:
    return Importance(np.array(squares), np.array(counts))


def test_imported_weights_are_those_of_the_columns() -> None:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    error = np.array([[0.5, 0.0], [0.0, -1.0]])
    figures, notes, _ = measure(layer, Imatrix({"weight": make_entry([[1.0, 10.0]], [3.0])}), torch.ones(1, 2), error)
    # weights 1 and 10: (0.25 + 10 * 1) / (1 + 10 * 4 + 9 + 10 * 16)
    assert figures == {"weight": pytest.approx(10.25 / 210, rel=1e-12)}
    assert not notes


def test_experts_have_weights_of_their_own_and_those_without_data_are_left_out() -> None:
    torch.manual_seed(0)
    module, x = Experts(), torch.randn(9, 2)
    weight = module.experts.down_proj.detach().double().numpy()
    entry = make_entry([[1.0, 4.0], [0.0, 0.0]], [5.0, 0.0])
    for one in (entry, make_entry([[1.0, 4.0, 1.0, 1.0]], [5.0])):  # as GGUF and as the older format has it
        figures, notes, _ = measure(module, Imatrix({STACK: one}), x)
        changed = (weight[0].astype(np.float32) + np.float32(1)).astype(np.float64) - weight[0]
        expected = (changed**2 @ [1, 4]).sum() / (weight[0] ** 2 @ [1, 4]).sum()
        assert figures == {STACK: pytest.approx(expected, rel=1e-12)}
        assert notes == {STACK: "1 of its 2 matrices have no data and are left out"}


@pytest.mark.parametrize(
    ("entries", "note"),
    [
        pytest.param({}, "the importance matrix 'an imatrix' has no entry for it", id="no entry"),
        pytest.param(
            {"weight": make_entry([[1.0, 1.0]], [0.0])},
            "entry 'weight' of the importance matrix holds no data for it",
            id="no data",
        ),
        pytest.param(
            {"weight": make_entry([[1.0, 1.0, 1.0]], [2.0])},
            "entry 'weight' of the importance matrix does not fit: it holds 3 features and the tensor's rows have 2",
            id="other width",
        ),
        pytest.param(
            {"weight": make_entry([[1.0, 1.0]] * 3, [2.0] * 3)},
            "entry 'weight' of the importance matrix does not fit: its 4 outputs are not those of 3 matrices",
            id="other stack",
        ),
    ],
)
def test_an_entry_that_does_not_fit_says_why(entries: dict[str, Importance], note: str) -> None:
    figures, notes, _ = measure(nn.Linear(2, 4), Imatrix(entries), torch.ones(1, 2))
    assert not figures
    assert notes == {"weight": note}


def test_own_statistics_come_back_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x = torch.randn(12, 2)
    for module in (Experts(), nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))):
        own, _notes, parts = measure(module, None, x)
        write_imatrix(tmp_path / "own.gguf", collect_imatrix(*parts))
        imported, notes, _ = measure(module, read_imatrix(tmp_path / "own.gguf"), x)
        assert imported == pytest.approx(own, rel=1e-6)  # sums are float32 in the file
        assert not notes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, while transformers is imported
def test_a_language_model_has_the_names_of_gguf(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    module = transformers.LlamaForCausalLM(config)
    tokens = torch.randint(0, 32, (3, 5))
    own, _notes, parts = measure(module, None, tokens)
    found = collect_imatrix(*parts)
    blocks = [
        f"blk.{block}.{part}.weight" for block in (0, 1) for part in ("attn_q", "attn_k", "attn_v", "attn_output")
    ]
    assert set(blocks) < set(found.entries)
    assert len(found.entries) == 2 * 7 + 1
    assert found.entries["blk.1.ffn_down.weight"].counts.tolist() == [15]
    imported, notes, _ = measure(module, found, tokens)
    assert imported == pytest.approx(own, rel=1e-12)
    assert "model.embed_tokens.weight" in imported  # it is the output's weight too
    assert not notes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_expert_of_a_language_model_has_its_own_statistics() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.MixtralConfig(
        vocab_size=32, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    module, tokens = transformers.MixtralForCausalLM(config), torch.randint(0, 32, (3, 5))
    own, _notes, parts = measure(module, None, tokens)
    found = collect_imatrix(*parts)
    stacks = {name: one for name, one in found.entries.items() if "_exps." in name}
    assert {name.split(".")[2] for name in stacks} >= {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}
    for one in stacks.values():
        assert one.counts.shape == (4,)
        assert one.counts.sum() == 3 * 5 * 2  # each token goes to two experts
    imported, _notes, _ = measure(module, found, tokens)
    assert imported == pytest.approx(own, rel=1e-12)
