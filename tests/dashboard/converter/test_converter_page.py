"""Page Converter: each tab shows the engine's numbers, follows its controls and conventions, and says in place what it can not do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.converters.converter import Converter
from qanalysis.converters.doctor import examine_record
from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.linearity.row import describe_linearity
from qanalysis.converters.posterior import fit_grey_model, judge_posterior
from qanalysis.converters.records.records import read_record
from qanalysis.converters.sample_records import SAMPLE_RECORDS, write_sample
from qanalysis.converters.spectrum.spectrum import analyze_spectrum, describe_spectrum
from qanalysis.converters.textbook.row import list_textbook_rows
from qanalysis.converters.textbook.textbook import solve_textbook
from qanalysis.dashboard.converter.cache import build_simulation
from qanalysis.dashboard.converter.recordings import get_records, state_linearity, state_spectrum
from qanalysis.dashboard.converter.simulate import write_capture
from qanalysis.dashboard.converter.simulate_panels import headline_simulation
from qanalysis.dashboard.converter.view import SIMULATE_VIEWS, WAVEFORM_WORDS, ConverterView
from qanalysis.notation import plain
from tests.dashboard.scenes import read_charts, read_heads


def _show_page() -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == "converter"))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    return tmp_path


def open_tab(tab: str, **parameters: str) -> AppTest:
    page = AppTest.from_function(_show_page, default_timeout=60)
    for key, value in {"tab": tab, **parameters}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def headline(page: AppTest) -> str:
    told = read_heads(page)
    if told:
        return told[0]
    text = next(element.value for element in page.markdown if element.value.startswith("#### "))
    return re.sub(r"\\(.)", r"\1", text.removeprefix("#### "))


def figures(page: AppTest, place: int = 0) -> dict[str, tuple[str, str]]:
    shown = {}
    for quantity, cell in page.table[place].value.itertuples(index=False):
        value, convention = re.fullmatch(r"\*\*(.*)\*\*(?:\u2003:gray\[:small\[(.*)\]\])?", cell).groups(default="")
        name, *told = (re.sub(r"\\(.)", r"\1", text.replace("\u00a0", " ")) for text in (quantity, value, convention))
        shown[name] = tuple(told)
    return shown


def charts(page: AppTest) -> list[str]:
    return [panel["alt"] for panel in read_charts(page).values() if panel["kind"] == "chart"]


def facts(page: AppTest, name: str) -> dict[str, tuple[str, str]]:
    return {line["label"]: (line["text"], line["note"]) for line in read_charts(page)[name]["lines"]}


def test_textbook_shows_the_row_of_the_command_line() -> None:
    page = open_tab("textbook", bits="8", high="12", inputs="4.5")
    row = list_textbook_rows(solve_textbook(8, 0, 12, inputs=[4.5]))[0]
    shown = facts(page, "k-figures")
    assert {figure.label: (figure.text, figure.convention) for figure in row.lines}.items() <= shown.items()
    assert shown["Mean relative error over |x|"] == ("0 %", "|e|/|x|, 1 of 1 inputs")
    inputs = page.dataframe[0].value
    assert inputs["Code"].tolist() == [96]
    assert inputs["Actual error (V)"].tolist() == [0.0]
    assert "23.44 mV" in headline(page)


@pytest.mark.parametrize(
    ("place", "expected"),
    [(0, "12 bit over 10 V: step 2.441 mV"), (1, "8 bit over 5 V: step 19.53 mV"), (2, "8 bit over 12 V")],
)
def test_a_preset_sets_the_whole_problem(place: int, expected: str) -> None:
    page = open_tab("textbook", bits="20", low="-1", inputs="0.3")
    page.button(key=f"k-preset-{place}").click().run()
    assert headline(page).startswith(expected)
    assert page.text_input(key="inputs").value == ("4.5" if place == 2 else "")


def test_the_conventions_of_the_sidebar_change_the_step_and_the_bound() -> None:
    page = open_tab("textbook", bits="8", high="5", fs_over="2^n-1", transfer="floor")
    assert headline(page) == "8 bit over 5 V: step 19.61 mV, bound ±19.61 mV"
    assert facts(page, "k-figures")["Step"] == ("19.61 mV", "LSB = FS/(2^n-1); by FS/2^n it is 19.53 mV")
    page.segmented_control(key="fs_over").set_value("2^n").run()
    assert facts(page, "k-figures")["Step"] == ("19.53 mV", "LSB = FS/2^n; by FS/(2^n-1) it is 19.61 mV")


def test_the_working_ends_in_the_answers() -> None:
    working = open_tab("textbook", bits="12").table[0].value
    assert list(working["Asked"])[2] == "Step"
    assert list(working["Answer"])[2].replace("\\", "") == "**2.441406 mV**"


def test_the_code_table_stands_around_the_input_and_leaves_whole() -> None:
    page = open_tab("textbook", bits="10", high="1.024", inputs="0.5", code_table="true")
    table = page.dataframe[1].value
    assert table["Code"].tolist() == list(range(468, 532))
    assert table.loc[table["Code"] == 500, "Centre (V)"].item() == pytest.approx(
        0.5, rel=1e-12
    )  # 500 steps of 1 mV, rounded to float64


def test_the_series_is_checked_against_a_grey_model_and_against_the_converter() -> None:
    series = np.array([2.67, 3.13, 3.25, 3.36, 3.56, 3.72])
    page = open_tab("textbook", posterior="true", bits="5", high="16")
    expected = judge_posterior(series, fit_grey_model(series).predict(6))
    assert figures(page, 1)["Posterior-error ratio C"][0] == plain(expected.c_std, digits=4)
    assert figures(page, 1)["Grade"][0] == "1, good"
    page.selectbox(key="model").set_value("converter").run()
    expected = judge_posterior(series, Converter(5, 0, 16).round_trip(series))
    assert figures(page, 1)["Posterior-error ratio C"][0] == plain(expected.c_std, digits=4)
    assert figures(page, 1)["Grade"][0] == "3, barely qualified"  # 3.25 lies between two levels and goes up


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"inputs": "4.5; four"}, "'four' is no number"),
        ({"inputs": "1; inf"}, "'inf' is no number"),
        ({"low": "5", "high": "1"}, "the lower one first"),
        ({"posterior": "true", "series": "1; 2"}, "at least 4 values"),
    ],
)
def test_what_textbook_can_not_read_is_said_in_place(parameters: dict[str, str], message: str) -> None:
    page = open_tab("textbook", **parameters)
    assert message in re.sub(r"\\(.)", r"\1", page.error[0].value)


@pytest.mark.parametrize("waveform", WAVEFORM_WORDS)
def test_a_simulation_s_headline_is_the_engine_s(waveform: str) -> None:
    page = open_tab("simulate", waveform=waveform, sim_bits="10", samples="1024", noise_lsb="0.2", dither="tpdf")
    view = ConverterView(waveform=waveform, sim_bits=10, samples="1024", noise_lsb=0.2, dither="tpdf")
    assert headline(page) == headline_simulation(build_simulation(view).run())
    assert len(charts(page)) == 2


@pytest.mark.parametrize(("view", "count"), list(zip(SIMULATE_VIEWS, (2, 2, 1, 6, 2), strict=True)))
def test_every_chart_of_a_simulation_says_its_number_in_words(view: str, count: int) -> None:
    shown = charts(open_tab("simulate", sim_view=view, samples="1024"))
    assert len(shown) == count
    assert all(re.search(r"\d", text) for text in shown)


def test_moving_the_bits_of_a_simulation_redraws_it() -> None:
    page = open_tab("simulate", samples="1024", sim_bits="12")
    assert headline(page).startswith("12 bit: SQNR")
    assert any("12 bits" in text for text in charts(page))


def test_the_ledger_and_the_meter_speak_of_what_is_switched_on() -> None:
    page = open_tab("simulate", sim_view="codes", offset_lsb="3", samples="1024")
    assert any("the largest source is offset with 9" in text for text in charts(page))
    small = open_tab("simulate", amplitude="0.3", samples="1024")
    assert "The noise model does not hold here" in small.error[0].value


def test_a_locked_period_is_named_before_its_figures_are_believed() -> None:
    page = open_tab("simulate", cycles="128", sim_view="dac")
    assert any("share the divisor 128" in re.sub(r"\\(.)", r"\1", warning.value) for warning in page.warning)


def test_a_spectrum_of_a_simulation_counts_the_harmonics_of_the_sidebar() -> None:
    page = open_tab("simulate", sim_view="spectrum", harmonics="4", samples="1024")
    assert list(page.dataframe[0].value["Line"])[:3] == ["HD2", "HD3", "HD4"]
    assert "HD2 to HD4" in facts(page, "s-figures")["SNR"][1]


@pytest.mark.parametrize("name", SAMPLE_RECORDS)
def test_every_sample_record_is_measured_as_the_command_line_does(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_bytes(write_sample(name))
    record = read_record(path)
    found = analyze_spectrum(record.codes, fs_hz=record.fs_hz, bits=record.bits)
    row = describe_spectrum(found, findings=(*examine_record(record, found), *record.guesses))
    page = open_tab("capture", record=f"sample:{name}")
    assert headline(page).endswith(row.headline)
    assert {figure.label: (figure.text, figure.convention) for figure in row.lines} == figures(page)


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("clipped tone, 8 bit", "Clipping"),
        ("locked period, 12 bit", "Locked period"),
        ("stuck bit, 10 bit", "Stuck bits"),
        ("tone between bins, 12 bit", "Leakage"),
        ("two tones, 14 bit", "Two tone"),
    ],
)
def test_the_doctor_names_what_is_wrong_with_a_sample(name: str, finding: str) -> None:
    page = open_tab("capture", record=f"sample:{name}")
    boxes = page.info if finding == "Two tone" else page.warning  # two tones are no fault
    assert any(finding in box.value for box in boxes)


def test_a_linearity_test_shows_the_row_and_the_missing_codes_by_number(tmp_path: Path) -> None:
    path = tmp_path / "ramp.csv"
    path.write_bytes(write_sample("ramp for a linearity test, 8 bit"))
    page = open_tab(
        "capture",
        record="ramp.csv",
        test="ramp",
        inl_reference="best-fit",
        record_low="0",
        record_high="1",
        drive_low="0",
        drive_high="1",
    )
    record = read_record(path)
    found = measure_linearity(record.codes, bits=8, reference="best-fit", drive=(0, 1), signed=False)
    assert headline(page) == f"ramp.csv: {describe_linearity(found, record.guesses).headline}"
    assert headline(page).endswith("; at 8 bit (guessed).")
    assert {figure.label: (figure.text, figure.convention) for figure in describe_linearity(found).lines} == figures(
        page
    )
    assert found.missing_codes == (64, 127, 191, 254)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../secret.csv", None, "root folder"),
        ("upload:0123/gone.csv", None, "upload the file again"),
        ("sample:nothing", None, "there is no sample record"),
        ("gone.csv", None, "does not exist in the root folder"),
        ("text.csv", b"a,b\nc,d\n", "text.csv"),
        ("short.csv", b"1\n2\n3\n", "3"),
        ("cut.wav", b"RIFF\x10\x00\x00\x00WAVEfmt ", "cut.wav"),
        ("empty.npy", b"", "is empty"),
    ],
)
def test_a_broken_record_is_one_message_with_a_way_out(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    page = open_tab("capture", record=name, rate_hz="1000")
    assert message in re.sub(r"\\(.)", r"\1", page.error[0].value)
    assert str(tmp_path) not in page.error[0].value


def test_without_a_rate_the_chart_counts_in_shares_of_it_and_the_rate_may_be_typed_with_its_unit(
    tmp_path: Path,
) -> None:
    (tmp_path / "tone.csv").write_bytes(b"".join(b"%d\n" % code for code in _pure_tone()))
    page = open_tab("capture", record="tone.csv", record_bits="12")
    assert not page.error
    told = read_charts(page)["c-spectrum"]["figure"]
    assert told["layout"]["xaxis"]["title"]["text"] == "Frequency (of the sample rate)"
    assert figures(page)["Tone"][0] == "0.03101 of the rate"  # 127 of 4096
    assert "rate unknown" in " ".join(caption.value for caption in page.caption)
    page.text_input(key="rate_hz").set_value("48k").run()
    assert page.query_params["rate_hz"] == "48000"
    assert page.text_input(key="rate_hz").value == "48k"
    assert figures(page)["Tone"][0] == "1.488 kHz"  # 127/4096 of 48 kHz
    page.text_input(key="rate_hz").set_value("48 kW").run()
    assert any("neither Hz nor Hz with a prefix" in error.value for error in page.error)
    assert "rate_hz" not in page.query_params
    page.text_input(key="rate_hz").set_value("").run()
    assert not page.error


@pytest.mark.parametrize("content", [b"7\n" * 64, b"0\n" * 4096], ids=["one code", "zeros"])
def test_a_record_of_one_code_gives_a_finding_instead_of_figures(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dead.csv").write_bytes(content)
    page = open_tab("capture", record="dead.csv")
    assert any("Constant" in warning.value for warning in page.warning) or page.error


def test_how_the_file_is_read_can_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "tone.csv").write_bytes(write_sample("coherent tone with distortion, 12 bit"))
    page = open_tab("capture", record="tone.csv", record_bits="14", rate_hz="48000")
    words = " ".join(re.sub(r"\\(.)", r"\1", caption.value) for caption in page.caption)
    assert "16,384 samples, 14 bit codes, right-justified, unsigned, 48 kS/s" in words


def test_what_the_address_can_not_mean_is_named_once() -> None:
    page = open_tab("textbook", bits="99", low="1", zoom="3")
    assert "bits\\=99\\; zoom\\=3" in page.warning[0].value
    assert headline(page).startswith("12 bit over 9 V")
    assert page.number_input(key="low").value == 1.0


def test_a_simulated_record_leaves_as_a_file_that_capture_reads_back(tmp_path: Path) -> None:
    capture = build_simulation(ConverterView(samples="1024", sim_bits=6)).run()
    (tmp_path / "own.csv").write_text(write_capture(capture), encoding="utf-8")
    record = read_record(tmp_path / "own.csv", column="code")
    assert record.codes.tolist() == capture.codes.tolist()
    assert (record.bits, record.fs_hz) == (6, pytest.approx(1e6, rel=1e-6))  # the mean step of times in float64
    assert read_record(tmp_path / "own.csv", column="value (V)").values.tolist() == capture.values.tolist()


def test_reset_brings_the_defaults_back_and_keeps_the_tab() -> None:
    page = open_tab("simulate", sim_bits="12", harmonics="9", samples="1024")
    page.button(key="reset").click().run()
    assert page.number_input(key="harmonics").value == 6
    assert headline(page).startswith("8 bit")


CAPTURE_BOXES = ("channel", "record_bits", "side_bins", "record_low", "record_high")
TEXTBOOK_BOXES = ("conversion_us", "clock_jitter_ps", "tone_hz", "capacitance_pf")


@pytest.mark.parametrize(("tab", "boxes"), [("capture", CAPTURE_BOXES), ("textbook", TEXTBOOK_BOXES)])
def test_what_is_not_given_is_an_empty_box_with_what_was_found(tab: str, boxes: tuple[str, ...]) -> None:
    page = open_tab(tab)
    assert all(page.number_input(key=key).value is None for key in boxes)
    assert all(page.number_input(key=key).placeholder for key in boxes)


def test_the_boxes_say_what_was_guessed(tmp_path: Path) -> None:
    (tmp_path / "tone.csv").write_bytes(write_sample("coherent tone with distortion, 12 bit"))
    page = open_tab("capture", record="tone.csv")
    assert page.number_input(key="record_bits").placeholder == "guess: 12"
    assert page.text_input(key="rate_hz").placeholder == "1 MHz"
    assert page.selectbox(key="signed").options[0] == "guess: unsigned"
    assert page.selectbox(key="justify").options[0] == "guess: right"
    page.selectbox(key="signed").set_value("signed").run()
    assert page.query_params["signed"] == "signed"


def test_a_box_is_filled_emptied_undone_and_reset() -> None:
    page = open_tab("capture")
    page.number_input(key="record_bits").set_value(14).run()
    assert page.query_params["record_bits"] == "14"
    assert any("14 bit codes" in caption.value for caption in page.caption)
    page.number_input(key="record_bits").set_value(None).run()
    assert "record_bits" not in page.query_params
    assert page.number_input(key="record_bits").value is None
    page.button(key="undo").click().run()
    assert page.number_input(key="record_bits").value == 14
    page.button(key="reset").click().run()
    assert page.number_input(key="record_bits").value is None


@pytest.mark.parametrize("word", ["record_bits", "channel", "rate_hz"])
def test_a_link_with_a_0_that_states_nothing_is_left_out_and_said(word: str) -> None:
    page = open_tab("capture", **{word: "0"})
    assert f"{word.replace('_', chr(92) + '_')}\\=0" in page.warning[0].value
    box = page.text_input(key=word) if word == "rate_hz" else page.number_input(key=word)
    assert not box.value


def test_an_end_of_0_is_an_end_like_any_other(tmp_path: Path) -> None:
    view = ConverterView(record_high=3.3)
    assert (state_spectrum(view).low, state_spectrum(view).high) == (0.0, 3.3)
    assert state_spectrum(view) == state_spectrum(ConverterView(record_low=0.0, record_high=3.3))
    assert state_spectrum(ConverterView()).low is None
    assert state_linearity(ConverterView(test="sine", drive_low=-1.0, drive_high=0.0)).drive == (-1.0, 0.0)
    page = open_tab("capture", record_low="0", record_high="3.3")
    assert page.number_input(key="record_low").value == 0.0
    assert "record_low" in page.query_params


def test_a_preset_empties_what_the_problem_does_not_state() -> None:
    page = open_tab("textbook", conversion_us="2.5", capacitance_pf="10")
    assert facts(page, "k-figures")["Conversion rate"][0] == "400 kS/s"
    page.button(key="k-preset-0").click().run()
    assert all(page.number_input(key=key).value is None for key in TEXTBOOK_BOXES)
    assert "Conversion rate" not in facts(page, "k-figures")


def write_edge(path: Path) -> None:
    """A tone whose codes reach exactly 2048, as a part of 12 bits of inverted polarity gives them."""
    codes = np.rint(2048 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096 + 0.1))
    rough = np.clip(codes + np.random.default_rng(1).integers(-1, 2, 4096), -2047, 2048).astype(int)
    path.write_text("".join(f"{code}\n" for code in rough))


def test_an_ambiguous_width_stands_in_the_headline_and_in_a_warning(tmp_path: Path) -> None:
    write_edge(tmp_path / "edge.csv")
    page = open_tab("capture", record="edge.csv", rate_hz="1e6")
    assert " bit at 12 bit (guessed, or 14), SFDR" in headline(page)
    assert "state 12 or 14 bits" in page.warning[0].value
    assert "(guessed, or 14)" in figures(page)["ENOB"][1]
    assert all("ENOB" not in alt or "at 12 bit (guessed, or 14)" in alt for alt in charts(page))
    stated = open_tab("capture", record="edge.csv", rate_hz="1e6", record_bits="12")
    assert "guessed" not in headline(stated)


def test_a_note_of_the_test_is_no_warning(tmp_path: Path) -> None:
    (tmp_path / "tone.csv").write_bytes(b"".join(b"%d\n" % code for code in _pure_tone()))
    page = open_tab("capture", record="tone.csv", rate_hz="1e6", record_bits="12")
    assert not page.warning
    assert "THD below noise" in page.info[0].value
    assert page.success


def _pure_tone() -> list[int]:
    noise = np.random.default_rng(3).normal(0, 0.5, 4096)
    return np.rint(2000 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096) + noise).astype(int).tolist()


def test_numbers_on_the_page_have_no_hyphen_for_a_minus_and_no_bare_exponent(tmp_path: Path) -> None:
    write_edge(tmp_path / "edge.csv")
    for parameters in (
        {"record": "edge.csv", "rate_hz": "1e6"},
        {"record": "edge.csv", "rate_hz": "1e6", "test": "sine"},
    ):
        page = open_tab("capture", **parameters)
        boxes = (*page.markdown, *page.caption, *page.warning, *page.info, *page.success, *page.error)
        texts = [re.sub(r"\\(.)", r"\1", box.value) for box in boxes]
        texts += [f"{name} {' '.join(cells)}" for name, cells in (figures(page) if page.table else {}).items()]
        wrong = [text for text in texts if re.search(r"(?<![\w)^])-\d|\de[+-]\d", text)]
        assert not wrong


def test_an_upload_reads_as_the_name_of_its_file() -> None:
    text = get_records().save("my tone.csv", write_sample("clipped tone, 8 bit"))
    page = open_tab("capture", record=text)
    box = page.selectbox(key="record")
    assert box.value == text
    assert box.options[-1] == f"{text.rpartition('/')[2]} (uploaded)"
    assert "upload:" not in "".join(box.options)
