"""Models of the hub and files of plain servers, of every kind, read as from disk."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.remote import remote_file
from qanalysis.checkpoints.remote.opening import find_place
from qanalysis.checkpoints.remote.remote_file import FIRST_BYTES, JUMP_BYTES
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from tests.checkpoints.remote.serving import COMMIT, Site

Arrays = dict[str, NDArray[np.float32]]
WEIGHTS: Arrays = {
    "a.weight": np.random.default_rng(1).standard_normal((40, 64), dtype=np.float32),
    "b.weight": np.random.default_rng(2).standard_normal((8, 64), dtype=np.float32),
    "c.weight": np.random.default_rng(3).standard_normal((64, 100), dtype=np.float32),
}
SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]


@pytest.fixture
def hub(site: Site, cdn: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A hub with one model in three shards, whose large files lie with another server."""
    files = {shard: save({name: array}) for shard, (name, array) in zip(SHARDS, WEIGHTS.items(), strict=True)}
    site.repositories["o/r"] = {**files, "config.json": b'{"model_type": "x"}', "README.md": b"read me"}
    site.cdn = cdn.url
    cdn.files.update({f"o/r/{name}": data for name, data in files.items()})
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    return site


def read(text: str, **options: bool) -> Arrays:
    with open_checkpoint(text, **options) as source:
        assert source.memory_note == (
            "Read by byte ranges over the network: a read costs the tensor or slice asked for."
        )
        return {info.name: source.read(info) for info in source.tensors}


def assert_equal(found: Arrays, wanted: Arrays) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "address", ["hf://o/r", "hf://o/r@v1", f"hf://o/r@{COMMIT}", f"hf://o/r/{SHARDS[1]}", "HF://o/r"]
)
def test_a_repository_opens_as_its_folder_would(hub: Site, address: str) -> None:
    assert_equal(read(address), WEIGHTS)


def test_an_index_of_a_repository_is_followed(hub: Site) -> None:
    shard_of = dict(zip(WEIGHTS, SHARDS, strict=True))
    index = json.dumps({"weight_map": shard_of}).encode()
    hub.repositories["o/r"]["model.safetensors.index.json"] = index
    assert_equal(read("hf://o/r"), WEIGHTS)
    assert_equal(read("hf://o/r/model.safetensors.index.json"), WEIGHTS)


def test_a_folder_of_a_repository_is_one_too(hub: Site, cdn: Site) -> None:
    data = save(WEIGHTS)
    hub.repositories["o/r"]["sub folder/ü.safetensors"] = data
    cdn.files["o/r/sub folder/ü.safetensors"] = data
    assert_equal(read("hf://o/r/sub folder"), WEIGHTS)
    assert_equal(read("hf://o/r@main/sub folder/ü.safetensors"), WEIGHTS)


def test_a_repository_names_its_commit(hub: Site) -> None:
    with open_checkpoint("hf://o/r@v1") as source:
        assert source.name == "hf://o/r@v1"
        assert source.notes[0] == f"o/r at 'v1' is commit {COMMIT}"
        with pytest.raises(CheckpointError, match="no digest here, which would cost a download"):
            _ = source.digest


def test_the_token_stays_with_the_hub(hub: Site, cdn: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    read("hf://o/r")
    assert {one.token for one in hub.asked} == {"Bearer hf_secret"}
    assert cdn.asked
    assert {one.token for one in cdn.asked} == {""}


def test_the_place_of_a_file_is_found_again_once_its_address_has_expired(hub: Site, cdn: Site) -> None:
    values = np.arange(1 << 17, dtype=np.float32).reshape(256, 512)
    hub.repositories["o/s"] = {"model.safetensors": save({"w": values})}
    cdn.files = {"o/s/model.safetensors": save({"w": values})}
    with open_checkpoint("hf://o/s") as source:
        cdn.fault, cdn.status, cdn.faulty = "status", 403, "model.safetensors"
        before = len(hub.asked)
        with pytest.raises(CheckpointError, match=r"\(status 403\)"):
            source.read(source.tensors[0])
        assert len(hub.asked) == before + 1
        cdn.fault = ""
        np.testing.assert_array_equal(source.read(source.tensors[0]), values)


def test_a_missing_shard_is_told_and_can_be_left_out(hub: Site) -> None:
    del hub.repositories["o/r"][SHARDS[1]]
    with pytest.raises(CheckpointError, match=r"2 of 3 shards: model-00002-of-00003\.safetensors is missing"):
        open_checkpoint("hf://o/r")
    assert list(read("hf://o/r", partial=True)) == ["a.weight", "c.weight"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("hf://o", "must be 'namespace/name'|hf://owner/repo"),
        ("hf://", "hf://owner/repo"),
        ("hf://../r", "hf://owner/repo"),
        ("hf://o/r@", "Empty revision|hf://owner/repo"),
        ("hf://datasets/o/r", "names no model"),
        ("hf://o/r/../x/secret", "names no model"),
        ("hf://o/none", "is not there; check the spelling, and set HF_TOKEN"),
        ("hf://o/r@other", "is not there"),
        ("hf://o/r/none.gguf", "'none.gguf' is not in the repository 'o/r' at this revision"),
        ("hf://o/r/README.md", "neither its first bytes"),
        ("hf://o/" + "r" * 3000, "hf://owner/repo"),
    ],
)
def test_what_the_hub_does_not_have_is_one_message(hub: Site, address: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason) as caught:
        open_checkpoint(address)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"siblings": 3}', b"[" * 100_000])
