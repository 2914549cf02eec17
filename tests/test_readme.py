"""README shows what the program says today, and what it tells to type runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qanalysis import COLUMNS
from tests.readme import DOCS, PICTURES, PLAN_TABLES, PLANS, README, STORIES, TABLES, read_table

PACKAGE = README.parent / "qanalysis"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_readme_holds_the_numbers_of_today(name: str) -> None:
    assert read_table(name) == TABLES[name]()


@pytest.mark.parametrize("name", PLAN_TABLES)
def test_every_line_of_a_table_of_plans_is_one_of_today(name: str) -> None:
    told = read_table(name, PLANS).splitlines()
    assert len(told) > 2
    assert set(told) <= set(PLAN_TABLES[name]().splitlines())


@pytest.mark.parametrize("name", STORIES)
def test_a_story_in_readme_is_told_by_a_run_of_today(name: str) -> None:
    told, found = read_table(name), STORIES[name]()
    number = re.compile(r"\d+(?:\.\d+)?")
    assert number.sub("#", told) == number.sub("#", found)
    # A sum in another order moves the last digits, which 200 steps of training make more of.
    np.testing.assert_allclose(
        [float(one) for one in number.findall(told)], [float(one) for one in number.findall(found)], rtol=0.1
    )


@pytest.mark.parametrize("name", PICTURES)
def test_readme_shows_the_page(name: str) -> None:
    assert f"docs/{name}.png" in README.read_text()
    assert (DOCS / f"{name}.png").stat().st_size < 500_000


def test_readme_tells_both_set_up_commands() -> None:
    text = README.read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/streamlit run app.py" in text
    assert 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m pytest' in text


def test_the_python_block_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    values = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
    save_file({"layer.weight": values, "layer.bias": values[0]}, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {})
    told = capsys.readouterr().out
    assert re.findall(r"^\d +(layer\.\w+) +int4", told, re.MULTILINE) == ["layer.weight"]
    assert "<title>" in (tmp_path / "report.html").read_text()


def test_every_room_and_file_that_readme_names_is_there() -> None:
    told = README.read_text().split("## How it is built")[1].split("\n## ")[0]
    rooms = {room for line in told.splitlines() if line.startswith("| ") for room in re.findall(r"`(\w+)`", line)}
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == there - {"__init__"}
    for name in re.findall(r"`([\w/*]+\.py)`", told):
        assert [*PACKAGE.glob(name), *README.parent.glob(name)], name
    assert set(re.findall(r"\[\[(.*?)\]\]", README.read_text())[0].replace('"', "").split(", ")) <= set(COLUMNS)
