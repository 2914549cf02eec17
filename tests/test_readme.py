"""README shows what the program says today."""

from tests.readme import PICTURE, README, make_table, read_table


def test_the_table_in_readme_is_what_a_sweep_gives_now() -> None:
    assert read_table() == make_table()


def test_readme_shows_the_page_and_both_set_up_commands() -> None:
    text = README.read_text()
    assert f"docs/{PICTURE.name}" in text
    assert PICTURE.stat().st_size < 500_000
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/streamlit run app.py" in text
    assert 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python -m pytest' in text
