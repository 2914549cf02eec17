"""README shows what the program says today."""

import pytest

from tests.readme import PICTURE, README, TABLES, read_table


@pytest.mark.parametrize("name", TABLES)
def test_a_table_in_readme_holds_the_numbers_of_today(name: str) -> None:
    assert read_table(name) == TABLES[name]()


def test_readme_shows_the_page_and_both_set_up_commands() -> None:
    text = README.read_text()
    assert f"docs/{PICTURE.name}" in text
    assert PICTURE.stat().st_size < 500_000
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/streamlit run app.py" in text
    assert 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m pytest' in text
