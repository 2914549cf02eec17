"""docs/sensitivity.md and docs/forms.md know every column, option, kind, part and repair of the program, and no other."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import qanalysis.cli
from qanalysis.commands.forms import choose_forms
from qanalysis.models.calibration import opening as data_opening
from qanalysis.models.calibration.images import SUFFIXES
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.forms import row as form_row
from qanalysis.models.repairs.catalogue import REPAIRS
from qanalysis.models.running import opening as model_opening
from qanalysis.models.running.opening import open_model
from qanalysis.models.sensitivity import row as sensitivity_row
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.results.columns import columns_of

ROOT = Path(__file__).parents[2]
TEXTS = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("sensitivity", "forms")}
ROWS: dict[str, Any] = {"sensitivity": sensitivity_row.SensitivityRow, "forms": form_row.FormRow}
STATUS_WORDS: dict[str, Any] = {"sensitivity": sensitivity_row.STATUS_WORDS, "forms": form_row.STATUS_WORDS}
#: Ways of opening a model that refuse it.
REFUSING = {"other file", "nothing"}
UNITS = {"": 1, "MiB": 1 << 20}
SHOWN = re.compile(r"^    qanalysis (.*)$", re.MULTILINE)
COMMANDS = [(name, line) for name, text in TEXTS.items() for line in SHOWN.findall(text)]
#: Of the columns and keys that hold the ends of an interval.
ENDS = re.compile(r"_(low|high)$")


def take_section(name: str, heading: str) -> str:
    return TEXTS[name].split(f"\n## {heading}\n")[1].split("\n## ")[0]


def read_tables(name: str, heading: str) -> list[list[list[str]]]:
    """The tables of a section, each as rows of cells without its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", take_section(name, heading), re.MULTILINE)
    return [[[cell.strip() for cell in line[1:-1].split(" | ")] for line in block.splitlines()[2:]] for block in blocks]


def find_words(text: str) -> list[str]:
    """What stands between backticks.

    >>> find_words("`a` or `b`")
    ['a', 'b']
    """
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("name", TEXTS)
def test_columns_stand_with_unit_ends_and_formula(name: str) -> None:
    columns = {one.name: one for one in columns_of(ROWS[name])}
    rows = {row[0].strip("`"): row[1:] for row in read_tables(name, "Columns")[0]}
    assert list(rows) == [word for word in columns if not ENDS.search(word) or ENDS.sub("", word) not in columns]
    for word, (unit, ends, formula) in rows.items():
        assert unit == columns[word].unit
        assert (ends == "yes") == (f"{word}_low" in columns) == (f"{word}_high" in columns)
        assert word == "status" or formula == columns[word].formula


@pytest.mark.parametrize("name", TEXTS)
def test_status_words_stand_with_what_they_mean(name: str) -> None:
    rows = {row[0].strip("`"): row[1] for row in read_tables(name, "Columns")[1]}
    assert rows == STATUS_WORDS[name]


def list_parameters(command: str) -> list[Any]:
    group: Any = typer.main.get_command(qanalysis.cli.app)
    return list(group.commands[command].params)


@pytest.mark.parametrize("name", TEXTS)
def test_options_are_those_of_the_command(name: str) -> None:
    options = [
        option
        for one in list_parameters(name)
        for option in (*one.opts, *one.secondary_opts)
        if option.startswith("--")
    ]
    told = [word for row in read_tables(name, "Options")[0] for word in find_words(row[0])]
    assert sorted(told) == sorted(options)


@pytest.mark.parametrize(
    ("option", "words"), [("--target", sensitivity_row.TARGETS), ("--mode", sensitivity_row.MODES)]
)
def test_words_of_options_are_those_of_the_program(option: str, words: tuple[str, ...]) -> None:
    rows = {row[0].strip("`"): row[1] for row in read_tables("sensitivity", "Options")[0]}
    assert find_words(rows[option]) == list(words)


def test_kinds_of_models_are_those_that_open() -> None:
    told = {row[0].strip("`") for row in read_tables("sensitivity", "Models that run")[0]}
    assert told == {kind.name for kind in model_opening.KINDS} - REFUSING


def test_kinds_of_data_are_those_that_are_read() -> None:
    rows = {row[0].strip("`"): row[1] for row in read_tables("sensitivity", "Calibration data")[0]}
    assert set(rows) == {kind.name for kind in data_opening.KINDS}
    assert find_words(rows["a folder of images"]) == list(SUFFIXES)


