"""What a page may open: nothing outside its root, whatever a path or a link says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qanalysis.checkpoints.path_policy import list_checkpoints, list_files, resolve_inside
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


def test_shards_that_leave_the_root_are_refused(root: Path) -> None:
    (root / "sharded" / "model-2.safetensors").symlink_to(root.parent / "secret.safetensors")
    for text in ("sharded", "sharded/model.safetensors.index.json"):
        with refusal(r"holds the link 'model-2.safetensors', which leaves the root folder 'root'"):
            resolve_inside(root, text)
    assert resolve_inside(root, "sharded/model-1.safetensors").name == "model-1.safetensors"


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
