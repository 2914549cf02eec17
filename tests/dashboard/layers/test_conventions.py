"""The section on conventions: closed until asked for, its figures those of the engine."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.dashboard import cache as shared_cache
from qanalysis.dashboard.layers import cache
from qanalysis.dashboard.layers import conventions as conventions_section
from qanalysis.dashboard.tables import build_conventions, format_columns
from qanalysis.diagnosis.conventions import Convention, compare_conventions, describe_spread
from tests.dashboard.conftest import OpenPage, settle
from tests.dashboard.scenes import ask


def _compare(source: str | Path, tensor: str, scheme: str) -> tuple[Convention, ...]:
    with open_checkpoint(source) as checkpoint:
        info = next(info for info in checkpoint.tensors if info.name == tensor)
        return compare_conventions(checkpoint.read(info), scheme, axis=info.view, name=tensor)


def _sentences(page: object) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", element.value) for element in page.markdown]


def test_nothing_is_compared_before_the_section_is_opened(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "compare_conventions", lambda *_arguments, **_options: pytest.fail("compared unasked"))
    assert len(open_page().dataframe) == 0


def test_an_open_section_holds_the_engine_s_figures_for_the_layer_and_scheme_in_view(open_page: OpenPage) -> None:
    page = open_page(conventions="true", layer="fc.weight")
    for scheme in ("int4 group=128", "int7 group=128"):
        expected = _compare("sample:digits-cnn", "fc.weight", scheme)
        table = next(table.value for table in page.dataframe if "Convention" in table.value)
        assert list(table["Scheme"]) == [convention.scheme for convention in expected]
        assert list(table["SQNR (dB)"]) == [convention.sqnr_db for convention in expected]
        assert list(table["Cost (dB)"]) == [convention.cost_db for convention in expected]
        assert list(table["vs view (dB)"]) == [convention.delta_db for convention in expected]
        assert f"**fc.weight**: {describe_spread(expected)}" in _sentences(page)
        page = settle(ask(page, "charts", {"scheme": "int7 group=128", "seq": 1}))
    assert not page.warning


def test_a_large_layer_is_compared_when_asked(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conventions_section, "MOST_UNASKED", 1_000)
    np.save(tmp_path / "w.npy", np.random.default_rng(2).normal(size=(40, 100)).astype(np.float32))
    page = open_page(source="w.npy", conventions="true", grouping="channel")
    assert not any("Convention" in table.value for table in page.dataframe)
    page = settle(page.button(key="compare").click().run())
    assert any("Convention" in table.value for table in page.dataframe)
    page = settle(ask(page, "charts", {"scheme": "int5 channel", "seq": 1}))
    assert not any("Convention" in table.value for table in page.dataframe)


def test_a_layer_read_in_part_says_so(open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_cache, "MOST_PROFILED", 1_000)
    weights = np.random.default_rng(2).normal(size=(40, 100)).astype(np.float32)
    np.save(tmp_path / "w.npy", weights)
    page = open_page(source="w.npy", conventions="true", grouping="channel")
    assert any("Compared on the first 1,000 of 4,000 values" in element.value for element in page.caption)
    table = next(table.value for table in page.dataframe if "Convention" in table.value)
    assert list(table["SQNR (dB)"]) == [
        convention.sqnr_db for convention in compare_conventions(weights[:10], "int4 channel")
    ]


@pytest.mark.parametrize(
    "weights", [np.float32([[7, -7, 3, 1]]), np.zeros((2, 3), np.float32)], ids=["exact", "no figure"]
)
def test_bars_of_the_table_end_at_a_finite_cost(weights: np.ndarray) -> None:
    conventions = compare_conventions(weights, "int4")
    finite = [
        convention.cost_db
        for convention in conventions
        if convention.cost_db is not None and np.isfinite(convention.cost_db)
    ]
    settings = format_columns(build_conventions(conventions))["Cost (dB)"]["type_config"]
    assert settings["max_value"] == (max(finite, default=0) or 1)