def read_number(text: str) -> float:
    """
    >>> read_number("400,000"), read_number("256 MiB"), read_number("1.5")
    (400000.0, 268435456.0, 1.5)
    """
    number, _, unit = text.partition(" ")
    return float(number.replace(",", "")) * UNITS[unit]


LIMITS = {row[1].strip("`"): row[2] for row in read_tables("sensitivity", "How sure a figure is")[0]}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_those_of_the_program(name: str) -> None:
    module, constant = name.rsplit(".", 1)
    assert read_number(LIMITS[name]) == getattr(importlib.import_module(f"qanalysis.{module}"), constant)


def test_coverage_is_told_as_it_was_measured() -> None:
    from qanalysis.models.sensitivity import intervals, quantiles, ties

    sources = (
        str(intervals.__doc__).split("Percentiles")[0],
        str(quantiles.estimate_quantile.__doc__),
        str(ties.__doc__),
    )
    figures, others, splits = (re.findall(r"\b0\.\d\d\b", text) for text in sources)
    told = re.findall(r"\b0\.\d\d\b", take_section("sensitivity", "How sure a figure is"))
    assert told[: len(figures)] == figures
    assert told[-len(splits) :] == splits
    assert set(told[len(figures) : -len(splits)]) <= set(others)


def list_keys(part: Any) -> set[str]:
    """The keys of a part of a document, those of tables by tensor left out."""
    if isinstance(part, list):
        return set().union(*map(list_keys, part))
    if not isinstance(part, dict):
        return set()
    inside = [list_keys(value) for key, value in part.items() if key not in {"notes", "cautions", "traces"}]
    traces = [set(one) for one in part.get("traces", {}).values()]
    return set(part).union(*inside, *traces)


def test_parts_of_the_document_stand_with_their_keys() -> None:
    told = {row[0].strip("`"): set(find_words(row[1])) for row in read_tables("sensitivity", "The document")[0]}
    with open_model("sample:digits-mlp") as model:
        table = measure_sensitivity(model, open_calibration("sample", model, samples=24), ["int2 channel"])
    assert set(told) == set(table.more)
    for name, part in table.more.items():
        keys = {ENDS.sub("", key) for key in list_keys(part)}
        assert keys <= told[name], (name, keys - told[name])


def test_when_a_measure_is_right_is_told_in_ten_lines_that_name_every_measure() -> None:
    from qanalysis.models.measures.findings import COLUMNS

    lines = re.findall(r"^\* .*$", take_section("sensitivity", "When which measure is right"), re.MULTILINE)
    assert len(lines) == 10
    told = {word for line in lines for word in find_words(line)}
    measured = {"output_sqnr_db", "output_kl", "output_kl_p99", "loss_delta", "accuracy"}
    assert {*COLUMNS, *measured, *sensitivity_row.MODES} <= told


def test_the_nine_forms_are_those_without_options() -> None:
    (line,) = re.findall(r"^Without a form the nine: ((?:`\w+` ?)+)", TEXTS["forms"], re.MULTILINE)
    plan = choose_forms([], [], bits=None, target=None, grouping="channel")
    assert find_words(line) == [form.name for form in plan]


def test_repairs_stand_with_what_they_do() -> None:
    rows = {row[0].strip("`"): row[1] for row in read_tables("forms", "Repairs")[0]}
    assert rows == {name: repair.summary for name, repair in REPAIRS.items()}


def test_help_names_every_repair() -> None:
    (help_text,) = (one.help for one in list_parameters("forms") if "--repair" in one.opts)
    assert set(REPAIRS) <= set(re.findall(r"[\w:-]+\w", help_text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("examples")
    generator = np.random.default_rng(0)
    np.savez(made / "digits.npz", x=generator.random((48, 64), np.float32), y=generator.integers(0, 10, 48))
    return made


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=[line for _name, line in COMMANDS])
def test_the_commands_that_are_shown_run(name: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    answer = CliRunner().invoke(qanalysis.cli.app, shlex.split(line, comments=True))
    assert answer.exit_code == 0, (name, answer.output)


def test_the_lines_of_python_run(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", TEXTS["sensitivity"], re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/sensitivity.md", "exec"), {})
    assert re.findall(r"^\d +(\w+\.weight) +[123] ", capsys.readouterr().out, re.MULTILINE) == [
        "fc1.weight",
        "fc2.weight",
        "fc3.weight",
    ]


@pytest.mark.parametrize("name", ["sensitivity", "forms", "activations"])
def test_readme_leads_here(name: str) -> None:
    assert f"(docs/{name}.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert name == "activations" or f"({name}.md)" in "".join(text for key, text in TEXTS.items() if key != name)
