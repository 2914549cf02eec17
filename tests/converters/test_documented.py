"""docs/records.md knows every kind of file, dialect, word, option, limit and finding, and no other."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import qanalysis.cli
from qanalysis.converters import choices, findings
from qanalysis.converters.records import foreign_files
from qanalysis.converters.records.code_words import CODE_NOTES
from qanalysis.converters.records.raw_file import TYPED_SUFFIXES
from qanalysis.converters.records.records import RECORD_SUFFIXES
from qanalysis.converters.records.samples import RecordError
from qanalysis.converters.records.word_guess import CANDIDATES
from qanalysis.converters.records.word_types import WordType

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qanalysis" / "converters"
TEXT = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}
#: Modules in which the code of a finding is a variable, and all that it can be.
VARIABLES: dict[str, set[str]] = {
    "faults/interruptions.py": set(importlib.import_module("qanalysis.converters.faults.interruptions")._ADVICE),
    "spectrum/beside_tone.py": set(
        importlib.import_module("qanalysis.converters.spectrum.beside_tone")._CODES.values()
    ),
    "spectrum/verdicts.py": {"harmonic-on-tone", "harmonic-on-dc"},
    "records/codings.py": CODE_NOTES & {"gray-codes", "sign-magnitude-codes"},
}


def take_section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def read_tables(heading: str) -> list[list[list[str]]]:
    """The tables of a section, each as rows of cells without its head."""
    blocks = re.findall(r"(?:^\|.*\n)+", take_section(heading), re.MULTILINE)
    return [
        [[cell.strip() for cell in re.split(r" \|(?= )", line.strip("|"))] for line in block.splitlines()[2:]]
        for block in blocks
    ]


def find_words(text: str) -> list[str]:
    """What stands between backticks.

    >>> find_words("`a` or `b`")
    ['a', 'b']
    """
    return re.findall(r"`([^`]+)`", text)


def test_suffixes_are_those_that_are_read() -> None:
    told = [word for row in read_tables("What is opened")[0] for word in find_words(row[1])]
    assert sorted(told) == sorted(RECORD_SUFFIXES)


def test_kinds_that_are_named_and_not_read_are_those_of_the_program() -> None:
    rows = read_tables("What is opened")[1]
    entries = (
        *(kind for _, _, kind, _ in foreign_files._BEGINNINGS),
        *(kind for _, kind, _ in foreign_files._TEXTS),
        *(kind for kind, _ in foreign_files._SUFFIXES.values()),
        *(kind for _, kind, _ in foreign_files._ARCHIVES),
        foreign_files.name_foreign(Path("a"), b"BZh91AY&SY")[0],
        foreign_files.name_foreign(Path("a"), b"Title: x\nPlotname: y")[0],
    )
    told = [kind for row in rows for kind in row[0].split("; ")]
    assert sorted(told) == sorted({re.sub(r"^(an?|the) ", "", kind) for kind in entries})
    assert {word for row in rows for word in find_words(row[1])} == set(foreign_files._SUFFIXES)


def read_number(text: str) -> float:
    """
    >>> read_number("256"), read_number("2^24"), read_number("4 MiB")
    (256.0, 16777216.0, 4194304.0)
    """
    number, _, unit = text.partition(" ")
    base, _, power = number.replace(",", "").partition("^")
    return float(base) ** float(power or 1) * UNITS[unit]


LIMITS = {row[1].strip("`"): row[2] for row in read_tables("What is opened")[2]}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_those_of_the_program(name: str) -> None:
    module, constant = name.rsplit(".", 1)
    assert read_number(LIMITS[name]) == getattr(importlib.import_module(f"qanalysis.{module}"), constant)


def test_blocks_of_text_are_as_long_as_told() -> None:
    from qanalysis.converters.records.text.encoding import BLOCK

    (size,) = re.findall(r"in blocks of (\d+ MiB)", TEXT)
    assert read_number(size) == BLOCK


def test_dialects_are_those_of_which_a_test_makes_a_file() -> None:
    source = (Path(__file__).parent / "records" / "text" / "test_dialects.py").read_text(encoding="utf-8")
    (examples,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["EXAMPLES"]
    )
    assert isinstance(examples, ast.Dict)
    names = [ast.literal_eval(key) for key in examples.keys if key is not None]
    rows = read_tables("Text of instruments")[0]
    assert all(row[2] and set(find_words(row[2])) <= set(names) for row in rows)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--radix", choices.RADIXES),
        ("--coding", choices.CODINGS),
        ("--unit", choices.UNITS),
        ("--justify", choices.JUSTIFICATIONS),
        ("--average", choices.AVERAGES),
        ("--test", choices.TESTS),
    ],
)
def test_words_of_options_are_those_of_the_program(option: str, words: tuple[str, ...]) -> None:
    table = {row[0].strip("`"): row[1] for row in read_tables("Numbers")[1]}
    assert sorted(find_words(table[option])) == sorted(words)
    assert len(table) == 6


def test_raw_words_are_those_that_are_read() -> None:
    words = find_words(take_section("Raw words"))
    typed = dict(pairwise(words))
    assert {suffix: typed[suffix] for suffix in words if suffix in TYPED_SUFFIXES} == TYPED_SUFFIXES
    (guessed,) = re.findall(r"as each of ((?:`\w+`[\s,]+)+)", take_section("Raw words"))
    assert find_words(guessed) == [words.name for words in CANDIDATES]
    kinds = {"i": (8, 16, 24, 32, 64), "u": (8, 16, 24, 32, 64), "f": (32, 64)}
    text = " ".join(take_section("Raw words").split())
    assert "Kinds are `i`, `u` (8, 16, 24, 32, 64 bits) and `f` (32, 64)" in text
    for kind, bits in kinds.items():
        for width in (8, 16, 24, 32, 64):
            if width in bits:
                assert WordType.parse(f"{kind}{width}", "a.bin").bits == width
            else:
                with pytest.raises(RecordError, match="dtype"):
                    WordType.parse(f"{kind}{width}", "a.bin")


def test_other_words_of_raw_types_are_read() -> None:
    # Words with a star, a c before them or an underscore are types; the others are codes of findings and suffixes.
    words = [word for word in find_words(take_section("Raw words")) if re.fullmatch(r"[cr]?[iuf]\d+\S*", word)]
    assert {"i16le*2", "cu8", "ci16le", "cf32le", "cf32_le", "ri16_le"} <= set(words)
    for word in words:
        WordType.parse(word, "a.bin")


def find_codes() -> Iterator[str]:
    """The codes of all findings of the package, from its source."""
    unknown = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        place = str(path.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"):
                continue
            code = node.args[0]
            if isinstance(code, ast.Name) and code.id.isupper():
                module = importlib.import_module(f"qanalysis.converters.{place[:-3].replace('/', '.')}")
                yield getattr(module, code.id)
            elif isinstance(code, ast.Name | ast.JoinedStr):
                unknown.add(place)
            else:
                ends = (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,)
                yield from map(ast.literal_eval, ends)
    assert unknown == set(VARIABLES)
    for words in VARIABLES.values():
        yield from words


def test_findings_are_those_that_the_program_can_tell() -> None:
    (table,) = read_tables("Findings")
    told = [word for row in table for word in find_words(row[0])]
    assert sorted(told) == sorted(set(find_codes()))


def test_findings_that_are_notes_are_marked() -> None:
    (table,) = read_tables("Findings")
    assert {word for row in table for word in re.findall(r"`([^`]+)`\*", row[0])} == findings._NOTES


def test_findings_that_miss_every_limit_are_told() -> None:
    (table,) = read_tables("Findings")
    assert {
        word for row in table if "no limit is met" in row[1] for word in find_words(row[0])
    } == findings.CONTRADICTIONS


@pytest.mark.parametrize("name", ["record", "linearity"])
def test_options_are_those_of_the_command(name: str) -> None:
    commands: dict[str, Any] = typer.main.get_command(qanalysis.cli.app).commands
    parameters = commands[name].params
    options = [option for one in parameters for option in (*one.opts, *one.secondary_opts) if option.startswith("--")]
    rows = {row[0].strip("`"): row[1:] for row in read_tables("Limits that you give")[0]}
    limits, others = (find_words(cell) for cell in rows[name])
    assert sorted([*limits, *others]) == sorted(options)
    assert all(limit.startswith(("--min-", "--max-")) for limit in limits)
    assert not any(option.startswith(("--min-", "--max-")) for option in others)


def test_the_commands_that_are_shown_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, n = np.random.default_rng(0), np.arange(4096)
    codes = [
        np.rint(2000 * np.sin(2 * np.pi * 401 * n / 4096 + phase) + rng.normal(0, 0.5, 4096)) for phase in range(3)
    ]
    rows = zip(n * 2e-6, codes[0] * 5e-4, strict=True)
    Path(tmp_path, "scope.csv").write_text("TIME,CH1\n" + "".join(f"{time:.6e},{volts:.5e}\n" for time, volts in rows))
    for place, record in enumerate(codes, 1):
        np.save(tmp_path / f"run{place}.npy", record.astype(np.int16))
    inputs = np.linspace(-0.001, 3.301, 4 * 4096)
    found = np.clip(np.floor(inputs / 3.3 * 4096 + 0.5), 0, 4095).astype(int)
    pairs = "".join(f"{volts:.6f},{code}\n" for volts, code in zip(inputs, found, strict=True))
    Path(tmp_path, "sweep.csv").write_text(f"vin,code\n{pairs}")
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^    qanalysis (.*)$", TEXT, re.MULTILINE)
    assert len(shown) == 3
    for line in shown:
        answer = CliRunner().invoke(qanalysis.cli.app, shlex.split(line, comments=True))
        assert answer.exit_code == 0, answer.output


def test_readme_leads_here() -> None:
    assert "(docs/records.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
