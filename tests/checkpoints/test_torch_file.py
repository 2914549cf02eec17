"""Files saved by torch: state dicts however nested, both layouts, and files that ask for more than tensors."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import FLOAT_DTYPES
from qanalysis.sweeps.sweep import sweep
from tests.checkpoints.damage import damaged_copies, find, read_all, read_or_refuse, refusal

LAYOUTS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Payload:
    """Unpickling this creates a file, which a test can look for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def save_bytes(content: Any, *, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


SMALL = save_bytes({"w": torch.arange(12.0).reshape(3, 4), "h": torch.ones(5, dtype=torch.bfloat16)})
SMALL_LEGACY = save_bytes({"w": torch.arange(12.0).reshape(3, 4)}, zipped=False)


@LAYOUTS
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_nested_state_dicts_flatten_to_dotted_names(tmp_path: Path, suffix: str, *, zipped: bool) -> None:
    w, b = torch.randn(3, 4), torch.randn(3)
    content = {
        "epoch": 3,
        "model": OrderedDict({"fc.weight": w, "fc.bias": torch.nn.Parameter(b)}),
        "optimizer": [{"lr": 0.1, "state": (b,)}],
        "note": "text",
    }
    path = tmp_path / f"model{suffix}"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    values = read_all(path)
    assert list(values) == ["model.fc.weight", "model.fc.bias"]
    np.testing.assert_array_equal(values["model.fc.weight"], w.numpy())
    np.testing.assert_array_equal(values["model.fc.bias"], b.numpy())
    with open_checkpoint(path) as source:
        assert [info.aliases for info in source.tensors] == [(), ("optimizer.0.state.0",)]


def test_both_layouts_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(SMALL)
    (tmp_path / "b.pth").write_bytes(SMALL_LEGACY)
    for name in ("a.pt", "b.pth"):
        with open_checkpoint(tmp_path / name) as source:
            assert source.memory_note.startswith("Mapped")
            assert all(source.is_sliceable(info) for info in source.tensors)


@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in FLOAT_DTYPES if hasattr(torch, name)], ids=str)
def test_every_float_dtype_reads_as_torch_widens_it(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.linspace(-400, 400, 60, dtype=torch.float64).to(dtype).reshape(6, 10)
    torch.save({"w": tensor, "strided": tensor.T}, tmp_path / "m.pt")
    values = read_all(tmp_path / "m.pt")
    np.testing.assert_array_equal(values["w"], tensor.to(torch.float32).numpy())
    np.testing.assert_array_equal(values["strided"], tensor.T.to(torch.float32).numpy())


def test_other_tensors_are_listed_and_refused_when_read(tmp_path: Path) -> None:
    content = {
        "i": torch.arange(3),
        "flag": torch.tensor(True),
        "c": torch.ones(2, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(4, device="meta"),
        "s": torch.tensor(2.5),
        "e": torch.empty(0, 3),
    }
    torch.save(content, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert [(info.name, info.dtype, info.decodes) for info in source.tensors] == [
            ("i", "int64", False),
            ("flag", "bool", False),
            ("c", "complex64", False),
            ("sparse", "float32", False),
            ("meta", "float32", False),
            ("s", "float32", True),
            ("e", "float32", True),
        ]
        assert source.read(find(source, "s")).shape == ()
        with refusal(r"m.pt: tensor 'i' holds int64"):
            source.read(find(source, "i"))


def test_a_bare_tensor_and_expanded_views_read(tmp_path: Path) -> None:
    torch.save(torch.ones(2, 1).expand(2, 3), tmp_path / "m.pt")
    np.testing.assert_array_equal(read_all(tmp_path / "m.pt")["tensor"], np.ones((2, 3), dtype=np.float32))


def test_compressed_archives_are_inflated_not_mapped(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(io.BytesIO(SMALL)) as stored,
        zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    np.testing.assert_array_equal(read_all(tmp_path / "m.pt")["w"], np.arange(12, dtype=np.float32).reshape(3, 4))
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert source.memory_note.startswith("Not mapped")


def test_threads_reading_at_once_see_the_same_values(tmp_path: Path) -> None:
    array = torch.randn(64, 1000).to(torch.bfloat16)
    torch.save({"w": array}, tmp_path / "m.pt")
    flat = array.float().numpy().reshape(-1)
    with open_checkpoint(tmp_path / "m.pt") as source, ThreadPoolExecutor(4) as pool:
        starts = range(0, 63_000, 500)
        for start, part in zip(
            starts,
            pool.map(lambda start: source.read_slice(source.tensors[0], start, start + 1000), starts),
            strict=True,
        ):
            np.testing.assert_array_equal(part, flat[start : start + 1000])


@LAYOUTS
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, *, zipped: bool) -> None:
    mark = tmp_path / "was-run"
    torch.save({"w": torch.ones(3), "x": Payload(mark)}, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    with open_checkpoint(tmp_path / "evil.pt") as source:
        assert [info.name for info in source.tensors] == ["w"]
        assert source.notes == ("not run: posix.mkdir; tensors in such objects are read as data",)
    torch.save(Payload(mark), tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    with refusal(
        r"evil.pt asks to run 'posix.mkdir': .* only tensors and plain containers are read, never code. "
        r"Save `model.state_dict\(\)` instead"
    ):
        open_checkpoint(tmp_path / "evil.pt")
    assert not mark.exists()


def test_plain_pickles_and_whole_models_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with refusal(r"asks to run 'torch.nn.modules.linear.Linear'"):
        open_checkpoint(tmp_path / "model.pt")
    mark = tmp_path / "was-run"
    for protocol in (2, 4):
        (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload(mark), protocol=protocol))
        with refusal(r"plain.pth .*(asks to run|is not a file that torch saved)"):
            open_checkpoint(tmp_path / "plain.pth")
    assert not mark.exists()


def test_the_environment_can_not_switch_the_refusal_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "was-run"
    torch.save(Payload(mark), tmp_path / "evil.pt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with refusal(r"evil.pt asks to run"):
        open_checkpoint(tmp_path / "evil.pt")
    assert not mark.exists()


def test_programs_and_files_without_tensors_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/constants.pkl", b"")
    with refusal(r"script.pt is a TorchScript program, not weights"):
        open_checkpoint(tmp_path / "script.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with refusal(r"empty.pt holds no tensors, its content is of type dict; save `model.state_dict"):
        open_checkpoint(tmp_path / "empty.pt")
    (tmp_path / "random.bin").write_bytes(b"\x00\x01\x02" * 50)
    with refusal(r"random.bin begins with bytes that are no torch file \(00 01 02 00\)"):
        open_checkpoint(tmp_path / "random.bin")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with refusal(r"other.pt is a zip archive with neither torch's data.pkl nor .npy arrays in it"):
        open_checkpoint(tmp_path / "other.pt")


def test_an_expanded_view_of_any_size_is_read_by_slices(tmp_path: Path) -> None:
    torch.save({"w": torch.full((1,), 3.0).expand(10**12)}, tmp_path / "wide.pt")
    with open_checkpoint(tmp_path / "wide.pt") as source:
        (info,) = source.tensors
        assert (info.shape, info.size_bytes) == ((10**12,), 4)
        assert source.is_sliceable(info)
        np.testing.assert_array_equal(source.read_slice(info, 10**11, 10**11 + 5), np.full(5, 3.0, np.float32))


def test_a_sweep_does_not_repeat_a_few_bytes_for_days(tmp_path: Path) -> None:
    w = torch.full((1, 2), 3.0)
    torch.save({"w": w.expand(10**12, 2), "small": w.expand(4, 2)}, tmp_path / "wide.pt")
    with open_checkpoint(tmp_path / "wide.pt") as source:
        wide, small = sweep(source, ["int8"])
    assert wide.status == "unsupported"
    assert wide.reason.startswith("2,000,000,000,000 values are made of 8 bytes of the file")
    assert small.status == "ok"


def test_a_view_beyond_its_storage_is_a_row_with_its_reason(tmp_path: Path) -> None:
    content = save_bytes({"w": torch.ones(300), "v": torch.ones(2)})
    size = b"M\x2c\x01\x85"  # the sizes (300,) as the pickle has them
    assert content.count(size) == 1
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(tmp_path / "m.pt", "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member).replace(size, b"M\x2d\x01\x85"))
    with open_checkpoint(tmp_path / "m.pt") as source:
        w, v = source.tensors
        assert not w.decodes
        assert w.reason.startswith("its last element is number 300 of its storage, which has 300")
        np.testing.assert_array_equal(source.read(v), np.ones(2, np.float32))


def test_names_that_meet_when_dotted_are_told_apart(tmp_path: Path) -> None:
    torch.save({"a": {"b": torch.ones(1)}, "a.b": torch.zeros(1)}, tmp_path / "m.pt")
    assert {name: value.tolist() for name, value in read_all(tmp_path / "m.pt").items()} == {
        "a.b": [1.0],
        "a.b (2)": [0.0],
    }


def test_a_dict_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"w": torch.ones(2)}
    content["self"] = content
    torch.save(content, tmp_path / "m.pt")
    assert list(read_all(tmp_path / "m.pt")) == ["w"]


def test_containers_that_hold_one_another_twice_are_walked_once(tmp_path: Path) -> None:
    content: Any = [torch.ones(2)]
    for _ in range(30):  # 2^30 paths lead to the tensor
        content = [content, content]
    torch.save(content, tmp_path / "m.pt")
    assert list(read_all(tmp_path / "m.pt")) == [".".join("0" * 31)]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_plain_pickle_of_arrays_is_read_and_nothing_of_it_runs(tmp_path: Path, protocol: int) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    content = {"model": OrderedDict(w=values, t=values.T), "author": "x", "run": Payload(tmp_path / "ran")}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_all(tmp_path / "m.pkl")
    assert list(found) == ["model.w", "model.t"]
    np.testing.assert_array_equal(found["model.w"], values)
    np.testing.assert_array_equal(found["model.t"], values.T)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [{"a": 1}, [1.0]], ids=["no array", "no names"])
def test_other_pickles_are_told_from_weights(tmp_path: Path, content: Any) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(content))
    with refusal(r"m.pkl is not a file that torch saved with weights only \(it is a pickled (dict|list)\)"):
        open_checkpoint(tmp_path / "m.pkl")


def test_a_file_that_changes_while_open_is_refused_at_the_next_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(SMALL)
    with open_checkpoint(path) as source:
        path.write_bytes(SMALL[:100])
        with refusal(r"m.pt changed on disk since it was opened; open it again"):
            source.read(find(source, "w"))


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.98], ids=["head", "half", "almost"])
@pytest.mark.parametrize("content", [SMALL, SMALL_LEGACY], ids=["zip", "legacy"])
def test_truncated_files_are_refused(tmp_path: Path, content: bytes, kept: float) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(content[: int(len(content) * kept)])
    with refusal(r"cut.pt (can not be read|is not a file that torch saved)"):
        open_checkpoint(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_copies(SMALL) | damaged_copies(SMALL_LEGACY))
def test_damaged_files_read_or_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path / "fuzzed.pt", content)