def test_a_hub_that_lists_nothing_is_told_of(site: Site, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/mirror")
    site.files["mirror/api/models/o/r/revision/main"] = body
    with pytest.raises(CheckpointError, match="HF_ENDPOINT"):
        open_checkpoint("hf://o/r")


def test_sizes_that_the_hub_does_not_say_are_asked_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"siblings": [{"rfilename": "model.safetensors"}, "odd", {"rfilename": 7}]}
    site.files["mirror/api/models/o/r/revision/main"] = json.dumps(listed).encode()
    site.repositories["mirror/o/r"] = {"model.safetensors": save(WEIGHTS)}
    site.files["mirror/o/r/model.safetensors"] = save(WEIGHTS)
    monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/mirror")
    # without a commit the address names the branch, which this server does not know
    with pytest.raises(CheckpointError, match="is not there"):
        open_checkpoint("hf://o/r")
    site.files["mirror/api/models/o/r/revision/main"] = json.dumps({**listed, "sha": COMMIT}).encode()
    assert_equal(read("hf://o/r"), WEIGHTS)


def test_a_hub_that_lies_about_sizes_is_told_of(hub: Site, cdn: Site) -> None:
    for shard in SHARDS:
        cdn.files[f"o/r/{shard}"] += b"more"
    with pytest.raises(CheckpointError, match="changed on its server"):
        open_checkpoint("hf://o/r")


# plain servers


def test_a_file_of_a_plain_server_brings_its_set_and_its_configuration(site: Site) -> None:
    files = {shard: save({name: array}) for shard, (name, array) in zip(SHARDS, WEIGHTS.items(), strict=True)}
    site.files.update({f"m/{name}": data for name, data in files.items()})
    assert_equal(read(f"{site.url}/m/{SHARDS[1]}"), WEIGHTS)
    shard_of = dict(zip(WEIGHTS, SHARDS, strict=True))
    site.files["m/model.safetensors.index.json"] = json.dumps({"weight_map": shard_of}).encode()
    assert_equal(read(f"{site.url}/m/model.safetensors.index.json"), WEIGHTS)
    del site.files[f"m/{SHARDS[0]}"]
    with pytest.raises(CheckpointError, match=r"2 of 3 shards: model-00001-of-00003\.safetensors is missing"):
        open_checkpoint(f"{site.url}/m/{SHARDS[1]}")
    with pytest.raises(CheckpointError, match=r"2 of 3 shards: model-00001-of-00003\.safetensors is missing"):
        open_checkpoint(f"{site.url}/m/model.safetensors.index.json")


def test_beside_a_signed_address_nothing_is_looked_for(site: Site) -> None:
    site.files["m/model-00001-of-00002.safetensors"] = save(WEIGHTS)
    text = f"{site.url}/m/model-00001-of-00002.safetensors?Signature=x"
    assert_equal(read(text, partial=True), WEIGHTS)
    assert {one.path for one in site.asked} == {"m/model-00001-of-00002.safetensors"}


def test_an_empty_file_and_a_folder_are_refused(site: Site) -> None:
    site.files["empty.npz"] = b""
    with pytest.raises(CheckpointError, match=r"is empty \(0 bytes\)"):
        open_checkpoint(f"{site.url}/empty.npz")
    with pytest.raises(CheckpointError, match="names a folder"):
        open_checkpoint(f"{site.url}/m/")


def write_npz() -> bytes:
    made = io.BytesIO()
    np.savez(made, **WEIGHTS)
    return made.getvalue()


def write_npz_compressed() -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **WEIGHTS)
    return made.getvalue()


def write_onnx(weights: Arrays) -> bytes:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("Identity", ["a.weight"], ["y"])
    model: bytes = helper.make_model(helper.make_graph([node], "g", [], [output], tensors)).SerializeToString()
    return model


def write_gguf(path: Path, weights: Arrays) -> bytes:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    for name, array in weights.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["safetensors", "npz", "npz compressed", "onnx", "gguf"])
def test_every_kind_of_file_reads_from_a_server(site: Site, kind: str, tmp_path: Path) -> None:
    data = {
        "safetensors": lambda: save(WEIGHTS),
        "npz": write_npz,
        "npz compressed": write_npz_compressed,
        "onnx": lambda: write_onnx(WEIGHTS),
        "gguf": lambda: write_gguf(tmp_path / "m.gguf", WEIGHTS),
    }[kind]()
    name = f"m.{kind.split(maxsplit=1)[0]}"
    site.files[name] = data
    found = read(f"{site.url}/{name}")
    for one, array in WEIGHTS.items():
        np.testing.assert_array_equal(found[one].reshape(array.shape), array)


