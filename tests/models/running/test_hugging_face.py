"""Folders of transformers run as transformers runs them, and say in one line why they do not."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running import hugging_face, memory
from qanalysis.models.running.opening import open_model
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.quantizers.scheme import Scheme

pytest.importorskip("transformers")
Folders = Callable[[str], Path]
SCHEME = "int4 channel"


def run(module: torch.nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    outputs: Any = module(**inputs)
    found: Tensor = outputs.logits if "logits" in outputs else outputs.last_hidden_state
    return found.double()


def brute_force(model: Any, data: Calibration) -> dict[str, float]:
    """Relative L2 of each tensor by itself: quantize, run the whole model on all blocks, put back."""
    found = {}
    with torch.no_grad():
        y = [run(model.module, dict(block.inputs)) for block in data.blocks]
        for info in model.tensors:
            if info.role not in ("weight", "embedding") or not info.is_matrix:
                continue
            value = model.find(info.name).value
            kept = value.detach().clone()
            fitted = Scheme.parse(SCHEME).fit(kept.numpy(), axis=info.view)
            value.data.copy_(torch.from_numpy(fitted.round_trip(kept.numpy())))
            q = [run(model.module, dict(block.inputs)) for block in data.blocks]
            value.data.copy_(kept)
            error = sum(float((a - b).square().sum()) for a, b in zip(q, y, strict=True))
            found[info.name] = math.sqrt(error / sum(float(a.square().sum()) for a in y))
    return found


@pytest.mark.parametrize("kind", ["encoder", "masked", "gpt2", "llama", "experts", "t5"])
def test_a_folder_measures_what_a_loop_over_the_model_says(kind: str, model_folder: Folders, text_file: Path) -> None:
    model = open_model(str(model_folder(kind)))
    data = open_calibration(str(text_file), model, samples=6, length=16)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    measures = ("layer_output_error", "imatrix_mse") if kind in ("encoder", "experts") else ()
    table = measure_sensitivity(model, data, [SCHEME], measures=measures, floor=False, additivity=False)
    expected = brute_force(model, data)
    assert {row.tensor for row in table} == set(expected)
    # The same chunks in the same order give the same float32 sums; figures are summed in double.
    assert [row.output_relative_l2 for row in table] == pytest.approx([expected[row.tensor] for row in table], rel=1e-6)
    assert all(torch.equal(value, before[key]) for key, value in model.module.state_dict().items())
    assert (table[0].loss is not None) == (kind in ("gpt2", "llama", "experts", "t5"))
    assert (table[0].output_kl is not None) == (kind != "encoder")
    matrices = [row for row in table if row.tensor.endswith(("proj.weight", "dense.weight"))]
    assert not measures or all(row.layer_output_error is not None for row in matrices)


def test_all_experts_of_a_layer_are_one_tensor_with_outputs_along_expert_and_row(model_folder: Folders) -> None:
    model = open_model(str(model_folder("experts")))
    stacks = {info.name: (info.shape, info.view.rows) for info in model.tensors if "experts" in info.name}
    assert stacks["model.layers.0.mlp.experts.gate_up_proj"] == ((4, 96, 32), (0, 1))
    assert stacks["model.layers.1.mlp.experts.down_proj"] == ((4, 32, 48), (0, 1))


def test_tied_tensors_are_one_and_change_together(model_folder: Folders) -> None:
    model = open_model(str(model_folder("gpt2")))
    tied = next(info for info in model.tensors if info.aliases)
    assert {tied.name, *tied.aliases} == {"transformer.wte.weight", "lm_head.weight"}


def test_the_source_of_a_folder_is_its_weights_file(model_folder: Folders) -> None:
    from qanalysis.checkpoints.catalogue import open_checkpoint

    folder = model_folder("llama")
    model = open_model(str(folder))
    with open_checkpoint(folder) as source:
        assert (model.identity.path, model.identity.size, model.identity.digest) == (
            source.name,
            source.size_bytes,
            source.digest,
        )


def test_other_weights_of_a_folder_go_by_the_names_of_its_files(model_folder: Folders, tmp_path: Path) -> None:
    folder = model_folder("experts")
    doubled = {f"module.{name}": 2 * value for name, value in load_file(folder / "model.safetensors").items()}
    save_file(doubled, tmp_path / "doubled.safetensors")
    plain, other = open_model(str(folder)), open_model(str(folder), weights=str(tmp_path / "doubled.safetensors"))
    for info in plain.tensors:
        assert np.array_equal(2 * plain.read(info), other.read(info)), info.name
    assert other.identity.path == "doubled.safetensors"


def pack_gptq(values: Tensor, bits: int = 4, group: int = 16) -> dict[str, Tensor]:
    """GPTQ's four tensors of a weight (out, in), written from the format's description."""
    rows, columns = values.shape
    grouped = values.reshape(rows, columns // group, group)
    scale = grouped.abs().amax(-1).clamp(min=1e-6) / 7
    codes = (torch.round(grouped / scale[..., None]).clamp(-8, 7) + 8).reshape(rows, columns).to(torch.int64).T
    words = sum(codes[place::8] << (bits * place) for place in range(8))
    zeros = torch.full((columns // group, rows // 8), 0x77777777, dtype=torch.int64)
    return {
        "qweight": (words - ((words >> 31) << 32)).to(torch.int32).contiguous(),
        "qzeros": zeros.to(torch.int32),
        "scales": scale.T.contiguous().half(),
        "g_idx": (torch.arange(columns) // group).to(torch.int32),
    }


def test_packed_weights_of_a_folder_are_decoded(model_folder: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    shutil.copytree(model_folder("llama"), folder)
    state = load_file(folder / "model.safetensors")
    packed = dict[str, Tensor]()
    for name, value in state.items():
        if name.endswith("proj.weight"):
            packed.update({f"{name.removesuffix('weight')}{key}": part for key, part in pack_gptq(value).items()})
        else:
            packed[name] = value
    save_file(packed, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 16,
        "desc_act": False,
        "sym": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    model = open_model(str(folder))
    assert model.identity.stored.startswith("gptq int4 group=16")
    name = "model.layers.0.mlp.up_proj.weight"
    read = torch.from_numpy(model.read(next(info for info in model.tensors if info.name == name)))
    scale = state[name].reshape(64, 2, 16).abs().amax(-1, keepdim=True) / 7
    # Half a step of the codes, and half a unit in the last place of the scales in float16, seven times.
    assert torch.all((read - state[name]).reshape(64, 2, 16).abs() <= scale * (0.5 + 8 * 2**-11))


def test_packed_experts_are_turned_to_lie_as_the_model_has_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GptOssConfig(
        vocab_size=40, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4, head_dim=8,
        num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=2, layer_types=["full_attention"],
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    with hugging_face.silenced():
        transformers.GptOssForCausalLM(config).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    place, values = "model.layers.0.mlp.experts.", {}
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    for name, rows in (("gate_up_proj", 64), ("down_proj", 32)):
        codes = torch.randint(0, 16, (3, rows, 32), generator=torch.Generator().manual_seed(rows))
        state.pop(place + name)
        state[f"{place}{name}_blocks"] = (
            (codes[..., ::2] + 16 * codes[..., 1::2]).to(torch.uint8)[..., None, :].contiguous()
        )
        state[f"{place}{name}_scales"] = torch.full((3, rows, 1), 126, dtype=torch.uint8)
        values[place + name] = table[codes % 8] * torch.where(codes < 8, 0.5, -0.5)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**said, "quantization_config": {"quant_method": "mxfp4"}}))
    model = open_model(str(tmp_path))
    for name, expected in values.items():
        info = model.find(name).info
        assert info.view.rows == (0, 2)
        assert torch.equal(torch.from_numpy(model.read(info)), expected.mT)
    assert model.identity.stored.startswith("gpt-oss mxfp4")


def test_a_pickled_checkpoint_is_read_without_unpickling(model_folder: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(model_folder("llama"), folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    model, plain = open_model(str(folder)), open_model(str(model_folder("llama")))
    assert all(np.array_equal(model.read(info), plain.read(info)) for info in plain.tensors)


def break_folder(folder: Path, fault: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    state = load_file(folder / "model.safetensors")
    if fault == "no config":
        (folder / "config.json").unlink()
    elif fault == "damaged config":
        (folder / "config.json").write_text("{")
    elif fault == "config of a list":
        (folder / "config.json").write_text("[]")
    elif fault == "wrong entry":
        (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "many"}))
    elif fault == "endless":
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 10**9}))
    elif fault == "endless labels":
        (folder / "config.json").write_text(json.dumps({**config, "num_labels": 10**9}))
    elif fault == "too wide":
        (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 10**11}))
    elif fault == "unknown":
        (folder / "config.json").write_text('{"model_type": "own", "architectures": ["OwnModel"]}')
    elif fault == "own code":
        (folder / "config.json").write_text(
            '{"model_type": "own", "architectures": ["OwnModel"], "auto_map": {"AutoModel": "own.OwnModel"}}'
        )
        (folder / "own.py").write_text("raise SystemExit('it ran')")
    elif fault == "no weights":
        (folder / "model.safetensors").unlink()
    elif fault == "damaged weights":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:3000])
    elif fault == "missing shard":
        (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    elif fault == "missing tensor":
        state.pop("model.layers.0.mlp.up_proj.weight")
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    elif fault == "other shape":
        (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no config", "has no config.json"),
        ("damaged config", "config.json of .* can not be read"),
        ("config of a list", "is no JSON object"),
        ("wrong entry", "is no LlamaConfig"),
        ("endless", "asks for 1000000000 layers"),
        ("endless labels", "asks for 1000000000 labels"),
        ("too wide", r"takes [0-9.]+ TiB in float32 and .* of memory are free"),
        ("unknown", "'OwnModel' is not known to transformers; only classes"),
        ("own code", "'OwnModel' brings code of its own"),
        ("no weights", "holds no weights"),
        ("damaged weights", "model.safetensors"),
        ("missing shard", "1 of 2|00002"),
        ("missing tensor", r"1 of the model's 21 tensors are not in the file \(model.layers.0.mlp.up_proj.weight\)"),
        ("other shape", "have another shape"),
    ],
)
def test_a_folder_that_can_not_be_run_says_why(fault: str, said: str, model_folder: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(model_folder("llama"), folder)
    break_folder(folder, fault)
    with pytest.raises(ValueError, match=said) as caught:
        open_model(str(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900


def test_a_model_larger_than_memory_is_refused_with_both_numbers(
    model_folder: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "find_free_memory", lambda: 50_000)
    with pytest.raises(ValueError, match=r"takes 112.62 KiB in float32 and 48.83 KiB of memory are free"):
        open_model(str(model_folder("llama")))


def test_a_missing_library_is_named(model_folder: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'qanalysis\[hf\]'"):
        open_model(str(model_folder("llama")))


def test_nothing_is_said_while_a_folder_is_opened_and_run(model_folder: Folders, text_file: Path) -> None:
    code = (
        "import sys\n"
        "from qanalysis.models.calibration.opening import open_calibration\n"
        "from qanalysis.models.running.opening import open_model\n"
        "model = open_model(sys.argv[1])\n"
        "data = open_calibration(sys.argv[2], model)\n"
        "model.record(data.blocks[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_folder("gpt2")), str(text_file)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_batch_that_does_not_fit_names_the_shapes(model_folder: Folders) -> None:
    model = open_model(str(model_folder("encoder")))
    assert isinstance(model, hugging_face.HuggingFaceModel)
    with pytest.raises(ValueError, match=r"does not run on input_ids int64 \(1, 99\)"):
        model.record(Batch({"input_ids": torch.zeros(1, 99, dtype=torch.int64)}))
