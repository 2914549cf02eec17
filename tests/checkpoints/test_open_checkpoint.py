"""From a path, a folder, a name or arrays to the reader, and what can not be opened at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

import sample_models
from qanalysis.checkpoints.catalogue import SUFFIX_KINDS, open_checkpoint
from tests.checkpoints.damage import as_nobody, open_to_others, refusal


def test_a_mapping_of_arrays_opens() -> None:
    with open_checkpoint({"w": np.ones((2, 3))}) as source:
        assert source.tensors[0].shape == (2, 3)


def test_text_and_path_open_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "W.NPY"
    np.save(tmp_path / "w.npy", np.ones(3))
    (tmp_path / "w.npy").rename(path)
    for given in (str(path), path):
        with open_checkpoint(given) as source:
            assert source.name == "W.NPY"


@pytest.mark.parametrize("name", sample_models.SAMPLES)
def test_samples_open_by_name(name: str) -> None:
    with open_checkpoint(f"sample:{name}") as source:
        assert source.name == f"sample:{name}"
        assert any(info.decodes for info in source.tensors)


def test_unknown_samples_are_refused_with_the_list() -> None:
    with refusal(r"there is no sample 'nope'; the samples are .*digits-mlp"):
        open_checkpoint("sample:nope")


def test_missing_and_unusable_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file.npz").write_bytes(b"")
    (tmp_path / "x.npz").mkdir()
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    os.mkfifo(tmp_path / "pipe.npz")
    expected = {
        "none.npz": r"none.npz' does not exist; check the spelling",
        "file.npz": r"file.npz' is empty \(0 bytes\)",
        "x.npz": r"folder 'x.npz' holds no weights and no index of shards .*; open a checkpoint file of it by name",
        "pipe.npz": r"pipe.npz' is not a regular file",
        "loop.npy": r"loop.npy' can not be opened",
        "file.npz/inside.npy": r"inside.npy' can not be opened: Not a directory",
        f"{'n' * 300}.npy": r"can not be opened: File name too long",
        "nul\0.npy": r"can not be opened: embedded null byte",
    }
    for name, match in expected.items():
        with refusal(match):
            open_checkpoint(tmp_path / name)


def test_files_and_folders_without_permission_are_refused(tmp_path: Path) -> None:
    open_to_others(tmp_path)
    np.save(tmp_path / "w.npy", np.ones(3))
    (tmp_path / "w.npy").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o700)
    np.save(tmp_path / "closed" / "w.npy", np.ones(3))
    (tmp_path / "closed").chmod(0)
    for name in ("w.npy", "closed/w.npy", "closed"):
        with refusal(r"can not be (opened|listed): Permission denied; check"), as_nobody():
            open_checkpoint(tmp_path / name)


def zip_of(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "text")
    return stream.getvalue()


FOREIGN = {
    "a zip of neither": ("m.pt", zip_of("readme.txt"), r"m.pt is a zip archive with neither torch's data.pkl nor .npy"),
    "a zip cut short": (
        "m.safetensors",
        b"PK\x03\x04 and more",
        r"m.safetensors, which begins as a zip archive, can not be read: File is not a zip file",
    ),
    "tar": ("m.pth.tar", bytes(257) + b"ustar" + bytes(300), r"m.pth.tar is a tar archive"),
    "hdf5": ("m.pth", b"\x89HDF\r\n\x1a\n", r"m.pth is an HDF5 file \(Keras .h5\), which is not read; save the"),
    "hdf5 by its suffix": ("model.h5", b"\x89HDF\r\n\x1a\n", r"model.h5 is an HDF5 file"),
    "gzip": ("m.npz", b"\x1f\x8b\x08", r"m.npz is a compressed file, .* decompress it"),
    "a pointer": (
        "m.onnx",
        b"version https://git-lfs.github.com/spec/v1\n",
        r"m.onnx is a Git LFS pointer .* `git lfs pull`",
    ),
    "text": ("m.safetensors", b"<!DOCTYPE html>", r"m.safetensors is text, not weights"),
    "old ggml": ("m.bin", b"tjgg\x03\0\0\0", r"m.bin is a GGML file from before GGUF"),
    "nothing known": (
        "m.gguf",
        b"\0\1\2\3\4",
        r"m.gguf begins with bytes that are no GGUF file \(00 01 02 03\), which its suffix says",
    ),
    "nothing known, nothing said": (
        "weights",
        b"\0\1\2\3\4",
        r"weights: neither its first bytes \(00 01 02 03\) nor its suffix say what it is; checkpoints end in .safetens",
    ),
}


@pytest.mark.parametrize(("name", "content", "match"), FOREIGN.values(), ids=FOREIGN.keys())
def test_files_of_other_kinds_are_refused_by_what_they_are(
    tmp_path: Path, name: str, content: bytes, match: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with refusal(match):
        open_checkpoint(tmp_path / name)


def write_as(kind: str, path: Path) -> None:
    """w = ones (2, 3) in a file of that kind."""
    values = np.ones((2, 3), np.float32)
    if kind == "safetensors":
        save_file({"w": values}, path)
    elif kind == "npy":
        np.save(path.with_suffix(".npy"), values)
        path.with_suffix(".npy").rename(path)
    elif kind == "npz":
        np.savez(path.with_suffix(".npz"), w=values)
        path.with_suffix(".npz").rename(path)
    elif kind == "torch":
        torch.save({"w": torch.from_numpy(values)}, path)
    elif kind == "legacy torch":
        torch.save({"w": torch.from_numpy(values)}, path, _use_new_zipfile_serialization=False)
    elif kind == "gguf":
        writer = GGUFWriter(path, "llama")
        writer.add_tensor("w", values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    else:
        tensor = numpy_helper.from_array(values, "w")
        path.write_bytes(helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString())


NAMES = ("m", "m.ckpt", "m.pth.tar", "m.pkl", "m.model", "m.tar", "m.dat", "m.bin", "m.npz", "M.ONNX")


@pytest.mark.parametrize("kind", ["safetensors", "npy", "npz", "torch", "legacy torch", "gguf"])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_as_what_it_holds_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    write_as(kind, tmp_path / name)
    with open_checkpoint(tmp_path / name) as source:
        assert [info.shape for info in source.tensors] == [(2, 3)]
        assert source.read(source.tensors[0]).tolist() == [[1.0] * 3] * 2
        said = SUFFIX_KINDS.get(Path(name).suffix.lower())
        differs = said is not None and said.name.lower() not in kind
        assert any("which its content is whatever its suffix says" in note for note in source.notes) == differs


@pytest.mark.parametrize("name", ["m", "m.model", "m.dat", "m.npz", "m.gguf"])
def test_a_graph_is_told_by_its_outermost_fields(tmp_path: Path, name: str) -> None:
    write_as("onnx", tmp_path / name)
    with open_checkpoint(tmp_path / name) as source:
        assert [info.name for info in source.tensors] == ["w"]
    content = (tmp_path / name).read_bytes()
    for damaged in (content[:-1], content + b"\0", b"\x3a\x80"):
        (tmp_path / name).write_bytes(damaged)
        with refusal(r"(nor its suffix say|begins with bytes that are no)"):
            open_checkpoint(tmp_path / name)


def test_readers_load_their_libraries_only_when_needed() -> None:
    program = "import sys, qanalysis.checkpoints; print([name for name in ('torch', 'onnx', 'gguf', 'pandas') if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
