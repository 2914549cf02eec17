"""A sensitivity in words: what was done to what, the layer that hurts or the group that can not be told apart, noise, warnings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qanalysis.charts.sensitivity_sheet import Look, Sheet
from qanalysis.cli import app
from qanalysis.models.sensitivity.row import Mode, SensitivityRow
from qanalysis.reports.outline import Grid
from qanalysis.reports.page import render_page
from qanalysis.reports.report import write_report
from qanalysis.reports.sensitivity_sections import outline_sensitivity, tell_answer
from qanalysis.reports.terminal import print_result
from qanalysis.results.table import Table
from tests.charts.sensitivities import EVIL, make_row, make_table

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_the_headline_names_subject_coverage_and_convention() -> None:
    assert outline_sensitivity(make_table()).headline == (
        "What quantizing the weights of each layer alone to int4 channel does to the output of sample:digits-cnn, "
        "over 450 samples: conv1.weight hurts most, Output SQNR 10.00 dB [9.00, 11.00]"
    )


def test_layers_that_can_not_be_told_apart_are_not_told_apart() -> None:
    rows = [make_row(place, rank=1, tie_group=1) for place in range(3)]
    sheet = Sheet(replace(make_table(), rows=Table.from_rows(SensitivityRow, rows).rows))
    told = tell_answer(sheet, Look("weights", "enable-one", "int4 channel"))
    assert "conv1.weight and 2 others hurt most and can not be told apart" in told


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        ("disable-one", "b hurts most, Output SQNR without it 20.00 dB"),
        ("cumulative", "Output SQNR 15.00 dB with all up to c"),
    ],
)
def test_what_several_layers_do_is_told_by_its_mode(mode: Mode, answer: str) -> None:
    figures = {"a": 10.0, "b": 20.0, "c": 15.0}
    rows = [
        replace(make_row(place, tensor=name, mode=mode, output_sqnr_db=value, output_sqnr_db_low=None), rank=None)
        for place, (name, value) in enumerate(figures.items())
    ]
    sheet = Sheet(Table.from_rows(SensitivityRow, rows))
    assert f": {answer}" in tell_answer(sheet, Look("weights", mode, rows[0].scheme))


def test_conditions_tell_the_float_model_the_floor_and_the_ties() -> None:
    samples, noise, ranks = outline_sensitivity(make_table()).under
    assert samples == "450 samples, 450 tokens of digits.npz; float accuracy 98.5 %, loss 0.0123"
    assert noise.startswith("noise floor 55.00 dB (one bfloat16 rounding of a layer")
    assert noise.endswith("3 of 4 layers lie above their own")
    assert ranks == "ranked by Output SQNR; 2 of 4 layers share a rank, in 1 group that can not be told apart at 95 %"


def test_notes_and_all_layers_together_are_told() -> None:
    together = make_row(0, tensor="(all)", mode="cumulative", output_sqnr_db=7.0, output_sqnr_db_low=None)
    note = {"part": "note", "reason": "12 samples: intervals are rough"}
    rows = list(make_table())
    told = outline_sensitivity(Table.from_rows(SensitivityRow, rows, totals=[together], coverage=[note])).under
    assert "all layers together: Output SQNR 7.00 dB" in told
    assert told[-1] == "12 samples: intervals are rough"


def test_the_list_of_the_worst_marks_shared_ranks() -> None:
    (grid,) = outline_sensitivity(make_table()).lead[0].blocks
    assert isinstance(grid, Grid)
    assert [line[:4] for line in grid.lines] == [
        ("1", "conv1.weight", "10.00 dB", "9.00 to 11.00"),
        ("2=", EVIL, "20.00 dB", "19.00 to 21.00"),
        ("2=", "fc1.weight", "20.50 dB", "19.50 to 21.50"),
        ("4", "fc2.weight", "60.00 dB", "59.00 to 61.00"),
    ]


def test_every_measurement_has_a_line() -> None:
    (grid,) = outline_sensitivity(make_table()).lead[1].blocks
    assert isinstance(grid, Grid)
    assert [line[:3] + line[5:] for line in grid.lines] == [
        ("int4 channel", "weights", "enable-one", "3 of 4"),
        ("int8 channel", "weights", "enable-one", "3 of 3"),
        ("int4 channel", "weights", "cumulative", "3 of 4"),
    ]


def test_the_terminal_tells_worst_warning_and_what_has_no_figures_but_no_raw_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_result(make_table(complete=False))
    printed = capsys.readouterr().out
    assert "Partial: the measurement was cancelled" in printed
    assert "Output NSR does not add up" in printed
    assert "1 of 12 rows hold no figures" in printed
    assert "Layers that hurt most at int4 channel" in printed
    assert "Output cosine" not in printed
    assert len(printed.splitlines()) < 30


def test_the_page_has_every_chart_and_every_row() -> None:
    page = render_page(make_table(), created=NOON)
    for heading in ("Every layer under every scheme", "Which layers hurt most", "Layer after layer"):
        assert heading in page
    for heading in (
        "Do two measures agree?",
        "Do damages add up?",
        "Calls of experts",
        "Do measures rank layers alike?",
    ):
        assert heading in page
    assert EVIL not in page


def test_a_file_becomes_a_page(tmp_path: Path) -> None:
    rows = write_report(make_table(), tmp_path / "rows.json")
    done = CliRunner().invoke(app, ["report", str(rows), "--out", str(tmp_path / "x.html")])
    assert done.exit_code == 0, done.output
    assert "conv1.weight hurts most" in (tmp_path / "x.html").read_text()


def test_a_table_without_rows_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="no rows to summarise"):
        outline_sensitivity(Table.from_rows(SensitivityRow, []))
