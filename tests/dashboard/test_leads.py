"""From page to page: the same layer of a source that both can open, and no link where one of them can not."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from qanalysis.dashboard.layers.view import LayersView
from qanalysis.dashboard.leads import lead_to_layers, lead_to_sensitivity
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.views import read_address

ODD = "a&b=c d.weight"


def test_both_ways_name_the_layer_and_the_scheme() -> None:
    there = read_address(LayersView, parse_qs(urlsplit(lead_to_layers("sample:digits-cnn", ODD, "int5 channel")).query))
    assert (there.view.source, there.view.layer, there.view.scheme) == ("sample:digits-cnn", ODD, "int5 channel")
    back = lead_to_sensitivity("sample:digits-cnn", ODD, "int5 channel")
    assert urlsplit(back).path == "./sensitivity"
    here = read_address(SensitivityView, parse_qs(urlsplit(back).query))
    assert (here.view.model, here.view.layer, here.view.scheme) == ("sample:digits-cnn", ODD, "int5 channel")
    assert not there.left_out + here.left_out


def test_what_does_not_run_has_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    (tmp_path / "model").mkdir()
    for source in ("sample:outliers", "model", "weights.safetensors", "upload:0/x.onnx", "hf://a/b", ""):
        assert lead_to_sensitivity(source, "w", "int4") == ""
    (tmp_path / "model" / "config.json").write_text("{}")
    for source in ("model", "net.onnx", "sample:digits-mlp"):
        assert lead_to_sensitivity(source, "w", "int4")