def test_external_data_of_a_graph_is_read_by_ranges(site: Site, tmp_path: Path) -> None:
    onnx.save(
        onnx.load_from_string(write_onnx(WEIGHTS)), tmp_path / "m.onnx", save_as_external_data=True, location="m.data"
    )
    site.files.update({f"x/{name}": (tmp_path / name).read_bytes() for name in ("m.onnx", "m.data")})
    found = read(f"{site.url}/x/m.onnx")
    np.testing.assert_array_equal(found["a.weight"], WEIGHTS["a.weight"])
    assert site.count("m.data") == 1  # they fit into one stretch


def test_a_torch_file_reads_from_a_server(site: Site) -> None:
    large = {name: np.tile(array, (20, 20)) for name, array in WEIGHTS.items()}
    made = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in large.items()}, made)
    site.files["m.pt"] = made.getvalue()
    assert_equal(read(f"{site.url}/m.pt?x"), large)
    # the beginning and the directory; of each tensor its place and its values
    assert len(site.asked) <= 2 + 2 * len(large)


@pytest.mark.parametrize("kind", ["safetensors", "npz", "onnx", "gguf", "pt"])
def test_a_list_of_tensors_reads_no_values(
    site: Site, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_file, "WHOLE_BYTES", 0)  # as if the graph were larger than what is fetched whole
    large = {name: np.tile(array, (20, 20)) for name, array in WEIGHTS.items()}
    made = io.BytesIO()
    if kind == "npz":
        np.savez(made, **large)
    elif kind == "pt":
        torch.save({name: torch.from_numpy(array) for name, array in large.items()}, made)
    written = {
        "safetensors": lambda: save(large),
        "npz": made.getvalue,
        "pt": made.getvalue,
        "onnx": lambda: write_onnx(large),
        "gguf": lambda: write_gguf(tmp_path / "m.gguf", large),
    }
    site.files[f"m.{kind}"] = written[kind]()
    with open_checkpoint(f"{site.url}/m.{kind}?x") as source:
        assert {info.name for info in source.tensors} == set(large)
    # the beginning and perhaps the end, and a jump to each tensor where the file has no list of them
    assert len(site.asked) <= 2 + 2 * len(large)
    assert site.sent <= 2 * FIRST_BYTES + 2 * len(large) * JUMP_BYTES
    assert site.sent < sum(array.nbytes for array in large.values()) / 30


def test_an_address_of_the_hub_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    with pytest.raises(CheckpointError, match=r"HF_ENDPOINT is set to huggingface\.co: only https://"):
        open_checkpoint("hf://o/r")


def test_a_sweep_of_an_address_is_that_of_the_file(hub: Site, site: Site) -> None:
    schemes = [Scheme.parse("int4 group=32"), Scheme.parse("int8 channel")]
    with open_checkpoint("hf://o/r") as source:
        rows = sweep(source, schemes, workers=4)
    wanted = sweep(WEIGHTS, schemes, workers=1)
    assert [row.sqnr_db for row in rows] == [row.sqnr_db for row in wanted]
    assert rows.source.digest is None
    assert rows.source.path == "hf://o/r"


def test_the_identity_of_an_address_changes_with_its_version(hub: Site, site: Site) -> None:
    def identify(text: str) -> str:
        place = find_place(text)
        place.close()
        return place.identity

    assert identify("hf://o/r") == identify("hf://o/r@v1") == identify("hf://o/r")
    site.files["m.npz"] = write_npz()
    first = identify(f"{site.url}/m.npz")
    assert identify(f"{site.url}/m.npz") == first
    site.tag = '"two"'
    assert identify(f"{site.url}/m.npz") != first


def test_a_missing_library_is_named(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"pip install 'qanalysis\[hub\]'"):
        open_checkpoint("hf://o/r")


def test_offline_the_hub_is_not_asked(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids"):
        open_checkpoint("hf://o/r")
    assert hub.asked == []


@pytest.mark.parametrize("axis", [0, 1])
def test_a_tensor_larger_than_a_piece_is_fetched_once(site: Site, axis: int) -> None:
    values = np.random.default_rng(1).standard_normal((1500, 2000), dtype=np.float32)
    site.files["m.safetensors"] = save({"w.weight": values})
    schemes = [Scheme.parse("int8 tensor"), Scheme.parse("int4 channel"), Scheme.parse("int4 group=100")]
    with open_checkpoint(f"{site.url}/m.safetensors?x") as source:
        rows = sweep(source, schemes, axis={"w": MatrixView((axis,))}, workers=4)
    wanted = sweep({"w.weight": values}, schemes, axis={"w": MatrixView((axis,))}, workers=1)
    assert [row.sqnr_db for row in rows] == [row.sqnr_db for row in wanted]
    assert site.sent <= values.nbytes + 2 * (1 << 16)
