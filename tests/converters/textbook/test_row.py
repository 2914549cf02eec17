"""The rows of a textbook problem: one per input, its settings, and how it is told."""

from __future__ import annotations

from qanalysis.converters.noise_limits import NoiseSources
from qanalysis.converters.textbook.row import TextbookRow, list_input_tables, list_textbook_rows, tabulate_textbook
from qanalysis.converters.textbook.textbook import solve_textbook
from qanalysis.converters.textbook.worked_steps import work_out
from qanalysis.results.columns import names_of


def test_each_input_has_a_row_and_a_problem_without_inputs_has_one() -> None:
    solved = solve_textbook(8, 0, 12, inputs=[4.5, -1])
    rows = list_textbook_rows(solved)
    assert [row.input for row in rows] == [4.5, -1]
    assert [row.findings for row in rows] == [(), (solved.conversions[1].finding,)]
    assert rows[0].working == rows[1].working == tuple(map(str, work_out(solved)))
    (bare,) = list_textbook_rows(solve_textbook(8, 0, 12))
    assert {bare.input, bare.code, bare.gray, bare.within_bound} == {None}
    assert (bare.findings, bare.tables) == ((), ())


def test_the_lowest_code_has_no_word_in_two_formats() -> None:
    (row,) = list_textbook_rows(solve_textbook(4, -8, 8, inputs=[-8]))
    assert (row.straight_binary, row.twos_complement, row.ones_complement, row.sign_magnitude) == (
        "0000",
        "1000",
        None,
        None,
    )
    words = list_input_tables([row])[1]
    assert words.lines == [("0", "0000", "1000", "none", "none", "0000")]


def test_every_line_names_a_column_of_its_own() -> None:
    noise = NoiseSources(jitter_s=1e-12, frequency_hz=1e6, capacitance_f=1e-12)
    (row,) = list_textbook_rows(solve_textbook(8, 0, 5, conversion_time_s=1e-6, noise=noise))
    columns = [line.column for line in row.lines]
    assert set(columns) <= set(names_of(TextbookRow))
    assert len(columns) == len(set(columns))
    assert columns[-5:] == ["jitter_snr_db", "thermal_noise_rms", "thermal_snr_db", "limited_snr_db", "limited_enob"]


def test_the_settings_are_the_problem() -> None:
    noise = NoiseSources(capacitance_f=1e-12)
    table = tabulate_textbook(
        solve_textbook(8, -2.5, 2.5, inputs=[1, 2], transfer="floor", conversion_time_s=1e-6, noise=noise)
    )
    assert table.settings == {
        "bits": 8,
        "range": "-2.5:2.5",
        "inputs": [1.0, 2.0],
        "fs_over": "2^n",
        "transfer": "floor",
        "conversion_time_s": 1e-6,
        "jitter_s": None,
        "frequency_hz": None,
        "capacitance_f": 1e-12,
    }
    assert table.source is None


def test_the_summary_names_the_bound_of_the_transfer() -> None:
    (row,) = list_textbook_rows(solve_textbook(8, 0, 12, transfer="floor"))
    assert row.headline == "Step 46.88 mV, error within 46.88 mV (floor), 0.3906 % of full scale per step."


def test_the_lines_of_a_floor_transfer_tell_mean_and_deviation_beside_the_rms() -> None:
    (floor,) = list_textbook_rows(solve_textbook(8, 0, 5, transfer="floor"))
    (rounded,) = list_textbook_rows(solve_textbook(8, 0, 5))
    lines = {line.column: line.text for line in floor.lines}
    assert (lines["rms_error"], lines["mean_error"], lines["error_deviation"]) == ("11.28 mV", "−9.766 mV", "5.638 mV")
    assert "mean_error" not in {line.column for line in rounded.lines}
    assert (rounded.mean_error, rounded.error_deviation) == (0.0, rounded.rms_error)
