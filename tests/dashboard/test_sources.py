"""Which file a text stands for: samples, paths inside the root, uploads that expire."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import sample_models
from qanalysis.checkpoints.catalogue import locate_sample, open_checkpoint
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.sources import (
    PARTIAL_PREFIX,
    UploadStore,
    identify_source,
    locate_source,
    open_source,
    read_root,
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    np.savez(folder / "w.npz", w=np.eye(4, dtype=np.float32))
    monkeypatch.setenv("QANALYSIS_ROOT", str(folder))
    return folder


@pytest.fixture
def uploads() -> UploadStore:
    return UploadStore()


def test_the_root_is_the_working_folder_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QANALYSIS_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert read_root() == tmp_path
    monkeypatch.setenv("QANALYSIS_ROOT", "/elsewhere")
    assert read_root() == Path("/elsewhere")


def test_a_text_stands_for_a_sample_or_a_file_below_the_root(root: Path, uploads: UploadStore) -> None:
    assert locate_source("sample:digits-mlp", uploads) == "sample:digits-mlp"
    assert locate_source("w.npz", uploads) == root / "w.npz"


@pytest.mark.parametrize("text", ["../secret.npz", "/etc/passwd", "missing.npz"])
def test_what_is_not_below_the_root_is_refused(root: Path, uploads: UploadStore, text: str) -> None:
    with pytest.raises(CheckpointError, match="root folder 'models'"):
        locate_source(text, uploads)


def test_a_link_that_leaves_the_root_is_refused(root: Path, uploads: UploadStore, tmp_path: Path) -> None:
    np.savez(tmp_path / "outside.npz", w=np.ones((2, 2)))
    (root / "inside.npz").symlink_to(tmp_path / "outside.npz")
    with pytest.raises(CheckpointError, match="outside the root folder"):
        locate_source("inside.npz", uploads)


@pytest.mark.parametrize("name", ["x.SAFETENSORS", "model-2-of-2.safetensors"])
def test_a_folder_shows_no_file_outside_the_root(root: Path, uploads: UploadStore, tmp_path: Path, name: str) -> None:
    values = {"secret.weight": np.ones((2, 2), np.float32)}
    (tmp_path / "secret.safetensors").write_bytes(save(values))
    (root / "dir").mkdir()
    (root / "dir" / "model-1-of-2.safetensors").write_bytes(save({"w": values["secret.weight"]}))
    (root / "dir" / name).symlink_to(tmp_path / "secret.safetensors")
    before = identify_source("dir", uploads)
    if name == "x.SAFETENSORS":
        (root / "dir" / "model-1-of-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"'{name}' leaves the root folder 'models'; copy the file into it"):
        open_source("dir", uploads)
    if name != "x.SAFETENSORS":
        (tmp_path / "secret.safetensors").write_bytes(save({**values, "more": values["secret.weight"]}))
        assert identify_source("dir", uploads) == before  # nothing of what lies outside is read


def test_sources_open_below_their_own_root(root: Path, uploads: UploadStore) -> None:
    text = uploads.save("own.npz", (root / "w.npz").read_bytes())
    for source_text, name in ((text, "own.npz"), ("w.npz", "w.npz"), ("sample:digits-mlp", "sample:digits-mlp")):
        with open_source(source_text, uploads) as source:
            assert source.name == name
    path = uploads.locate(text)
    path.unlink()
    path.symlink_to(root / "w.npz")  # below the root, but uploads have their own
    with pytest.raises(CheckpointError, match=r"'own.npz' leaves the root folder"):
        open_source(text, uploads)


def test_configuration_and_other_parts_belong_to_the_identity(root: Path, uploads: UploadStore) -> None:
    before = identify_source("w.npz", uploads)
    (root / "other.npz").write_bytes(b"x")
    assert identify_source("w.npz", uploads) == before
    (root / "config.json").write_text('{"model_type": "gpt2"}')
    assert identify_source("w.npz", uploads) != before
    (root / "model-1-of-2.safetensors").write_bytes(b"x")
    before = identify_source("model-1-of-2.safetensors", uploads)
    (root / "model-2-of-2.safetensors").write_bytes(b"x")
    assert identify_source("model-1-of-2.safetensors", uploads) != before


def test_every_sample_has_a_file_and_no_other_name_does() -> None:
    assert all(locate_sample(f"sample:{name}").is_file() for name in sample_models.SAMPLES)
    with pytest.raises(CheckpointError, match="there is no sample 'x'; the samples are digits-mlp"):
        locate_sample("sample:x")


def test_the_identity_changes_with_content_time_and_size(root: Path, uploads: UploadStore) -> None:
    seen = {identify_source("w.npz", uploads)}
    assert identify_source("w.npz", uploads) in seen
    stat = (root / "w.npz").stat()
    os.utime(root / "w.npz", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    seen.add(identify_source("w.npz", uploads))
    content = bytearray((root / "w.npz").read_bytes())
    content[40] ^= 1
    (root / "w.npz").write_bytes(content)
    os.utime(root / "w.npz", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    seen.add(identify_source("w.npz", uploads))
    (root / "w.npz").write_bytes(bytes(content) + b"\0")
    seen.add(identify_source("w.npz", uploads))
    assert len(seen) == 4


def test_a_folder_has_the_identity_of_all_its_files(root: Path, uploads: UploadStore) -> None:
    before = identify_source(".", uploads)
    (root / "more.safetensors").write_bytes(b"x")
    assert identify_source(".", uploads) != before


def test_an_upload_opens_under_its_own_name(uploads: UploadStore, root: Path) -> None:
    text = uploads.save("my model.npz", (root / "w.npz").read_bytes())
    assert text.startswith("upload:")
    assert text.endswith("/my_model.npz")
    with open_checkpoint(locate_source(text, uploads)) as source:
        assert source.name == "my_model.npz"
    assert identify_source(text, uploads) != identify_source("w.npz", uploads)


def test_an_upload_s_name_never_leaves_its_folder(uploads: UploadStore) -> None:
    text = uploads.save("../../etc/evil.npz", b"x")
    assert text.endswith("/evil.npz")
    with pytest.raises(ValueError, match="upload the file again"):
        uploads.locate(text.replace("evil.npz", "../evil.npz"))


def test_an_upload_of_an_unknown_kind_is_refused(uploads: UploadStore) -> None:
    with pytest.raises(ValueError, match=r"upload 'run.sh': unknown kind of file; one of .safetensors"):
        uploads.save("run.sh", b"x")


def test_uploads_end_with_their_time_and_the_oldest_makes_room() -> None:
    short = UploadStore(lifetime_s=0)
    with pytest.raises(ValueError, match="this one is gone"):
        short.locate(short.save("w.npz", b"x"))
    small = UploadStore(keep=2)
    texts = [small.save("w.npz", bytes([index])) for index in range(3)]
    assert [small.locate(text).read_bytes() for text in texts[1:]] == [b"\1", b"\2"]
    with pytest.raises(ValueError, match="this one is gone"):
        small.locate(texts[0])


def test_uploads_are_gone_with_their_store() -> None:
    store = UploadStore()
    path = store.locate(store.save("w.npz", b"x"))
    assert path.stat().st_size == 1
    assert path.parent.parent.stat().st_mode & 0o077 == 0
    del store
    gc.collect()
    assert not path.exists()


def test_a_store_takes_the_kinds_of_file_that_it_is_made_for() -> None:
    records = UploadStore(suffixes=(".wav", ".csv"))
    assert records.locate(records.save("tone.wav", b"RIFF")).read_bytes() == b"RIFF"
    with pytest.raises(ValueError, match=r"unknown kind of file; one of \.wav, \.csv is expected"):
        records.save("weights.npz", b"PK")


@pytest.mark.parametrize("path", ["../w.npz", "/etc/passwd", "", "partial:w.npz", "hf://owner/repo"])
@pytest.mark.parametrize("find", [open_source, identify_source])
@pytest.mark.usefixtures("root")
def test_what_is_there_of_a_set_is_sought_below_the_root_too(
    uploads: UploadStore, find: Callable[[str, UploadStore], object], path: str
) -> None:
    with pytest.raises(CheckpointError):
        find(f"{PARTIAL_PREFIX}{path}", uploads)


def test_a_set_that_lacks_a_part_is_opened_as_far_as_it_is_there(root: Path, uploads: UploadStore) -> None:
    (root / "model-00001-of-00002.safetensors").write_bytes(save({"w": np.eye(4, dtype=np.float32)}))
    name = "model-00001-of-00002.safetensors"
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        open_source(name, uploads)
    with open_source(f"{PARTIAL_PREFIX}{name}", uploads) as source:
        assert [info.name for info in source.tensors] == ["w"]
    assert identify_source(f"{PARTIAL_PREFIX}{name}", uploads) == identify_source(name, uploads)
