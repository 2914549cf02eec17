"""`show` as a person or a script meets it: the tensors of a file, as lines and as a document."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save

from qanalysis.checkpoints.catalogue import open_checkpoint
from tests.checkpoints.remote.serving import Site, serve
from tests.commands.asking import ask


def test_show_lists_every_tensor_with_shape_type_size_and_memory(checkpoint: Path) -> None:
    result = ask("show", str(checkpoint))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert next(line for line in lines if line.startswith("attention")).split() == [
        "attention",
        "weight",
        "float32",
        "8x96",
        "3.00",
        "KiB",
    ]
    assert next(line for line in lines if line.startswith("ids")).split()[:4] == ["ids", "buffer", "int64", "5"]
    assert "6 tensors, 855 values" in result.stdout  # 768 + 64 + 6 + 6 + 6 + 5
    with open_checkpoint(checkpoint) as source:
        assert source.memory_note in result.stdout


def test_show_as_json_has_one_row_per_tensor(checkpoint: Path) -> None:
    document = json.loads(ask("show", str(checkpoint), "--json").stdout)
    assert list(document) == ["schema_version", "tool_version", "source", "settings", "coverage", "rows", "totals"]
    assert document["source"] == {"path": "model.npz", "size": checkpoint.stat().st_size, "digest": None, "stored": ""}
    assert [row["tensor"] for row in document["rows"]] == ["attention", "head", "bias", "zeros", "holes", "ids"]
    assert [row["measurable"] for row in document["rows"]] == [True] * 5 + [False]
    assert document["totals"][0]["numel"] == sum(row["numel"] for row in document["rows"])


def test_show_follows_its_shipped_schema() -> None:
    schema = json.loads(files("qanalysis").joinpath("schema/tensors.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(ask("show", "sample:digits-cnn", "--json").stdout), schema)


def test_an_address_is_listed_like_a_file_and_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.ones((30, 40), dtype=np.float32)
    with serve(Site(repositories={"o/r": {"model.safetensors": save({"layer.weight": weights})}})) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        listed = ask("show", "hf://o/r")
        refused = ask("show", "hf://o/r@none")
    assert listed.exit_code == 0
    assert "layer.weight" in listed.stdout
    assert "a read costs the tensor or slice asked for" in listed.stdout + listed.stderr
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: hf://o/r@none: http://127.0.0.1")
    assert refused.stderr.count("\n") == 1
