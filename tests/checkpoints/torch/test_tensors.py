"""Tensors of every dtype and stride read as torch itself loads them, in both layouts."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.mapped_file import LocalFolder
from qanalysis.checkpoints.torch_file import read_torch
from tests.checkpoints.damage import find, read_all

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
OTHERS = [torch.bool, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.complex64]


@st.composite
def views(draw: st.DrawFn) -> torch.Tensor:
    """A view of a storage: permuted, sliced, expanded, in any order, from any dtype."""
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    dtype = draw(st.sampled_from(FLOATS + OTHERS))
    numel = int(np.prod(shape, dtype=int))
    tensor = (torch.arange(numel) % 100).to(dtype).reshape(shape)
    for step in draw(st.lists(st.sampled_from(["permute", "slice", "expand", "select"]), max_size=3)):
        axes = range(tensor.ndim)
        if step == "permute":
            tensor = tensor.permute(draw(st.permutations(axes)))
        elif step == "expand":
            tensor = tensor.unsqueeze(0).expand(draw(st.integers(0, 3)), *tensor.shape)
        elif step == "slice" and tensor.ndim:
            tensor = tensor[(slice(None),) * draw(st.sampled_from(axes)) + (slice(draw(st.integers(0, 2)), None, 2),)]
        elif step == "select" and tensor.ndim and tensor.shape[0]:
            tensor = tensor[draw(st.integers(0, tensor.shape[0] - 1))]
    return tensor


trees = st.recursive(
    views(),
    lambda inner: (
        st.dictionaries(st.text("ab.é", max_size=3), inner, max_size=4)
        | st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def list_leaves(content: Any, name: str = "") -> list[tuple[str, torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        return [(name, content)]
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return [
        leaf
        for key, value in items
        for leaf in list_leaves(value, f"{name}.{key}" if name and f"{key}" else name or f"{key}")
    ]


def read_entries(path: Path) -> list[Any]:
    folder: Folder = LocalFolder(path.parent)
    return list(read_torch(folder.open(path.name), folder).entries)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=trees, zipped=st.booleans())
def test_nested_views_equal_what_torch_loads(tmp_path: Path, content: Any, *, zipped: bool) -> None:
    path = tmp_path / "m.pt"
    leaves = list_leaves(content)
    if not zipped:
        # torch writes these only into the zip, and no storage twice under two types
        leaves = [(name, leaf) for name, leaf in leaves if leaf.dtype not in {torch.uint16, *FLOATS[4:]}]
        content = dict(leaves)
    try:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    except RuntimeError:
        return
    leaves = list_leaves(torch.load(path, weights_only=True))
    if not leaves:
        return
    entries = read_entries(path)
    assert sum(1 + len(entry.info.aliases) for entry in entries) == len(leaves)
    names = {name for name, _leaf in leaves if name}
    assert {name for entry in entries for name in (entry.info.name, *entry.info.aliases)} >= names
    by_name: dict[str, list[torch.Tensor]] = {}
    for name, leaf in leaves:
        by_name.setdefault(name or "tensor", []).append(leaf)
    for entry in entries:
        candidates = by_name[entry.info.name]
        loaded = candidates.pop(0)
        assert entry.info.shape == tuple(loaded.shape)
        assert entry.info.dtype == str(loaded.dtype).removeprefix("torch.")
        check_values(entry, loaded)


def check_values(entry: Any, loaded: torch.Tensor) -> None:
    numel, flat = loaded.numel(), loaded.resolve_conj().reshape(-1)
    if loaded.dtype in FLOATS:
        wanted = flat.to(torch.float32).numpy()
        np.testing.assert_array_equal(entry.values.read(0, numel), wanted)
        start, stop = numel // 3, numel - numel // 4
        np.testing.assert_array_equal(entry.values.read(start, stop), wanted[start:stop])
    else:
        np.testing.assert_array_equal(entry.values.read_raw(0, numel), flat.numpy())
    if loaded.ndim == 2 and numel and loaded.dtype not in FLOATS[3:]:
        columns = entry.values.read_columns(loaded.shape[1], 0, loaded.shape[1] // 2 + 1)
        np.testing.assert_array_equal(columns, loaded[:, : loaded.shape[1] // 2 + 1].numpy())


def test_negated_views_have_the_sign_of_their_values(tmp_path: Path) -> None:
    pairs = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64)
    torch.save({"n": pairs.conj().imag}, tmp_path / "m.pt")
    np.testing.assert_array_equal(read_all(tmp_path / "m.pt")["n"], np.float32([-2, 4]))


def test_ties_are_one_tensor_with_several_names_and_overlaps_stay(tmp_path: Path) -> None:
    e = torch.arange(12.0).reshape(4, 3)
    torch.save({"a": e, "b": e, "head": torch.nn.Parameter(e), "part": e[:2], "t": e.T}, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert [(info.name, info.aliases, info.size_bytes) for info in source.tensors] == [
            ("a", ("b", "head"), 48),
            ("part", (), 24),
            ("t", (), 48),
        ]


def test_an_expanded_view_counts_the_bytes_that_lie_in_the_file(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1, 1, 64).expand(4, 64, 64)}, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert source.tensors[0].size_bytes == 256
        assert source.read(source.tensors[0]).sum() == 4 * 64 * 64


def test_sparse_and_meta_tensors_are_rows_with_their_own_reason(tmp_path: Path) -> None:
    dense = torch.zeros(3, 3)
    dense[0, 1], dense[1, 2], dense[2, 2] = 1, 2, 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that CSR is in beta
        content = {"v": dense, "coo": dense.to_sparse(), "csr": dense.to_sparse_csr(), "meta": dense.to("meta")}
        torch.save(content, tmp_path / "m.pt")
    with open_checkpoint(tmp_path / "m.pt") as source:
        assert {info.name: (info.reason, info.role, info.decodes, info.shape) for info in source.tensors} == {
            "v": ("", "weight", True, (3, 3)),
            "coo": ("sparse (COO, 3 of 9 values stored)", "weight", False, (3, 3)),
            "csr": ("sparse (CSR, 3 of 9 values stored)", "weight", False, (3, 3)),
            "meta": ("no values stored (meta tensor)", "weight", False, (3, 3)),
        }
        assert find(source, "coo").size_bytes == 3 * 2 * 8 + 3 * 4


class Pixels(torch.Tensor):
    """A plain subclass, as image libraries have them."""


def test_parameters_buffers_and_plain_subclasses_are_tensors(tmp_path: Path) -> None:
    named = torch.nn.Parameter(torch.ones(2))
    named.note = 3  # an attribute makes torch write the parameter with its state
    content = {"p": named, "b": torch.nn.Buffer(torch.ones(3)), "x": torch.ones(4).as_subclass(Pixels)}
    torch.save(content, tmp_path / "m.pt")
    assert {name: value.shape for name, value in read_all(tmp_path / "m.pt").items()} == {
        "p": (2,),
        "b": (3,),
        "x": (4,),
    }


def test_a_storage_of_another_byte_order_is_turned(tmp_path: Path) -> None:
    import zipfile

    stream = io.BytesIO()
    tensors = {"f": torch.tensor([1.5, -2.0]), "h": torch.tensor([3.0], dtype=torch.bfloat16)}
    torch.save(tensors, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(tmp_path / "m.pt", "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith("byteorder"):
                data = b"big"
            elif member.filename.endswith("data/0"):
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            elif member.filename.endswith("data/1"):
                data = data[::-1]
            new.writestr(member.filename, data)
    values = read_all(tmp_path / "m.pt")
    assert {name: value.tolist() for name, value in values.items()} == {"f": [1.5, -2.0], "h": [3.0]}


@pytest.mark.parametrize("missing", ["data/0", "half"], ids=["no storage", "short storage"])
def test_a_tensor_without_its_storage_is_a_row_beside_the_others(tmp_path: Path, missing: str) -> None:
    import zipfile

    stream = io.BytesIO()
    torch.save({"w": torch.ones(4), "v": torch.ones(2)}, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(tmp_path / "m.pt", "w") as new:
        for member in old.infolist():
            if member.filename.endswith(missing):
                continue
            cut = 8 if missing == "half" and member.filename.endswith("data/0") else None
            new.writestr(member.filename, old.read(member)[:cut])
    with open_checkpoint(tmp_path / "m.pt") as source:
        w, v = source.tensors
        assert (w.decodes, v.decodes) == (False, True)
        assert "its storage '0' is not in the file" in w.reason or "which has 2" in w.reason
