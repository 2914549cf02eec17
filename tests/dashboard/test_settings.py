"""The dashboard's settings: from a checkout they come from a file, from the command line as options, and both say the same."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from qanalysis.commands.app import _server_options

ROOT = Path(__file__).parents[2]


def _read_options() -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for option in _server_options("127.0.0.1", None):
        name, _equals, value = option.removeprefix("--").partition("=")
        options.setdefault(name, []).append(value)
    return options


def _read_file() -> dict[str, object]:
    sections = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    return {f"{section}.{name}": value for section, settings in sections.items() for name, value in settings.items()}


@pytest.mark.parametrize(("name", "value"), _read_file().items(), ids=_read_file())
def test_every_setting_of_a_checkout_is_an_option_of_the_command(name: str, value: object) -> None:
    given = _read_options()[name]
    if name == "theme.base":
        assert [Path(text).resolve() for text in given] == [(ROOT / str(value)).resolve()]
    elif isinstance(value, list):
        assert set(value) <= set(given)
    else:
        assert given == [str(value).lower() if isinstance(value, bool) else str(value)]
