"""What a page may open: nothing outside its root, whatever a path or a link says."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.path_policy import list_checkpoints, list_files, resolve_inside
from qanalysis.checkpoints.source import CheckpointError
from tests.checkpoints.damage import as_nobody, open_to_others, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with two models, and a file beside it that is out of bounds."""
    folder = tmp_path / "root"
    (folder / "sharded").mkdir(parents=True)
    for place in (
        folder / "a.safetensors",
        folder / "sharded" / "model-1.safetensors",
        tmp_path / "secret.safetensors",
    ):
        save_file({"w": np.ones(3, dtype=np.float32)}, place)
    (folder / "sharded" / "model.safetensors.index.json").write_text("{}")
    return folder


def test_paths_inside_resolve_whether_relative_or_absolute(root: Path) -> None:
    assert resolve_inside(root, "a.safetensors") == (root / "a.safetensors").resolve()
    assert resolve_inside(root, "sharded/../a.safetensors") == (root / "a.safetensors").resolve()
    assert resolve_inside(root, str(root / "sharded")) == (root / "sharded").resolve()
    assert resolve_inside(root, ".") == root.resolve()


def test_links_that_stay_inside_are_followed(root: Path) -> None:
    (root / "link.safetensors").symlink_to("a.safetensors")
    assert resolve_inside(root, "link.safetensors") == (root / "a.safetensors").resolve()


@pytest.mark.parametrize(
    "text", ["../secret.safetensors", "../not-there", "sharded/../../secret.safetensors", "/etc/passwd", "", "  "]
)
def test_paths_outside_are_refused_alike_whether_they_exist_or_not(root: Path, text: str) -> None:
    with refusal(r"lies outside the root folder 'root'; give a path below it, or start the app with another --root"):
        resolve_inside(root, text)


def test_links_that_leave_the_root_are_refused(root: Path) -> None:
    (root / "file.safetensors").symlink_to(root.parent / "secret.safetensors")
    (root / "folder").symlink_to(root.parent)
    for text in ("file.safetensors", "folder/secret.safetensors", "folder"):
        with refusal(r"lies outside the root folder"):
            resolve_inside(root, text)


@pytest.mark.parametrize("name", ["model-2.safetensors", "x.SAFETENSORS", "config.json"])
def test_links_out_of_the_root_are_refused_when_their_folder_is_opened(root: Path, name: str) -> None:
    folder = root / "sharded"
    (folder / "model.safetensors.index.json").unlink()
    (folder / name).symlink_to(root.parent / "secret.safetensors")
    if name == "config.json":  # says nothing about the model then
        with open_checkpoint(resolve_inside(root, "sharded"), root=root) as source:
            assert [info.name for info in source.tensors] == ["w"]
        return
    with refusal(rf"'{name}' leaves the root folder 'root'; copy the file into it"):
        open_checkpoint(resolve_inside(root, "sharded"), root=root)


def test_an_index_can_not_name_a_link_out_of_the_root(root: Path) -> None:
    folder = root / "sharded"
    (folder / "x.safetensors").symlink_to(root.parent / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "x.safetensors"}}')
    for text in ("sharded", "sharded/model.safetensors.index.json"):
        with refusal(r"'x.safetensors' leaves the root folder 'root'"):
            open_checkpoint(resolve_inside(root, text), root=root)


def test_an_index_that_is_a_link_out_of_the_root_is_refused(root: Path) -> None:
    (root / "sharded" / "model.safetensors.index.json").unlink()
    (root.parent / "outside.json").write_text('{"weight_map": {"w": "model-1.safetensors"}}')
    (root / "sharded" / "model.safetensors.index.json").symlink_to(root.parent / "outside.json")
    with refusal(r"'model.safetensors.index.json' leaves the root folder 'root'"):
        open_checkpoint(root / "sharded", root=root)


def test_a_folder_that_becomes_a_link_after_it_was_resolved_leads_nowhere(root: Path) -> None:
    path = resolve_inside(root, "sharded")
    (root / "sharded" / "model-1.safetensors").unlink()
    (root / "sharded" / "model.safetensors.index.json").unlink()
    (root / "sharded").rmdir()
    (root / "sharded").symlink_to(root.parent)
    with refusal(r"leaves the root folder 'root'"):
        open_checkpoint(path / "secret.safetensors", root=root)
    with refusal(r"leaves the root folder 'root'"):
        open_checkpoint(path, root=root)


