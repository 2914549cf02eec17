"""The pages of histories: charts of the tensor with the most events, every row beside them, the experiment's text."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanalysis.reports.history_charts import draw_history, draw_track
from qanalysis.reports.report import read_result, write_report
from qanalysis.training.configuration import Experiment
from qanalysis.training.loop import train
from qanalysis.training.recipe import Recipe
from qanalysis.training.statistics.catalogue import read_statistics
from qanalysis.training.tracker import replay

TEXT = """
model = "sample:digits-mlp"
[[configuration]]
name = "counts"
steps = 40
evaluate_every = 20
weight = "int4 channel"
input = "int4 asym + counts"
"""


@pytest.fixture(scope="module")
def history():
    return train(Experiment.from_toml(TEXT))


def test_the_charts_of_a_training_show_the_tensor_with_the_most_events(history) -> None:
    found = {one.heading: one for one in draw_history(history)}
    assert {"Loss", "Accuracy", "Error E", "Range over the values seen"} <= set(found)
    assert found["Error E"].caption.startswith("input of fc")


def test_the_page_of_a_long_history_leaves_lists_behind_and_keeps_its_rows(history, tmp_path: Path) -> None:
    assert len(history) > 500
    page = write_report(history, tmp_path / "history.html").read_text(encoding="utf-8")
    assert "counts first" not in page
    assert "weight = &#34;int4 channel + minmax&#34;" in page
    assert 'data-column="loss"' in page
    assert 'data-column="exponent_counts"' not in page
    assert len(page) < 4_000_000


def test_the_page_of_a_stored_track_has_the_charts_of_its_busiest_series(tmp_path: Path) -> None:
    log = read_statistics("sample:digits-mlp-training")
    table = replay(log, [Recipe.parse("up-step + down"), Recipe.parse("ema")])
    write_report(table, tmp_path / "track.parquet")
    stored = read_result(tmp_path / "track.parquet")
    assert [one.heading for one in draw_track(stored)] == [one.heading for one in draw_track(table)]
    assert "fc3" in draw_track(stored)[0].caption
