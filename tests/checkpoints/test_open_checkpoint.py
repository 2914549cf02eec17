"""From a path, a folder, a name or arrays to the reader, and what can not be opened at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import sample_models
from qanalysis.checkpoints.catalogue import open_checkpoint
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
        "x.npz": r"folder '.*x.npz' holds no .safetensors file and no \*.safetensors.index.json; open a checkpoint file of it by name",
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


DISAGREEMENTS = {
    "m.safetensors": (
        b"PK\x03\x04 and more",
        r"begins with a zip archive \(.pt or .npz\), which does not go with its suffix '.safetensors'; rename it",
    ),
    "m.pt": (b"\x02\0\0\0\0\0\0\0{}", r"begins with a safetensors header, which does not go with its suffix '.pt'"),
    "m.bin": (b"GGUF\x03\0\0\0", r"begins with a GGUF header"),
    "m.npz": (b"\x93NUMPY\x01\0", r"begins with a .npy header"),
    "m.npy": (b"\x80\x02}q\0.", r"begins with a Python pickle"),
    "m.gguf": (b"\0\1\2\3\4", r"begins with bytes that are no gguf file \(00 01 02 03\)"),
    "m.onnx": (b"version https://git-lfs.github.com/spec/v1\n", r"begins with text"),
    "m.pth": (b"\x89HDF\r\n\x1a\n", r"begins with an HDF5 file, which is not read"),
}


@pytest.mark.parametrize(
    ("name", "content", "match"), [(name, *case) for name, case in DISAGREEMENTS.items()], ids=DISAGREEMENTS.keys()
)
def test_content_that_disagrees_with_the_suffix_is_named(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with refusal(match):
        open_checkpoint(tmp_path / name)


def test_a_folder_names_the_shard_that_is_none(tmp_path: Path) -> None:
    save_file({"w": np.ones(3, dtype=np.float32)}, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"GGUF\x03\0\0\0")
    with refusal(r"b.safetensors begins with a GGUF header"):
        open_checkpoint(tmp_path)


def test_unknown_suffixes_are_refused_with_the_list(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with refusal(r"model.h5: the suffix '.h5' is not known; checkpoints end in .safetensors, .pt, .*index.json"):
        open_checkpoint(tmp_path / "model.h5")


def test_readers_load_their_libraries_only_when_needed() -> None:
    program = "import sys, qanalysis.checkpoints; print([name for name in ('torch', 'onnx', 'gguf', 'pandas') if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
