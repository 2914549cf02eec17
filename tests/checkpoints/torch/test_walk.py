"""Names of tensors in whatever a file holds, and what is said of the rest."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import pathlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.torch import walk
from tests.checkpoints.damage import find, read_all, refusal


class Trainer:
    """A class that the reader knows nothing of."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


class Point(NamedTuple):
    """Made by its arguments, not by its state."""

    x: torch.Tensor
    y: torch.Tensor


def test_harmless_objects_beside_weights_are_passed_over_without_a_word(tmp_path: Path) -> None:
    content = {
        "state_dict": {"w": torch.ones(2, 3)},
        "best": np.float64(0.9),
        "steps": np.int64(3),
        "args": argparse.Namespace(lr=1),
        "seen": collections.defaultdict(list, {"a": [1]}),
        "kept": collections.defaultdict(dict),
        "path": pathlib.PurePosixPath("/a/b"),
        "when": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "counted": collections.Counter("aab"),
        "text": np.array(["a", "b"]),
        "objects": np.array([1, "x"], dtype=object),
        "set": {1, 2},
        "complex": 1j,
    }
    torch.save(content, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert [info.name for info in source.tensors] == ["state_dict.w"]
        assert source.notes == ()


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_arrays_beside_weights_are_tensors_in_every_binary_protocol(tmp_path: Path, protocol: int) -> None:
    content = {
        "w": torch.ones(2),
        "f4": np.arange(6, dtype="f4").reshape(2, 3),
        "big": np.arange(3, dtype=">f8"),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "half": np.float16([1.5]),
        "counts": np.arange(3),
    }
    torch.save(content, tmp_path / "m.pt", pickle_protocol=protocol)
    values = read_all(tmp_path / "m.pt")
    assert list(values) == ["w", "f4", "big", "columns", "half"]
    for name in list(values)[1:]:
        np.testing.assert_array_equal(values[name], content[name].astype(np.float32))
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert find(source, "counts").dtype == "int64"


def test_the_spelling_of_numpy_1_is_read_too(tmp_path: Path) -> None:
    torch.save({"a": np.arange(3.0)}, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for member in new.infolist():
            old.writestr(member.filename, new.read(member).replace(b"numpy._core.", b"numpy.core."))
    np.testing.assert_array_equal(read_all(tmp_path / "old.pt")["a"], np.arange(3, dtype=np.float32))


def test_a_module_inside_a_dict_is_named_by_its_state_dict_and_not_run(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    model.register_buffer("scratch", torch.ones(1), persistent=False)
    torch.save({"model": model, "epoch": 3}, tmp_path / "m.pt")
    values = read_all(tmp_path / "m.pt")
    state = {f"model.{name}": value for name, value in model.state_dict().items() if value.is_floating_point()}
    assert sorted(values) == sorted(state)
    for name, value in state.items():
        np.testing.assert_array_equal(values[name], value.numpy())
    with open_checkpoint(tmp_path / "m.pt") as source:
        (note,) = source.notes
        assert note.startswith("not run: torch.nn.modules.")
        assert note.endswith("; tensors in such objects are read as data")


def test_tensors_in_an_unknown_object_are_read_and_its_class_is_named(tmp_path: Path) -> None:
    content = {"w": torch.ones(2), "t": Trainer(best=torch.ones(3)), "p": Point(torch.ones(4), torch.ones(5))}
    torch.save(content, tmp_path / "m.pt")
    assert {name: value.size for name, value in read_all(tmp_path / "m.pt").items()} == {
        "w": 2,
        "t.best": 3,
        "p.0": 4,
        "p.1": 5,
    }
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert "test_walk.Trainer" in source.notes[0]


def test_a_whole_model_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(4, 4), tmp_path / "m.pt")
    with refusal(r"m.pt asks to run 'torch.nn.modules.linear.Linear': .* Save `model.state_dict\(\)` instead"):
        open_checkpoint(tmp_path / "m.pt")


def test_a_dict_that_python_2_wrote_as_pairs_is_read(tmp_path: Path) -> None:
    tensor = torch.ones(3)

    class Pairs:
        def __reduce__(self) -> Any:
            return collections.OrderedDict, ([["w", tensor], ["v", torch.ones(2)]],)

    torch.save(Pairs(), tmp_path / "m.pt")
    assert list(read_all(tmp_path / "m.pt")) == ["w", "v"]


def test_keys_of_every_kind_become_names(tmp_path: Path) -> None:
    ones = [torch.ones(size) for size in range(1, 6)]
    torch.save({3: ones[0], (0, "a"): ones[1], None: ones[2], "é": ones[3], "\ud800": ones[4]}, tmp_path / "m.pt")
    assert list(read_all(tmp_path / "m.pt")) == ["3", "(0, 'a')", "None", "é", r"\ud800"]


def test_many_names_of_one_tensor_are_counted_and_some_kept(tmp_path: Path) -> None:
    torch.save([torch.ones(2)] * 5000, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        (info,) = source.tensors
        assert len(info.aliases) == walk.MAX_ALIASES
        assert source.notes == ("0 has 4,999 more names, of which 100 are kept",)


def test_containers_beyond_the_depth_are_told(tmp_path: Path) -> None:
    content: Any = torch.ones(2)
    for _ in range(walk.MAX_DEPTH + 1):
        content = [content]
    torch.save({"w": torch.ones(1), "deep": content}, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert [info.name for info in source.tensors] == ["w"]
        assert source.notes == ("1 containers deeper than 256 are left out",)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("zero_pp_rank_0_mp_rank_00_model_states.pt", {"w": torch.ones(2)}, "DeepSpeed ZeRO"),
        ("bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", {"w": torch.ones(2)}, "DeepSpeed ZeRO"),
        ("x.pt", {"optimizer_state_dict": {"single_partition_of_fp32_groups": [torch.ones(2)]}}, "DeepSpeed ZeRO"),
        ("x.pt", {"layers.0._flat_param": torch.ones(2)}, "FSDP"),
        ("model_optim_rng.pt", {"model": {"w": torch.ones(2)}, "args": argparse.Namespace()}, "Megatron"),
    ],
    ids=["zero-3 model", "zero optimizer", "zero by content", "fsdp", "megatron"],
)
def test_parts_of_a_model_cut_over_machines_are_refused_by_their_format(
    tmp_path: Path, name: str, content: Any, found: str
) -> None:
    torch.save(content, tmp_path / name)
    with refusal(rf"{name} is a part of an? {found} checkpoint, .*"):
        open_checkpoint(tmp_path / name)


def test_a_megatron_file_that_is_the_whole_model_is_read(tmp_path: Path) -> None:
    args = argparse.Namespace(tensor_model_parallel_size=1, pipeline_model_parallel_size=1)
    torch.save({"model": {"w": torch.ones(2)}, "args": args}, tmp_path / "model_optim_rng.pt")
    assert list(read_all(tmp_path / "model_optim_rng.pt")) == ["model.w"]


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, 2)}, tmp_path / "m.pt")
    code = (
        "import sys; from qanalysis.checkpoints.catalogue import open_checkpoint\n"
        f"with open_checkpoint({str(tmp_path / 'm.pt')!r}) as s: assert s.read(s.tensors[0]).sum() == 4\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_tensor_class_of_torchao_is_one_decoded_tensor(tmp_path: Path) -> None:
    torchao = pytest.importorskip("torchao.quantization")
    model = torch.nn.Sequential(torch.nn.Linear(64, 32)).to(torch.float32)
    torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
    torch.save(model.state_dict(), tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        info = find(source, "0.weight")
        assert info.stored == "torchao int8 channel"
        # the class multiplies code and scale in float32, as is done here
        np.testing.assert_array_equal(source.read(info), model[0].weight.dequantize().detach().numpy())