def test_a_link_that_takes_the_place_of_a_file_while_it_is_opened_is_not_followed(root: Path) -> None:
    outside, target = root.parent / "secret.safetensors", root / "sharded" / "model-1.safetensors"
    stop, leaked = threading.Event(), []

    def swap() -> None:
        spare = root / "spare"
        while not stop.is_set():
            spare.symlink_to(outside)
            spare.replace(target)
            spare.write_bytes((root / "a.safetensors").read_bytes())
            spare.replace(target)

    save_file({"secret": np.ones(3, dtype=np.float32)}, outside)
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(300):
            with suppress(CheckpointError), open_checkpoint(target, root=root) as source:
                leaked += [info.name for info in source.tensors if info.name == "secret"]
    finally:
        stop.set()
        swapper.join()
    assert leaked == []


@pytest.mark.parametrize("place", ["pipe.npz", "folder"])
def test_pipes_never_block(root: Path, place: str) -> None:
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe.npz")
    os.mkfifo(root / "folder" / "model.safetensors")
    for given in (None, root):
        with refusal(r"(pipe.npz' is not a regular file|holds no weights)"):
            open_checkpoint(root / place, root=given)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc/self/mem", "/proc/version"])
def test_devices_and_files_of_the_system_are_refused(path: str) -> None:
    with refusal(r"(is not a regular file|is empty)"):
        open_checkpoint(path)


def test_missing_special_and_malformed_paths_are_refused(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    with refusal(r"'none.npz' does not exist in the root folder 'root'; check the spelling"):
        resolve_inside(root, "none.npz")
    with refusal(r"'pipe' is neither a regular file nor a folder"):
        resolve_inside(root, "pipe")
    with refusal(r"'loop' does not exist"):
        resolve_inside(root, "loop")
    with refusal(r"'nul.*' can not be resolved to a path; give one below the root folder"):
        resolve_inside(root, "nul\0byte")


def test_listing_names_what_can_be_opened(root: Path) -> None:
    for folder in (".hidden", "venv", "node_modules", "deep/er/and/deep/er"):
        (root / folder).mkdir(parents=True)
        np.save(root / folder / "w.npy", np.ones(3))
    (root / "venv" / "pyvenv.cfg").write_text("")
    np.save(root / "deep" / "w.npy", np.ones(3))
    (root / "notes.txt").write_text("text")
    (root / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    (root / "loop.npy").symlink_to("loop.npy")
    (root / "empty.npz").write_bytes(b"")
    (root / "out.safetensors").symlink_to(root.parent / "secret.safetensors")
    assert list_checkpoints(root) == ["a.safetensors", "deep/w.npy", "sharded/model.safetensors.index.json"]


def test_listing_is_by_content_where_a_suffix_says_little(root: Path) -> None:
    for name in ("best.ckpt", "best.pth.tar", "state.pkl"):
        torch.save({"w": torch.ones(2)}, root / name)
    (root / "code.tar").write_bytes(bytes(257) + b"ustar" + bytes(300))
    (root / "firmware.bin").write_bytes(bytes(100))
    (root / "list.pkl").write_text("text")
    (root / "bins").mkdir()
    (root / "bins" / "pytorch_model.bin.index.json").write_text("{}")
    for name in ("pytorch_model-00001-of-00002.bin", "other.bin"):
        torch.save({"w": torch.ones(2)}, root / "bins" / name)
    listed = [name for name in list_checkpoints(root) if "safetensors" not in name]
    assert listed == ["best.ckpt", "best.pth.tar", "bins/other.bin", "bins/pytorch_model.bin.index.json", "state.pkl"]


def test_listing_passes_over_folders_without_permission(root: Path) -> None:
    open_to_others(root.parent)
    (root / "a.safetensors").chmod(0o644)
    (root / "closed").mkdir(mode=0)
    with as_nobody():
        assert list_checkpoints(root) == ["a.safetensors", "sharded/model.safetensors.index.json"]


def test_listing_stops_at_its_limit(root: Path) -> None:
    for number in range(30):
        np.save(root / f"w{number:02}.npy", np.ones(3))
    assert len(list_checkpoints(root, limit=10)) == 10


def test_files_are_listed_by_suffix_inside_the_root_only(root: Path) -> None:
    for name in ("a.csv", "sharded/b.WAV", ".hidden.csv", "c.txt"):
        (root / name).write_text("1\n")
    (root.parent / "secret.csv").write_text("1\n")
    (root / "link.csv").symlink_to(root.parent / "secret.csv")
    assert list_files(root, (".csv", ".wav")) == ["a.csv", "sharded/b.WAV"]
    assert len(list_files(root, (".csv", ".wav"), limit=1)) == 1
