"""The section that diagnoses the layer in view: its figures are the engine's, large layers wait to be asked, a cure can be put in view."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.dashboard.export import Extras, render_file
from qanalysis.dashboard.layers import cache, diagnosis
from qanalysis.dashboard.layers.diagnosis import build_cures
from qanalysis.diagnosis.findings import Diagnosis, diagnose
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from tests.dashboard.conftest import OpenPage, settle
from tests.dashboard.scenes import ask

HOSTILE = "**bold** <script>"


def _diagnose(source: str | Path, tensor: str, scheme: str) -> Diagnosis:
    with open_checkpoint(source) as checkpoint:
        info = next(info for info in checkpoint.tensors if info.name == tensor)
        return diagnose(checkpoint.read(info), Scheme.parse(scheme), axis=info.view, name=tensor)


def _sentences(page: AppTest) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", element.value) for element in page.markdown]


def _save(folder: Path, **tensors: np.ndarray) -> str:
    np.savez(folder / "own.npz", **tensors)
    return "own.npz"


def _draw_layer() -> np.ndarray:
    weights = np.random.default_rng(3).standard_normal((32, 64)).astype(np.float32)
    weights[:, 7] *= 10
    return weights


def test_the_section_holds_the_engine_s_words_and_figures(open_page: OpenPage) -> None:
    page = open_page(diagnosis="true", layer="fc.weight")
    for scheme in ("int4 group=128", "int7 group=128"):
        expected = _diagnose("sample:digits-cnn", "fc.weight", scheme)
        assert page.table[0].value.equals(build_cures(expected))
        assert f"**fc.weight** at {scheme}: {expected.summary}" in _sentences(page)
        assert f"**{expected.advice}**" in _sentences(page)
        page = settle(ask(page, "charts", {"scheme": "int7 group=128", "seq": 1}))
    assert not page.warning


def test_every_cause_is_told_with_its_numbers(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(diagnosis="true", source=_save(tmp_path, w=_draw_layer()))
    causes = _diagnose(tmp_path / "own.npz", "w", "int4 group=128").causes
    assert causes[0].code == "outlier-columns"
    assert "\n".join(f"- **{cause.title}.** {cause.text}" for cause in causes) in _sentences(page)


def test_the_table_says_gains_prices_and_schemes_in_plain_figures() -> None:
    found = diagnose(_draw_layer(), Scheme.parse("int4 group=32"), name="w")
    table = build_cures(found)
    wider = next(place for place, cure in enumerate(found.cures) if cure.code == "wider")
    line = table.iloc[wider]
    assert (line["Cure"], line["Scheme"], line["Price (bits/weight)"]) == (
        "One bit more (int5)",
        "int5 group=32",
        "1.000",
    )
    assert line["Gain (dB)"] == f"{found.cures[wider].gain_db:+.2f}"
    kept = next(place for place, cure in enumerate(found.cures) if cure.code == "keep")
    assert table.iloc[kept]["Scheme"] == "needs run-time support"
    exact = build_cures(diagnose(np.tile(np.float32([0, 1, 3, 3]), (4, 16)), Scheme.parse("int2")))
    assert exact.set_index("Scheme").loc["int3", "Gain (dB)"] == "+∞"


def test_a_closed_section_costs_nothing(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "diagnose", lambda *_arguments, **_options: pytest.fail("diagnosed unasked"))
    assert not open_page(diagnosis="false").table


def test_a_large_layer_is_diagnosed_when_asked(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "MOST_UNASKED", 1000)
    source = _save(tmp_path, w=_draw_layer(), v=_draw_layer())
    page = open_page(diagnosis="true", source=source, layer="w")
    assert not page.table
    page = settle(page.button(key="diagnose").click().run())
    assert page.table[0].value.equals(build_cures(_diagnose(tmp_path / source, "w", "int4 group=128")))
    assert "diagnose" not in {button.key for button in page.button}
    page = settle(ask(page, "charts", {"scheme": "int5 group=128", "seq": 1}))
    assert page.table[0].value.equals(build_cures(_diagnose(tmp_path / source, "w", "int5 group=128")))
    assert not settle(page.selectbox(key="layer").set_value("v").run()).table


def test_a_cure_can_be_put_in_view(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(diagnosis="true", source=_save(tmp_path, w=_draw_layer()), grouping="channel")
    found = _diagnose(tmp_path / "own.npz", "w", "int4 channel")
    offered = next(
        cure.scheme
        for cure in found.cures
        if cure.scheme is not None and cure.scheme.startswith("int4") and cure.net_bits > 0
    )
    button = next(button for button in page.button if re.sub(r"\\(.)", r"\1", button.label) == f"View {offered}")
    page = settle(button.click().run())
    again = _diagnose(tmp_path / "own.npz", "w", offered)
    assert f"**w** at {offered}: {again.summary}" in _sentences(page)
    assert not page.warning


def test_a_layer_without_an_error_has_words_but_no_table(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(diagnosis="true", source=_save(tmp_path, w=np.tile(np.float32([7, -7, 1, 0]), (4, 1))), layer="w")
    assert not page.table
    assert any("No error at" in sentence for sentence in _sentences(page))


def test_names_are_shown_as_text(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(diagnosis="true", source=_save(tmp_path, **{HOSTILE: _draw_layer()}))
    element = next(element.value for element in page.markdown if element.value.endswith("for the same error\\."))
    assert "\\*\\*bold\\*\\* \\<script\\>" in element


def test_downloads_hold_the_diagnosis_on_the_page() -> None:
    weights = _draw_layer()
    rows, found = sweep({"w": weights}, ["int4 group=32"]), diagnose(weights, Scheme.parse("int4 group=32"), name="w")
    extras = Extras("int4 group=32", diagnoses=[found])
    assert json.loads(render_file(rows, ".json", extras))["diagnoses"] == [found.to_dict()]
    assert b"Diagnosis of w at int4 group=32" in render_file(rows, ".html", extras)
